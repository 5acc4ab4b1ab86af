"""Refuse what cannot fit before anything runs."""

from __future__ import annotations

from attention_wavelets.config.checkpoints import runs_of
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.jobs import Needs, sizes_of
from attention_wavelets.resources.sizes import BYTES

__all__ = ["refuse_too_large", "refuse_too_many_gpus"]

_GIB = 1024
# Part of a card's memory that weights and states may fill.
_USABLE = 0.9


def refuse_too_many_gpus(needs: Needs, given: int | None) -> None:
    """Refuse a request for more cards than there are, which Snakemake would cut without a word.

    Parameters
    ----------
    needs
        Requests of the experiment.
    given
        What `snakemake --resources gpu=N` gives to all jobs together; None if nothing was said.
    """
    runtime = needs.experiment.runtime
    if runtime.device == "cpu":
        return
    for most, where in ((runtime.limits.gpus, "runtime.limits.gpus"), (given, "--resources gpu")):
        # No card at all is no contradiction: the same jobs then run on the processor.
        if most and runtime.gpus > most:
            raise PipelineError(
                f"an extraction asks for {runtime.gpus} GPUs, {where} is {most}",
                "runtime.gpus",
                f"ask for {most} at most",
            )


def refuse_too_large(needs: Needs) -> None:
    """Refuse models that the limits of the settings have no room for, and say what has."""
    runtime = needs.experiment.runtime
    limits = runtime.limits
    card = None if runtime.device == "cpu" else limits.gpu_memory_gib
    smaller = "or a recipe with a smaller batch or context"
    for run, models in runs_of(needs.experiment).items():
        model, where = next(iter(models.values())), f"training of {run}"
        memory = needs.training_memory(model) / _GIB
        _refuse_memory(memory, limits.memory_gib, where, f"take a machine with more, {smaller}")
        asked = needs.training_card_memory(model) / _GIB
        todo = f"take a GPU of {asked / _USABLE:.0f} GiB or more, {smaller}"
        _refuse_card(asked, card, 1, where, todo)
    for recipe in needs.experiment.recipe:
        memory, todo = needs.preparing(recipe).mem_mb / _GIB, "take a machine with more"
        _refuse_memory(memory, limits.memory_gib, f"tokenizer of recipe {recipe}", todo)
    for model, corpus in needs.extractions():
        sizes = sizes_of(needs.experiment, model, needs.facts)
        if sizes is None:
            continue
        memory = needs.memory(model, corpus, sizes) / _GIB
        todo = _narrower(needs, model, "take a machine with more, or fewer batch_tokens")
        _refuse_memory(memory, limits.memory_gib, f"model {model}", todo)
        asked = needs.card_memory(model, corpus, sizes) / _GIB
        cards = runtime.gpus if runtime.device == "spread" else 1
        _refuse_card(asked, card, cards, f"model {model}", _more_cards(needs, model, asked))


def _refuse_memory(asked: float, limit: float | None, where: str, todo: str) -> None:
    if limit is not None and asked > limit:
        raise PipelineError(
            f"needs about {asked:.1f} GiB of memory, runtime.limits.memory_gib is {limit:g}",
            where,
            todo,
        )


def _refuse_card(asked: float, limit: float | None, cards: int, where: str, todo: str) -> None:
    if limit is not None and asked > limit * _USABLE * cards:
        raise PipelineError(
            f"needs about {asked:.1f} GiB of GPU memory, {cards} of {limit:g} GiB "
            "(runtime.limits.gpu_memory_gib) has too little",
            where,
            todo,
        )


def _more_cards(needs: Needs, model: str, asked: float) -> str:
    one = float(needs.experiment.runtime.limits.gpu_memory_gib or asked) * _USABLE
    count = int(-(-asked // one))
    return _narrower(
        needs,
        model,
        f"take {count} GPUs (runtime.device=spread runtime.gpus={count}) or one of "
        f"{asked / _USABLE:.0f} GiB or more",
    )


def _narrower(needs: Needs, model: str, todo: str) -> str:
    """What else helps: half as many bytes per weight, where they are not that few already."""
    if BYTES[needs.experiment.model[model].dtype] == 2:
        return todo
    return f"{todo}; or set model.{model}.dtype=bfloat16"
