"""Every null signal as a value: what it keeps, what it destroys, and which question it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures.registry import by_name
from attention_wavelets.nulls.gamma import iid, sink_random
from attention_wavelets.nulls.kernels import exponential, power_law
from attention_wavelets.nulls.mask import uniform_causal
from attention_wavelets.nulls.permuted import iaaft, permuted
from attention_wavelets.nulls.surrogates import Surrogates

__all__ = ["NULLS", "NullSpec", "get_null"]


@dataclass(frozen=True)
class NullSpec:
    """A null as a value.

    Attributes
    ----------
    name
        As YAML names it.
    function
        function(rows, streams, axis, **options) -> `Surrogates`.
    keeps, destroys
        Of the observed row, in plain words.
    question
        What a difference between observed and null answers.
    matched
        The quantity whose relative error `Surrogates.matched` is; "" where nothing is matched but
        what is kept exactly.
    options
        Names of the function's settings.
    random
        Whether it draws: else `streams` may be None and one draw is all there is.
    by_lag
        Whether it makes sense for signals by lag.
    averaged
        Whether it makes sense for signals by position that are means over queries.
    """

    name: str
    function: Callable[..., Surrogates]
    keeps: str
    destroys: str
    question: str
    matched: str = ""
    options: tuple[str, ...] = ()
    random: bool = True
    by_lag: bool = True
    averaged: bool = True


NULLS: dict[str, NullSpec] = by_name(
    [
        NullSpec(
            "iid",
            iid,
            keeps="the unevenness of the weights (CV^2, participation ratio, DC share)",
            destroys="order, and the shape of the distribution of weights",
            question="Is there more than a flat signal with white noise on it?",
            matched="CV^2",
        ),
        NullSpec(
            "permuted",
            permuted,
            keeps="all values, hence every measure that knows no order; position 0 if told to",
            destroys="order",
            question="Does the arrangement say anything beyond the values?",
            options=("sink",),
        ),
        NullSpec(
            "uniform_causal",
            uniform_causal,
            keeps="length, probe and mask",
            destroys="all that queries and keys decide",
            question="What does the mask give alone?",
            random=False,
        ),
        NullSpec(
            "exponential",
            exponential,
            keeps="width: mean distance or participation ratio",
            destroys="shape beyond a constant rate of decay",
            question="Is there more than an exponential decay with distance?",
            matched="mean lag or participation ratio",
            options=("match", "rate"),
            random=False,
            averaged=False,
        ),
        NullSpec(
            "power_law",
            power_law,
            keeps="width: mean distance or participation ratio",
            destroys="shape beyond a decay without scale",
            question="Is there more than a power law of distance?",
            matched="mean lag or participation ratio",
            options=("match", "rate"),
            random=False,
            averaged=False,
        ),
        NullSpec(
            "sink_random",
            sink_random,
            keeps="the mass at position 0, and the unevenness (CV^2) of the remainder",
            destroys="order and shape of all but the sink",
            question="Is there more than a sink with white noise beside it?",
            matched="CV^2 of the remainder",
            by_lag=False,
        ),
        NullSpec(
            "iaaft",
            iaaft,
            keeps="all values exactly, the amplitude spectrum nearly",
            destroys="phase",
            question="Is the signal localised beyond what its values and spectrum bring with them?",
            matched="amplitude spectrum beside frequency 0",
            options=("iterations", "cutoff"),
        ),
    ]
)
"""Name of a null -> what it is."""


def get_null(name: str) -> NullSpec:
    """The null of that name; an unknown one is a `PipelineError` with the list."""
    if name not in NULLS:
        raise unknown_name("null", name, NULLS)
    return NULLS[name]
