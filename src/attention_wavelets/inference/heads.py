"""The interval that claims about heads use, and how often it was seen to hold the truth."""

from __future__ import annotations

from numpy.typing import ArrayLike

from attention_wavelets.inference.components import satterthwaite_interval
from attention_wavelets.inference.crossed import CrossedInterval

__all__ = ["COVERAGE", "METHOD", "head_interval"]

METHOD = "Satterthwaite t"
"""Of the intervals in docs/calibration.md the one nearest to its confidence."""

COVERAGE: dict[str, float] = {
    "16 x 12 x 12": 0.956,
    "48 x 30 x 9": 0.95,
    "48 x 6 x 12": 0.941,
    "16 x 12 x 12, layers alike": 0.953,
}
"""Sequences x layers x heads -> share of 2,000 simulations in which the interval at 0.95 held the
true mean (docs/calibration.md; one standard error is 0.005)."""


def head_interval(values: ArrayLike, documents: ArrayLike, confidence: float) -> CrossedInterval:
    """Interval of the mean over texts, layers and heads like these.

    It asks about new sequences, new layers and new heads. About this model on new text, whose heads
    are all there, ask `clustered_t` of the means over heads instead.

    Parameters
    ----------
    values
        (sequence, layer, head, ...), numbers or NaN.
    documents
        (sequence,), the document of each sequence.
    confidence
        In (0, 1).

    Returns
    -------
    CrossedInterval
        Arrays (...). Reasons: "undefined" (no value), "documents" (fewer than 10), "layers" (fewer
        than 6).
    """
    return satterthwaite_interval(values, documents, confidence)
