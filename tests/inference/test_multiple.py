"""Families of tests: the definitions by a loop, missing values, invariances."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.inference.multiple import benjamini_hochberg, holm


def rejected_by_bh(p, q):
    """The step-up rule itself: reject the k smallest, k the last with p_(k) <= k q / m."""
    order = np.sort(p)
    passing = [k for k in range(1, len(p) + 1) if order[k - 1] <= k * q / len(p)]
    return p <= order[max(passing) - 1] if passing else np.zeros(len(p), dtype=bool)


def rejected_by_holm(p, a):
    """The step-down rule itself: stop at the first p_(k) > a / (m - k + 1)."""
    rejected = np.zeros(len(p), dtype=bool)
    for k, i in enumerate(np.argsort(p)):
        if p[i] > a / (len(p) - k):
            break
        rejected[i] = True
    return rejected


@pytest.mark.parametrize("level", [0.01, 0.05, 0.2, 0.6])
def test_adjusted_p_values_reject_what_the_rules_reject(level):
    p = np.random.default_rng(0).uniform(size=60) ** 3
    np.testing.assert_array_equal(benjamini_hochberg(p) <= level, rejected_by_bh(p, level))
    np.testing.assert_array_equal(holm(p) <= level, rejected_by_holm(p, level))
    assert rejected_by_bh(p, level).sum() > rejected_by_holm(p, level).sum() > 0 or level == 0.01


def test_worked_numbers():
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02], rtol=1e-12)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    np.testing.assert_allclose(
        benjamini_hochberg(p, "by"), np.array([0.02, 0.04, 0.04, 0.02]) * harmonic, rtol=1e-12
    )
    np.testing.assert_allclose(holm([0.6, 0.9]), [1, 1], rtol=1e-12)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_missing_values_stay_and_are_no_members(adjust):
    p = np.array([[0.01, np.nan, 0.04], [0.03, 0.005, np.nan]])
    adjusted = adjust(p)
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(p))
    np.testing.assert_allclose(adjusted[~np.isnan(p)], adjust(p[~np.isnan(p)]), rtol=1e-12)
    assert np.isnan(adjust(np.full(3, np.nan))).all()
    assert adjust([]).shape == (0,)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_order_does_not_matter_and_adjusting_never_lowers(adjust):
    p = np.random.default_rng(1).uniform(size=30)
    p[3] = p[7]
    order = np.random.default_rng(2).permutation(30)
    np.testing.assert_allclose(adjust(p[order]), adjust(p)[order], rtol=1e-12)
    assert (adjust(p) >= p).all()
    assert adjust(p).max() <= 1
    assert adjust([0.04]) == 0.04


def test_no_probability_is_refused():
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="p-values"):
        benjamini_hochberg([-0.1])
