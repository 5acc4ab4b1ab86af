"""Stage extract_signals: sequences through a model, every probe and condition in one pass.

Finished batches lie in a work folder under keys of what decides them, and the finished store stays
there as a second name of the output. A killed job goes on, and a new condition or probe computes
only itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
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
from attention_wavelets.store.atomic import replacing
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
        for start, stop, _path in self.shards():
            left[start:stop] = False
        return left

    def save(self, start: int, signals: np.ndarray, mass: np.ndarray) -> None:
        stop = start + len(signals)
        with replacing(self.folder / f"{start:07d}-{stop:07d}.npz") as partial:
            np.savez(partial, signals=signals, mass=mass)

    def read(self, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start:stop put together from the shards that hold them."""
        parts = []
        for first, last, path in self.shards():
            if first < stop and last > start:
                with np.load(path, allow_pickle=False) as shard:
                    parts.append(shard[field][max(start - first, 0) : stop - first])
        return np.concatenate(parts)


def extract_signals(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    out: Path,
    work: Path,
    *,
    device: str = "auto",
    batch_tokens: int = 4096,
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
        Where and how fast; they change no number.
    """
    causal = bool(manifest["facts"]["causal"])
    probes = _applicable(config["probes"], causal)
    tokens = {name: read_sequences(sequences, name) for name in config["conditions"]}
    pieces = [
        _piece(work, manifest, condition, tokens[condition]["ids"], name, config["probes"][name])
        for condition in config["conditions"]
        for name in probes
    ]
    finished = _finished(work / "done.zarr.zip", pieces)
    runtime = _compute(
        [piece for piece in pieces if piece not in finished],
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
    write_store(out, groups, _attributes(config, manifest, sequences, runtime, work))
    _keep(out, work)


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
    pieces: list[_Piece],
    tokens: Mapping[str, Mapping[str, np.ndarray]],
    manifest: Mapping[str, Any],
    probes: Mapping[str, ProbeSpec],
    device: str,
    batch_tokens: int,
    progress: bool,
) -> dict[str, Any]:
    """Compute what no finished batch holds. Returns facts on where it ran."""
    left = {piece: piece.missing(len(tokens[piece.condition]["ids"])) for piece in pieces}
    if not any(missing.any() for missing in left.values()):
        return {}
    import torch
    from tqdm import tqdm

    from attention_wavelets.attention.capture import BACKEND
    from attention_wavelets.attention.extract import check_capture, run_batch

    model = _load(manifest, device)
    facts = manifest["facts"]
    first = tokens[next(iter(left)).condition]["ids"]
    path = check_capture(model, first, facts["causal"], facts["layers"])
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
    return {
        "attention_path": path,
        "attention_backend": BACKEND if path == "interface" else "eager",
        "device": str(next(model.parameters()).device),
        "torch": torch.__version__,
    }


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
    runtime: Mapping[str, Any],
    work: Path,
) -> dict[str, Any]:
    from importlib.metadata import version

    from attention_wavelets import __version__

    if not runtime and (work / "done.zarr.zip").is_file():
        earlier = read_attributes(work / "done.zarr.zip")
        runtime = {k: earlier[k] for k in _RUNTIME if k in earlier}
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
        **runtime,
    }


_RUNTIME = ("attention_path", "attention_backend", "device", "torch")


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
