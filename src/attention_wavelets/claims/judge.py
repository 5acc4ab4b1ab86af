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
from attention_wavelets.inference.crossed import MIN_LAYERS
from attention_wavelets.inference.effects import paired_effect
from attention_wavelets.inference.heads import COVERAGE, METHOD, head_interval
from attention_wavelets.inference.intervals import FloatArray, Interval, clustered_t
from attention_wavelets.inference.reasons import REASONS
from attention_wavelets.inference.resample import (
    MIN_DOCUMENTS,
    bootstrap_interval,
    document_weights,
)

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
        self._known: dict[int, tuple[Subject, FloatArray]] = {}

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
        if id(subject) not in self._known:
            # The subject is kept too: an id is that of one object only while it lives.
            self._known[id(subject)] = subject, self._parts(subject)
        return self._known[id(subject)][1]

    def _parts(self, subject: Subject) -> FloatArray:
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

    def beside(self, draws: Sequence[Subject], subject: Subject | None = None) -> _Beside:
        """Observed, or another subject, and null, each without what the other lacks."""
        subject = self.observed if subject is None else subject
        pairs = [(subject.shared(draw), draw.shared(subject)) for draw in draws]
        return _Beside(
            float(np.mean([self.whole(here) for here, _ in pairs])),
            float(np.mean([self.whole(there) for _, there in pairs])),
            np.mean([self.parts(here) for here, _ in pairs], axis=0),
            np.mean([self.parts(there) for _, there in pairs], axis=0),
        )

    def interval(self, value: float, parts: FloatArray) -> Estimate:
        """Estimate with a t-interval clustered by document."""
        panel, rules = self.observed.first, self.rules
        needed = max(rules.min_documents, MIN_DOCUMENTS)
        found: Interval
        if self.claim.generality == "heads":
            found = head_interval(parts, panel.documents, rules.confidence)
            value = float(found.mean)
        elif self.linear:
            needed = rules.min_documents
            found = clustered_t(
                parts, panel.documents, rules.confidence, min_clusters=rules.min_documents
            )
            value = float(found.mean)
        else:
            found = bootstrap_interval(value, parts, panel.documents, rules.confidence)
        documents, reason = int(found.clusters), str(found.reason)
        if not reason and documents < needed:
            reason = "documents"
        words = {
            "documents": f"too few documents: {documents}, needs {needed}",
            "layers": f"too few layers: {int(getattr(found, 'layers', 0))}, needs {MIN_LAYERS}",
        }
        bounds = (found.low, found.high, found.standard_error)
        low, high, error = (math.nan if reason else float(bound) for bound in bounds)
        return Estimate(
            value,
            low,
            high,
            error,
            float(getattr(found, "degrees", found.clusters - 1)),
            len(panel.values),
            documents,
            words.get(reason) or REASONS.get(reason, reason),
        )


@dataclass(frozen=True)
class _Beside:
    """The number of the model and of a null, mean over draws: over all sequences, and in parts."""

    here: float
    there: float
    here_parts: FloatArray
    there_parts: FloatArray

    def apart(self) -> tuple[float, FloatArray]:
        """Observed less null."""
        return self.here - self.there, self.here_parts - self.there_parts

    def difference(self, test: ClaimTest) -> tuple[float, FloatArray]:
        """Observed less null; for a claimed range, how much nearer to its middle it is."""
        if test.range is None:
            return self.apart()
        middle = sum(test.range) / 2
        # Signs of the whole, not of each part: the distance of a mean is not the mean distance.
        mine, other = np.sign(self.here - middle), np.sign(self.there - middle)
        gain = other * (self.there - middle) - mine * (self.here - middle)
        parts = other * (self.there_parts - middle) - mine * (self.here_parts - middle)
        return float(gain), np.asarray(parts)


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
    if own is None:
        value, parts = sampled.whole(observed), sampled.parts(observed)
    elif lacking := _lacking(own, observed):
        return _undecided(claim, f"null {own.name}: {lacking}")
    else:
        value, parts = sampled.beside(own.draws).apart()
    estimate = sampled.interval(value, parts)
    literal = literal_verdict(estimate, claim.test)
    compared = tuple(
        _against(null, sampled, claim.test, own)
        for null in nulls
        if null.name in claim.controls or null is own
    )
    controlled, why = _controlled(literal, compared, claim.test)
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
        would_change(replace(_UNKNOWN, reason=why), claim.test, "unclear"),
    )


def _lacking(null: NullDraws, observed: Subject) -> str:
    """Why there is nothing to compare with; "" where there is."""
    if not null.draws:
        return null.lacking or "the study has no draw of it"
    unmatched = max(draw.unmatched for draw in null.draws)
    if unmatched > 1 - MIN_MATCHED:
        return f"{unmatched:.0%} of the signals not matched"
    if not all(observed.aligned(draw) for draw in null.draws):
        return "its sequences or heads are others"
    return ""


def _against(
    null: NullDraws, sampled: _Resampled, test: ClaimTest, own: NullDraws | None
) -> AgainstNull:
    unmatched = max((draw.unmatched for draw in null.draws), default=0.0)
    if lacking := _lacking(null, sampled.observed):
        count = len(null.draws)
        return AgainstNull(
            *(null.name, null.kind, math.nan, _UNKNOWN, "unclear", math.nan, count, unmatched),
            lacking=lacking,
        )
    both = sampled.beside(null.draws)
    difference = sampled.interval(*both.difference(test))
    verdict = literal_verdict(difference, test, bound=0.0)
    tested: list[Estimate] = []
    if own is None:
        tested = [sampled.interval(sampled.whole(d), sampled.parts(d)) for d in null.draws]
    elif null is not own:
        # The test is a difference to one null: does another null differ from it as much?
        tested = [sampled.interval(*sampled.beside(own.draws, d).apart()) for d in null.draws]
    passed = [literal_verdict(estimate, test) == "pass" for estimate in tested]
    passing = float(np.mean(passed)) if passed else math.nan
    observed = sampled.observed.first.mean()[..., 0]
    chance = np.mean([draw.first.mean()[..., 0] for draw in null.draws], axis=0)
    size = paired_effect(observed.ravel(), chance.ravel())
    return AgainstNull(
        null.name,
        null.kind,
        both.there,
        difference,
        verdict,
        passing,
        len(null.draws),
        unmatched,
        size.superiority,
        size.null_sd,
    )


def _controlled(
    literal: Verdict, compared: Sequence[AgainstNull], test: ClaimTest
) -> tuple[Verdict, str]:
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
            return verdict, " ".join(_stopped(null, test) for null in stopped[:2])
    if not compared:
        return "unclear", "No null was compared."
    cleared = ", ".join(null.name for null in compared)
    return "pass", f"The difference to every null clears the smallest effect ({cleared})."


def _stopped(null: AgainstNull, test: ClaimTest) -> str:
    if null.lacking or not null.difference.known:
        return f"Null {null.name}: {null.lacking or null.difference.reason}."
    low, high = said(null.difference.low), said(null.difference.high)
    side = "below" if test.claimed == "below" else "above"
    what = "the difference" if test.range is None else "the gain in distance to the range's middle"
    return (
        f"Null {null.name} has {said(null.value)}: {what} {said(null.difference.value)} "
        f"[{low}, {high}] does not clear the smallest effect; wholly {side} "
        f"{said(edge(test, 0.0))} it would."
    )


_WORDS: Mapping[Verdict, str] = {
    "pass": "is wholly on the claimed side of",
    "fail": "is wholly on the other side of",
    "unclear": "holds",
}


def _sentence(claim: Claim, estimate: Estimate, literal: Verdict) -> str:
    number = said(estimate.value)
    if not estimate.known:
        return f"Estimate {number}, no interval: {estimate.reason}."
    interval = f"[{said(estimate.low)}, {said(estimate.high)}]"
    if claim.generality == "heads":
        least, most = min(COVERAGE.values()), max(COVERAGE.values())
        interval += f" (over heads: {METHOD}, seen to hold the truth in {least:.1%} to {most:.1%})"
    if claim.test.range is not None:
        low, high = map(said, claim.test.range)
        words = {"pass": "lies inside", "fail": "lies outside", "unclear": "crosses an end of"}
        return f"{number} {interval} {words[literal]} the range {low} to {high}."
    line = said(edge(claim.test, claim.test.bound))
    return f"{number} {interval} {_WORDS[literal]} the line {line}."
