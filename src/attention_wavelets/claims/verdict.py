"""From an estimate with its interval to a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from attention_wavelets.config.claims import ClaimTest, edge
from attention_wavelets.inference.intervals import FloatArray

__all__ = [
    "VERDICTS",
    "AgainstNull",
    "Estimate",
    "Verdict",
    "combined",
    "edge",
    "literal_verdict",
    "one_sided_p",
    "said",
    "widened",
]

Verdict = Literal["pass", "fail", "unclear", "vacuous", "not testable here"]

VERDICTS: dict[Verdict, str] = {
    "pass": "the whole interval lies on the claimed side, beyond the smallest effect of interest",
    "fail": "the whole interval lies on the other side of that line",
    "unclear": "the interval holds the line, or there is too little data for an interval",
    "vacuous": "models or signals that lack the structure pass the same test",
    "not testable here": "the study lacks the models or the measurement",
}
"""Verdict -> what it means."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high, error
        Estimate, interval, standard error; NaN where undefined.
    degrees
        Of freedom of t.
    n, documents
        Sequences and documents that entered.
    reason
        "" where the interval is defined, else why not.
    """

    value: float
    low: float
    high: float
    error: float
    degrees: float
    n: int
    documents: int
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class AgainstNull:
    """The claim's number beside that of one null.

    Attributes
    ----------
    name, kind, family
        Of the null; those of one family keep the same things.
    value
        Mean of the number over its draws.
    difference
        Observed less null with its interval; for a claimed range how much nearer to the middle of
        the range the observed number is.
    verdict
        Whether the difference clears the smallest effect in the claimed direction.
    passing
        Share of the draws on which the claim's own test passes; NaN for the null that the test
        itself compares with.
    draws, unmatched
        Number of draws, and the largest share of signals that were not matched in one.
    superiority, null_sd
        Of the first column over heads: chance that a head lies above its null, and the difference
        in standard deviations of the null's heads.
    lacking
        Why there is nothing to compare with; "" otherwise.
    """

    name: str
    kind: str
    value: float
    difference: Estimate
    verdict: Verdict
    passing: float
    draws: int
    unmatched: float
    superiority: float = math.nan
    null_sd: float = math.nan
    lacking: str = ""
    family: str = ""


def widened(estimate: Estimate, draws: FloatArray, confidence: float) -> Estimate:
    """An interval of a difference to a null, where the draws of the null differ too.

    The model is compared with one more draw: the variance s^2 (1 + 1 / K) of K draws is added, with
    Satterthwaite's degrees of freedom. One draw leaves the interval as it is.

    Parameters
    ----------
    estimate
        Of the difference, with its interval over documents.
    draws
        (K,) the number of each draw.
    confidence
        Of the interval.
    """
    known = draws[np.isfinite(draws)]
    if not estimate.known or len(known) < 2:
        return estimate
    extra = float(known.var(ddof=1)) * (1 + 1 / len(known))
    variance = estimate.error**2 + extra
    if extra <= 0 or variance <= 0:
        return estimate
    degrees = variance**2 / (estimate.error**4 / estimate.degrees + extra**2 / (len(known) - 1))
    # What the interval is wider by; it may reach further to one side, and goes on doing so.
    level = (1 + confidence) / 2
    reach = float(stats.t.ppf(level, degrees)) * math.sqrt(variance)
    more = max(0.0, reach - float(stats.t.ppf(level, estimate.degrees)) * estimate.error)
    return replace(
        estimate,
        low=estimate.low - more,
        high=estimate.high + more,
        error=math.sqrt(variance),
        degrees=degrees,
    )


def literal_verdict(estimate: Estimate, test: ClaimTest, bound: float | None = None) -> Verdict:
    """pass, fail or unclear.

    Parameters
    ----------
    estimate
        With interval.
    test
        Which side is claimed.
    bound
        Instead of the test's own; differences to a null have 0.
    """
    if not estimate.known:
        return "unclear"
    if test.range is not None and bound is None:
        low, high = test.range
        if estimate.low > low and estimate.high < high:
            return "pass"
        return "fail" if estimate.high < low or estimate.low > high else "unclear"
    line = edge(test, test.bound if bound is None else bound)
    if test.claimed == "below":
        return "pass" if estimate.high < line else "fail" if estimate.low > line else "unclear"
    return "pass" if estimate.low > line else "fail" if estimate.high < line else "unclear"


def one_sided_p(estimate: Estimate, test: ClaimTest, bound: float | None = None) -> float:
    """p of the hypothesis that the number lies on the line or beyond it, away from the claim.

    Inside a range both ends are tested and the larger p counts (two one-sided tests). An interval
    that reaches further to one side allows for a bias; that side is tested from as much further.
    NaN without an interval. `bound` is used instead of the test's own: differences to a null have
    0.
    """
    if not estimate.known:
        return math.nan
    further = (estimate.high - estimate.value) - (estimate.value - estimate.low)
    least, most = estimate.value + min(further, 0.0), estimate.value + max(further, 0.0)
    line = edge(test, test.bound if bound is None else bound)
    if test.range is not None and bound is None:
        gaps = [least - test.range[0], test.range[1] - most]
    else:
        gaps = [line - most if test.claimed == "below" else least - line]
    if estimate.error == 0:
        return 0.0 if min(gaps) > 0 else 1.0
    return max(float(stats.t.sf(gap / estimate.error, estimate.degrees)) for gap in gaps)


def combined(verdicts: list[Verdict]) -> Verdict:
    """The verdict on all models together: the claim speaks of every one of them."""
    worst: tuple[Verdict, ...] = ("fail", "unclear", "vacuous")
    for verdict in worst:
        if verdict in verdicts:
            return verdict
    return "pass" if verdicts else "not testable here"


def said(value: float) -> str:
    """A number with three significant digits."""
    return "undefined" if not math.isfinite(value) else f"{value:.3g}"
