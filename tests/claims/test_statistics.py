"""The number of each kind of test, on tables whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.claims.statistics import (
    KINDS,
    over_models,
    placed,
    points,
    statistic,
    trend,
)
from attention_wavelets.config import claims as schema
from attention_wavelets.config.claims import ClaimTest
from helpers.claims import claim

LAYERS, HEADS = 7, 5
DEPTH = np.linspace(0, 1, LAYERS)


def of(kind: str, count: int = 1, **settings: Any) -> ClaimTest:
    return claim(kind, [f"column_{i}" for i in range(count)], **settings).test


def layered(values: Any) -> np.ndarray:
    """(layer, head, 1): every head of a layer has the layer's value."""
    return np.repeat(np.asarray(values, dtype=np.float64)[:, None, None], HEADS, axis=1)


def draw(count: int = 1, seed: int = 0, *lead: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=(*lead, LAYERS, HEADS, count))


# One test of each kind, with the settings that it needs.
EVERY = {
    "sign": of("sign"),
    "difference": of("difference", 3),
    "ratio": of("ratio", 2),
    "slope": of("slope"),
    "rank_trend": of("rank_trend"),
    "ordering": of("ordering", 3),
    "equivalence": of("equivalence", claimed="within", range=[0, 1]),
    "share_in_range": of("share_in_range", 2, ranges=[[0.5, 2], [1, 3]]),
    "change_point": of("change_point"),
    "curve_choice": of("curve_choice", 6, over="columns", at=[1, 2, 3, 4, 5, 6], curve="power"),
    "regression": of("regression", 3),
    "variance_share": of("variance_share", 3),
    "spread": of("spread"),
    "two_groups": of("two_groups"),
    "distance_to_null": of("distance_to_null", against="iid"),
    "kernel_collapse": of("kernel_collapse", 2, least_diversity=1.0),
}
MORE = {
    "slope over columns": of("slope", 4, over="columns", at=[0, 1, 2, 3]),
    "kendall": of("rank_trend", method="kendall"),
    "rank over columns": of("rank_trend", 4, over="columns", at=[3, 1, 2, 0]),
    "partial": of("regression", 3, partial=True),
    "spread over heads": of("spread", over="heads"),
}
CASES = EVERY | MORE


def test_every_kind_of_the_schema_has_a_number_and_a_case():
    assert set(KINDS) == set(get_args(schema.TestKind)) == set(EVERY) == set(schema._SHAPES)
    assert all(kind.says and kind.name == name for name, kind in KINDS.items())


@pytest.mark.parametrize("case", CASES)
def test_many_averages_at_once_give_what_each_gives_alone(case: str):
    test = CASES[case]
    table = draw(len(test.of), 1, 4, 3)
    table[1, 2, 3, 4, 0] = np.nan
    together = statistic(table, test)
    assert together.shape == (4, 3)
    alone = [[float(statistic(part, test)) for part in row] for row in table]
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)
    assert np.isfinite(together).all()
    assert np.ptp(together) > 0


@pytest.mark.parametrize("case", CASES)
def test_a_table_without_numbers_has_no_number(case: str):
    test = CASES[case]
    assert math.isnan(float(statistic(np.full((LAYERS, HEADS, len(test.of)), np.nan), test)))


@pytest.mark.parametrize("case", CASES)
def test_heads_that_are_undefined_are_left_out(case: str):
    """A column of heads more, all NaN, changes nothing; nor does the order of heads."""
    test = CASES[case]
    table = draw(len(test.of), 2)
    wider = np.concatenate([table, np.full((LAYERS, 1, len(test.of)), np.nan)], axis=1)
    for other in (wider, table[:, ::-1]):
        np.testing.assert_allclose(statistic(other, test), statistic(table, test), rtol=1e-9)


@pytest.mark.parametrize("case", [name for name in CASES if KINDS[CASES[name].kind].linear])
def test_a_linear_number_of_the_mean_is_the_mean_of_the_numbers(case: str):
    test = CASES[case]
    tables = draw(len(test.of), 3, 9)
    np.testing.assert_allclose(
        statistic(tables.mean(axis=0), test), statistic(tables, test).mean(), rtol=1e-12
    )


def test_kinds_called_linear_are_those_that_are():
    """Of tables whose heads differ a lot, no other number commutes with the mean."""
    size = np.linspace(0.01, 1, 9)[:, None, None, None]
    for name, test in EVERY.items():
        part = size * draw(len(test.of), 4, 9) ** 3
        apart = statistic(part.mean(axis=0), test) - statistic(part, test).mean()
        assert (abs(apart) < 1e-12) == KINDS[name].linear, name


def test_the_mean_of_heads_counts_each_head_once():
    table = np.full((2, 3, 1), np.nan)
    table[0, :, 0], table[1, 0, 0] = [1, 2, 3], 10
    for kind in ("sign", "equivalence", "distance_to_null"):
        assert statistic(table, EVERY[kind]) == pytest.approx(4.0)


def test_of_several_differences_the_least_favourable_counts():
    table = np.zeros((LAYERS, HEADS, 3))
    table[..., 1], table[..., 2] = 0.4, -0.2
    assert statistic(table, of("difference", 3)) == pytest.approx(-0.2)
    assert statistic(table, of("difference", 3, claimed="below")) == pytest.approx(0.4)


def test_a_difference_is_taken_head_by_head():
    table = draw(2, 5)
    table[0, 0, 1] = np.nan
    expected = np.nanmean(table[..., 1] - table[..., 0])
    assert statistic(table, of("difference", 2)) == pytest.approx(expected)


def test_a_ratio_is_that_of_means_over_the_same_heads():
    table = np.ones((2, 2, 2))
    table[0, 0], table[0, 1], table[1] = [1, 5], [3, 7], np.nan
    table[1, 0, 0] = 100.0
    assert statistic(table, EVERY["ratio"]) == pytest.approx(12 / 4)
    table[..., 0] = 0.0
    assert math.isnan(float(statistic(table, EVERY["ratio"])))


def test_a_slope_over_depth_is_that_of_least_squares():
    values = 3.0 - 2.0 * DEPTH
    assert statistic(layered(values), EVERY["slope"]) == pytest.approx(-2.0)
    wild = draw(1, 6)
    expected = np.polyfit(DEPTH, wild[..., 0].mean(axis=1), 1)[0]
    assert statistic(wild, EVERY["slope"]) == pytest.approx(expected)
    assert math.isnan(float(statistic(layered([1.0, 2.0]), EVERY["slope"])))


def test_a_slope_over_columns_uses_their_places():
    table = np.empty((LAYERS, HEADS, 4))
    table[:] = 1.0 + 0.5 * np.array([0.0, 1.0, 4.0, 6.0])
    test = of("slope", 4, over="columns", at=[0, 1, 4, 6])
    assert statistic(table, test) == pytest.approx(0.5)


def test_a_slope_leaves_out_layers_without_a_value():
    values = 1.0 + 4.0 * DEPTH
    values[2] = np.nan
    assert statistic(layered(values), EVERY["slope"]) == pytest.approx(4.0)


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_a_rank_trend_is_that_of_scipy(method: str):
    test = of("rank_trend", method=method)
    reference = stats.spearmanr if method == "spearman" else stats.kendalltau
    for seed in range(5):
        table = np.round(draw(1, seed), 1)
        expected = reference(DEPTH, table[..., 0].mean(axis=1)).statistic
        assert statistic(table, test) == pytest.approx(expected)
    gap = layered(np.array([1, 5, np.nan, 2, 7, 8, 9.0]))
    expected = reference(np.delete(DEPTH, 2), [1, 5, 2, 7, 8, 9]).statistic
    assert statistic(gap, test) == pytest.approx(expected)
    assert statistic(layered(np.exp(DEPTH)), test) == pytest.approx(1.0)
    assert math.isnan(float(statistic(layered(np.ones(LAYERS)), test)))


def test_an_ordering_is_the_share_of_heads_in_the_order_given():
    table = np.empty((2, 2, 3))
    table[0, 0], table[0, 1], table[1, 0] = [1, 2, 3], [1, 3, 2], [1, 1, 2]
    table[1, 1] = [np.nan, 2, 3]
    assert statistic(table, EVERY["ordering"]) == pytest.approx(1 / 3)


def test_a_share_in_range_needs_every_column_and_takes_ends_in():
    table = np.empty((2, 2, 2))
    table[0, 0], table[0, 1], table[1, 0] = [0.5, 3.0], [1.0, 3.1], [0.4, 2.0]
    table[1, 1] = [1.0, np.nan]
    assert statistic(table, EVERY["share_in_range"]) == pytest.approx(1 / 3)


def test_a_step_is_told_from_a_line_and_from_nothing():
    places = np.arange(12)
    step = np.where(places < 5, 0.0, 1.0) + 0.01 * np.sin(7 * places)
    line = places / 11 + 0.01 * np.sin(7 * places)
    assert statistic(layered(step), EVERY["change_point"]) > 20
    assert statistic(layered(line), EVERY["change_point"]) < -20


@pytest.mark.parametrize("law", ["power", "logarithmic", "saturating"])
def test_the_law_that_made_the_points_is_chosen(law: str):
    x = np.array([0.2, 0.5, 1, 2, 4, 8, 16.0])
    y = {"power": x**0.5, "logarithmic": 1 + np.log(x), "saturating": x / (x + 2)}[law]
    table = np.empty((LAYERS, HEADS, len(x)))
    table[:] = y + 1e-4 * np.cos(9 * x)
    gains = {
        named: float(
            statistic(table, of("curve_choice", 7, over="columns", at=list(x), curve=named))
        )
        for named in ("power", "logarithmic", "saturating")
    }
    assert gains[law] > 10
    assert all(gain < 0 for named, gain in gains.items() if named != law)


def test_a_regression_gives_the_share_of_variance_explained():
    table = draw(3, 7)
    rows = table.reshape(-1, 3)
    design = np.column_stack([np.ones(len(rows)), rows[:, 1:]])
    left = rows[:, 0] - design @ np.linalg.lstsq(design, rows[:, 0], rcond=None)[0]
    expected = 1 - left.var() / rows[:, 0].var()
    assert statistic(table, EVERY["regression"]) == pytest.approx(expected)
    table[..., 0] = 2 * table[..., 1] - table[..., 2]
    assert statistic(table, EVERY["regression"]) == pytest.approx(1.0)
    two = table[..., :2]
    expected = np.corrcoef(two[..., 0].ravel(), two[..., 1].ravel())[0, 1] ** 2
    assert statistic(two, of("regression", 2)) == pytest.approx(expected)


def test_a_partial_regression_asks_what_the_first_adds_to_the_others():
    """The first explains nothing once the covariate that drives both is in."""
    common = draw(1, 8)[..., 0]
    own, other = draw(1, 9)[..., 0], draw(1, 10)[..., 0]
    table = np.stack([common + 0.01 * own, common + 0.5 * other, common], axis=-1)
    assert statistic(table, of("regression", 3)) > 0.9
    assert statistic(table, MORE["partial"]) < 0.2
    np.testing.assert_allclose(
        statistic(table[..., [0, 2, 1]], MORE["partial"]), 1.0, rtol=0, atol=0.01
    )


def test_one_direction_holds_all_variance_and_independent_columns_share_it():
    one = draw(1, 11)
    table = np.concatenate([one, -2 * one, 5 + one], axis=-1)
    assert statistic(table, EVERY["variance_share"]) == pytest.approx(1.0)
    wide = np.random.default_rng(0).standard_normal((40, 50, 3))
    assert statistic(wide, EVERY["variance_share"]) == pytest.approx(1 / 3, abs=0.03)
    two = wide[..., :2] @ np.linalg.cholesky([[1, 0.6], [0.6, 1]]).T
    rho = np.corrcoef(two.reshape(-1, 2).T)[0, 1]
    assert statistic(two, of("variance_share", 2)) == pytest.approx((1 + rho) / 2)


def test_spread_over_depth_grows_with_the_standard_deviation_of_layers():
    noise = np.random.default_rng(1).standard_normal((LAYERS, 400, 1))
    growing = noise * (1 + 2 * DEPTH)[:, None, None]
    # The mean distance of a normal number to its median is sqrt(2 / pi) standard deviations.
    expected = 2 * math.sqrt(2 / math.pi)
    assert statistic(growing, EVERY["spread"]) == pytest.approx(expected, abs=0.2)
    assert statistic(growing[::-1], EVERY["spread"]) == pytest.approx(-expected, abs=0.2)
    assert abs(float(statistic(noise, EVERY["spread"]))) < 0.15


def test_spread_over_heads_is_the_coefficient_of_variation():
    table = draw(1, 12)
    expected = table.std(ddof=1) / table.mean()
    assert statistic(table, MORE["spread over heads"]) == pytest.approx(expected)
    assert statistic(-table, MORE["spread over heads"]) == pytest.approx(expected)
    assert math.isnan(float(statistic(np.zeros((2, 2, 1)), MORE["spread over heads"])))


def test_two_groups_are_told_from_one():
    normal = stats.norm.ppf((np.arange(200) + 0.5) / 200).reshape(20, 10, 1)
    assert statistic(normal, EVERY["two_groups"]) < 0
    apart = normal.copy()
    apart[:10] += 12
    assert statistic(apart, EVERY["two_groups"]) > 50


def test_kernels_of_one_width_collapse_for_no_merit():
    table = np.zeros((LAYERS, HEADS, 2))
    table[..., 0], table[..., 1] = 0.05, 2.0
    assert statistic(table, EVERY["kernel_collapse"]) == pytest.approx(0.05)
    table[..., 1] = 0.9
    assert statistic(table, EVERY["kernel_collapse"]) == 1.0
    table[..., 1] = np.nan
    assert math.isnan(float(statistic(table, EVERY["kernel_collapse"])))


PLACES = np.log([14.0, 70, 160, 410, 1400, 2800])


@pytest.mark.parametrize("kind", ["slope", "rank_trend", "change_point", "curve_choice"])
def test_models_in_a_row_are_compared_by_their_means(kind: str):
    settings = {"curve": "logarithmic"} if kind == "curve_choice" else {}
    means = np.array([0.1, 0.12, 0.11, 0.6, 0.62, 0.61])
    # Models of different numbers of layers and heads, with heads around the mean.
    averages = []
    for number, mean in enumerate(means):
        noise = np.random.default_rng(number).standard_normal((3, number + 2, 4, 1))
        averages.append(mean + noise - noise.mean(axis=(1, 2, 3), keepdims=True))
    test = of(kind, over="parameters", needs=[*"mnop"], **settings)
    found = over_models(averages, PLACES, test)
    # The same points as columns of one model.
    columns = np.empty((LAYERS, HEADS, 6))
    columns[:] = means
    same = of(kind, 6, over="columns", at=list(PLACES), **settings)
    np.testing.assert_allclose(found, [float(statistic(columns, same))] * 3, rtol=1e-6)


def test_step_0_is_no_point_of_a_law():
    x = np.array([0.0, 1, 2, 4, 8, 16])
    averages = [np.full((2, 2, 1), value) for value in (9.0, 1, 1.4, 2.1, 2.8, 4)]
    test = of("curve_choice", over="step", needs=[*"mnop"], curve="power")
    without = over_models(averages[1:], x[1:], test)
    np.testing.assert_allclose(over_models(averages, x, test), without)
    assert np.isfinite(without)


@pytest.mark.parametrize(("effect", "sign"), [("positive", 1), ("negative", -1), (None, 0)])
def test_a_regression_counts_against_a_claim_with_the_other_sign(effect, sign: int):
    table = np.random.default_rng(0).normal(size=(LAYERS, HEADS, 2))
    table[..., 0] = 2 * table[..., 1] + 0.1 * table[..., 0]
    plain = float(statistic(table, of("regression", 2)))
    assert plain > 0.9
    found = float(statistic(table, of("regression", 2, effect=effect)))
    assert found == pytest.approx(plain * (sign or 1))


def test_a_step_must_lie_where_it_is_claimed_and_go_the_claimed_way():
    steps = np.array([0.0, 100, 300, 1000, 3000, 10000, 30000, 100000])
    y = np.where(steps < 2000, 0.0, 1.0) + 0.01 * np.sin(np.arange(8))
    models = [np.full((1, 1, 1), value) for value in y]

    def gain(**settings: object) -> float:
        test = of("change_point", over="step", needs=["m"], smallest_effect=2.0, **settings)
        return float(over_models(models, placed(steps, "step"), test))

    assert gain() == gain(direction="up") == gain(between=[500, 5000]) > 2
    assert gain(direction="down") < 0
    assert gain(between=[0, 500]) < 0


@pytest.mark.parametrize(
    "curve",
    [lambda t: 0.04 * np.log1p(t), lambda t: t / 2**17, lambda t: 1 - np.exp(-t / 2000)],
    ids=["logarithmic", "steady", "saturating"],
)
def test_a_smooth_curve_of_learning_is_no_jump(curve: Callable[[np.ndarray], np.ndarray]):
    steps = np.array([0, *2.0 ** np.arange(0, 18)])
    y = 0.2 + curve(steps) + 0.001 * np.sin(np.arange(len(steps)))
    models = [np.full((1, 1, 1), value) for value in y]
    test = of("change_point", over="step", needs=["m"], smallest_effect=2.0)
    assert float(over_models(models, placed(steps, "step"), test)) < 0


def test_layers_of_one_scale_do_not_hide_behind_the_others():
    """Half of the layers are copies of one head: they collapse by having nothing to collapse."""
    collapse = np.where(np.arange(8) < 4, 0.0, 0.15)
    octaves = np.where(np.arange(8) < 4, 0.1, 3.0)
    table = np.stack([collapse, octaves], axis=-1)[:, None, :]
    test = of("kernel_collapse", 2, claimed="below", least_diversity=1.0)
    assert float(statistic(table, test)) == pytest.approx((4 * 1.0 + 4 * 0.15) / 8)


def test_the_points_of_a_spread_are_those_of_levene_s_trend():
    table = np.random.default_rng(2).normal(size=(LAYERS, HEADS, 1))
    test = of("spread")
    assert float(trend(*points(table, test), test)) == pytest.approx(float(statistic(table, test)))
    # A layer without a value is left out.
    table[2] = np.nan
    values, places = points(table, test)
    assert np.isnan(values).tolist() == [i == 2 for i in range(LAYERS)]
    assert np.isfinite(trend(values, places, test))
