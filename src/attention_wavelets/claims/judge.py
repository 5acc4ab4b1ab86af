"""One claim and one model: the estimate, the same number of every null, two verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.statistics import KINDS, over_models, statistic
from attention_wavelets.claims.verdict import (
    Estimate,
    Verdict,
    edge,
    literal_verdict,
    said,
    would_change,
)
from attention_wavelets.config.claims import Claim, ClaimTest
from attention_wavelets.inference.effects import paired_effect
from attention_wavelets.inference.heads import head_interval
from attention_wavelets.inference.intervals import FloatArray, Interval, clustered_t
from attention_wavelets.inference.resample import bootstrap_interval, document_weights

__all__ = ["VACUOUS_KINDS", "VACUOUS_SHARE", "Judged", "NullDraws", "Rules", "judge"]

# A claim is vacuous where the same test passes on this share of the draws of so many kinds of null.
VACUOUS_SHARE, VACUOUS_KINDS = 0.9, 2
# A null that matched fewer of the signals than this decides nothing.
MIN_MATCHED = 0.5


@dataclass(frozen=True)
class Rules:
    """Settings of the intervals; see conf/statistics."""

    confidence: float = 0.95
    min_documents: int = 10
    resamples: int = 400
    seed: int = 0


@dataclass(frozen=True)
class NullDraws:
    """Draws of one null of one model.

    kind
        As in conf/null; nulls of one kind count once for `vacuous`.
    draws
        Subjects with the columns of the claim; empty where the study has none.
    lacking
        Why there is none.
    """

    name: str
    kind: str
    draws: Sequence[Subject] = ()
    lacking: str = ""


@dataclass(frozen=True)
class AgainstNull:
    """The claim's number beside that of one null.

    Attributes
    ----------
    name, kind
        Of the null.
    value
        Mean of the number over its draws.
    difference
        Observed less null with its interval; for a claimed range how much nearer to the middle of
        the range the observed number is.
    verdict
        Whether the difference clears the smallest effect in the claimed direction.
    passing
        Share of the draws on which the claim's own test passes.
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


@dataclass(frozen=True)
class Judged:
    """Both verdicts on one claim for one model."""

    estimate: Estimate
    literal: Verdict
    controlled: Verdict
    nulls: tuple[AgainstNull, ...]
    reason: str
    would_change: str


_UNKNOWN = Estimate(math.nan, math.nan, math.nan, math.nan, math.nan, 0, 0, "undefined")


class _Resampled:
    """Statistics of subjects under one set of weights, so that differences are paired."""

    def __init__(self, observed: Subject, claim: Claim, rules: Rules) -> None:
        self.observed, self.claim, self.test, self.rules = observed, claim, claim.test, rules
        kind = KINDS[claim.test.kind]
        # With one difference per head the mean of the sequences' numbers is that of the averages.
        linear = kind.linear or (kind.name == "difference" and len(claim.test.of) == 2)
        self.linear = linear and observed.places is None

    def whole(self, subject: Subject) -> float:
        """The number of the averages over all sequences."""
        if subject.places is None:
            return float(statistic(subject.first.mean(), self.test))
        means = [panel.mean() for panel in subject.panels]
        return float(over_models(means, subject.places, self.test))

    def parts(self, subject: Subject) -> FloatArray:
        """What the interval is taken of, so that parts of two subjects can be subtracted.

        Numbers of single sequences for linear statistics, of resamples for others; for a claim
        about heads like these the values of all heads.
        """
        if self.claim.generality == "heads":
            return subject.first.values[..., 0]
        if subject.places is None:
            return statistic(self._averages(subject.first), self.test)
        averages = [self._averages(panel) for panel in subject.panels]
        return over_models(averages, subject.places, self.test)

    def _averages(self, panel: Panel) -> FloatArray:
        if self.linear:
            return panel.values
        # Models that read the same documents get the same weights.
        rules = self.rules
        return panel.averages(document_weights(panel.documents, rules.resamples, rules.seed))

    def interval(self, value: float, parts: FloatArray) -> Estimate:
        """Estimate with a t-interval clustered by document."""
        panel, rules = self.observed.first, self.rules
        found: Interval
        if self.claim.generality == "heads":
            found = head_interval(parts, panel.documents, rules.confidence)
            value = float(found.mean)
        elif self.linear:
            found = clustered_t(
                parts, panel.documents, rules.confidence, min_clusters=rules.min_documents
            )
            value = float(found.mean)
        else:
            found = bootstrap_interval(value, parts, panel.documents, rules.confidence)
        return Estimate(
            value,
            float(found.low),
            float(found.high),
            float(found.standard_error),
            float(getattr(found, "degrees", found.clusters - 1)),
            len(panel.values),
            int(found.clusters),
            str(found.reason),
        )


def judge(claim: Claim, observed: Subject, nulls: Sequence[NullDraws], rules: Rules) -> Judged:
    """Judge a claim for one model.

    Parameters
    ----------
    claim
        With its test.
    observed
        The model's measures, a column per entry of `test.of`.
    nulls
        Draws of every control, and of `test.against` where the kind compares with one.
    rules
        Settings of the intervals.

    Returns
    -------
    Judged
        literal: by the paper's own number. controlled: passes only where the literal verdict does
        and the difference to every named null clears the smallest effect; `vacuous` where the same
        test passes on 90 % of the draws of two kinds of null.
    """
    sampled = _Resampled(observed, claim, rules)
    named = {null.name: null for null in nulls}
    own = named.get(claim.test.against or "")
    base = None
    if own is not None:
        base = own.draws
        if not base:
            return _undecided(claim, f"null {own.name}: {own.lacking}")
    value, parts = sampled.whole(observed), sampled.parts(observed)
    if base is not None:
        value -= float(np.mean([sampled.whole(draw) for draw in base]))
        parts = parts - np.mean([sampled.parts(draw) for draw in base], axis=0)
    estimate = sampled.interval(value, parts)
    literal = literal_verdict(estimate, claim.test)
    compared = tuple(
        _against(null, sampled, claim.test, own)
        for null in nulls
        if null.name in claim.controls or null is own
    )
    controlled, why = _controlled(literal, compared)
    return Judged(
        estimate,
        literal,
        controlled,
        compared,
        f"{_sentence(claim, estimate, literal)} {why}".strip(),
        would_change(estimate, claim.test, literal),
    )


def _undecided(claim: Claim, why: str) -> Judged:
    return Judged(
        replace(_UNKNOWN, reason=why),
        "unclear",
        "unclear",
        (),
        f"No number: {why}.",
        would_change(_UNKNOWN, claim.test, "unclear"),
    )


def _against(
    null: NullDraws, sampled: _Resampled, test: ClaimTest, own: NullDraws | None
) -> AgainstNull:
    nothing = AgainstNull(null.name, null.kind, math.nan, _UNKNOWN, "unclear", 0.0, 0, 0.0)
    if not null.draws:
        return replace(nothing, lacking=null.lacking or "the study has no draw of it")
    unmatched = max(draw.unmatched for draw in null.draws)
    nothing = replace(nothing, draws=len(null.draws), unmatched=unmatched)
    if unmatched > 1 - MIN_MATCHED:
        return replace(nothing, lacking=f"{unmatched:.0%} of the signals not matched")
    if not all(sampled.observed.aligned(draw) for draw in null.draws):
        return replace(nothing, lacking="its sequences are others")
    values = [sampled.whole(draw) for draw in null.draws]
    parts = [sampled.parts(draw) for draw in null.draws]
    value = float(np.mean(values))
    here, there = sampled.parts(sampled.observed), np.mean(parts, axis=0)
    if test.range is None:
        difference = sampled.interval(sampled.whole(sampled.observed) - value, here - there)
        verdict = literal_verdict(difference, test, bound=0.0)
    else:
        middle = sum(test.range) / 2
        gain = abs(value - middle) - abs(sampled.whole(sampled.observed) - middle)
        nearer = np.abs(there - middle) - np.abs(here - middle)
        difference = sampled.interval(gain, nearer)
        verdict = literal_verdict(difference, test, bound=0.0)
    # A test that IS a difference to a null has no number of the null alone.
    passing = math.nan
    if own is None:
        tested = [sampled.interval(v, p) for v, p in zip(values, parts, strict=True)]
        passing = float(np.mean([literal_verdict(e, test) == "pass" for e in tested]))
    observed = sampled.observed.first.mean()[..., 0]
    chance = np.mean([draw.first.mean()[..., 0] for draw in null.draws], axis=0)
    size = paired_effect(observed.ravel(), chance.ravel())
    return AgainstNull(
        null.name,
        null.kind,
        value,
        difference,
        verdict,
        passing,
        len(values),
        unmatched,
        size.superiority,
        size.null_sd,
    )


def _controlled(literal: Verdict, compared: Sequence[AgainstNull]) -> tuple[Verdict, str]:
    if literal != "pass":
        return literal, ""
    # Draws that cannot be told apart from each other count as one kind.
    kinds = {null.kind for null in compared if null.passing >= VACUOUS_SHARE}
    if len(kinds) >= VACUOUS_KINDS:
        names = [null.name for null in compared if null.passing >= VACUOUS_SHARE]
        return "vacuous", f"The same test passes without the structure: {', '.join(names)}."
    stopping: tuple[Verdict, ...] = ("fail", "unclear")
    for verdict in stopping:
        stopped = [null for null in compared if null.verdict == verdict]
        if stopped:
            return verdict, " ".join(_stopped(null) for null in stopped[:2])
    if not compared:
        return "unclear", "No null was compared."
    cleared = ", ".join(null.name for null in compared)
    return "pass", f"The difference to every null clears the smallest effect ({cleared})."


def _stopped(null: AgainstNull) -> str:
    if null.lacking:
        return f"Null {null.name}: {null.lacking}."
    low, high = said(null.difference.low), said(null.difference.high)
    return (
        f"Null {null.name} has {said(null.value)}: the difference "
        f"{said(null.difference.value)} [{low}, {high}] does not clear the smallest effect."
    )


_WORDS: Mapping[Verdict, str] = {
    "pass": "is wholly on the claimed side of",
    "fail": "is wholly on the other side of",
    "unclear": "holds",
}


def _sentence(claim: Claim, estimate: Estimate, literal: Verdict) -> str:
    number = said(estimate.value)
    if not estimate.known:
        return f"Estimate {number}, no interval ({estimate.reason})."
    interval = f"[{said(estimate.low)}, {said(estimate.high)}]"
    if claim.test.range is not None:
        low, high = map(said, claim.test.range)
        words = {"pass": "lies inside", "fail": "lies outside", "unclear": "crosses an end of"}
        return f"{number} {interval} {words[literal]} the range {low} to {high}."
    line = said(edge(claim.test, claim.test.bound))
    return f"{number} {interval} {_WORDS[literal]} the line {line}."
