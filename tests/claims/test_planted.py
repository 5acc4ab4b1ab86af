"""Planted models through both verdicts: each kind of test, and each claim that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.claims import chance
from attention_wavelets.claims.judge import Judged, NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.statistics import KINDS
from attention_wavelets.config.claims import Claim
from attention_wavelets.config.compose import load_member
from attention_wavelets.measures import bank
from attention_wavelets.measures.kernel import kernel_divergence, octave_slope
from attention_wavelets.measures.uncertainty import excess
from helpers.claims import claim
from helpers.planted import CONF, DOCUMENTS, STEPS, made_for, nothing_for, texts

LAYERS, HEADS = 8, 6
DEPTH = np.linspace(0, 1, LAYERS)
LAGS = np.arange(64)
# Kinds whose number takes milliseconds: few resamples and one draw of each null do.
SLOW = ("two_groups", "curve_choice", "change_point", "spread")
# Gains in BIC or AICc have no end: of two models with the same step one can be surer of it.
GAINS = ("two_groups", "curve_choice", "change_point")
CONTROLS = ("iid", "untrained")
Build = Callable[[np.random.Generator], Subject]


def judged(case: Claim, observed: Subject, nulls: Sequence[NullDraws]) -> Judged:
    """With few orders of many points: a trend like none of them has p = 1 / (orders + 1)."""
    kind = case.test.kind
    orders = {"curve_choice": 24, "change_point": 299}.get(kind, 99)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chance, "MAX_ORDERED", 5)
        patch.setattr(chance, "ORDERS", orders)
        return judge(case, observed, nulls, Rules(resamples=5 if kind in SLOW else 40))


@dataclass(frozen=True)
class Planted:
    """A claim, models with what it claims, and models that lack it in several ways.

    The first of the false ones is what the nulls are.
    """

    claim: Claim
    true: Build
    false: dict[str, Build]

    @property
    def nothing(self) -> Build:
        return next(iter(self.false.values()))

    @property
    def draws(self) -> int:
        return 1 if self.claim.test.kind in SLOW else 2

    def judge(self, observed: Build, *nulls: Build) -> Judged:
        """With a null of each control; a claim of a distance has its own, which lacks it."""
        streams = iter(np.random.SeedSequence(1).spawn(8))

        def made(build: Build) -> Subject:
            return build(np.random.default_rng(next(streams)))

        drawn = [
            NullDraws(name, name, [made(build) for _ in range(self.draws)])
            for name, build in zip(CONTROLS, nulls, strict=True)
        ]
        if own := self.claim.test.against:
            drawn.append(NullDraws(own, own, [made(self.nothing)]))
        return judged(self.claim, made(observed), drawn)


def shipped(name: str) -> Claim:
    """A claim of conf/claim that is judged beside these two nulls."""
    found: Claim = load_member("claim", name, CONF, {})
    return found.model_copy(update={"controls": list(CONTROLS)})


def asked(kind: str, columns: int = 1, **settings: Any) -> Claim:
    return claim(kind, [f"m{i}" for i in range(columns)], controls=CONTROLS, **settings)


def table(base: Any, noise: float = 0.02) -> Build:
    """A model of these (layer, head, column) averages; heads differ a little."""
    whole = np.broadcast_to(np.asarray(base, dtype=np.float64), (LAYERS, HEADS, np.shape(base)[-1]))

    def build(generator: np.random.Generator) -> Subject:
        apart = 0.01 * generator.standard_normal((LAYERS, HEADS, 1))
        return Subject((texts(whole + apart, generator, noise),))

    return build


def some(share: float, holding: Sequence[float], lacking: Sequence[float]) -> Build:
    """A share of the heads with one row of columns, the rest with another."""
    holds = np.arange(LAYERS * HEADS) < share * LAYERS * HEADS
    heads = np.where(holds[:, None], holding, lacking)
    return table(heads.reshape(LAYERS, HEADS, -1))


def layered(values: np.ndarray) -> Build:
    return table(values[:, None, None])


def row(places: np.ndarray, values: np.ndarray) -> Build:
    """Models in a row, of 2, 3, ... layers, whose means are the values."""

    def build(generator: np.random.Generator) -> Subject:
        panels = [
            texts(np.full((2 + i, 4, 1), value), generator, 0.02) for i, value in enumerate(values)
        ]
        return Subject(tuple(panels), places)

    return build


def normals(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.standard_normal((LAYERS, HEADS, *shape))


def drawn(function: Callable[[np.random.Generator], np.ndarray], noise: float = 0.02) -> Build:
    """A model whose averages are drawn."""
    return lambda generator: Subject((texts(function(generator), generator, noise),))


# Functions of the distance in widths, each a shape of its own.
MOTHERS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda u: np.exp(-(u**2) / 2),
    lambda u: 1.0 * (u < 1.5),
    lambda u: np.exp(-u),
    lambda u: u**2 * np.exp(-u),
    lambda u: 1 / (1 + u**2) ** 2,
    lambda u: np.exp(-((u - 2) ** 2) * 2),
)
OCTAVES = np.linspace(0, 4, HEADS)


def kernels(
    law: Callable[[np.ndarray, int], np.ndarray], scale: Any, measure: Callable[..., np.ndarray]
) -> Build:
    """Heads with a law of the distance in units of their scale, through measures of kernels."""

    def build(generator: np.random.Generator) -> Subject:
        factor = texts(np.zeros((LAYERS, HEADS, 1)), generator, 0.1)
        units = LAGS / (scale * np.exp(factor.values))
        heads = [law(units[:, :, head], head) for head in range(HEADS)]
        weights = np.stack(heads, axis=2) + 1e-9
        weights *= generator.gamma(200.0, size=weights.shape)
        measured = measure(weights / weights.sum(axis=-1, keepdims=True), generator)
        return Subject((Panel(measured, DOCUMENTS),))

    return build


def of_bank(k: np.ndarray, _: np.random.Generator) -> np.ndarray:
    low, high = bank.scale_quantiles(k, (0.05, 0.95))
    return np.stack([bank.self_similar_collapse(k, LAGS), high - low], axis=-1)[..., None, :]


def rearranged(measure: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The same measure of the same numbers at random places."""
    return lambda k, generator: measure(generator.permuted(k, axis=-1), generator)


def of_bound(k: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return excess(k).sqrt[..., None]


def of_laws(k: np.ndarray, _: np.random.Generator) -> np.ndarray:
    laws = ("power", "exponential")
    return np.stack([kernel_divergence(k, LAGS, law) for law in laws], axis=-1)


def of_octaves(k: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return octave_slope(k, LAGS)[..., None]


def power(rate: float) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda u, _: (0.5 + u) ** -rate


def mother(u: np.ndarray, _: int) -> np.ndarray:
    return MOTHERS[0](u)


PLACES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
SIZES = np.log([14.0, 70, 160, 410, 1000, 1400, 2800, 6900])
OVER_SIZES: dict[str, Any] = {"over": "parameters", "needs": [*"mnop"]}
HUMP = np.sin(np.pi * DEPTH)
ZIGZAG = np.arange(8) % 2.0
LOG_STEPS = np.log1p(STEPS[:8])
GROUPS = np.where(np.arange(LAYERS * HEADS) % 2, 1.0, 0.0).reshape(LAYERS, HEADS, 1)
ONE = stats.laplace.ppf((np.arange(LAYERS * HEADS) + 0.5) / (LAYERS * HEADS))


def explained(share: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Columns y, x: x explains this share of the variance of y."""

    def made(generator: np.random.Generator) -> np.ndarray:
        x, own = normals(generator), normals(generator)
        return np.stack([np.sqrt(share) * x + np.sqrt(1 - share) * own, x], axis=-1)

    return made


def beside(own: float, common: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Columns y, x and a covariate that drives x, and y as far as it is common."""

    def made(generator: np.random.Generator) -> np.ndarray:
        z = normals(generator)
        x = z + normals(generator)
        y = common * z + own * x + 0.2 * normals(generator)
        return np.stack([y, x, z], axis=-1)

    return made


def factors(weight: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Five columns with one common factor of this weight."""

    def made(generator: np.random.Generator) -> np.ndarray:
        return weight * normals(generator, 1) + normals(generator, 5)

    return made


def scattered(sizes: np.ndarray, shift: Any = 0.0) -> Build:
    """Layers whose heads lie so far apart, around a middle of the layer's own."""
    side = np.array([-1.2, -1, -0.8, 0.8, 1, 1.2])
    return table((shift + sizes[:, None] * side)[..., None])


CASES: dict[str, Planted] = {
    "sign": Planted(
        asked("sign", bound=0.3),
        table([0.6]),
        {"none": table([0.1]), "one head of four": some(0.25, [0.9], [0.1])},
    ),
    "difference": Planted(
        asked("difference", 3),
        table([0.2, 0.6, 0.5]),
        {"none": table([0.2, 0.2, 0.2]), "one of two": table([0.2, 0.9, 0.22])},
    ),
    "ratio": Planted(
        asked("ratio", 2, claimed="within", range=[1.8, 2.2]),
        table([0.4, 0.8]),
        # The mean of the heads' ratios is 2 in the last.
        {
            "none": table([0.4, 0.4]),
            "more": table([0.2, 0.9]),
            "ratios of heads": some(0.5, [0.2, 0.6], [0.8, 0.8]),
        },
    ),
    "slope": Planted(
        asked("slope"),
        layered(0.3 * DEPTH),
        {"none": layered(0 * DEPTH), "up and down": layered(0.9 * HUMP)},
    ),
    "slope over columns": Planted(
        asked("slope", 4, over="columns", at=[3, 4, 5, 6], smallest_effect=0.02),
        table([0.1, 0.2, 0.3, 0.4]),
        {"none": table([0.3] * 4), "in the middle": table([0.3, 0.9, 0.9, 0.3])},
    ),
    "slope over parameters": Planted(
        asked("slope", **OVER_SIZES),
        row(SIZES, 0.2 * SIZES),
        {"none": row(SIZES, 0 * SIZES), "zigzag": row(SIZES, 0.1 * ZIGZAG)},
    ),
    "rank_trend": Planted(
        asked("rank_trend", smallest_effect=0.3),
        layered(DEPTH**3),
        {
            "one late layer": layered(np.where(DEPTH < 1, -0.3 * DEPTH, 9.0)),
            "down": layered(-DEPTH),
        },
    ),
    "rank_trend over step": Planted(
        asked("rank_trend", over="step", smallest_effect=0.3),
        row(STEPS[:8], np.arange(8.0)),
        {
            "down": row(STEPS[:8], -np.arange(8.0)),
            "no order": row(STEPS[:8], np.array([3.0, 7, 2, 6, 1, 5, 0, 4])),
        },
    ),
    "change_point": Planted(
        asked("change_point", smallest_effect=2.0),
        layered(1.0 * (DEPTH > 0.5)),
        {"line": layered(DEPTH), "zigzag": layered(ZIGZAG)},
    ),
    "change_point over step": Planted(
        asked("change_point", over="step", smallest_effect=2.0),
        row(LOG_STEPS, 1.0 * (np.arange(8) > 3)),
        {
            "line": row(LOG_STEPS, LOG_STEPS),
            "steady": row(LOG_STEPS, STEPS[:8] / STEPS[7]),
            "zigzag": row(LOG_STEPS, ZIGZAG),
        },
    ),
    "curve_choice": Planted(
        asked("curve_choice", 6, over="columns", at=list(PLACES), curve="power"),
        table(PLACES**0.5),
        {
            "logarithmic": table(1 + np.log(PLACES)),
            "saturating": table(4 * PLACES / (PLACES + 2)),
            "constant": table(np.full(6, 0.5) + 0.1 * np.array([1, -1, 0, 0, -1, 1])),
        },
    ),
    "curve_choice over parameters": Planted(
        asked("curve_choice", curve="logarithmic", **OVER_SIZES),
        row(PLACES, 1 + np.log(PLACES)),
        {"power": row(PLACES, PLACES**0.5), "saturating": row(PLACES, 4 * PLACES / (PLACES + 2))},
    ),
    "ordering": Planted(
        shipped("R06"),
        kernels(power(1.5), 1.0, of_laws),
        {
            "exponential": kernels(lambda u, _: np.exp(-u), 2 ** OCTAVES[:, None], of_laws),
            "two heads of six": kernels(
                lambda u, head: power(1.5)(u, 0) if head < 2 else np.exp(-u / 4), 1.0, of_laws
            ),
        },
    ),
    "equivalence": Planted(
        shipped("R07"),
        kernels(power(1.0), 1.0, of_octaves),
        {
            "every lag alike": kernels(power(0.0), 1.0, of_octaves),
            "local": kernels(power(2.5), 1.0, of_octaves),
        },
    ),
    "share_in_range": Planted(
        shipped("H11"),
        some(0.75, [0.7, 0.2, 0.1], [0.9, 0.08, 0.02]),
        {
            "none": table([0.3, 0.4, 0.3]),
            # Each column of five heads in six is in its range.
            "never together": drawn(
                lambda _: np.broadcast_to(
                    np.array([[0.74, 0.2, 0.0], [0.65, 0.3, 0.1], [0.5, 0.2, 0.1]] * 2),
                    (LAYERS, HEADS, 3),
                )
            ),
        },
    ),
    "regression": Planted(
        asked("regression", 2, bound=0.3),
        drawn(explained(0.9)),
        {"unrelated": drawn(explained(0.0)), "weak": drawn(explained(0.1))},
    ),
    "regression, partial": Planted(
        asked("regression", 3, partial=True, bound=0.3),
        drawn(beside(1.0, 0.5)),
        {"through the covariate": drawn(beside(0.0, 1.0)), "unrelated": drawn(beside(0.0, 0.0))},
    ),
    "variance_share": Planted(
        asked("variance_share", 5, bound=0.6),
        drawn(factors(4.0)),
        {"independent": drawn(factors(0.0)), "weak": drawn(factors(0.7))},
    ),
    "spread": Planted(
        asked("spread", smallest_effect=0.3),
        scattered(0.2 + DEPTH),
        {
            "alike": scattered(np.full(LAYERS, 0.7)),
            "middles move apart": scattered(
                np.full(LAYERS, 0.7), (3 * DEPTH * (-1.0) ** np.arange(LAYERS))[:, None]
            ),
        },
    ),
    "spread over heads": Planted(
        asked("spread", over="heads", bound=0.5),
        some(0.2, [5.0], [0.5]),
        {"alike": table([1.0]), "far from 0": some(0.5, [6.0], [4.0])},
    ),
    "two_groups": Planted(
        asked("two_groups", smallest_effect=10.0),
        table(ONE.reshape(LAYERS, HEADS, 1) + 20 * GROUPS),
        {"one": table(ONE.reshape(LAYERS, HEADS, 1))},
    ),
    "distance_to_null": Planted(
        shipped("R13"),
        kernels(lambda u, _: np.exp(-((u - 32) ** 2) / 50), 1.0, of_bound),
        {
            "rearranged": kernels(
                lambda u, _: np.exp(-((u - 32) ** 2) / 50), 1.0, rearranged(of_bound)
            ),
        },
    ),
    "kernel_collapse": Planted(
        shipped("R14"),
        kernels(mother, 2 ** OCTAVES[:, None], of_bank),
        {
            "rearranged": kernels(mother, 2 ** OCTAVES[:, None], rearranged(of_bank)),
            "one scale": kernels(mother, 4.0, of_bank),
            "a shape for each head": kernels(
                lambda u, head: MOTHERS[head](u), 2 ** OCTAVES[:, None], of_bank
            ),
        },
    ),
}
FALSE = [(case, world) for case, planted in CASES.items() for world in planted.false]


def test_every_kind_has_a_planted_model():
    tests = [planted.claim.test for planted in CASES.values()]
    assert {test.kind for test in tests} == set(KINDS)
    over = {test.kind for test in tests if test.over in ("parameters", "step")}
    # The spread of heads is one of layers only.
    assert over == {test.kind for test in tests if test.is_trend} - {"spread"}
    assert all(case.split(" ")[0].strip(",") == CASES[case].claim.test.kind for case in CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_planted_truth_passes(case: str):
    planted = CASES[case]
    found = planted.judge(planted.true, planted.nothing, planted.nothing)
    assert (found.literal, found.controlled) == ("pass", "pass"), found.reason


@pytest.mark.parametrize(("case", "world"), FALSE)
def test_a_planted_falsehood_fails(case: str, world: str):
    planted = CASES[case]
    found = planted.judge(planted.false[world], planted.nothing, planted.nothing)
    assert (found.literal, found.controlled) == ("fail", "fail"), found.reason


@pytest.mark.parametrize("case", ["slope over parameters", "rank_trend over step"])
def test_levels_without_any_order_are_seldom_a_trend(case: str):
    """Each level is known well, so intervals over documents alone would pass about half of them."""
    planted, passed = CASES[case], 0
    for generator in map(np.random.default_rng, range(30)):
        observed = row(SIZES, generator.standard_normal(8))(generator)
        found = judged(planted.claim, observed, [])
        assert found.estimate.error < 0.1
        passed += found.literal == "pass"
    # Of 30 trials at 0.05 six or more pass once in 300 times.
    assert passed < 6


@pytest.mark.parametrize("case", CASES)
def test_a_number_that_nulls_have_as_well_is_vacuous(case: str):
    planted = CASES[case]
    found = planted.judge(planted.true, planted.true, planted.true)
    assert (found.literal, found.controlled) == ("pass", "vacuous"), found.reason


@pytest.mark.parametrize("case", CASES)
def test_a_number_that_one_null_has_as_well_is_no_pass(case: str):
    planted = CASES[case]
    found = planted.judge(planted.true, planted.true, planted.nothing)
    assert found.literal == "pass"
    if planted.claim.test.kind not in GAINS:
        assert found.controlled in ("fail", "unclear"), found.reason


SHIPPED = sorted(path.stem for path in (CONF / "claim").glob("*.yaml"))


def of_file(name: str) -> tuple[Claim, dict[str, str]]:
    """A claim as it is shipped, and the kinds of the nulls it is compared with."""
    found: Claim = load_member("claim", name, CONF, {})
    names = dict.fromkeys([*filter(None, [found.test.against]), *found.controls])
    return found, {null: load_member("null", null, CONF, {}).kind for null in names}


def nulls_of(case: Claim, kinds: dict[str, str], have: bool) -> list[NullDraws]:
    """Every null of a claim with or without the number; without it that of its own distance."""
    found = []
    for seed, (name, kind) in enumerate(kinds.items(), start=2):
        distance = case.test.kind == "distance_to_null"
        lacks = name == case.test.against or (distance and not have)
        made = nothing_for(case, seed) if lacks else made_for(case, have, seed)
        found.append(NullDraws(name, kind, [made]))
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_claim_can_pass(name: str):
    case, kinds = of_file(name)
    found = judged(case, made_for(case, True, 1), nulls_of(case, kinds, False))
    assert (found.literal, found.controlled) == ("pass", "pass"), found.reason
    assert len(found.nulls) == len(kinds) > 0


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_claim_can_fail(name: str):
    case, kinds = of_file(name)
    found = judged(case, made_for(case, False, 1), nulls_of(case, kinds, False))
    assert (found.literal, found.controlled) == ("fail", "fail"), found.reason


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_claim_names_a_null_it_can_never_have(name: str):
    """Other input is not subsampled as well, so columns of another condition have no such null."""
    case, kinds = of_file(name)
    others = {column.condition for column in case.columns()} - {case.condition}
    assert not (others and "condition" in kinds.values())
