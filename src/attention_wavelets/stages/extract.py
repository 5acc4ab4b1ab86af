"""Stage extract_signals: sequences through a model, every probe and condition in one pass.

Finished batches lie in a work folder under keys of what decides them, and the finished store stays
there as a second name of the output. A killed job goes on, and a new condition or probe computes
only itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attention_wavelets.config.slices import canonical
from attention_wavelets.config.sources import code_digest
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.shards import SPLIT_FILE
from attention_wavelets.store.arrays import (
    Group,
    Variable,
    open_group,
    read_attributes,
    write_store,
)
from attention_wavelets.store.atomic import read_json, replacing, write_json, write_text
from attention_wavelets.store.sequences import read_sequences

if TYPE_CHECKING:
    from torch import nn

    from attention_wavelets.attention.extract import Batch, OfWeights
    from attention_wavelets.attention.facts import FactSpec
    from attention_wavelets.attention.probes import ProbeSpec
    from attention_wavelets.attention.reducers import Shape

__all__ = ["extract_shard", "extract_signals"]

# From how many tokens on the time is forecast; a shorter run is over before it is read.
_WORTH_TELLING = 20_000


@dataclass(frozen=True)
class _Piece:
    """What one probe or fact gives under one condition, and where its batches lie.

    `variables` are the arrays of a batch: a probe's signals and their mass, or a fact's numbers.
    """

    condition: str
    name: str
    variables: tuple[str, ...]
    key: str
    folder: Path

    def shards(self) -> Iterator[tuple[int, int, Path]]:
        for path in sorted(self.folder.glob("[0-9]*.npz")):
            start, stop = map(int, path.stem.split("-"))
            yield start, stop, path

    def missing(self, count: int, own: range) -> np.ndarray:
        """Boolean per sequence: of `own` and not computed yet.

        A damaged batch is removed by the job that holds its first sequence: another one could take
        away what that job has just computed again.
        """
        left = np.isin(np.arange(count), own)
        for start, stop, path in self.shards():
            if _whole(path):
                left[start:stop] = False
            elif start in own:
                path.unlink(missing_ok=True)
        return left

    def save(self, start: int, batch: Batch) -> None:
        values = {**batch.signals, **_masses(batch), **batch.facts}
        arrays = {name: values[name] for name in self.variables}
        stop = start + len(arrays[self.variables[0]])
        with replacing(self.folder / f"{start:07d}-{stop:07d}.npz") as partial:
            np.savez(partial, **arrays)

    def read(self, variable: str, start: int, stop: int) -> np.ndarray:
        """Rows start:stop put together from the shards that hold them."""
        rows: np.ndarray | None = None
        for first, last, path in self.shards():
            # Shards of runs with other batch sizes may overlap; they hold the same numbers.
            low, high = max(first, start), min(last, stop)
            if low < high:
                with np.load(path, allow_pickle=False) as shard:
                    part = shard[variable][low - first : high - first]
                if rows is None:
                    rows = np.full((stop - start, *part.shape[1:]), np.nan, dtype=part.dtype)
                rows[low - start : high - start] = part
        assert rows is not None, "a piece is read only when nothing is missing"
        return rows


def _masses(batch: Batch) -> dict[str, np.ndarray]:
    return {f"{probe}_mass": mass for probe, mass in batch.mass.items()}


def _whole(path: Path) -> bool:
    """Whether the checksums of a batch or a store hold; a damaged one is computed again."""
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
    split: str | None = None,
) -> None:
    """Write the signal store of one model and corpus.

    Parameters
    ----------
    config
        The slice: conditions, probes, facts by condition, and which conditions repeat themselves.
    manifest
        What fetch_model wrote.
    sequences, out, work
        Store of token ids, store to write, folder for finished batches.
    device, batch_tokens, progress
        Where and how fast; they change no number beyond the rounding of float32.
    split
        Note for later plans, of how many shards the batches are.
    """
    with _alone(work, ".lock"):
        job = _plan(config, manifest, sequences, work)
        _compute(job, manifest, device, batch_tokens, progress)
        groups = {
            condition: _group(
                job.tokens[condition],
                job.shapes[condition],
                [piece for piece in job.pieces if piece.condition == condition],
                job.finished,
                job.probes,
                work / "done.zarr.zip",
            )
            for condition in config["conditions"]
        }
        write_store(out, groups, _attributes(config, manifest, sequences, work))
        _keep(out, work)
        if split is not None:
            write_text(work / SPLIT_FILE, split)


def extract_shard(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    out: Path,
    work: Path,
    shard: tuple[int, int],
    *,
    device: str = "auto",
    batch_tokens: int = 1024,
    progress: bool = True,
) -> None:
    """Compute the batches of one part of the sequences; extract_signals then packs them.

    Parameters
    ----------
    config, manifest, sequences, work, device, batch_tokens, progress
        As of `extract_signals`.
    out
        JSON file that says that this part is done.
    shard
        Its number, from 0, and how many there are.
    """
    number, of = shard
    if not 0 <= number < of:
        raise PipelineError(f"there is no shard {number} of {of}", "command line", "count from 0")
    with _alone(work, f".lock-{number}-of-{of}"):
        job = _plan(config, manifest, sequences, work, shard)
        _compute(job, manifest, device, batch_tokens, progress)
        write_json(out, {"shard": number, "of": of, "work": str(work)})


@dataclass(frozen=True)
class _Job:
    """What an extraction has to do: all of it, or one shard of the sequences."""

    work: Path
    tokens: Mapping[str, Mapping[str, np.ndarray]]
    shapes: Mapping[str, Shape]
    probes: Mapping[str, ProbeSpec]
    begins: Mapping[str, np.ndarray]
    pieces: list[_Piece]
    finished: frozenset[_Piece]
    shard: tuple[int, int]

    def missing(self, piece: _Piece) -> np.ndarray:
        """Boolean per sequence: of this job and not computed yet."""
        count = len(self.tokens[piece.condition]["ids"])
        number, of = self.shard
        return piece.missing(count, range(count * number // of, count * (number + 1) // of))

    @property
    def notes(self) -> Path:
        """Where this job writes down on what it ran."""
        number, of = self.shard
        return self.work / ("runtime.json" if of == 1 else f"runtime-{number}-of-{of}.json")


def _plan(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    work: Path,
    shard: tuple[int, int] = (0, 1),
) -> _Job:
    from attention_wavelets.attention.probes import check_rows

    causal, given = bool(manifest["facts"]["causal"]), manifest["facts"]["input"]
    probes = _applicable(config["probes"], causal)
    tokens = {name: read_sequences(sequences, name) for name in config["conditions"]}
    shapes = {
        name: _shape(tokens[name], causal, name in config["repeated"], given.get("special", 0))
        for name in config["conditions"]
    }
    facts = _facts(config["facts"], config["repeated"])
    for name, shape in shapes.items():
        _refuse_too_long(name, shape, manifest)
        check_rows(shape, probes)
    begins = _begins(probes, tokens, manifest)
    pieces = [
        _piece(work, manifest, condition, _numbers(tokens[condition]), shapes[condition], *item)
        for condition in config["conditions"]
        for item in _items(
            probes, config["probes"], facts.get(condition, {}), begins.get(condition)
        )
    ]
    finished = _finished(work / "done.zarr.zip", pieces)
    return _Job(work, tokens, shapes, probes, begins, pieces, finished, shard)


@contextmanager
def _alone(work: Path, lock: str) -> Iterator[None]:
    """Hold the work folder, or a shard of it, so that two jobs do not write the same batches."""
    from filelock import FileLock, Timeout

    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / lock, timeout=0):
            yield
    except Timeout:
        raise PipelineError(
            "another job extracts these signals", str(work), "wait for it, or stop it"
        ) from None


def _applicable(kinds: Mapping[str, Any], causal: bool) -> dict[str, ProbeSpec]:
    from attention_wavelets.attention.probes import get_probe

    specs = {name: get_probe(**probe) for name, probe in kinds.items()}
    return {name: spec for name, spec in specs.items() if causal or not spec.causal_only}


def _facts(
    wanted: Mapping[str, Sequence[str]], repeated: Sequence[str]
) -> dict[str, dict[str, FactSpec]]:
    """Condition -> its facts."""
    from attention_wavelets.attention.facts import get_fact

    found = {c: {name: get_fact(name) for name in names} for c, names in wanted.items()}
    for condition, specs in found.items():
        lost = [name for name, spec in specs.items() if spec.repeats]
        if lost and condition not in repeated:
            raise PipelineError(
                f"fact {lost[0]} needs sequences that repeat themselves",
                f"condition {condition}",
                "ask for it on a condition of kind `repeat`, such as `repeated`",
            )
    return found


def _shape(tokens: Mapping[str, np.ndarray], causal: bool, repeated: bool, skip: int) -> Shape:
    from attention_wavelets.attention.reducers import Shape

    positions = tokens["ids"].shape[1]
    if not repeated:
        return Shape(positions, positions, causal, skip=skip)
    ordinary = np.flatnonzero(~tokens["special"][0])
    period = len(ordinary) // 2
    return Shape(positions, positions, causal, period, int(ordinary[period]))


def _refuse_too_long(condition: str, shape: Shape, manifest: Mapping[str, Any]) -> None:
    limit = manifest["facts"]["max_positions"]
    if limit is not None and shape.queries > limit:
        raise PipelineError(
            f"{manifest['name']} takes at most {limit} tokens, sequences have {shape.queries}",
            f"condition {condition}",
            "lower `tokens` in the corpus",
        )


def _numbers(tokens: Mapping[str, np.ndarray]) -> np.ndarray:
    """What the model is given: token ids, or the content of sounds and pictures."""
    return tokens.get("content", tokens["ids"])


_Item = tuple[str, tuple[str, ...], Mapping[str, Any]]


def _items(
    probes: Mapping[str, ProbeSpec],
    settings: Mapping[str, Any],
    facts: Mapping[str, FactSpec],
    begins: np.ndarray | None,
) -> Iterator[_Item]:
    """Name, arrays and settings of everything asked for under one condition."""
    for name, spec in probes.items():
        own = settings[name]
        if spec.by_character:
            assert begins is not None, "read for such probes"
            own = {**own, "begins": hashlib.sha256(begins.tobytes()).hexdigest()}
        yield name, (name, f"{name}_mass"), own
    for name, fact in facts.items():
        yield name, tuple(fact.variables), {"fact": name}


def _piece(
    work: Path,
    manifest: Mapping[str, Any],
    condition: str,
    numbers: np.ndarray,
    shape: Shape,
    name: str,
    variables: tuple[str, ...],
    settings: Mapping[str, Any],
) -> _Piece:
    given = manifest["facts"]["input"]
    identity = canonical(
        {
            "capture": code_digest("extract_signals"),
            "files": [[f["name"], f["sha256"]] for f in manifest["files"]],
            "untrained": manifest["untrained"],
            "dtype": manifest["dtype"],
            "settings": settings,
            "shape": [*numbers.shape, shape.period, shape.repeat],
            # How samples and pixels are scaled; ids are as they are.
            **({} if given["kind"] == "tokens" else {"input": given}),
        }
    )
    digest = hashlib.sha256(identity.encode())
    digest.update(memoryview(np.ascontiguousarray(numbers)).cast("B"))
    key = digest.hexdigest()[:24]
    return _Piece(condition, name, variables, key, work / condition / f"{name}-{key}")


def _finished(store: Path, pieces: list[_Piece]) -> frozenset[_Piece]:
    """Pieces that the store of an earlier run holds unchanged."""
    # The output is another name of the same bytes: what damaged the one damaged the other.
    if not store.is_file() or not _whole(store):
        return frozenset()
    try:
        groups = read_attributes(store)["groups"]
        found = set()
        for condition in {piece.condition for piece in pieces} & set(groups):
            with open_group(store, condition) as dataset:
                keys = {name: dataset[name].attrs.get("key") for name in dataset.data_vars}
            found |= {
                piece
                for piece in pieces
                if piece.condition == condition
                and all(keys.get(name) == piece.key for name in piece.variables)
            }
    except PipelineError:
        return frozenset()
    return frozenset(found)


def _compute(
    job: _Job, manifest: Mapping[str, Any], device: str, batch_tokens: int, progress: bool
) -> None:
    """Compute what no finished batch holds, and note where it ran."""
    tokens, shapes, probes = job.tokens, job.shapes, job.probes
    left = {piece: job.missing(piece) for piece in job.pieces if piece not in job.finished}
    if not any(missing.any() for missing in left.values()):
        return
    import torch
    from tqdm import tqdm

    from attention_wavelets.attention.capture import BACKEND, refuse_rounded
    from attention_wavelets.attention.extract import run_batch
    from attention_wavelets.attention.facts import FACTS
    from attention_wavelets.attention.plan import plan_batches, with_less_memory
    from attention_wavelets.attention.start_up import check_capture

    facts = manifest["facts"]
    refuse_rounded(facts["model_type"], getattr(torch, manifest["dtype"]), manifest["name"])
    model = _load(manifest, device)
    first = _numbers(tokens[next(iter(left)).condition])
    given = facts["input"]
    path = check_capture(model, first, facts["causal"], facts["layers"], given)
    if not job.finished and not any(any(piece.shards()) for piece in left):
        # Nothing of earlier runs is left that their notes could be about.
        job.notes.unlink(missing_ok=True)
    _note_runtime(
        job.notes,
        {
            "attention_path": path,
            "attention_backend": BACKEND if path == "interface" else "eager",
            "device": str(next(model.parameters()).device),
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        },
    )
    lengths = {c: tokens[c]["ids"].shape[1] for c in dict.fromkeys(p.condition for p in left)}
    total = sum(
        int(np.any([m for p, m in left.items() if p.condition == c], axis=0).sum()) * length
        for c, length in lengths.items()
    )

    of_weights: OfWeights = {}

    def reduce(condition: str, names: Sequence[str], start: int, stop: int) -> Batch:
        shape = shapes[condition]
        return run_batch(
            model,
            _numbers(tokens[condition])[start:stop],
            {name: probes[name] for name in names if name in probes},
            facts["causal"],
            {name: FACTS[name] for name in names if name not in probes},
            given=given,
            repeats=(shape.period, shape.repeat),
            places=job.begins[condition][start:stop] if job.begins else None,
            chunk_bytes=plan.chunk_bytes,
            label=manifest["name"],
            first=start,
            known=of_weights,
        )

    plan = plan_batches(model, facts, max(lengths.values()), batch_tokens, _free_memory(model))
    if progress:
        tqdm.write(f"{manifest['name']}: {plan.sentence(total)}", file=sys.stderr)
    with tqdm(
        total=total,
        unit="token",
        unit_scale=True,
        desc=manifest["name"],
        mininterval=2,
        disable=not progress,
    ) as bar:
        most = len(next(iter(tokens.values()))["ids"])
        untold = progress and total > _WORTH_TELLING
        for condition, names, first_row, last_row in _batches(left, tokens, plan.batch_tokens):
            start = first_row
            while start < last_row:
                wanted = min(most, last_row - start)
                began = time.perf_counter()
                batch, done = with_less_memory(
                    lambda n, c=condition, k=names, s=start: reduce(c, k, s, s + n), wanted
                )
                # Once memory ran out, later passes begin with what fitted.
                most = done if done < wanted else most
                for piece in left:
                    if piece.condition == condition and piece.name in names:
                        piece.save(start, batch)
                start += done
                bar.update(done * lengths[condition])
                if untold:
                    untold = False
                    seconds = time.perf_counter() - began
                    minutes = seconds / 60 * total / (done * lengths[condition])
                    tqdm.write(f"{manifest['name']}: about {minutes:.1f} minutes", file=sys.stderr)


def _begins(
    probes: Mapping[str, ProbeSpec],
    tokens: Mapping[str, Mapping[str, np.ndarray]],
    manifest: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Condition -> where in the text each token begins; empty where no probe asks."""
    if not any(spec.by_character for spec in probes.values()):
        return {}
    from attention_wavelets.corpora.tokens import begins_of, token_characters
    from attention_wavelets.models.load import load_tokenizer

    characters = token_characters(load_tokenizer(dict(manifest)))
    return {
        name: np.where(found["special"], -1, begins_of(found["ids"], characters))
        for name, found in tokens.items()
    }


def _free_memory(model: nn.Module) -> int | None:
    """Bytes that are free on the fullest of the model's GPUs; None on a processor."""
    import torch

    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    return min((int(torch.cuda.mem_get_info(device)[0]) for device in devices), default=None)


def _note_runtime(notes: Path, facts: Mapping[str, str]) -> None:
    """Add where batches were computed to what earlier runs noted; the store names all of it."""
    known = _joined([notes])
    write_json(notes, {key: sorted({*known.get(key, []), value}) for key, value in facts.items()})


def _joined(notes: Iterable[Path]) -> dict[str, list[str]]:
    """The notes of some jobs together."""
    found: dict[str, list[str]] = {}
    for path in notes:
        for key, values in (read_json(path) if path.is_file() else {}).items():
            found[key] = sorted({*found.get(key, []), *values})
    return found


def _load(manifest: Mapping[str, Any], device: str) -> nn.Module:
    from attention_wavelets.models.load import chosen_device, load_model

    return load_model(manifest, device=chosen_device(device))


def _batches(
    left: Mapping[_Piece, np.ndarray],
    tokens: Mapping[str, Mapping[str, np.ndarray]],
    batch_tokens: int,
) -> Iterator[tuple[str, tuple[str, ...], int, int]]:
    """Runs of sequences that lack the same probes, cut to one forward pass each."""
    from attention_wavelets.attention.extract import split

    for condition in dict.fromkeys(piece.condition for piece in left):
        mine = {p.name: missing for p, missing in left.items() if p.condition == condition}
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
    tokens: Mapping[str, np.ndarray],
    shape: Shape,
    pieces: Sequence[_Piece],
    finished: frozenset[_Piece],
    probes: Mapping[str, ProbeSpec],
    done: Path,
) -> Group:
    special = tokens["special"]
    variables = {
        "document": Variable.of(tokens["document"], ("sequence",)),
        "special": Variable.of(special, ("sequence", "position")),
    }
    for piece in pieces:
        read = _stored(done, piece) if piece in finished else piece.read
        for name in piece.variables:
            variables |= _variables(piece, name, read, len(special), shape, probes)
        if piece.name in probes and probes[piece.name].name == "received":
            mass = variables[f"{piece.name}_mass"]
            variables["received_special_mass"] = Variable(
                mass.dims, mass.shape, mass.dtype, _special_mass(read, piece.name, special)
            )
    attributes = {"tokens": shape.queries, "causal": shape.causal}
    if shape.period:
        attributes |= {"period": shape.period, "repeat": shape.repeat}
    return Group(variables, attributes)


def _variables(
    piece: _Piece, name: str, read: Any, count: int, shape: Shape, probes: Mapping[str, ProbeSpec]
) -> dict[str, Variable]:
    """One array of a piece with the coordinates of its axes."""
    from attention_wavelets.attention.facts import FACTS, axis_values

    size = read(name, 0, 1).shape[1:]
    facts: dict[str, Any] = {"key": piece.key}
    if piece.name not in probes:
        axes = FACTS[piece.name].variables[name]
        facts["fact"] = piece.name
        values = {a: axis_values(a, shape, n) for a, n in zip(axes, size[2:], strict=True)}
    else:
        spec = probes[piece.name]
        axes = spec.axes if name == piece.name else spec.axes[:-1]
        facts |= {"axis": spec.axes[-1]} if name == piece.name else {}
        values = spec.axis_values(shape)
    dims = ("sequence", "layer", "head", *axes)

    def rows(start: int, stop: int) -> np.ndarray:
        return np.asarray(read(name, start, stop))

    found = {a: Variable.of(_coordinates(values[a]), (a,)) for a in axes}
    found[name] = Variable(dims, (count, *size), np.dtype(np.float32), rows, facts)
    return found


def _coordinates(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32 if values.dtype.kind == "i" else np.float64)


def _special_mass(read: Any, probe: str, special: np.ndarray) -> Any:
    """Share of the received attention that special tokens get."""

    def mass(start: int, stop: int) -> np.ndarray:
        signals = read(probe, start, stop)
        return np.einsum("slhp,sp->slh", signals, special[start:stop].astype(np.float32))

    return mass


def _stored(done: Path, piece: _Piece) -> Any:
    def read(variable: str, start: int, stop: int) -> np.ndarray:
        with open_group(done, piece.condition) as dataset:
            return np.asarray(dataset[variable][start:stop].values)

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
        **{key: manifest["facts"][key] for key in ("causal", "rotary_base", "max_positions")},
        "tokenizer": tokenizer.get("tokenizer", ""),
        "special_tokens": tokenizer.get("special_tokens", ""),
        "code_version": __version__,
        "capture": code_digest("extract_signals"),
        "transformers": version("transformers"),
        **{
            key: ", ".join(values)
            for key, values in _joined(sorted(work.glob("runtime*.json"))).items()
        },
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
