"""Attention to both sides is measured by distance where near and far is what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.kernel import fold, kernel_divergence, kernel_width
from attention_wavelets.measures.rigorous import compare_signals, measure_signals
from attention_wavelets.measures.rigorous_layers import measure_bank

LAGS = np.arange(-64, 64)
# Measured by distance; the rest of a kernel that looks back alone is as it was.
FOLDED = ("kernel_", "haar_", "dyadic_")


def kernel(shape, lags=LAGS):
    values = shape(np.abs(lags).astype(float))
    return values / values.sum()


def test_folding_adds_both_sides_and_leaves_one_side_alone():
    folded, distance = fold([[1.0, 2.0, 4.0, 8.0]], [-2, -1, 0, 1])
    np.testing.assert_array_equal(folded, [[4, 10, 1]])
    np.testing.assert_array_equal(distance, [0, 1, 2])
    one, distance = fold([[1.0, 2.0, 4.0]], [0, 1, 2])
    np.testing.assert_array_equal(one, [[1, 2, 4]])
    np.testing.assert_array_equal(distance, [0, 1, 2])
    np.testing.assert_array_equal(fold([[1.0, 2.0, 4.0]], [2, 1, 0])[0], [[4, 2, 1]])


def test_signed_and_causal_kernels_of_one_profile_have_the_same_numbers(rigorous):
    random = np.random.default_rng(0)
    profile = random.dirichlet(np.ones(64) * 0.5, 6)
    # Split at random between past and future; lag -64 is empty.
    part = random.uniform(0, 1, (6, 64))
    part[:, 0] = 0
    signed = np.zeros((6, 128))
    signed[:, 64:] = profile * (1 - part)
    signed[:, 1:64] = (profile * part)[:, :0:-1]
    found = measure_signals(signed, rigorous, LAGS).values
    one_sided = measure_signals(profile, rigorous, np.arange(64)).values
    assert (found["cut_mass"] == 0).all()
    for name in [n for n in found if n.startswith(("kernel_width", "haar_", "dyadic_"))]:
        np.testing.assert_allclose(found[name], one_sided[name], rtol=1e-9, err_msg=name)
    lags = np.arange(64)
    both, causal = (
        measure_bank(x, at, rigorous).values for x, at in ((signed, LAGS), (profile, lags))
    )
    for name in ("bank_scale_low", "bank_scale_octaves", "bank_collapse"):
        np.testing.assert_allclose(both[name], causal[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("tau", [2.0, 8.0])
def test_the_width_of_a_two_sided_exponential_is_about_its_decay_time(rigorous, tau):
    found = measure_signals(kernel(lambda d: np.exp(-d / tau)), rigorous, LAGS).values
    # Distance 0 has one lag, all others two: a third of a token more. By signed lag: twice tau.
    assert tau < found["kernel_width"] < tau + 0.4
    # The near half of 64 tokens has all of it: the halves are no longer past and future.
    assert found["dyadic_entropy_6"] < 0.15
    assert np.isnan(found["dyadic_entropy_7"])


def test_a_law_does_not_mind_the_side():
    random = np.random.default_rng(1)
    even = kernel(lambda d: np.exp(-d / 5))
    back = np.where(LAGS > 0, 2 * even, np.where(LAGS < 0, 0, even))
    back[0] = even[0]
    for law in ("exponential", "power", "uniform"):
        one, other = (float(kernel_divergence(a, LAGS, law)) for a in (even, back))
        assert one == pytest.approx(other, abs=1e-9)
    assert kernel_divergence(back, LAGS, "exponential") == pytest.approx(0, abs=1e-9)
    # Against a search over rates, of a kernel that follows no law.
    any_kernel = random.dirichlet(np.ones(128) * 0.3)
    folded, distance = fold(any_kernel, LAGS)
    number = np.where((distance == 0) | (distance == 64), 1.0, 2.0)
    divergences = []
    for rate in np.linspace(0, 0.2, 4001):
        member = number * np.exp(-rate * distance)
        divergences.append(-entropy(folded) - folded @ np.log(member / member.sum()))
    found = kernel_divergence(any_kernel, LAGS, "exponential")
    assert found == pytest.approx(min(divergences), abs=1e-6)


def test_level_shift_compares_profiles_by_distance(rigorous):
    short = np.arange(-32, 32)
    wide, fixed = (kernel(lambda d: np.exp(-d / 16), lags) for lags in (LAGS, short))
    found = compare_signals(wide, fixed, rigorous, (LAGS, short)).values["scale_level_shift"]
    profiles = [fold(a, at)[0][:-1] for a, at in ((wide, LAGS), (fixed, short))]
    one_sided = compare_signals(*profiles, rigorous, (np.arange(64), np.arange(32))).values
    assert found == pytest.approx(one_sided["scale_level_shift"], rel=1e-9)
    assert found > 0.05


def test_mass_at_the_farthest_distance_is_said_to_be_cut(rigorous):
    row = np.full(128, 1 / 128)
    found = measure_signals(row, rigorous, LAGS)
    assert found.values["cut_mass"] == pytest.approx(1 / 128)
    assert kernel_width(fold(row, LAGS)[0]) == pytest.approx(found.values["kernel_width"])
