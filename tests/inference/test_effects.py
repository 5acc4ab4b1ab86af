"""Effect sizes: pairs counted one by one, units, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.effects import (
    effect,
    paired_effect,
    paired_superiority,
    superiority,
)


def test_superiority_counts_pairs_with_ties_half():
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, size=23), generator.integers(0, 6, size=31)
    wins = sum((a > b) + 0.5 * (a == b) for a in x for b in y)
    np.testing.assert_allclose(superiority(x, y), wins / (23 * 31), rtol=1e-12)
    np.testing.assert_allclose(superiority(x, y) + superiority(y, x), 1, rtol=1e-12)
    assert superiority([1, 1], [1, 1, 1]) == 0.5
    assert superiority([2, 3], [0, 1]) == 1


def test_superiority_of_normal_samples_has_a_closed_form():
    generator = np.random.default_rng(1)
    x, y = generator.normal(1, 1, 4000), generator.normal(0, 1, 4000)
    # P(X > Y) = Phi(1 / sqrt 2); 5 standard errors, at most sqrt(p (1 - p) / 4000) each.
    assert abs(superiority(x, y) - stats.norm.cdf(np.sqrt(0.5))) < 5 * np.sqrt(0.19 / 4000)


def test_superiority_does_not_see_order_or_monotone_changes():
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 20))
    moved = superiority(np.exp(x[::-1]), np.exp(generator.permutation(y)))
    np.testing.assert_allclose(moved, superiority(x, y), rtol=1e-12)


def test_pairs_are_compared_with_their_own_null():
    # Each value is just above its own null, and the pairs differ by far more.
    null = np.arange(10.0)
    values = null + 0.1
    assert paired_superiority(values, null) == 1
    assert superiority(values, null) == 0.55
    assert paired_superiority([1, 2, 3, 4], [1, 3, 2, 1]) == (0.5 + 0 + 1 + 1) / 4
    with pytest.raises(ValueError, match="pairs"):
        paired_superiority([1, 2], [1, 2, 3])


def test_differences_are_in_native_units_and_in_spreads_of_the_null():
    values, null = [5.0, 7.0, np.nan], [1.0, 2.0, 3.0]
    found = effect(values, null)
    assert (found.difference, found.null_sd, found.superiority) == (4.0, 4.0, 1.0)
    assert (found.n, found.null_n, found.reason) == (2, 3, "")
    doubled = effect(2 * np.array(values), 2 * np.array(null))
    assert (doubled.difference, doubled.null_sd) == (8.0, 4.0)
    paired = paired_effect(values, null)
    np.testing.assert_allclose(
        [paired.difference, paired.null_sd], [4.5, 4.5 / np.sqrt(0.5)], rtol=1e-12
    )
    assert (paired.n, paired.null_n) == (2, 2)


def test_what_is_undefined_has_a_reason_or_is_nan():
    empty = effect([np.nan], [1.0, 2.0])
    assert empty.reason == "undefined"
    assert np.isnan([empty.difference, empty.null_sd, empty.superiority]).all()
    assert paired_effect([1.0, np.nan], [np.nan, 1.0]).reason == "undefined"
    still = effect([2.0, 3.0], [1.0, 1.0])
    assert (still.difference, still.reason) == (1.5, "")
    assert np.isnan(still.null_sd)
    assert np.isnan(effect([2.0], [1.0]).null_sd)
