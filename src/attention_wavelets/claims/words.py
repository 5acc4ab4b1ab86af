"""Verdicts in sentences written from their numbers: why, and what would have changed them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attention_wavelets.claims.verdict import (
    AgainstNull,
    Estimate,
    Verdict,
    edge,
    literal_verdict,
    said,
)
from attention_wavelets.config.claims import Claim, ClaimTest
from attention_wavelets.inference.heads import COVERAGE, METHOD

__all__ = ["controlled_change", "literal_reason", "stopped", "would_change"]


def literal_reason(
    claim: Claim, estimate: Estimate, literal: Verdict, chance: float = math.nan
) -> str:
    """Why the literal verdict is what it is.

    Parameters
    ----------
    claim, estimate, literal
        The claim, its number and the verdict.
    chance
        Share of the orders of a trend's points that give as strong a one; NaN for other claims.
    """
    test, number = claim.test, said(estimate.value)
    if not estimate.known:
        return f"Estimate {number}, no interval: {estimate.reason}."
    number += f" {_interval(estimate)}"
    if claim.generality == "heads":
        least, most = min(COVERAGE.values()), max(COVERAGE.values())
        held = f"of normal heads it held the truth in {least:.1%} to {most:.1%}"
        number += f" (over heads: {METHOD}; {held})"
    if test.range is not None:
        low, high = map(said, test.range)
        words = {"pass": "lies inside", "fail": "lies outside", "unclear": "crosses an end of"}
        return f"{number} {words[literal]} the range {low} to {high}."
    side, line = _side(test), said(edge(test, test.bound))
    if test.smallest_effect:
        line += f" ({said(test.bound)} and the smallest effect {said(test.smallest_effect)})"
    if literal == "unclear" and literal_verdict(estimate, test) == "pass":
        return f"{number} is wholly {side} {line}, but {_by_chance(chance)}."
    on_its_side = estimate.high < test.bound if side == "below" else estimate.low > test.bound
    if literal == "fail" and on_its_side:
        effect = said(test.smallest_effect)
        return (
            f"{number} is {side} {said(test.bound)} as claimed, but by less than the smallest "
            f"effect {effect}."
        )
    other = _other(side)
    words = {
        "pass": f"is wholly {side} {line}, as claimed",
        "fail": f"is wholly {other} {line}; claimed is {side}",
        "unclear": f"holds {line}; claimed is {side}",
    }
    return f"{number} {words[literal]}."


def _by_chance(chance: float) -> str:
    share = f"{chance:.2g}" if chance >= 1e-3 else "less than 0.001"
    return f"a share of {share} of the orders of its points gives as strong a trend"


def _interval(estimate: Estimate) -> str:
    return f"[{said(estimate.low)}, {said(estimate.high)}]"


def _side(test: ClaimTest) -> str:
    return "below" if test.claimed == "below" else "above"


def _other(side: str) -> str:
    return "above" if side == "below" else "below"


def stopped(null: AgainstNull, test: ClaimTest) -> str:
    """Why a null stops a claim."""
    if null.lacking or not null.difference.known:
        return f"Null {null.name}: {null.lacking or null.difference.reason}."
    what = "the difference" if test.range is None else "the gain in distance to the range's middle"
    return (
        f"Null {null.name} has {said(null.value)}: {what} {said(null.difference.value)} "
        f"{_interval(null.difference)} does not clear the smallest effect; wholly {_side(test)} "
        f"{said(edge(test, 0.0))} it would."
    )


def would_change(estimate: Estimate, test: ClaimTest, verdict: Verdict, level: float = 0.05) -> str:
    """Which number would have changed the literal verdict.

    Parameters
    ----------
    estimate, test, verdict
        The number, which side is claimed, and the verdict.
    level
        Largest share of the orders of a trend's points that may give as strong a one.
    """
    if not estimate.known:
        return f"an interval would be needed first; {estimate.reason or 'there is none'}"
    interval = f"the interval is {_interval(estimate)}"
    if test.range is not None:
        ends = f"[{said(test.range[0])}, {said(test.range[1])}]"
        words: Mapping[Verdict, str] = {
            "pass": f"an end outside {ends} would undo it",
            "fail": f"an interval inside {ends} would pass",
            "unclear": f"an interval inside {ends} would pass, one wholly outside it would fail",
        }
        return f"{words[verdict]}; {interval}"
    if verdict == "unclear" and literal_verdict(estimate, test) == "pass":
        return f"with a share of orders of at most {said(level)} it would pass; {interval}"
    line = said(edge(test, test.bound))
    side = _side(test)
    end = "upper" if test.claimed == "below" else "lower"
    words = {
        "pass": f"with the {end} end not {side} {line} it would not pass",
        "fail": f"wholly {side} {line} it would pass",
        "unclear": f"wholly {side} {line} it would pass, wholly {_other(side)} it would fail",
    }
    return f"{words[verdict]}; {interval}"


def controlled_change(
    literal: Verdict,
    controlled: Verdict,
    compared: Sequence[AgainstNull],
    test: ClaimTest,
    share: float,
) -> str:
    """Which number of a null would have changed the controlled verdict.

    Parameters
    ----------
    literal, controlled
        The verdicts; without a literal pass the literal one would have to change first, and ""
        is returned.
    compared
        The nulls.
    test
        With its smallest effect.
    share
        Of the draws of a null that must pass the same test for `vacuous`.
    """
    if literal != "pass" or not compared:
        return ""
    if controlled == "vacuous":
        return (
            f"controlled: were the same test passed on less than {share:.0%} of the draws of all "
            "families of nulls but one, the differences would decide"
        )
    line = f"wholly {_side(test)} {said(edge(test, 0.0))}"
    if controlled == "pass":
        sign = -1.0 if test.claimed == "below" else 1.0
        nearest = min(compared, key=lambda null: sign * null.difference.value)
        found = f"{said(nearest.difference.value)} {_interval(nearest.difference)}"
        return (
            f"controlled: the nearest null is {nearest.name} with a difference of {found}; not "
            f"{line} it would not pass"
        )
    names = ", ".join(null.name for null in compared if null.verdict != "pass")
    return f"controlled: with the differences to {names} {line} it would pass"
