"""Answers of signals to known scales, on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.series import (
    apart,
    by_document,
    found_share,
    free_bins,
    mean_known,
    power_shares,
    share_at,
    slope,
    slope_interval,
    two_samples,
)

N = 128
ALL = np.ones(N // 2, dtype=np.bool_)


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
    assert share_at(power_shares(x), period, N, ALL) > -2
    if period > 4:
        assert share_at(power_shares(x), period / 2, N, ALL) < -15


def test_white_noise_has_its_even_share():
    noise = np.random.default_rng(1).standard_normal((4000, N))
    found = 10 ** (share_at(power_shares(noise), 8, N, ALL) / 10)
    assert found.mean() == pytest.approx(3 / 64, rel=0.05)


@pytest.mark.parametrize("period", [1.5, 65])
def test_a_period_that_a_signal_cannot_hold_is_refused(period: float):
    with pytest.raises(ValueError, match="period"):
        share_at(np.ones(64) / 64, period, N, ALL)


def test_free_bins_leave_out_lines_and_their_second_harmonics():
    assert free_bins([], N).tolist() == ALL.tolist()
    # 8 samples: 16 and 32 cycles; three bins each, since the window is 0 two bins from a line.
    assert np.flatnonzero(~free_bins([8], N)).tolist() == [14, 15, 16, 30, 31, 32]
    # Between two bins a line fills four.
    assert np.flatnonzero(~free_bins([N / 8.5], N)).tolist() == [6, 7, 8, 9, 15, 16, 17]
    # Above half a cycle a sample a harmonic comes back: 48 cycles, and 96 - 128.
    assert np.flatnonzero(~free_bins([N / 48], N)).tolist() == [30, 31, 32, 46, 47, 48]
    assert len(free_bins([8], 127)) == 63


@pytest.mark.parametrize("other", [4, 6, N / 28.5, 32])
@pytest.mark.parametrize("level", [1, 10])
def test_another_period_does_not_change_the_share_at_this_one(other: float, level: float):
    random = np.random.default_rng(8)
    noise = random.standard_normal((500, N))
    wave = level * np.sin(2 * np.pi * np.arange(N) / other)
    free = free_bins([9, other], N)
    alone, beside = (share_at(power_shares(x), 9, N, free) for x in (noise, noise + wave))
    assert beside.mean() == pytest.approx(alone.mean(), abs=0.4)
    # It would, if the other's line were counted.
    told = share_at(power_shares(noise + wave), 9, N, ALL).mean()
    assert told < share_at(power_shares(noise), 9, N, ALL).mean() - 1


def test_a_share_is_that_of_the_formula():
    shares = np.arange(1.0, 65) / np.arange(1, 65).sum()
    free = free_bins([8, 4], N)
    kept = [k for k in range(1, 65) if free[k - 1]]
    near = 15 + 16 + 17
    expected = 10 * np.log10(near / (near + sum(kept)))
    assert share_at(shares, 8, N, free) == pytest.approx(expected)
    # The bins at the period count once, free or not.
    assert share_at(shares, 8, N, ALL) == pytest.approx(10 * np.log10(near / (64 * 65 / 2)))


def test_without_a_free_bin_a_share_is_unknown():
    assert np.isnan(share_at(np.ones((2, 64)) / 64, 8, N, ~ALL)).all()


def test_periods_are_apart_by_three_bins():
    assert apart(4, [6], N)
    assert not apart(24, [21], N)
    assert not apart(32, [21], N)
    assert not apart(24, [5, 21], N)
    # Noise has no period, and is no other.
    assert not apart(24, [], N)
    # As many bins of a longer signal tell more.
    assert apart(32, [21], 2 * N)


@pytest.mark.parametrize("period", [6, 9, 14])
def test_a_sinusoid_leaves_periods_that_are_apart_alone(period: float):
    x = np.cos(2 * np.pi * np.arange(N) / period)
    for other in (4, 6, 9, 14, 21, 32):
        if apart(other, [period], N):
            assert share_at(power_shares(x), other, N, ALL) < -20


@pytest.mark.parametrize("bins", [64, 63, 127, 128])
@pytest.mark.parametrize("power", [-1.5, 0.0, 1.0])
def test_slope_of_a_power_law(power: float, bins: int):
    shares = np.arange(1, bins + 1.0) ** power
    assert slope(shares / shares.sum()) == pytest.approx(power, abs=0.03)


def test_slope_of_nothing_or_of_two_octaves_is_unknown():
    assert np.isnan(slope(np.full((2, 64), np.nan))).all()
    assert np.isnan(slope(np.ones((2, 6)))).all()


def test_the_slope_of_white_noise_is_zero_and_its_interval_is_right():
    random = np.random.default_rng(4)
    found = []
    for _ in range(200):
        spectra = power_shares(random.standard_normal((24, N)))
        found.append(slope_interval(spectra, 0.95, 10))
    middle, low, high = np.array(found).T
    assert middle.mean() == pytest.approx(0, abs=0.02)
    assert 0.9 <= np.mean((low < 0) & (high > 0)) <= 0.99


def test_too_few_documents_give_no_limits():
    spectra = power_shares(np.random.default_rng(5).standard_normal((4, N)))
    middle, low, high = slope_interval(spectra, 0.95, 10)
    assert np.isfinite(middle)
    assert np.isnan([low, high]).all()
    assert np.isnan(slope_interval(spectra[:0], 0.95, 10)).all()
    own = np.arange(4.0)
    difference, low, high = two_samples(own, np.arange(20.0), 0.95, 10)
    assert difference == pytest.approx(1.5 - 9.5)
    assert np.isnan([low, high]).all()
    assert np.isnan(two_samples(own[:0], own, 0.95, 2)).all()


def test_welch_interval_is_that_of_the_formula():
    random = np.random.default_rng(2)
    own, others = random.normal(1, 1, 20), random.normal(0, 3, 50)
    mean, low, high = two_samples(np.append(own, np.nan), others, 0.95, 10)
    a, b = own.var(ddof=1) / 20, others.var(ddof=1) / 50
    freedom = (a + b) ** 2 / (a**2 / 19 + b**2 / 49)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(a + b)
    assert mean == pytest.approx(own.mean() - others.mean())
    assert (low, high) == pytest.approx((mean - reach, mean + reach))


def test_a_document_counts_once():
    values = np.array([[1.0, np.nan], [3.0, 4.0], [10.0, 6.0]])
    found = by_document(values, np.array([7, 7, 2]))
    assert found.tolist() == [[10, 6], [2, 4]]
    assert mean_known(np.array([np.nan, 2.0])) == 2
    assert np.isnan(mean_known(np.array([np.nan])))


def test_heads_that_answer_are_found_and_others_hardly():
    random = np.random.default_rng(3)
    own, others = random.standard_normal((20, 100)), random.standard_normal((80, 100))
    response = random.standard_normal((20, 100))
    own[:, :30] += 2
    response[:, :30] += 2
    assert 0.3 <= found_share(own, others, response, 0.05, 10) <= 0.35
    nothing = random.standard_normal((20, 100))
    assert found_share(nothing, others, response, 0.05, 10) <= 0.02


def test_a_head_above_one_of_two_alone_is_not_found():
    random = np.random.default_rng(9)
    own, others = random.standard_normal((20, 100)), random.standard_normal((80, 100))
    response = random.standard_normal((20, 100))
    assert found_share(own + 2, others, response, 0.05, 10) <= 0.05
    assert found_share(own, others, response + 2, 0.05, 10) <= 0.05
    assert found_share(own + 2, others, response + 2, 0.05, 10) == 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_heads_that_cannot_be_tested_are_not_counted():
    random = np.random.default_rng(6)
    own, others = random.standard_normal((20, 4)) + 9, random.standard_normal((30, 4))
    response = random.standard_normal((20, 4)) + 9
    own[:, 1:] = np.nan
    assert found_share(own, others, response, 0.05, 10) == 1
    assert np.isnan(found_share(own[:3], others, response, 0.05, 10))
    assert np.isnan(found_share(own, others, response[:3], 0.05, 10))
    assert np.isnan(found_share(own, np.full_like(others, np.nan), response, 0.05, 10))
    # A head that never varies has no p-value.
    ones = np.ones((20, 2))
    assert np.isnan(found_share(ones, np.ones((30, 2)), response[:, :2], 0.05, 10))
    assert np.isnan(found_share(own[:, :1], others[:, :1], ones[:, :1], 0.05, 10))
