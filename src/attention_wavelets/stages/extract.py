"""Stage extract_signals: sequences through a model, every probe and condition in one pass.

Finished batches lie in a work folder under keys of what decides them, and the finished store stays
there as a second name of the output. A killed job goes on, and a new condition or probe computes
only itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attention_wavelets.config.slices import canonical
from attention_wavelets.config.sources import code_digest
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.arrays import (
    Group,
    Variable,
    open_group,
    read_attributes,
    write_store,
)
from attention_wavelets.store.atomic import read_json, replacing, write_json
from attention_wavelets.store.sequences import read_sequences

if TYPE_CHECKING:
    from torch import nn

    from attention_wavelets.attention.probes import ProbeSpec

__all__ = ["extract_signals"]


@dataclass(frozen=True)
class _Piece:
    """Signals of one probe under one condition, and where their batches lie."""

    condition: str
    probe: str
    key: str
    folder: Path

    def shards(self) -> Iterator[tuple[int, int, Path]]:
        for path in sorted(self.folder.glob("[0-9]*.npz")):
            start, stop = map(int, path.stem.split("-"))
            yield start, stop, path

    def missing(self, count: int) -> np.ndarray:
        """Boolean per sequence: not computed yet."""
        left = np.ones(count, dtype=bool)
        for start, stop, path in self.shards():
            if _whole(path):
                left[start:stop] = False
            else:
                path.unlink()
        return left

    def save(self, start: int, signals: np.ndarray, mass: np.ndarray) -> None:
        stop = start + len(signals)
        with replacing(self.folder / f"{start:07d}-{stop:07d}.npz") as partial:
            np.savez(partial, signals=signals, mass=mass)

    def read(self, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start:stop put together from the shards that hold them."""
        rows: np.ndarray | None = None
        for first, last, path in self.shards():
            # Shards of runs with other batch sizes may overlap; they hold the same numbers.
            low, high = max(first, start), min(last, stop)
            if low < high:
                with np.load(path, allow_pickle=False) as shard:
                    part = shard[field][low - first : high - first]
                if rows is None:
                    rows = np.full((stop - start, *part.shape[1:]), np.nan, dtype=part.dtype)
                rows[low - start : high - start] = part
        assert rows is not None, "a piece is read only when nothing is missing"
        return rows


def _whole(path: Path) -> bool:
    """Whether a shard's checksums hold; a damaged one is computed again."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False


def extract_signals(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    out: Path,
    work: Path,
    *,
    device: str = "auto",
    batch_tokens: int = 1024,
    progress: bool = True,
) -> None:
    """Write the signal store of one model and corpus.

    Parameters
    ----------
    config
        The slice: conditions and probes.
    manifest
        What fetch_model wrote.
    sequences, out, work
        Store of token ids, store to write, folder for finished batches.
    device, batch_tokens, progress
        Where and how fast; they change no number beyond the rounding of float32.
    """
    with _alone(work):
        _extract(config, manifest, sequences, out, work, device, batch_tokens, progress)


def _extract(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    out: Path,
    work: Path,
    device: str,
    batch_tokens: int,
    progress: bool,
) -> None:
    causal = bool(manifest["facts"]["causal"])
    probes = _applicable(config["probes"], causal)
    tokens = {name: read_sequences(sequences, name) for name in config["conditions"]}
    pieces = [
        _piece(work, manifest, condition, tokens[condition]["ids"], name, config["probes"][name])
        for condition in config["conditions"]
        for name in probes
    ]
    finished = _finished(work / "done.zarr.zip", pieces)
    _compute(
        work,
        [piece for piece in pieces if piece not in finished],
        bool(finished),
        tokens,
        manifest,
        probes,
        device,
        batch_tokens,
        progress,
    )
    groups = {
        condition: _group(
            condition, tokens[condition], pieces, finished, probes, work / "done.zarr.zip", causal
        )
        for condition in config["conditions"]
    }
    write_store(out, groups, _attributes(config, manifest, sequences, work))
    _keep(out, work)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hold the work folder, so that two jobs do not write the same batches."""
    from filelock import FileLock, Timeout

    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / ".lock", timeout=0):
            yield
    except Timeout:
        raise PipelineError(
            "another job extracts these signals", str(work), "wait for it, or stop it"
        ) from None


def _applicable(kinds: Mapping[str, Any], causal: bool) -> dict[str, ProbeSpec]:
    from attention_wavelets.attention.probes import get_probe

    specs = {name: get_probe(probe["kind"]) for name, probe in kinds.items()}
    return {name: spec for name, spec in specs.items() if causal or not spec.causal_only}


def _piece(
    work: Path,
    manifest: Mapping[str, Any],
    condition: str,
    ids: np.ndarray,
    name: str,
    probe: Mapping[str, Any],
) -> _Piece:
    identity = canonical(
        {
            "capture": code_digest("extract_signals"),
            "files": [[f["name"], f["sha256"]] for f in manifest["files"]],
            "untrained": manifest["untrained"],
            "dtype": manifest["dtype"],
            "probe": probe,
            "shape": list(ids.shape),
        }
    )
    digest = hashlib.sha256(identity.encode() + np.ascontiguousarray(ids).tobytes())
    key = digest.hexdigest()[:24]
    return _Piece(condition, name, key, work / condition / f"{name}-{key}")


def _finished(store: Path, pieces: list[_Piece]) -> frozenset[_Piece]:
    """Pieces that the store of an earlier run holds unchanged."""
    if not store.is_file():
        return frozenset()
    try:
        groups = read_attributes(store)["groups"]
        found = set()
        for condition in {piece.condition for piece in pieces} & set(groups):
            with open_group(store, condition) as dataset:
                keys = {name: dataset[name].attrs.get("key") for name in dataset.data_vars}
            found |= {p for p in pieces if p.condition == condition and keys.get(p.probe) == p.key}
    except PipelineError:
        return frozenset()
    return frozenset(found)


def _compute(
    work: Path,
    pieces: list[_Piece],
    resumed: bool,
    tokens: Mapping[str, Mapping[str, np.ndarray]],
    manifest: Mapping[str, Any],
    probes: Mapping[str, ProbeSpec],
    device: str,
    batch_tokens: int,
    progress: bool,
) -> None:
    """Compute what no finished batch holds, and note where it ran."""
    left = {piece: piece.missing(len(tokens[piece.condition]["ids"])) for piece in pieces}
    if not any(missing.any() for missing in left.values()):
        return
    import torch
    from tqdm import tqdm

    from attention_wavelets.attention.capture import BACKEND
    from attention_wavelets.attention.extract import check_capture, run_batch

    model = _load(manifest, device)
    facts = manifest["facts"]
    first = tokens[next(iter(left)).condition]["ids"]
    path = check_capture(model, first, facts["causal"], facts["layers"])
    if not resumed and all(missing.all() for missing in left.values()):
        (work / "runtime.json").unlink(missing_ok=True)
    _note_runtime(
        work,
        {
            "attention_path": path,
            "attention_backend": BACKEND if path == "interface" else "eager",
            "device": str(next(model.parameters()).device),
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        },
    )
    total = sum(
        int(np.any([m for p, m in left.items() if p.condition == c], axis=0).sum())
        * tokens[c]["ids"].shape[1]
        for c in dict.fromkeys(piece.condition for piece in left)
    )
    with tqdm(
        total=total,
        unit="token",
        unit_scale=True,
        desc=manifest["name"],
        mininterval=2,
        disable=not progress,
    ) as bar:
        for condition, names, start, stop in _batches(left, tokens, batch_tokens):
            ids = tokens[condition]["ids"][start:stop]
            chosen = {name: probes[name] for name in names}
            batch = run_batch(model, ids, chosen, facts["causal"])
            for piece in left:
                if piece.condition == condition and piece.probe in names:
                    piece.save(start, batch.signals[piece.probe], batch.mass[piece.probe])
            bar.update(ids.size)


def _note_runtime(work: Path, facts: Mapping[str, str]) -> None:
    """Add where batches were computed to what earlier runs noted; the store names all of it."""
    known = _runtime(work)
    write_json(
        work / "runtime.json",
        {key: sorted({*known.get(key, []), value}) for key, value in facts.items()},
    )


def _runtime(work: Path) -> dict[str, list[str]]:
    path = work / "runtime.json"
    return dict(read_json(path)) if path.is_file() else {}


def _load(manifest: Mapping[str, Any], device: str) -> nn.Module:
    import torch

    from attention_wavelets.models.load import load_model

    if device == "cuda" and not torch.cuda.is_available():
        raise PipelineError("no CUDA device is visible", "runtime.device=cuda", "use cpu or auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return load_model(manifest, device=device)


def _batches(
    left: Mapping[_Piece, np.ndarray],
    tokens: Mapping[str, Mapping[str, np.ndarray]],
    batch_tokens: int,
) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Runs of sequences that lack the same probes, cut to one forward pass each."""
    from attention_wavelets.attention.extract import split

    for condition in dict.fromkeys(piece.condition for piece in left):
        mine = {p.probe: missing for p, missing in left.items() if p.condition == condition}
        count, positions = tokens[condition]["ids"].shape
        wanted = [tuple(name for name in mine if mine[name][i]) for i in range(count)]
        start = 0
        while start < count:
            stop = start + 1
            while stop < count and wanted[stop] == wanted[start]:
                stop += 1
            if wanted[start]:
                for first, last in split(stop - start, positions, batch_tokens):
                    yield condition, wanted[start], start + first, start + last
            start = stop


def _group(
    condition: str,
    tokens: Mapping[str, np.ndarray],
    pieces: list[_Piece],
    finished: frozenset[_Piece],
    probes: Mapping[str, ProbeSpec],
    done: Path,
    causal: bool,
) -> Group:
    from attention_wavelets.attention.probes import Shape

    count, positions = tokens["ids"].shape
    shape = Shape(positions, causal)
    special = tokens["special"]
    variables = {
        "document": Variable.of(tokens["document"], ("sequence",)),
        "special": Variable.of(special, ("sequence", "position")),
    }
    for piece in (p for p in pieces if p.condition == condition):
        spec = probes[piece.probe]
        read = _stored(done, piece) if piece in finished else piece.read
        coordinates = spec.coordinates(shape)
        layers, heads = read("mass", 0, 1).shape[1:]
        dims = ("sequence", "layer", "head")
        full = (count, layers, heads, len(coordinates))
        variables[spec.axis] = Variable.of(coordinates.astype(np.int32), (spec.axis,))
        variables[piece.probe] = Variable(
            (*dims, spec.axis),
            full,
            np.dtype(np.float32),
            _reader(read, "signals"),
            {"key": piece.key, "axis": spec.axis},
        )
        variables[f"{piece.probe}_mass"] = Variable(
            dims, full[:3], np.dtype(np.float32), _reader(read, "mass")
        )
        if spec.name == "received":
            variables["received_special_mass"] = Variable(
                dims, full[:3], np.dtype(np.float32), _special_mass(read, special)
            )
    return Group(variables, {"tokens": positions, "causal": causal})


def _reader(read: Any, field: str) -> Any:
    return lambda start, stop: read(field, start, stop)


def _special_mass(read: Any, special: np.ndarray) -> Any:
    """Share of the received attention that special tokens get."""

    def mass(start: int, stop: int) -> np.ndarray:
        signals = read("signals", start, stop)
        return np.einsum("slhp,sp->slh", signals, special[start:stop].astype(np.float32))

    return mass


def _stored(done: Path, piece: _Piece) -> Any:
    def read(field: str, start: int, stop: int) -> np.ndarray:
        name = piece.probe if field == "signals" else f"{piece.probe}_mass"
        with open_group(done, piece.condition) as dataset:
            return np.asarray(dataset[name][start:stop].values)

    return read


def _attributes(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    work: Path,
) -> dict[str, Any]:
    from importlib.metadata import version

    from attention_wavelets import __version__

    facts = ("name", "label", "revision", "locked", "dtype", "quantisation", "tuning", "untrained")
    tokenizer = read_attributes(sequences)
    return {
        **{key: manifest[key] for key in facts},
        "corpus": config["corpus"],
        "causal": manifest["facts"]["causal"],
        "tokenizer": tokenizer.get("tokenizer", ""),
        "special_tokens": tokenizer.get("special_tokens", ""),
        "code_version": __version__,
        "capture": code_digest("extract_signals"),
        "transformers": version("transformers"),
        **{key: ", ".join(values) for key, values in _runtime(work).items()},
    }


def _keep(out: Path, work: Path) -> None:
    """Give the finished store a second name in the work folder, and drop the batches."""
    work.mkdir(parents=True, exist_ok=True)
    with replacing(work / "done.zarr.zip") as partial:
        try:
            os.link(out, partial)
        except OSError:
            shutil.copyfile(out, partial)
    for entry in work.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
