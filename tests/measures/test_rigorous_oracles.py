"""Measures of protocol `rigorous` against values computed once by independent code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.measures.bank import frame_bounds
from attention_wavelets.measures.dilation import (
    dilation_sensitivity,
    hellinger,
    lag_sensitivity,
    resample,
)
from attention_wavelets.measures.entropy import (
    entropy,
    positional_entropy,
    weighted_window_entropy,
)
from attention_wavelets.measures.two_sided import (
    dc_share,
    octave_shares,
    participation_ratio,
    power_entropy,
    two_sided_power,
)
from attention_wavelets.measures.uncertainty import (
    breitenberger_product,
    excess,
    massar_spindel_slack,
)
from attention_wavelets.measures.wavelet import dyadic_entropies, haar, level_energies, zero_edges

SIGNALS = [
    "uniform_16",
    "delta_first_16",
    "two_point_16",
    "exp_recency_tau4_32",
    "raised_cosine_k8_64",
    "sink_half_exp4_64",
]
SHAPES = {
    "dil_gauss": lambda u, _lag: np.exp(-0.5 * ((u - 0.7) / 0.05) ** 2),
    "fix_exp4": lambda _u, lag: np.exp(-lag / 4),
    "powerlaw": lambda _u, lag: 1 / (lag + 1),
}


def check(actual, expected):
    wanted = np.nan if expected is None else np.asarray(expected, dtype=np.float64)
    np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.fixture(params=SIGNALS)
def signal(request, oracles):
    oracle = oracles["signals"][request.param]
    return np.array(oracle["a"]), oracle["rigorous"]


def test_concentration_and_entropies(signal):
    a, expected = signal
    power = two_sided_power(a)
    check(participation_ratio(a), expected["participation_ratio"])
    check(dc_share(power, len(a)), expected["dc_share_two_sided"])
    check(positional_entropy(a), expected["entropy_a"])
    check(entropy(a**2), expected["entropy_escort2"])
    root = power_entropy(two_sided_power(np.sqrt(a)), len(a))
    check(root, expected["spectral_entropy_sqrt_two_sided"])
    check(power_entropy(power, len(a)), expected["spectral_entropy_amp_two_sided"])


def test_uncertainty(signal):
    a, expected = signal
    found = excess(a)
    check(found.sqrt, expected["excess_sqrt"])
    check(found.amp, expected["excess_amp"])
    check(found.mix, expected["excess_mixed"])
    check(massar_spindel_slack(a), expected["massar_spindel_slack"])
    check(breitenberger_product(a), expected["breitenberger_product"])


def test_octaves(signal):
    a, expected = signal
    shares = expected["octave_share_nondc_two_sided"]
    found = octave_shares(two_sided_power(a), len(a), 4 if shares is None else len(shares) - 1)
    if shares is None:
        assert np.isnan(found).all()
    else:
        # Octaves 1, 2, ... and the rest, in this order.
        check(found, list(shares.values()))


def test_wavelets(signal):
    a, expected = signal
    energies = level_energies(haar(a))
    check(energies[1:], expected["haar_detail_energy_coarse_to_fine"])
    check(energies[0], expected["haar_approx_energy"])
    check(level_energies(zero_edges(a)), expected["db2_zero_mode_energy_A_then_D_coarse_to_fine"])
    increments = dyadic_entropies(a)
    check(increments, expected["dyadic_entropy_increments_fine_to_coarse"])
    check(increments.sum(), expected["entropy_a"])


def test_entropy_within_windows_weighted_by_mass(oracles):
    compared = 0
    for name in SIGNALS:
        oracle = oracles["signals"][name]
        for width in (16, 32, 64):
            expected = oracle["paper"].get(f"window_entropy_{width}_mass_weighted")
            if expected is not None:
                check(weighted_window_entropy(oracle["a"], width), expected)
                compared += 1
    assert compared >= 6


def row(shape, length):
    values = SHAPES[shape]((np.arange(length) + 0.5) / length, length - 1 - np.arange(length))
    return values / values.sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [128, 64])
def test_scale_pairs(shape, length, oracles):
    expected = oracles["scale_pairs"][f"{shape}_256_{length}"]
    longer, shorter = row(shape, 256), row(shape, length)
    check(dilation_sensitivity(longer, shorter), expected["hellinger_dilation"])
    distance, lost = lag_sensitivity(longer, shorter)
    # A distance of 1e-8 is the square root of rounding.
    np.testing.assert_allclose(distance, expected["hellinger_lag"], rtol=1e-9, atol=3e-8)
    check(lost, expected["lag_lost_mass"])
    pairs = {"dilation": resample(longer, length), "lag": longer[-length:]}
    for rule, aligned in pairs.items():
        one, other = (np.concatenate(haar(x / x.sum())[1:]) for x in (aligned, shorter))
        cosine = one @ other / math.sqrt((one @ one) * (other @ other))
        check(1 - cosine, expected[f"S_{rule}_haar"])


@pytest.mark.parametrize("name", ["delta0", "comb_step4", "two_deltas_adj", "exp_tau4", "triangle"])
@pytest.mark.parametrize("length", [16, 32, 64])
def test_excess_of_forty_digits(name, length, oracles):
    n = np.arange(length)
    a = {
        "delta0": (n == 0) * 1.0,
        "comb_step4": (n % 4 == 0) * 1.0,
        "two_deltas_adj": (n < 2) * 1.0,
        "exp_tau4": np.exp(-(length - 1 - n) / 4),
        "triangle": n + 1.0,
    }[name]
    a = a / a.sum()
    expected = oracles["uncertainty_40_digits"][f"{name}_N{length}"]
    found = excess(a)
    for key, value in (("E_sqrt", found.sqrt), ("E_amp", found.amp), ("E_mix", found.mix)):
        np.testing.assert_allclose(value, float(expected[key]), rtol=1e-9, atol=1e-12)


def test_limits_of_wide_kernels(oracles):
    n = np.arange(4096)
    constants = oracles["constants"]
    gauss = np.exp(-((n - 2048.0) ** 2) / (2 * 64.0**2))
    found = excess(gauss / gauss.sum())
    assert found.sqrt == pytest.approx(constants["excess_gaussian_limit"], abs=1e-6)
    assert found.mix == pytest.approx(constants["excess_mixed_gaussian_limit"], abs=1e-6)
    exponential = np.exp(-n / 40.0)
    found = excess(exponential / exponential.sum())
    assert found.sqrt == pytest.approx(constants["excess_exponential_limit"], abs=0.05)


def test_references_of_frame_bounds():
    # A bank of one copying head answers every frequency alike.
    delta = np.zeros((1, 64))
    delta[0, 0] = 1
    assert frame_bounds(delta).octaves == pytest.approx(0)
    # The closed form of one exponential kernel: |K|^2 = (1-r)^2 / (1 - 2 r cos w + r^2).
    r = math.exp(-1 / 2)
    kernel = (1 - r) * r ** np.arange(256)[None]
    expected = math.log2(((1 + r) / (1 - r)) ** 2)
    found = frame_bounds(kernel)
    assert found.octaves == pytest.approx(expected, rel=1e-6)
    assert found.ratio == pytest.approx(((1 + r) / (1 - r)) ** 2, rel=1e-6)
    assert found.ratio == pytest.approx(found.upper / found.lower, rel=1e-12)


def test_hellinger_is_one_for_laws_without_a_common_position():
    assert hellinger([1.0, 0, 0], [0, 0.5, 0.5]) == 1
    assert hellinger([0.5, 0.5, 0], [0.5, 0.5, 0]) == pytest.approx(0, abs=1e-8)
