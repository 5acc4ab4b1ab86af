"""The settings that a sweep varies: what happens to the mean, padding, alignment."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import periodogram

from attention_wavelets.measures.scaling import ALIGNMENTS, scale_sensitivity
from attention_wavelets.measures.spectrum import (
    DC,
    NFFT,
    WINDOWS,
    fft_length,
    has_power,
    power_spectrum,
    spectral_entropy,
)

ROWS = np.random.default_rng(7).dirichlet(np.full(48, 0.4), 20)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("rule", NFFT)
def test_without_its_mean_the_spectrum_is_that_of_the_centred_signal(window: str, rule: str):
    nfft = fft_length(rule, 48)
    name = {"hann_periodic": "hann", "none": "boxcar"}[window]
    _, expected = periodogram(
        ROWS, window=name, nfft=nfft, detrend="constant", scaling="density", axis=-1
    )
    ours = power_spectrum(ROWS, window, nfft, "subtract_mean")
    # scipy doubles all bins but the first and, for an even number of points, the last.
    expected[:, [0, -1]] *= 2
    np.testing.assert_allclose(
        ours / ours.sum(-1, keepdims=True), expected / expected.sum(-1, keepdims=True), atol=1e-14
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_the_first_bin_alone_is_dropped(window: str):
    kept, dropped = (power_spectrum(ROWS, window, 64, dc) for dc in ("keep", "drop_bin"))
    assert (dropped[:, 0] == 0).all()
    np.testing.assert_array_equal(dropped[:, 1:], kept[:, 1:])


@pytest.mark.parametrize("dc", DC[1:])
def test_a_uniform_signal_without_its_mean_has_no_power(dc: str):
    # Any window but none leaves the window's own lobe beside bin 0 if only the bin is dropped.
    uniform = np.full((3, 92), 1 / 92)
    power = power_spectrum(uniform, "none", 92, dc)
    assert not has_power(power).any()
    assert np.isnan(spectral_entropy(power)).all()
    centred = power_spectrum(uniform, "hann_periodic", 128, "subtract_mean")
    assert not has_power(centred).any()


@pytest.mark.parametrize(("rule", "points"), [("twice_length", 96), ("four_times_length", 192)])
def test_padding_to_multiples_of_the_length(rule: str, points: int):
    assert fft_length(rule, 48) == points
    # For a Hann-windowed flat row selectivity is 1 / (0.75 p - 0.5), p the padding factor.
    power = power_spectrum(np.full(48, 1 / 48), "hann_periodic", points)
    ratio = power[0] / power[1:].sum()
    assert ratio == pytest.approx(1 / (0.75 * points / 48 - 0.5), rel=1e-9)


@pytest.mark.parametrize("rule", ALIGNMENTS)
@pytest.mark.parametrize("mode", ["symmetric", "zero", "periodization"])
def test_a_signal_is_aligned_with_itself(rule: str, mode: str):
    np.testing.assert_allclose(scale_sensitivity(ROWS, ROWS, rule, "db2", mode), 0, atol=1e-12)


def test_a_stretched_signal_is_the_same_once_resampled():
    shape = np.random.default_rng(1).dirichlet(np.ones(32), 5)
    stretched = np.repeat(shape, 2, axis=-1) / 2
    same = scale_sensitivity(stretched, shape, "resampled", "db2", "symmetric")
    np.testing.assert_allclose(same, 0, atol=1e-12)
    assert (scale_sensitivity(stretched, shape, "same_lags", "db2", "symmetric") > 0.1).all()


def test_a_stretched_signal_moves_one_haar_level():
    shape = np.random.default_rng(1).dirichlet(np.ones(32), 5)
    stretched = np.repeat(shape, 2, axis=-1) / 2
    moved = scale_sensitivity(stretched, shape, "level_shift", "haar", "periodization")
    np.testing.assert_allclose(moved, 0, atol=1e-12)


@pytest.mark.parametrize("by_lag", [False, True])
def test_a_kernel_of_fixed_width_is_the_same_at_the_same_lags(by_lag: bool):
    kernel = 0.8 ** np.arange(64)
    short = kernel[:32]
    lags = (np.arange(64), np.arange(32)) if by_lag else None
    pair = (kernel, short) if by_lag else (kernel[::-1], short[::-1])
    same = scale_sensitivity(*pair, "same_lags", "db2", "zero", lags)
    assert same == pytest.approx(0, abs=1e-12)
    assert scale_sensitivity(*pair, "resampled", "db2", "zero") > 0.02


def test_parseval_makes_a_full_transform_the_cosine_of_the_signals():
    other = np.random.default_rng(8).dirichlet(np.full(48, 0.4), 20)
    cosine = (ROWS * other).sum(-1) / np.sqrt((ROWS**2).sum(-1) * (other**2).sum(-1))
    measured = scale_sensitivity(ROWS, other, "same_lags", "haar", "zero")
    np.testing.assert_allclose(measured, 1 - cosine, atol=1e-12)
    assert math.isfinite(measured.sum())
