"""Exact tests: enumeration by a plain loop, SciPy's versions, edges."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.exact import kendall, sign_flip, spearman, two_sample

ALTERNATIVES = ("two-sided", "greater", "less")
each_alternative = pytest.mark.parametrize("alternative", ALTERNATIVES)


def share(values, observed, alternative):
    """Share of a list of statistics as extreme as the observed one."""
    extreme = {
        "greater": lambda v: v >= observed - 1e-9,
        "less": lambda v: v <= observed + 1e-9,
        "two-sided": lambda v: abs(v) >= abs(observed) - 1e-9,
    }[alternative]
    return sum(map(extreme, values)) / len(values)


@each_alternative
@pytest.mark.parametrize("values", [[0.2, 1.1, -0.4, 0.9, 0.7], [1, 1, -1, 2, 0], [3.0]])
def test_sign_flip_counts_all_signs(alternative, values):
    means = [np.dot(signs, values) / len(values) for signs in product((1, -1), repeat=len(values))]
    found = sign_flip(values, alternative)
    assert found.p == share(means, np.mean(values), alternative)
    assert (found.n, found.exact, found.reason) == (len(values), True, "")
    np.testing.assert_allclose(found.statistic, np.mean(values), rtol=1e-12)


@each_alternative
def test_sign_flip_agrees_with_scipy(alternative):
    values = np.random.default_rng(0).normal(0.3, 1, size=11)
    expected = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=alternative
    )
    np.testing.assert_allclose(sign_flip(values, alternative).p, expected.pvalue, rtol=1e-12)


def test_signs_that_all_agree_have_the_smallest_p():
    assert sign_flip(np.arange(1.0, 9), "greater").p == 2**-8
    assert sign_flip(np.arange(1.0, 9)).p == 2**-7
    assert sign_flip(np.arange(1.0, 9), "less").p == 1
    assert sign_flip(np.zeros(5)).p == 1
    # The limit itself is enumerated, and equal sums count in spite of rounding.
    at_the_limit = sign_flip(np.full(20, 0.1), "greater")
    assert (at_the_limit.p, at_the_limit.exact) == (2**-20, True)


def test_many_values_get_random_signs_from_the_seed():
    values = np.random.default_rng(1).normal(0.3, 1, size=40)
    found = sign_flip(values, draws=9999, seed=2)
    assert not found.exact
    assert found == sign_flip(values, draws=9999, seed=2)
    assert found.p != sign_flip(values, draws=9999, seed=3).p
    # The t-test's p; 4 standard errors of 9,999 draws, and 0.003 for the tails of t.
    expected = stats.ttest_1samp(values, 0).pvalue
    assert abs(found.p - expected) < 4 * np.sqrt(expected * (1 - expected) / 9999) + 0.003
    # p is never 0.
    assert sign_flip(np.ones(40), "greater", draws=99).p == 1 / 100


@each_alternative
def test_two_samples_count_all_labels(alternative):
    first, second = np.array([1.2, 0.3, 2.2]), np.array([0.1, 0.9, -0.5, 0.3])
    both = np.concatenate([first, second])
    differences = []
    for chosen in combinations(range(7), 3):
        rest = [i for i in range(7) if i not in chosen]
        differences.append(both[list(chosen)].mean() - both[rest].mean())
    observed = first.mean() - second.mean()
    expected = share(differences, observed, alternative)
    if alternative == "two-sided":
        tails = [share(differences, observed, side) for side in ("greater", "less")]
        expected = min(1, 2 * min(tails))
    found = two_sample(first, second, alternative)
    np.testing.assert_allclose(found.p, expected, rtol=1e-12)
    np.testing.assert_allclose(found.statistic, observed, rtol=1e-12)
    assert (found.n, found.exact) == (7, True)


def test_large_samples_get_random_labels_from_the_seed():
    generator = np.random.default_rng(4)
    first, second = generator.normal(0.5, 1, 40), generator.normal(0, 1, 50)
    found = two_sample(first, second, draws=4999, seed=5)
    assert not found.exact
    assert found == two_sample(first, second, draws=4999, seed=5)
    assert found.p != two_sample(first, second, draws=4999, seed=6).p
    expected = stats.ttest_ind(first, second).pvalue
    assert abs(found.p - expected) < 4 * np.sqrt(2 * expected / 4999) + 0.003


@each_alternative
@pytest.mark.parametrize(
    ("test", "coefficient"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)]
)
@pytest.mark.parametrize("ties", [False, True])
def test_correlations_count_all_orders(test, coefficient, alternative, ties):
    x = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0])
    y = np.array([2.0, 7.0, 1.0, 8.0, 2.5, 0.5])
    if ties:
        x[3], y[0] = 1.0, 1.0
    observed = coefficient(x, y).statistic
    values = [coefficient(x, order).statistic for order in permutations(y)]
    found = test(x, y, alternative)
    np.testing.assert_allclose(found.statistic, observed, rtol=1e-12)
    np.testing.assert_allclose(found.p, share(values, observed, alternative), rtol=1e-12)
    assert found.exact


@each_alternative
def test_kendall_without_ties_agrees_with_scipys_exact_method(alternative):
    x, y = np.random.default_rng(7).normal(size=(2, 8))
    expected = stats.kendalltau(x, y, method="exact", alternative=alternative)
    np.testing.assert_allclose(kendall(x, y, alternative).p, expected.pvalue, rtol=1e-10)


@pytest.mark.parametrize("test", [spearman, kendall])
def test_a_perfect_order_of_five_has_one_chance_in_120(test):
    x = np.arange(5.0)
    np.testing.assert_allclose(test(x, x**3, "greater").p, 1 / 120, rtol=1e-12)
    np.testing.assert_allclose(test(x, -x).p, 2 / 120, rtol=1e-12)
    assert test(x, x, "less").p == 1


@pytest.mark.parametrize(
    ("test", "scipys"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)]
)
def test_long_variables_get_scipys_p(test, scipys):
    x, y = np.random.default_rng(8).normal(size=(2, 9))
    found, expected = test(x, y, "less"), scipys(x, y, alternative="less")
    assert (found.statistic, found.p) == (expected.statistic, expected.pvalue)
    assert not found.exact


@pytest.mark.parametrize("test", [spearman, kendall])
def test_correlations_do_not_see_order_or_monotone_changes(test):
    x, y = np.random.default_rng(9).normal(size=(2, 7))
    order = np.random.default_rng(10).permutation(7)
    plain = test(x, y)
    moved = test(np.exp(x[order]), 5 * y[order] - 3)
    np.testing.assert_allclose([moved.p, moved.statistic], [plain.p, plain.statistic], rtol=1e-12)
    np.testing.assert_allclose(test(y, x).p, plain.p, rtol=1e-12)


def test_missing_values_are_left_out():
    nan = np.nan
    assert sign_flip([1, nan, 2, 3]) == sign_flip([1, 2, 3])
    assert two_sample([1, nan, 2], [3, 4, nan]) == two_sample([1, 2], [3, 4])
    assert spearman([1, 2, nan, 4, 3], [2, 1, 5, nan, 4]) == spearman([1, 2, 3], [2, 1, 4])


def test_what_is_undefined_has_a_reason():
    nan = np.nan
    cases = {
        "undefined": [
            sign_flip([nan, nan]),
            two_sample([nan], [1, 2]),
            spearman([nan, 1], [1, nan]),
            kendall([], []),
        ],
        "few": [two_sample([1.0], [2.0]), spearman([1], [2])],
        "constant": [spearman([1, 1, 1], [1, 2, 3]), kendall([1, 2, 3], [0, 0, 0])],
    }
    for reason, results in cases.items():
        for found in results:
            assert found.reason == reason
            assert np.isnan([found.p, found.statistic]).all()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="alternative"):
        sign_flip([1.0, 2.0], "larger")
    with pytest.raises(ValueError, match="pairs"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="dimension"):
        sign_flip([[1.0, 2.0]])
    with pytest.raises(ValueError, match="finite"):
        kendall([1.0, np.inf], [1, 2])
