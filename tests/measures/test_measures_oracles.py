"""Measures against values computed once by independent code, and against slow loops."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from attention_wavelets.measures.paper import measure_signals
from attention_wavelets.measures.spectrum import conjugate_entropy, fft_length, power_spectrum
from attention_wavelets.measures.wavelet import decompose, depth, level_energies
from attention_wavelets.nulls.bounds import LOCAL_KERNEL_EXCESS, excess_upper_bound

SIGNALS = [
    "uniform_16",
    "delta_first_16",
    "two_point_16",
    "exp_recency_tau4_32",
    "raised_cosine_k8_64",
    "sink_half_exp4_64",
]
SPECTRAL = ("band_low", "band_mid", "band_high", "spectral_entropy", "selectivity")


def check(actual, expected):
    """Expected None means: NaN."""
    wanted = np.nan if expected is None else float(expected)
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", SIGNALS)
def test_spectrum_matches_the_oracle(name, oracles, protocol):
    oracle = oracles["signals"][name]
    a = np.array(oracle["a"])
    expected = oracle["paper_nextpow2"]
    measured = measure_signals(a, protocol)
    for key in SPECTRAL:
        check(measured.values[key], expected[key])
    nfft = fft_length("next_power_of_two", len(a))
    power = power_spectrum(a, "hann_periodic", nfft)
    assert (nfft, power.shape[-1]) == (expected["nfft"], expected["bins"])
    check(power.sum(), expected["psd_total"] or 0.0)
    check(power[0], expected["psd_dc"] or 0.0)


@pytest.mark.parametrize("name", ["uniform_92", "delta_mid_24"])
def test_padding_of_other_lengths_matches_the_oracle(name, oracles, protocol):
    oracle = oracles["extra_signals"][name]
    measured = measure_signals(np.array(oracle["a"]), protocol)
    check(measured.values["positional_entropy"], oracle["positional_entropy"])
    for key in SPECTRAL:
        check(measured.values[key], oracle["paper_nextpow2"][key])


@pytest.mark.parametrize("name", SIGNALS)
def test_entropies_match_the_oracle(name, oracles, protocol):
    oracle = oracles["signals"][name]
    values = measure_signals(np.array(oracle["a"]), protocol).values
    check(values["positional_entropy"], oracle["paper"]["positional_entropy"])
    conjugate = oracle["conjugate"]
    check(values["spectral_entropy_sqrt"], conjugate["spectral_entropy_sqrt_two_sided"])
    for width in (16, 32, 64):
        expected = oracle["paper"].get(f"window_entropy_{width}")
        check(values[f"window_entropy_{width}_nats"], expected)
        share = None if expected is None else expected / math.log(width)
        check(values[f"window_entropy_{width}"], share)


@pytest.mark.parametrize("name", SIGNALS)
def test_wavelet_levels_match_the_oracle(name, oracles, protocol):
    oracle = oracles["signals"][name]
    a, expected = np.array(oracle["a"]), oracle["paper"]
    values = measure_signals(a, protocol).values
    coefficients = decompose(a, "db2", "symmetric")
    assert depth(len(a), "db2") == expected["dwt_level"]
    keys = list(expected["dwt_lengths"])  # A3, D3, D2, D1: coarse to fine
    assert [level.shape[-1] for level in coefficients] == list(expected["dwt_lengths"].values())
    for scale, key in enumerate(keys):
        energy, raw = expected["dwt_energy"][key], expected["wavelet_entropy_raw"][key]
        check(level_energies(coefficients)[scale], energy)
        check(values[f"wavelet_entropy_raw_{scale}"], raw)
        # -sum p ln p with p = s / E equals (-sum s ln s) / E + ln E.
        normalised = raw / energy + math.log(energy) if energy > 0 else None
        check(values[f"wavelet_entropy_{scale}"], normalised)
    for scale in range(len(keys), 6):
        check(values[f"wavelet_entropy_{scale}"], None)
        check(values[f"wavelet_entropy_raw_{scale}"], None)


def _uncertainty_signal(name):
    shape, length = name.rsplit("_N", 1)
    n = np.arange(int(length))
    a = {
        "delta0": n == 0,
        "comb_step4": n % 4 == 0,
        "two_deltas_adj": n < 2,
        "exp_tau4": np.exp(-n[::-1] / 4),
        "triangle": n + 1,
    }[shape].astype(float)
    return a / a.sum()


def test_conjugate_entropy_matches_forty_digits(oracles):
    for name, expected in oracles["uncertainty_40_digits"].items():
        check(conjugate_entropy(_uncertainty_signal(name)), expected["spectral_entropy_sqrt"])


def test_upper_bound_of_the_excess_matches_the_oracle(oracles):
    for length, expected in oracles["excess_upper_bound_U"].items():
        check(excess_upper_bound(int(length)), expected)


def test_a_smooth_local_kernel_has_the_excess_of_the_constant(oracles):
    n = np.arange(512)
    a = np.exp(-np.square(n - 256) / (2 * 8**2))
    a /= a.sum()
    excess = -(a * np.log(a)).sum() + conjugate_entropy(a) - math.log(512)
    np.testing.assert_allclose(excess, LOCAL_KERNEL_EXCESS, rtol=1e-9)
    check(LOCAL_KERNEL_EXCESS, oracles["constants"]["excess_gaussian_limit"])


def _slow_spectrum(a, nfft):
    """Direct DFT, one bin and one position at a time."""
    length = len(a)
    power = []
    for k in range(nfft // 2 + 1):
        total = 0j
        for n, value in enumerate(a):
            window = 0.5 * (1 - math.cos(2 * math.pi * n / length))
            total += window * value * cmath.exp(-2j * math.pi * k * n / nfft)
        power.append(abs(total) ** 2)
    return power


def test_spectral_measures_equal_a_loop_over_positions(rows, protocol):
    for a in rows[::15]:
        power = _slow_spectrum(a, 128)
        total = sum(power)
        low = sum(p for k, p in enumerate(power) if k / 64 < 0.25)
        mid = sum(p for k, p in enumerate(power) if 0.25 <= k / 64 < 0.75)
        values = measure_signals(a, protocol).values
        np.testing.assert_allclose(values["band_low"], low / total, rtol=1e-9)
        np.testing.assert_allclose(values["band_mid"], mid / total, rtol=1e-9)
        np.testing.assert_allclose(
            values["selectivity"], max(power) / (total - max(power)), rtol=1e-9
        )
        expected = -sum(p / total * math.log(p / total) for p in power)
        np.testing.assert_allclose(values["spectral_entropy"], expected, rtol=1e-9)


def _slow_level(signal):
    """One db2 level with half-sample symmetric extension, from the closed form of the taps."""
    root = math.sqrt(3)
    low = [x / (4 * math.sqrt(2)) for x in (1 - root, 3 - root, 3 + root, 1 + root)]
    high = [-low[3], low[2], -low[1], low[0]]
    length = len(signal)

    def extended(index):
        index %= 2 * length
        return signal[index] if index < length else signal[2 * length - 1 - index]

    def filtered(taps):
        return [
            sum(tap * extended(2 * i + 1 - j) for j, tap in enumerate(taps))
            for i in range((length + 3) // 2)
        ]

    return filtered(low), filtered(high)


def test_the_transform_equals_an_explicit_filter_bank(rows):
    for a in rows[::15]:
        coarse, details = list(a), []
        for _ in range(5):
            coarse, fine = _slow_level(coarse)
            details.append(fine)
        expected = [coarse, *details[::-1]]
        for mine, theirs in zip(decompose(a, "db2", "symmetric"), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-13)
