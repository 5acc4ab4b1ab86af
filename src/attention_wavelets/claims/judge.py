"""One claim and one model: the estimate, the same number of every null, two verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attention_wavelets.claims.chance import order_p
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.statistics import KINDS, model_points, over_models, points, statistic
from attention_wavelets.claims.verdict import (
    AgainstNull,
    Estimate,
    Verdict,
    literal_verdict,
    widened,
)
from attention_wavelets.claims.words import controlled_change, literal_reason, stopped, would_change
from attention_wavelets.config.claims import Claim, ClaimTest
from attention_wavelets.inference.crossed import MIN_LAYERS, CrossedInterval
from attention_wavelets.inference.effects import paired_effect
from attention_wavelets.inference.heads import head_interval
from attention_wavelets.inference.intervals import FloatArray, Interval, clustered_t
from attention_wavelets.inference.reasons import REASONS
from attention_wavelets.inference.resample import (
    MIN_DOCUMENTS,
    bootstrap_interval,
    document_weights,
)

__all__ = ["VACUOUS_FAMILIES", "VACUOUS_SHARE", "Judged", "NullDraws", "Rules", "judge"]

# A claim is vacuous where its test passes on this share of the draws of nulls of so many families.
VACUOUS_SHARE, VACUOUS_FAMILIES = 0.9, 2
# Their number says how sure a choice of model is, not how large an effect is.
EVIDENCE_KINDS = ("change_point", "curve_choice", "two_groups")
# A null that matched fewer of the signals than this decides nothing.
MIN_MATCHED = 0.5
# How heads differ cannot be told from fewer.
MIN_HEADS = 10


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
        As in conf/null.
    family
        What is kept: nulls of one family count once for `vacuous`; of "" the kind is one.
    draws
        Subjects with the columns of the claim; empty where the study has none.
    lacking
        Why there is none.
    shared
        Whether a draw is the same for all sequences, as a twin is: then documents do not tell how
        draws differ.
    """

    name: str
    kind: str
    draws: Sequence[Subject] = ()
    lacking: str = ""
    family: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Judged:
    """Both verdicts on one claim for one model.

    Attributes
    ----------
    estimate, literal, controlled, nulls
        As `judge` says.
    chance
        Of a trend the share of the orders of its points that give as strong a one; else NaN.
    reason, would_change
        Sentences.
    """

    estimate: Estimate
    literal: Verdict
    controlled: Verdict
    nulls: tuple[AgainstNull, ...]
    reason: str
    would_change: str
    chance: float = math.nan


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

    def tested(self, subject: Subject) -> tuple[Estimate, Verdict, float]:
        """Estimate, literal verdict, and how often a trend as strong comes about by chance."""
        estimate = self.interval(self.whole(subject), self.parts(subject))
        verdict, chance = literal_verdict(estimate, self.test), self.chance(subject)
        if verdict == "pass" and chance > 1 - self.rules.confidence:
            verdict = "unclear"
        return estimate, verdict, chance

    def chance(self, subject: Subject) -> float:
        """p of a trend if its points could stand in any order; NaN for other claims."""
        if not self.test.is_trend or self.test.claimed == "within":
            return math.nan
        if subject.places is None:
            return order_p(*points(subject.first.mean(), self.test), self.test, self.rules.seed)
        means = model_points([panel.mean() for panel in subject.panels])
        return order_p(means, subject.places, self.test, self.rules.seed)

    def shared_draws(self, null: NullDraws) -> FloatArray | None:
        """The number of each draw, if they are shared: such a null is known as they agree.

        Of models in a row it is None: how a trend scatters is what its chance is about.
        """
        if not null.shared or self.observed.places is not None:
            return None
        return np.array([self.whole(draw) for draw in null.draws])

    def interval(
        self, value: float, parts: FloatArray, draws: FloatArray | None = None
    ) -> Estimate:
        """Estimate with a t-interval clustered by document; of a difference, draws count too."""
        estimate = self._interval(value, parts)
        return estimate if draws is None else widened(estimate, draws, self.rules.confidence)

    def _interval(self, value: float, parts: FloatArray) -> Estimate:
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
        layers, heads = panel.values.shape[1], math.prod(panel.values.shape[1:3])
        if isinstance(found, CrossedInterval):
            layers = int(found.layers)
        if self.test.along_depth and layers < MIN_LAYERS:
            reason = "layers"
        if self.test.across_heads and heads < MIN_HEADS:
            reason = "heads"
        words = {
            "documents": f"too few documents: {documents}, needs {needed}",
            "layers": f"too few layers: {layers}, needs {MIN_LAYERS}",
            "heads": f"too few heads: {heads}, needs {MIN_HEADS}",
        }
        bounds = (found.low, found.high, found.standard_error)
        low, high, error = (math.nan if reason else float(bound) for bound in bounds)
        return Estimate(
            value,
            low,
            high,
            error,
            float(found.degrees if isinstance(found, CrossedInterval) else found.clusters - 1),
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
        estimate, literal, chance = sampled.tested(observed)
    elif lacking := _lacking(own, observed):
        return _undecided(claim, f"null {own.name}: {lacking}")
    else:
        apart = sampled.beside(own.draws).apart()
        estimate = sampled.interval(*apart, draws=sampled.shared_draws(own))
        literal, chance = literal_verdict(estimate, claim.test), math.nan
    compared = tuple(
        _against(null, sampled, claim.test, own) for null in nulls if null.name in claim.nulls()
    )
    controlled, why = _controlled(literal, compared, claim.test, claim.rivals)
    changes = [
        would_change(estimate, claim.test, literal, 1 - rules.confidence),
        controlled_change(literal, controlled, compared, claim.test, VACUOUS_SHARE),
    ]
    return Judged(
        estimate,
        literal,
        controlled,
        compared,
        f"{literal_reason(claim, estimate, literal, chance)} {why}".strip(),
        ". ".join(filter(None, changes)),
        chance,
    )


def _undecided(claim: Claim, why: str) -> Judged:
    estimate = replace(_UNKNOWN, reason=why)
    return Judged(
        estimate,
        "unclear",
        "unclear",
        (),
        f"No number: {why}.",
        would_change(estimate, claim.test, "unclear"),
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
            family=null.family or null.kind,
        )
    both = sampled.beside(null.draws)
    difference = sampled.interval(*both.difference(test), draws=sampled.shared_draws(null))
    verdict = literal_verdict(difference, test, bound=0.0)
    verdicts: list[Verdict] = []
    if own is None:
        verdicts = [sampled.tested(draw)[1] for draw in null.draws]
    elif null is not own:
        # The test is a difference to one null: does another null differ from it as much?
        apart = [sampled.beside(own.draws, draw).apart() for draw in null.draws]
        verdicts = [literal_verdict(sampled.interval(*both), test) for both in apart]
    passing = verdicts.count("pass") / len(verdicts) if verdicts else math.nan
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
        family=null.family or null.kind,
    )


def _controlled(
    literal: Verdict, compared: Sequence[AgainstNull], test: ClaimTest, rivals: Sequence[str]
) -> tuple[Verdict, str]:
    if literal != "pass":
        return literal, ""
    # Draws that cannot be told apart from each other count as one kind.
    passing = [null for null in compared if null.passing >= VACUOUS_SHARE]
    tested = [null for null in passing if null.name not in rivals]
    if len({null.family for null in tested}) >= VACUOUS_FAMILIES:
        names = ", ".join(
            f"{null.name} on {round(null.passing * null.draws)} of {null.draws} draws"
            for null in tested
        )
        return "vacuous", f"The same test passes without the structure: {names}."
    if passing and test.kind in EVIDENCE_KINDS:
        null = passing[0]
        return "fail", (
            f"Null {null.name} passes the same test on {round(null.passing * null.draws)} of "
            f"{null.draws} draws, and more in an information criterion is no larger effect."
        )
    stopping: tuple[Verdict, ...] = ("fail", "unclear")
    for verdict in stopping:
        inconclusive = [null for null in compared if null.verdict == verdict]
        if inconclusive:
            return verdict, " ".join(stopped(null, test) for null in inconclusive[:2])
    if not compared:
        return "unclear", "No null was compared."
    cleared = ", ".join(null.name for null in compared)
    return "pass", f"The difference to every null clears the smallest effect ({cleared})."
