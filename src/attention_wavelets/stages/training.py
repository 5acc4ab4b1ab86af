"""Stages prepare_recipe, train_model, describe_checkpoint: from documents to models like others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

from attention_wavelets.config.schema import LocalSource, Model, Recipe, Tokenizer, TrainedSource
from attention_wavelets.config.training import FAMILIES
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import folder_beside, read_json, write_json
from attention_wavelets.store.documents import read_lengths, read_texts
from attention_wavelets.store.training import read_tokens, write_tokens

__all__ = ["describe_checkpoint", "prepare_recipe", "train_model"]

# Beside the note that a run is finished: a failed job of a workflow loses its outputs, not these.
_CHECKPOINTS, _STATE = "checkpoints", ".state.safetensors"


def prepare_recipe(
    config: Mapping[str, Any],
    training: Sequence[Path],
    held_out: Sequence[Path],
    tokenizer: Path,
    tokens: Path,
) -> None:
    """Learn the tokenizer on the training text; write both texts as tokens.

    Parameters
    ----------
    config
        The slice: name, tokenizer and context of the recipe.
    training, held_out
        Documents to learn from, and others, of each corpus; each gives as many characters, to a
        document, as the shortest has.
    tokenizer, tokens
        Folder of a tokenizer and .npz file to write.
    """
    from attention_wavelets.training.tokens import encode, learn_tokenizer, token_bytes

    rules = Tokenizer.model_validate(config["tokenizer"])
    # Texts are read anew each time, since many do not fit into memory.
    learned = learn_tokenizer(_in_equal_parts(training), rules.merges, config["context"])
    arrays = {
        name: encode(learned, chain.from_iterable(_in_equal_parts(paths)))
        for name, paths in (("training", training), ("held_out", held_out))
    }
    arrays["held_out_bytes"] = token_bytes(learned, arrays["held_out"])
    with folder_beside(tokenizer) as beside:
        learned.save_pretrained(beside)
        _replace_folder(beside, tokenizer)
    write_tokens(tokens, arrays)


def _in_equal_parts(paths: Sequence[Path]) -> list[Iterator[str]]:
    """Texts of each corpus, in order, until it has as many characters as the shortest corpus."""
    lengths = [read_lengths(path) for path in paths]
    most = min(map(sum, lengths))
    # Documents that start before the end of the shortest.
    counts = [sum(start < most for start in accumulate(of, initial=0)) for of in lengths]
    return [islice(read_texts(path), count) for path, count in zip(paths, counts, strict=True)]


def train_model(
    config: Mapping[str, Any],
    tokenizer: Path,
    tokens: Path,
    out: Path,
    *,
    device: str = "cpu",
) -> None:
    """Train one model and keep its weights after the steps of the recipe.

    Parameters
    ----------
    config
        The slice: run, source (with its one seed) and recipe.
    tokenizer, tokens
        What prepare_recipe wrote.
    out
        JSON file to write once all is done: steps, losses, and sha256 of the weights. The weights
        lie beside it in `checkpoints/step<N>/`, and the state of a run that was stopped.
    device
        `cpu` or `cuda`.

    Raises
    ------
    PipelineError
        Text too short for the tokens asked for, or a run that diverges.
    """
    from transformers import PreTrainedTokenizerFast

    from attention_wavelets.models.quiet import quiet
    from attention_wavelets.sources.cache import sha256_of
    from attention_wavelets.training.architectures import build
    from attention_wavelets.training.loop import Task, train

    run = config["run"]
    source = TrainedSource.model_validate(config["source"])
    recipe = _recipe(config["recipe"])
    arrays = read_tokens(tokens)
    (seed,) = source.seeds
    rows, held_out = _data(arrays, recipe, seed, run)
    learned = PreTrainedTokenizerFast.from_pretrained(tokenizer)
    folder = out.parent / _CHECKPOINTS
    marks = {"config": dict(config), "tokens": sha256_of(tokens)}
    _forget_others(out.parent, marks)

    def keep(step: int, model: Any) -> None:
        with folder_beside(folder / f"step{step}") as beside, quiet():
            model.save_pretrained(beside)
            learned.save_pretrained(beside)
            _replace_folder(beside, folder / f"step{step}")

    log = train(
        build(source, seed, len(learned), recipe.context),
        Task(
            rows=rows,
            held_out=held_out,
            batch=recipe.batch,
            last_step=recipe.last_step,
            masked=recipe.masked if source.objective == "masked" else None,
            optimiser=recipe.optimiser,
            keep=recipe.kept,
        ),
        out.parent / _STATE,
        keep,
        device=device,
        where=run,
    )
    for row in log:
        row["sha256"] = sha256_of(folder / f"step{row['step']}" / "model.safetensors")
    write_json(
        out,
        {
            "run": run,
            "seed": seed,
            "architecture": source.architecture,
            "encoding": source.encoding,
            "objective": source.objective,
            "epochs": recipe.last_step * recipe.batch / rows.per_epoch,
            "device": device,
            "steps": log,
        },
    )
    (out.parent / _STATE).unlink(missing_ok=True)


def describe_checkpoint(config: Mapping[str, Any], trained: Path, out: Path) -> None:
    """Write the manifest of one checkpoint, as fetch_model does of a model from elsewhere.

    Parameters
    ----------
    config
        The slice: name, model, run, step.
    trained
        What train_model wrote.
    out
        JSON file to write.

    Raises
    ------
    PipelineError
        The weights are gone, or are not those that were written when the model was trained.
    """
    from attention_wavelets.models.fetch import fetch_model

    name, step = config["name"], config["step"]
    folder = trained.parent / _CHECKPOINTS / f"step{step}"
    model = Model.model_validate({**config["model"], "checkpoints": [step]})
    assert isinstance(model.source, TrainedSource)
    stand_in = model.model_copy(
        update={
            "source": LocalSource(kind="local", path=str(folder)),
            "checkpoints": None,
            "part": FAMILIES[model.source.architecture].part,
        }
    )
    if not (folder / "model.safetensors").is_file():
        raise PipelineError(
            "the weights are gone", str(folder), f"delete {trained} to train the model again"
        )
    manifest = fetch_model(name, stand_in)
    notes = read_json(trained)
    row = next(entry for entry in notes["steps"] if entry["step"] == step)
    found = next(f["sha256"] for f in manifest["files"] if f["name"] == "model.safetensors")
    if found != row["sha256"]:
        raise PipelineError(
            "the weights are not those that were written when the model was trained",
            str(folder),
            f"delete {trained} to train the model again",
        )
    manifest["source"] = config["model"]["source"]
    manifest["training"] = {
        "run": config["run"],
        "seed": notes["seed"],
        "encoding": notes["encoding"],
        "objective": notes["objective"],
        **{key: row[key] for key in ("step", "tokens", "loss", "held_out_loss", "bits_per_byte")},
    }
    write_json(out, manifest)


def _recipe(plain: Mapping[str, Any]) -> Recipe:
    """The recipe of a slice, which leaves out what only prepare_recipe reads."""
    return Recipe.model_validate({"corpus": "none", "tokenizer": {"merges": 0}, **plain})


def _data(arrays: Mapping[str, Any], recipe: Recipe, seed: int, run: str) -> tuple[Any, Any]:
    from attention_wavelets.training.batches import Rows, held_out_rows
    from attention_wavelets.training.loop import HeldOut

    rows = Rows(arrays["training"], recipe.context, seed)
    where = f"{run} (recipe)"
    if min(len(arrays["training"]), len(arrays["held_out"])) < 2 * recipe.context:
        raise PipelineError(
            f"{len(arrays['training'])} tokens to train on and {len(arrays['held_out'])} held out, "
            f"fewer than two sequences of {recipe.context}",
            where,
            "take a longer text or a shorter context",
        )
    epochs = recipe.last_step * recipe.batch / rows.per_epoch
    if epochs > 1 and not recipe.allow_repeats:
        raise PipelineError(
            f"the text has {len(arrays['training'])} tokens: {recipe.tokens} are {epochs:.1f} "
            "epochs",
            where,
            "set allow_repeats: true to see it more than once, or take fewer tokens",
        )
    names = (arrays["held_out"], arrays["held_out_bytes"])
    return rows, HeldOut(*held_out_rows(*names, recipe.context, recipe.held_out_sequences))


def _forget_others(folder: Path, marks: Mapping[str, Any]) -> None:
    """Remove weights and state of other settings; those of these are gone on from."""
    note = folder / ".settings.json"
    try:
        same = read_json(note) == marks
    except PipelineError:
        same = False
    if not same:
        shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
        (folder / _STATE).unlink(missing_ok=True)
        write_json(note, marks)


def _replace_folder(new: Path, old: Path) -> None:
    """Rename a folder onto another, which is gone for a moment but never half-written."""
    shutil.rmtree(old, ignore_errors=True)
    os.replace(new, old)
