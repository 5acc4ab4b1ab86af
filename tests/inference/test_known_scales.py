"""Answers of signals to known scales, on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.inference.known_scales import (
    apart,
    found_share,
    power_shares,
    share_at,
    slope,
    two_samples,
)

N = 128


def test_shares_sum_to_one_and_leave_the_level_out():
    random = np.random.default_rng(0)
    signals = random.random((5, 3, N))
    shares = power_shares(signals)
    assert shares.shape == (5, 3, N // 2)
    assert shares.sum(-1) == pytest.approx(1)
    assert power_shares(signals + 7) == pytest.approx(shares)
    assert power_shares(3 * signals) == pytest.approx(shares)


def test_a_constant_and_an_unknown_signal_have_no_shares():
    assert np.isnan(power_shares(np.full(N, 0.3))).all()
    assert np.isnan(power_shares(np.full(N, np.nan))).all()


@pytest.mark.parametrize("period", [2, 4, 9.3, 21, 32])
def test_a_sinusoid_has_its_power_at_its_period(period: float):
    x = np.cos(2 * np.pi * np.arange(N) / period + 0.4)
    assert share_at(power_shares(x), period, N) > -2
    if period > 4:
        assert share_at(power_shares(x), period / 2, N) < -15


def test_white_noise_has_its_even_share():
    noise = np.random.default_rng(1).standard_normal((4000, N))
    found = 10 ** (share_at(power_shares(noise), 8, N) / 10)
    assert found.mean() == pytest.approx(3 / 64, rel=0.05)


@pytest.mark.parametrize("period", [1.5, 65])
def test_a_period_that_a_signal_cannot_hold_is_refused(period: float):
    with pytest.raises(ValueError, match="period"):
        share_at(np.ones(64) / 64, period, N)


def test_periods_are_apart_by_two_bins():
    assert apart(4, [6], N)
    assert not apart(24, [21], N)
    assert not apart(24, [5, 21], N)
    assert apart(24, [], N)


@pytest.mark.parametrize("power", [-1.5, 0.0, 1.0])
def test_slope_of_a_power_law(power: float):
    shares = np.arange(1, 65.0) ** power
    assert slope(shares / shares.sum()) == pytest.approx(power, abs=0.06)


def test_slope_of_nothing_is_unknown():
    assert np.isnan(slope(np.full((2, 64), np.nan))).all()


def test_welch_interval_is_scipys():
    random = np.random.default_rng(2)
    own, others = random.normal(1, 1, 20), random.normal(0, 3, 50)
    mean, low, high = two_samples(np.append(own, np.nan), others, 0.95)
    # By hand: Welch and Satterthwaite.
    a, b = own.var(ddof=1) / 20, others.var(ddof=1) / 50
    assert mean == pytest.approx(own.mean() - others.mean())
    assert (low + high) / 2 == pytest.approx(mean)
    assert 1.9 * np.sqrt(a + b) < (high - low) / 2 < 2.1 * np.sqrt(a + b)
    assert np.isnan(two_samples(own[:1], others, 0.95)).all()


def test_heads_that_answer_are_found_and_others_hardly():
    random = np.random.default_rng(3)
    own, others = random.standard_normal((20, 100)), random.standard_normal((80, 100))
    own[:, :30] += 2
    assert 0.3 <= found_share(own, others, 0.05) <= 0.35
    assert found_share(random.standard_normal((20, 100)), others, 0.05) <= 0.02
    assert 0.3 <= found_share(own, None, 0.05) <= 0.35


def test_heads_without_a_number_are_not_counted():
    own = np.full((5, 4), np.nan)
    assert np.isnan(found_share(own, None, 0.05))
    own[:, 0] = [2, 2.1, 1.9, 2, 2.2]
    assert found_share(own, None, 0.05) == 1
