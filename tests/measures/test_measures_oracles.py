"""Measures against values computed once by independent code, and against slow loops."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from attention_wavelets.measures.paper import measure_signals
from attention_wavelets.measures.spectrum import conjugate_entropy
from attention_wavelets.measures.wavelet import decompose
from attention_wavelets.nulls.bounds import LOCAL_KERNEL_EXCESS

SIGNALS = [
    "uniform_16",
    "delta_first_16",
    "two_point_16",
    "exp_recency_tau4_32",
    "raised_cosine_k8_64",
    "sink_half_exp4_64",
]


def check(actual, expected):
    """Expected None means: NaN."""
    wanted = np.nan if expected is None else float(expected)
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", SIGNALS)
def test_entropies_are_divided_by_what_the_formula_says(name, oracles, protocol):
    oracle = oracles["signals"][name]
    values, expected = measure_signals(np.array(oracle["a"]), protocol).values, oracle["paper"]
    for width in (16, 32, 64):
        nats = expected.get(f"window_entropy_{width}")
        share = None if nats is None else nats / math.log(width)
        check(values[f"window_entropy_{width}_nats"], nats)
        check(values[f"window_entropy_{width}"], share)
    levels = list(expected["dwt_energy"].values())  # A3, D3, D2, D1: coarse to fine
    raws = expected["wavelet_entropy_raw"].values()
    for scale, (energy, raw) in enumerate(zip(levels, raws, strict=True)):
        # -sum p ln p with p = s / E equals (-sum s ln s) / E + ln E.
        normalised = raw / energy + math.log(energy) if energy > 0 else None
        check(values[f"wavelet_entropy_{scale}"], normalised)
    for scale in range(len(levels), 6):
        check(values[f"wavelet_entropy_{scale}"], None)
        check(values[f"wavelet_entropy_raw_{scale}"], None)


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
