"""Refuse what cannot fit before anything runs."""

from __future__ import annotations

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
    limits = needs.experiment.runtime.limits
    for model, corpus in needs.extractions():
        sizes = sizes_of(needs.experiment, model, needs.facts)
        if sizes is None:
            continue
        memory = needs.memory(model, corpus, sizes) / _GIB
        if limits.memory_gib is not None and memory > limits.memory_gib:
            raise PipelineError(
                f"needs about {memory:.1f} GiB of memory, "
                f"runtime.limits.memory_gib is {limits.memory_gib:g}",
                f"model {model}",
                _narrower(needs, model, "take a machine with more, or fewer batch_tokens"),
            )
        if limits.gpu_memory_gib is None or needs.experiment.runtime.device == "cpu":
            continue
        _refuse_card(needs, model, needs.card_memory(model, corpus, sizes) / _GIB)


def _refuse_card(needs: Needs, model: str, asked: float) -> None:
    runtime = needs.experiment.runtime
    one = float(runtime.limits.gpu_memory_gib or 0) * _USABLE
    cards = runtime.gpus if runtime.device == "spread" else 1
    if asked <= one * cards:
        return
    count = int(-(-asked // one))
    raise PipelineError(
        f"needs about {asked:.1f} GiB of GPU memory, {cards} of {runtime.limits.gpu_memory_gib:g} "
        "GiB (runtime.limits.gpu_memory_gib) has too little",
        f"model {model}",
        _narrower(
            needs,
            model,
            f"take {count} GPUs (runtime.device=spread runtime.gpus={count}) or one of "
            f"{asked / _USABLE:.0f} GiB or more",
        ),
    )


def _narrower(needs: Needs, model: str, todo: str) -> str:
    """What else helps: half as many bytes per weight, where they are not that few already."""
    if BYTES[needs.experiment.model[model].dtype] == 2:
        return todo
    return f"{todo}; or set model.{model}.dtype=bfloat16"
