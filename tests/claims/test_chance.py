"""Trends through few points: how often as strong a one comes from points in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.claims.chance import MAX_ORDERED, ORDERS, order_p
from attention_wavelets.claims.judge import Rules, judge
from attention_wavelets.claims.panel import Subject
from attention_wavelets.inference import exact
from helpers.claims import claim, draws, noisy, panel

SPEARMAN = claim("rank_trend", over="parameters", needs=["a"]).test
KENDALL = claim("rank_trend", over="parameters", needs=["a"], method="kendall").test
SLOPE = claim("slope", over="parameters", needs=["a"], claimed="below").test
KINDS = {
    "slope": SLOPE,
    "rank_trend": SPEARMAN,
    "change_point": claim("change_point", over="parameters", needs=["a"]).test,
    "curve_choice": claim("curve_choice", over="parameters", needs=["a"], curve="power").test,
}
PLACES = np.array([1.0, 2.0, 4.0, 5.0, 7.0, 11.0])


@pytest.mark.parametrize(
    ("test", "known"), [(SPEARMAN, exact.spearman), (KENDALL, exact.kendall)], ids=["rho", "tau"]
)
def test_the_p_of_ranks_is_the_exact_one(test, known):
    for seed in range(5):
        y = np.random.default_rng(seed).normal(size=6)
        assert order_p(y, PLACES, test) == pytest.approx(known(PLACES, y, "greater").p)


def test_ranks_are_those_of_the_claimed_side_too():
    y = np.random.default_rng(1).normal(size=6)
    below = claim("rank_trend", over="parameters", needs=["a"], claimed="below").test
    assert order_p(y, PLACES, below) == exact.spearman(PLACES, y, "less").p
    assert order_p(-y, PLACES, below) == pytest.approx(order_p(y, PLACES, SPEARMAN))


def test_claimed_below_counts_the_other_end():
    y = np.array([3.0, 2.5, 2.0, 1.5, 1.0, 0.0])
    assert order_p(y, PLACES, SLOPE) == pytest.approx(1 / math.factorial(6))
    assert order_p(-y, PLACES, SLOPE) == 1.0


def test_points_that_are_missing_are_left_out():
    y = np.array([3.0, np.nan, 2.0, 1.5, 1.0, 0.0])
    assert order_p(y, PLACES, SLOPE) == pytest.approx(1 / math.factorial(5))
    assert math.isnan(order_p(np.full(6, np.nan), PLACES, SLOPE))


def test_equal_points_are_never_a_trend():
    assert order_p(np.ones(5), PLACES[:5], SLOPE) == 1.0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rank_trend"])
def test_many_points_are_put_in_random_orders_of_one_stream(kind: str):
    x = np.arange(1.0, MAX_ORDERED + 2)
    y = -x if kind == "slope" else (x > 4) + 0.01 * x if kind == "change_point" else x**0.5
    found = order_p(y, x, KINDS[kind])
    assert found == order_p(y, x, KINDS[kind])
    assert 1 / (ORDERS + 1) <= found < 0.05


@pytest.mark.parametrize("kind", ["slope", "rank_trend", "change_point"])
def test_p_is_uniform_where_places_mean_nothing(kind: str):
    """At any level at most that share of independent points is below it; most of it, too."""
    generator = np.random.default_rng(7)
    count = 300 if kind != "change_point" else 40
    x = np.arange(1.0, 7.0)
    found = np.array([order_p(generator.normal(size=6), x, KINDS[kind]) for _ in range(count)])
    for level in (0.1, 0.3, 0.5):
        share = float(np.mean(found <= level))
        assert share <= level + 3 * math.sqrt(level * (1 - level) / count)
        assert share >= level - 3 * math.sqrt(level * (1 - level) / count) - 0.01


def models(levels: list[float], seed: int) -> Subject:
    """Models whose every document says the same: each point is known as good as exactly."""
    made = tuple(panel(noisy(v, seed + i, noise=1e-3)) for i, v in enumerate(levels))
    return Subject(made, np.log(10.0 ** np.arange(len(levels))))


@pytest.mark.parametrize("kind", ["rank_trend", "change_point"])
def test_models_in_no_order_hardly_ever_pass(kind: str):
    """Exactly known models that stand in any order: the interval alone would let many pass."""
    effect = {"rank_trend": 0.3, "change_point": 2.0}[kind]
    case = claim(
        kind, over="parameters", needs=["a"], smallest_effect=effect, controls=["untrained"]
    )
    generator = np.random.default_rng(3)
    verdicts = []
    for seed in range(60):
        levels = list(generator.normal(size=6))
        null = draws("untrained")
        null = type(null)("untrained", "untrained", [models([0.0] * 6, 1000 + seed)])
        found = judge(case, models(levels, seed), [null], Rules(resamples=60))
        assert found.literal != "pass" or found.chance <= 0.05
        verdicts.append(found)
    cleared = [v for v in verdicts if v.estimate.low > effect]
    assert len(cleared) >= 8
    assert sum(v.literal == "pass" for v in verdicts) <= 7
    unlucky = next(v for v in cleared if v.literal == "unclear")
    assert "of the orders of its points gives as strong a trend" in unlucky.reason
    assert "with a share of orders of at most 0.05 it would pass" in unlucky.would_change


def test_models_in_order_pass():
    case = claim("rank_trend", over="parameters", needs=["a"], smallest_effect=0.3)
    found = judge(case, models([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 0), [], Rules(resamples=60))
    assert found.literal == "pass"
    assert found.chance == pytest.approx(1 / math.factorial(6))


def test_a_range_and_a_mean_have_no_chance():
    inside = claim("slope", claimed="within", range=[-1.0, 1.0])
    for case in (inside, claim(bound=0.3)):
        found = judge(case, Subject((panel(noisy(0.6)),)), [], Rules(resamples=60))
        assert math.isnan(found.chance)
        assert found.literal == "pass"
