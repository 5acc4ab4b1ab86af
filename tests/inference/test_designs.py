"""Comparisons of training runs, against closed forms, another library's sums, and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.designs import along, between, paired

SEED = 20261126


def sized(table: np.ndarray, start: np.ndarray | float = 0.0):
    """Arguments of `paired` from (seed, size) changes."""
    after = table + start
    seeds, sizes = np.indices(table.shape)
    before = np.broadcast_to(start, table.shape)
    return before.ravel(), after.ravel(), seeds.ravel(), sizes.ravel()


def test_a_change_is_that_of_the_paired_t_test_over_seeds():
    random = np.random.default_rng(SEED)
    before, change = random.standard_normal((2, 4, 5))
    found = paired(*sized(change, before))
    expected = stats.ttest_rel((before + change).mean(axis=1), before.mean(axis=1))
    low, high = expected.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(change))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.n == 4
    assert found.p == pytest.approx(expected.pvalue)


def test_intervals_of_changes_hold_what_they_say_when_sizes_share_a_seed():
    random = np.random.default_rng(SEED)
    held, alarms, draws = 0, 0, 2000
    for _ in range(draws):
        # Half of the variance is the seed's: correlation 0.5 within it.
        noise = np.sqrt(0.5) * (random.standard_normal((3, 1)) + random.standard_normal((3, 5)))
        found = paired(*sized(noise))
        held += found.low <= 0 <= found.high
        alarms += found.p < 0.05
    error = np.sqrt(0.05 * 0.95 / draws)
    assert held / draws == pytest.approx(0.95, abs=4 * error)
    assert alarms / draws == pytest.approx(0.05, abs=4 * error)


def test_sizes_that_a_seed_lacks_do_not_enter_a_change():
    random = np.random.default_rng(SEED)
    table = random.standard_normal((3, 4)) + 10 * np.arange(4)
    whole = paired(*sized(table[:, [0, 1, 3]]))
    lacking = table.copy()
    lacking[1, 2] = np.nan
    assert paired(*sized(lacking)) == whole
    rows = [np.delete(column, 6) for column in sized(table)]
    assert paired(*rows) == whole
    # A seed without any value is none.
    assert paired(*sized(np.vstack([lacking, np.full(4, np.nan)]))) == whole


def test_changes_that_cannot_be_compared_have_a_reason():
    apart = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert paired(*sized(apart)).reason == "unbalanced"
    assert paired([0, 0, 0], [1, 2, 3], [0, 0, 1], ["a", "a", "a"]).reason == "duplicates"
    assert paired(*sized(np.array([[1.0, 2.0]]))).reason == "few"
    assert paired([], [], [], []).reason == "few"
    # Alike up to rounding: 1.3 - 0.3 is not quite 1.
    alike = paired([0.3, 0.1, 0.7], [1.3, 1.1, 1.7], [0, 1, 2], ["a"] * 3)
    assert (alike.reason, alike.n) == ("constant", 3)
    assert np.isnan([alike.value, alike.low, alike.high, alike.p, alike.size]).all()


def test_a_line_is_that_of_least_squares_from_end_to_end():
    random = np.random.default_rng(SEED)
    x = np.repeat([4.0, 4.5, 5.0, 5.5, 6.0], 3)
    y = 2 * x + random.standard_normal(15)
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 13) * fit.stderr
    found = along(y, x)
    assert found.value == pytest.approx(2 * fit.slope)
    assert found.low == pytest.approx(2 * (fit.slope - half))
    assert found.high == pytest.approx(2 * (fit.slope + half))
    assert found.p == pytest.approx(fit.pvalue)


def blocks(effect: np.ndarray, noise: float, random: np.random.Generator, seeds: int = 3):
    levels = [f"e{i}" for i in range(len(effect))]
    rows = [
        (value + block + noise * random.standard_normal(), level, seed)
        for seed, block in enumerate(random.standard_normal(seeds))
        for value, level in zip(effect, levels, strict=True)
    ]
    return (np.array(column) for column in zip(*rows, strict=True))


def test_levels_are_those_of_a_regression_on_dummies():
    values, levels, seeds = blocks(np.array([0, 1, 3.0]), 0.5, np.random.default_rng(SEED))
    found = between(values, levels, seeds, {"e1": "e0", "e2": "e0"})
    columns = [np.ones(9), *((levels == name) * 1.0 for name in ("e1", "e2"))]
    columns += [(seeds == seed) * 1.0 for seed in (1, 2)]
    design = np.column_stack(columns)
    solution, residual, *_ = np.linalg.lstsq(design, values, rcond=None)
    cut = design[:, [0, 3, 4]]
    without = float(np.linalg.lstsq(cut, values, rcond=None)[1][0])
    whole = float(residual[0])
    f = (without - whole) / 2 / (whole / 4)
    assert found.contrasts["e1"].value == pytest.approx(solution[1])
    assert found.contrasts["e2"].value == pytest.approx(solution[2])
    assert found.p == pytest.approx(stats.f.sf(f, 2, 4))
    assert found.share == pytest.approx((without - whole) / without)
    error = np.sqrt(whole / 4 * np.linalg.inv(design.T @ design)[1, 1])
    half = stats.t.ppf(0.975, 4) * error
    assert found.contrasts["e1"].high - found.contrasts["e1"].value == pytest.approx(half)


def test_intervals_hold_what_they_say_when_seeds_differ_more_than_levels():
    random = np.random.default_rng(SEED)
    held, alarms, runs = 0, 0, 2000
    beside = dict.fromkeys(("e1", "e2", "e3"), "e0")
    for _ in range(runs):
        found = between(*blocks(np.array([0, 0, 0, 0.7]), 0.3, random), beside)
        held += found.contrasts["e3"].low <= 0.7 <= found.contrasts["e3"].high
        alarms += found.contrasts["e1"].p < 0.05
    error = np.sqrt(0.05 * 0.95 / runs)
    assert held / runs == pytest.approx(0.95, abs=4 * error)
    assert alarms / runs == pytest.approx(0.05, abs=4 * error)


def test_a_seed_that_lacks_a_level_is_left_out():
    values, levels, seeds = blocks(np.array([0, 1.0]), 0.1, np.random.default_rng(SEED), seeds=4)
    lacking = values.copy()
    lacking[1] = np.nan
    found = between(lacking, levels, seeds, {"e1": "e0"})
    rest = seeds != 0
    assert (
        found.contrasts["e1"]
        == between(values[rest], levels[rest], seeds[rest], {"e1": "e0"}).contrasts["e1"]
    )


def test_a_level_may_be_compared_with_any_other_and_the_error_stays_that_of_all():
    values, levels, seeds = blocks(np.array([0, 1, 3.0]), 0.5, np.random.default_rng(SEED))
    one = between(values, levels, seeds, {"e1": "e0", "e2": "e0"})
    other = between(values, levels, seeds, {"e1": "e0", "e2": "e1"})
    first, second = one.contrasts["e1"], other.contrasts["e2"]
    assert first == other.contrasts["e1"]
    assert second.value == pytest.approx(one.contrasts["e2"].value - first.value)
    assert second.high - second.low == pytest.approx(first.high - first.low)
    assert between(values, levels, seeds, {"e1": "e7"}).contrasts["e1"].reason == "few"
    assert between(values, levels, seeds, {}).reason == "few"


@pytest.mark.parametrize("reason", ["few", "constant"])
def test_what_cannot_be_compared_is_unknown_with_a_reason(reason):
    values = {"few": [1.0, 2.0], "constant": [1.0] * 6}[reason]
    names = (["a", "b"] * 3)[: len(values)]
    seeds = [0, 0, 1, 1, 2, 2][: len(values)]
    found = between(values, names, seeds, {"b": "a"})
    assert (found.reason, found.contrasts["b"].reason) == (reason, reason)
    assert np.isnan([found.share, found.p, found.contrasts["b"].value]).all()
    assert along([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).reason == "constant"
    # A line without residuals leaves no error to test against.
    assert along([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]).reason == "constant"


def test_two_runs_of_a_level_and_a_block_are_not_compared():
    values = [1, 1.1, 1.2, 9, 9.1, 9.3, 2, 2.1, 2.3]
    names = ["rope"] * 6 + ["none"] * 3
    found = between(values, names, [0, 1, 2] * 3, {"none": "rope"})
    assert (found.reason, found.contrasts["none"].reason) == ("duplicates", "duplicates")
    assert np.isnan([found.share, found.p, found.contrasts["none"].value]).all()
    one = between(values[:3] + values[6:], names[3:], [0, 1, 2] * 2, {"none": "rope"})
    assert one.contrasts["none"].value == pytest.approx(3.1 / 3)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        # Blocks differ, and nothing else.
        ([1, 1, 2, 2], ["rope", "alibi"] * 2),
        # A level is exactly like the reference, and another exactly 1 more.
        ([1, 1, 2, 1, 1, 2], ["rope", "alibi", "none"] * 2),
        ([0.1, 0.2, 0.3, 0.4], ["rope", "alibi"] * 2),
    ],
)
def test_levels_without_an_error_to_test_against_are_unknown(values, names):
    seeds = np.repeat([0, 1], len(names) // 2)
    found = between(values, names, seeds, dict.fromkeys({*names} - {"rope"}, "rope"))
    assert found.reason == "constant"
    for contrast in found.contrasts.values():
        assert contrast.reason == "constant"
        assert np.isnan([contrast.value, contrast.low, contrast.high, contrast.p]).all()
