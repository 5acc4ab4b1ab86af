"""Shapes: planted steps, lines, laws, mixtures, spreads; slow versions; edges."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize, stats

from attention_wavelets.config.schema import Optimiser
from attention_wavelets.inference.mixture import two_normals
from attention_wavelets.inference.shapes import change_point, choose_curve
from attention_wavelets.inference.spread import levene_trend, principal_share
from attention_wavelets.training.loop import rate_at

NOISE = np.random.default_rng(0).normal(size=200)


def rss(y, *parts):
    return sum(((y[part] - y[part].mean()) ** 2).sum() for part in parts)


@pytest.mark.parametrize("up", [True, False])
def test_a_step_elsewhere_or_the_other_way_competes(up: bool):
    x = np.arange(20.0)
    y = np.where(x < 12, 0.0, 1.0 if up else -1.0) + 0.05 * NOISE[:20]
    plain = change_point(x, y)
    assert plain.best == "step"
    assert plain.bic_other == math.inf
    same = change_point(x, y, between=(10, 14), rising=up)
    assert (same.best, same.location) == ("step", plain.location)
    assert same.bic_step == plain.bic_step < same.bic_other
    for wrong in ({"between": (2, 6)}, {"rising": not up}, {"between": (40, 50)}):
        found = change_point(x, y, **wrong)
        assert found.best == "other"
        assert found.bic_other == plain.bic_step < found.bic_step


def test_a_step_a_line_and_nothing_are_told_apart():
    x = np.arange(30.0)
    step = change_point(x, np.where(x < 12, 1.0, 3.0) + 0.3 * NOISE[:30])
    assert (step.best, step.location) == ("step", 11.5)
    assert abs(step.before - 1) < 0.3
    assert abs(step.after - 3) < 0.3
    assert change_point(x, 0.2 * x + 0.3 * NOISE[:30]).best == "line"
    assert change_point(x, NOISE[:30]).best == "constant"


def test_the_step_is_the_best_of_all_places_and_bic_is_its_formula():
    generator = np.random.default_rng(1)
    x = np.round(generator.uniform(0, 12, size=25))
    y = generator.normal(size=25) + (x > 5)
    found = change_point(x, y)
    places = np.unique(x)
    sums = {}
    for low, high in pairwise(places):
        left = x <= low
        if min(left.sum(), (~left).sum()) >= 2:
            sums[(low + high) / 2] = rss(y, left, ~left)
    assert found.location == min(sums, key=sums.get)
    n = 25
    residual = np.polyfit(x, y, 1, full=True)[1][0]
    expected = [
        n * np.log(min(sums.values()) / n) + 3 * np.log(n),
        n * np.log(residual / n) + 2 * np.log(n),
        n * np.log(rss(y, slice(None)) / n) + np.log(n),
    ]
    np.testing.assert_allclose(
        [found.bic_step, found.bic_line, found.bic_constant], expected, rtol=1e-10
    )


# The steps that conf/recipe/ladder.yaml keeps, and the last.
KEPT = np.array([0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 732.0])


def stepping(curve, *, noise=0.02, draws=300):
    """Share of draws of a curve with noise that are called a step, with smooth growth competing."""
    random = np.random.default_rng(20261126)
    found = [
        change_point(
            np.log1p(KEPT), curve + noise * random.normal(size=len(KEPT)), elapsed=np.expm1
        )
        for _ in range(draws)
    ]
    return np.mean([point.best == "step" for point in found])


def cumulative_learning_rate():
    settings = Optimiser(learning_rate=0.002, warmup=60)
    assert settings.final == 0.1
    sums = np.cumsum([0.0, *(rate_at(step, 732, settings) for step in range(732))])
    return sums[KEPT.astype(int)] / sums[-1]


@pytest.mark.parametrize("exponent", [0.5, 0.8, 1, 1.5, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_growth_by_a_power_of_the_step_is_no_step(exponent, sign):
    assert stepping(sign * (KEPT / 732) ** exponent) <= 0.01


@pytest.mark.parametrize("time", [10, 50, 200])
def test_growth_that_saturates_is_no_step(time):
    assert stepping(1 - np.exp(-KEPT / time)) <= 0.01


def test_growth_with_the_learning_rate_is_no_step():
    assert stepping(cumulative_learning_rate()) <= 0.01


@pytest.mark.parametrize("after", range(1, 13))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_told_from_smooth_growth(after, sign):
    assert stepping(sign * 1.0 * (np.arange(15) > after)) >= 0.99
    # Five standard deviations of the noise.
    assert stepping(sign * 0.1 * (np.arange(15) > after)) >= 0.8


def test_smooth_growth_is_the_best_of_a_slow_search():
    x = np.log1p(KEPT)
    y = (KEPT / 732) ** 0.7 + 0.05 * NOISE[:15]
    found = change_point(x, y, elapsed=np.expm1)
    u = KEPT / 732
    best = math.inf
    for shape in (
        *(u**g for g in 2.0 ** np.arange(-4, 4.25, 0.25)),
        *(1 - np.exp(-u / s) for s in 2.0 ** np.arange(-14, 1.5, 0.5)),
    ):
        design = np.column_stack([np.ones(15), shape])
        best = min(best, float(np.linalg.lstsq(design, y, rcond=None)[1][0]))
    np.testing.assert_allclose(found.bic_smooth, 15 * np.log(best / 15) + 3 * np.log(15), rtol=1e-9)
    assert found.best == "smooth"
    # Without it nothing else changes.
    plain = change_point(x, y)
    assert plain.bic_smooth == math.inf
    assert (plain.bic_step, plain.bic_line, plain.location) == (
        found.bic_step,
        found.bic_line,
        found.location,
    )
    for wrong in (lambda t: t - 1, lambda t: 0 * t, lambda t: t[1:]):
        with pytest.raises(ValueError, match="elapsed"):
            change_point(x, y, elapsed=wrong)


def test_steps_do_not_see_order_or_units():
    x = np.arange(20.0)
    y = np.where(x < 7, 0.0, 1.0) + 0.2 * NOISE[:20]
    order = np.random.default_rng(2).permutation(20)
    plain, moved = change_point(x, y), change_point(10 * x[order], 5 - 3 * y[order])
    assert moved.location == 10 * plain.location
    assert moved.best == plain.best
    np.testing.assert_allclose(moved.before, 5 - 3 * plain.before, rtol=1e-12)
    np.testing.assert_allclose(
        moved.bic_step - moved.bic_line, plain.bic_step - plain.bic_line, rtol=1e-9
    )


def test_steps_that_cannot_be_have_a_reason():
    assert change_point(np.arange(4.0), np.arange(4.0)).reason == "few"
    assert change_point(np.ones(9), np.arange(9.0)).reason == "few"
    assert change_point(np.arange(9.0), np.ones(9)).reason == "constant"
    assert change_point(np.full(9, np.nan), np.ones(9)).reason == "few"
    exact = change_point(np.arange(9.0), np.arange(9.0) > 4)
    assert (exact.best, exact.location) == ("step", 4.5)
    gap = change_point([0, 1, 2, np.nan, 4, 5], [0, 0, 0, 9, 1, 1])
    assert (gap.location, gap.n) == (3.0, 5)


LAWS = {
    "constant": lambda x: np.full(len(x), 2.0),
    "logarithmic": lambda x: 0.5 + 1.3 * np.log(x),
    "power": lambda x: 0.2 * x**1.4,
    "saturating": lambda x: 3 * x / (x + 2),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_planted_law_is_chosen_and_its_parameters_found(law):
    x = np.linspace(0.5, 20, 40)
    found = choose_curve(x, LAWS[law](x) + 0.03 * NOISE[:40])
    assert found.best == law
    assert found.weights[law] == max(found.weights.values())
    np.testing.assert_allclose(sum(found.weights.values()), 1, rtol=1e-12)
    planted = {
        "constant": (2.0, np.nan),
        "logarithmic": (0.5, 1.3),
        "power": (0.2, 1.4),
        "saturating": (3.0, 2.0),
    }[law]
    np.testing.assert_allclose(found.parameters[law], planted, rtol=0.05)


def test_fits_are_least_squares_and_aicc_is_its_formula():
    generator = np.random.default_rng(3)
    x = generator.uniform(0.5, 9, size=15)
    y = 1 + np.sqrt(x) + 0.2 * generator.normal(size=15)
    found = choose_curve(x, y)
    shapes = {
        "logarithmic": (lambda x, a, b: a + b * np.log(x), (1.0, 1.0)),
        "power": (lambda x, a, b: a * x**b, (1.0, 1.0)),
        "saturating": (lambda x, a, b: a * x / (x + b), (5.0, 1.0)),
    }
    for law, (shape, start) in shapes.items():
        expected = optimize.curve_fit(shape, x, y, p0=start, maxfev=20000)[0]
        np.testing.assert_allclose(found.parameters[law], expected, rtol=1e-4)
        left = ((y - shape(x, *found.parameters[law])) ** 2).sum()
        aicc = 15 * np.log(left / 15) + 2 * 3 + 2 * 3 * 4 / (15 - 3 - 1)
        np.testing.assert_allclose(found.aicc[law], aicc, rtol=1e-9)
    aicc = 15 * np.log(rss(y, slice(None)) / 15) + 4 + 12 / 12
    np.testing.assert_allclose(found.aicc["constant"], aicc, rtol=1e-9)


def test_the_law_does_not_see_order_or_units():
    x = np.linspace(1, 8, 12)
    y = x**-0.7 + 0.01 * NOISE[:12]
    plain, moved = choose_curve(x, y), choose_curve(1e4 * x[::-1], 50 * y[::-1])
    assert moved.best == plain.best == "power"
    for law, weight in plain.weights.items():
        np.testing.assert_allclose(moved.weights[law], weight, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(
        moved.parameters["power"][1], plain.parameters["power"][1], rtol=1e-5
    )


def test_laws_that_cannot_be_chosen_have_a_reason():
    assert choose_curve([1, 2, 3, 4], [1, 2, 3, 4]).reason == "few"
    assert choose_curve([1, 1, 1, 2, 2, 2], [1, 2, 3, 4, 5, 6]).reason == "few"
    assert choose_curve(np.arange(1.0, 9), np.ones(8)).reason == "constant"
    assert choose_curve(np.arange(1.0, 9), np.arange(1.0, 9) ** 2).best == "power"
    with pytest.raises(ValueError, match="above 0"):
        choose_curve(np.arange(8.0), np.arange(8.0))
    with pytest.raises(ValueError, match="as many"):
        choose_curve([1, 2], [1])


def test_two_kinds_are_found_where_there_are_two():
    generator = np.random.default_rng(4)
    x = np.concatenate([generator.normal(0, 1, 120), generator.normal(6, 0.5, 60)])
    found = two_normals(generator.permutation(x))
    assert found.two
    np.testing.assert_allclose(found.weights, [2 / 3, 1 / 3], atol=0.05)
    np.testing.assert_allclose(found.means, [0, 6], atol=0.3)
    np.testing.assert_allclose(found.sds, [1, 0.5], atol=0.2)
    assert found.separation > 4
    assert not two_normals(NOISE).two


def test_the_mixture_is_a_maximum_of_the_likelihood():
    generator = np.random.default_rng(5)
    x = np.concatenate([generator.normal(0, 1, 60), generator.normal(3, 1.5, 60)])

    def loss(p):
        weight = 1 / (1 + np.exp(-p[0]))
        first = weight * stats.norm.pdf(x, p[1], np.exp(p[2]))
        second = (1 - weight) * stats.norm.pdf(x, p[3], np.exp(p[4]))
        return -np.log(first + second).sum()

    start = [0, 0, 0, 3, 0]
    best = optimize.minimize(loss, start, method="BFGS").fun
    found = two_normals(x)
    np.testing.assert_allclose(found.bic_two, 2 * best + 5 * np.log(120), rtol=1e-5)
    one = stats.norm.logpdf(x, x.mean(), x.std()).sum()
    np.testing.assert_allclose(found.bic_one, 2 * np.log(120) - 2 * one, rtol=1e-10)


def test_mixtures_do_not_see_order_or_units():
    x = np.concatenate([NOISE[:40], NOISE[40:80] + 5])
    plain, moved = two_normals(x), two_normals(2 - 10 * x[::-1])
    np.testing.assert_allclose(moved.means, 2 - 10 * plain.means[::-1], rtol=1e-3)
    np.testing.assert_allclose(
        moved.bic_two - moved.bic_one, plain.bic_two - plain.bic_one, rtol=1e-5
    )


def test_mixtures_that_cannot_be_have_a_reason():
    assert two_normals([np.nan, np.nan]).reason == "undefined"
    assert two_normals(np.arange(7.0)).reason == "few"
    assert two_normals(np.ones(20)).reason == "constant"
    # Equal values do not make a component without width, whose likelihood would be infinite.
    spiked = two_normals(np.concatenate([np.zeros(20), NOISE[:40]]))
    assert np.isfinite(spiked.bic_two)
    assert spiked.sds.min() > 0.04 * np.concatenate([np.zeros(20), NOISE[:40]]).std()


def test_spread_that_grows_from_group_to_group_is_found():
    generator = np.random.default_rng(6)
    groups = np.repeat(np.arange(12), 30)
    growing = levene_trend(generator.normal(size=360) * (1 + 0.2 * groups), groups)
    assert growing.low > 0
    assert growing.levene_p < 1e-4
    # E|x - median| = sd sqrt(2 / pi), so the planted slope is 0.2 sqrt(2 / pi).
    assert growing.low < 0.2 * np.sqrt(2 / np.pi) < growing.high
    assert levene_trend(generator.normal(size=360) * (4 - 0.2 * groups), groups).high < 0
    # Means that grow are no spread.
    still = levene_trend(generator.normal(size=360) + 5 * groups, groups)
    assert still.low < 0 < still.high
    # Spread of one group in the middle is no trend, though spreads differ.
    middle = np.where((groups == 5) | (groups == 6), 6.0, 1.0)
    apart = levene_trend(generator.normal(size=360) * middle, groups)
    assert apart.levene_p < 1e-4 < apart.p


def test_the_trend_is_a_regression_of_distances_to_medians():
    generator = np.random.default_rng(7)
    groups = np.repeat([1, 2, 4, 7], 8)
    x = generator.normal(size=32)
    distance = np.concatenate(
        [np.abs(x[groups == g] - np.median(x[groups == g])) for g in (1, 2, 4, 7)]
    ) / np.sqrt(7 / 8)
    expected = stats.linregress(groups, distance)
    order = generator.permutation(32)
    found = levene_trend(x[order], groups[order])
    np.testing.assert_allclose([found.slope, found.p], [expected.slope, expected.pvalue], rtol=1e-9)
    levene = stats.levene(*[x[groups == g] for g in (1, 2, 4, 7)])
    np.testing.assert_allclose(found.levene_p, levene.pvalue, rtol=1e-10)


def test_trends_that_cannot_be_have_a_reason():
    assert levene_trend([np.nan], [1]).reason == "undefined"
    assert levene_trend(NOISE[:20], np.repeat([0, 1], 10)).reason == "groups"
    assert levene_trend(NOISE[:11], [0] * 5 + [1] * 4 + [2] * 2).reason == "groups"
    assert levene_trend(np.repeat([1.0, 2, 3], 4), np.repeat([0, 1, 2], 4)).reason == "constant"
    with pytest.raises(ValueError, match="group"):
        levene_trend([1.0, 2.0], [0])


def test_the_principal_share_is_the_largest_eigenvalue_of_the_correlations():
    generator = np.random.default_rng(8)
    table = generator.normal(size=(50, 4)) @ generator.normal(size=(4, 4))
    values, vectors = np.linalg.eigh(np.corrcoef(table.T))
    found = principal_share(table)
    np.testing.assert_allclose(found.share, values[-1] / 4, rtol=1e-10)
    np.testing.assert_allclose(np.abs(found.loadings @ vectors[:, -1]), 1, rtol=1e-10)
    moved = principal_share(100 * table[generator.permutation(50)] + 3)
    np.testing.assert_allclose(moved.share, found.share, rtol=1e-10)


def test_one_number_said_three_times_is_one_component():
    x = NOISE[:30]
    found = principal_share(np.column_stack([x, 2 * x, 1 - x]))
    np.testing.assert_allclose(found.share, 1, rtol=1e-12)
    np.testing.assert_allclose(found.loadings, np.array([1, 1, -1]) / np.sqrt(3), rtol=1e-10)
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    np.testing.assert_allclose(principal_share(square).share, 0.5, rtol=1e-12)


def test_columns_that_do_not_vary_and_rows_with_gaps_are_left_out():
    table = np.column_stack([NOISE[:30], np.full(30, 0.1), NOISE[30:60]])
    table[3, 0] = np.nan
    found = principal_share(table)
    kept = principal_share(np.delete(table, 3, axis=0)[:, [0, 2]])
    np.testing.assert_allclose(found.share, kept.share, rtol=1e-12)
    assert found.used.tolist() == [True, False, True]
    assert np.isnan(found.loadings[1])
    assert found.n == 29
    assert principal_share(table[:2]).reason == "few"
    assert principal_share(table[:, 1:]).reason == "constant"
    assert principal_share(np.ones((9, 3))).reason == "constant"
    assert principal_share(np.full((9, 3), np.nan)).reason == "few"
