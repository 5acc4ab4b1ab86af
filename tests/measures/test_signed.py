"""Signed kernels whose spectra and sums are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.measures.protocols import LayerSignals, kind_of
from attention_wavelets.measures.registry_layers import signed_measures
from attention_wavelets.measures.signed import measure_signed, signed_kernels, signed_parts

LAGS = np.arange(512)


def exponential(rate):
    kernel = rate ** LAGS.astype(float)
    return kernel / kernel.sum()


def measured(signals, coupling, mass=None):
    """Values of one sequence, by the end of their names."""
    signals, coupling = np.asarray(signals)[None], np.asarray(coupling, dtype=float)[None]
    mass = np.ones(signals.shape[:2]) if mass is None else np.asarray(mass)[None]
    found = measure_signed(signals, mass, coupling, True)
    return {name.removeprefix("signed_"): float(v[0]) for name, v in found.values.items()}


def test_single_heads_are_low_pass_whatever_their_sign():
    found = measured([exponential(0.5), exponential(0.9)], np.diag([2.0, -3.0]))
    assert found == pytest.approx(
        {
            "mean_share": 1,
            "cancellation": 0,
            "own_share": 1,
            "band_pass_share": 0,
            "peak_frequency": 0,
        },
        abs=1e-12,
    )


@pytest.mark.parametrize(("fast", "slow"), [(0.2, 0.8), (0.5, 0.9), (0.6, 0.7)])
def test_two_averages_of_opposite_sign_sum_to_zero_and_pass_a_known_band(fast, slow):
    """|K|^2 is largest where cos w = 1 - (1 - r)(1 - s) / (2 sqrt(r s)), for rates r and s."""
    found = measured([exponential(fast), exponential(slow)], [[1, 1], [-1, -1]])
    assert found["mean_share"] == pytest.approx(0, abs=1e-12)
    assert found["band_pass_share"] == 1
    assert found["own_share"] == pytest.approx(1 / 2)
    cosine = 1 - (1 - fast) * (1 - slow) / (2 * math.sqrt(fast * slow))
    peak = math.acos(cosine) / (2 * math.pi)
    assert found["peak_frequency"] == pytest.approx(peak, abs=1 / len(LAGS) / 8)
    # The kernel changes sign once: of each head, what lies on the other's side is undone.
    kappa = exponential(fast) - exponential(slow)
    assert found["cancellation"] == pytest.approx(1 - np.abs(kappa).sum() / 2)


def test_alternating_lags_are_passed_at_the_highest_frequency():
    even, odd = np.zeros(512), np.zeros(512)
    even[0:8:2], odd[1:8:2] = 1 / 4, 1 / 4
    found = measured([even, odd], [[1, 1], [-1, -1]])
    assert found["peak_frequency"] == 0.5
    assert found["cancellation"] == pytest.approx(0, abs=1e-12)


def test_a_single_lag_answers_every_frequency_alike_and_is_no_band():
    found = measured(np.eye(512)[[3]], [[-2.0]])
    assert (found["band_pass_share"], found["peak_frequency"]) == (0, 0)


def test_a_mean_above_half_of_the_peak_is_no_band():
    """K(0) = 1 - w against K at its peak: for small w the peak is away from 0, but low-pass."""
    shares = []
    for w in (0.2, 0.9):
        mixed = np.stack([exponential(0.5), exponential(0.95)])
        parts = signed_parts(mixed, np.array([[1.0, 1.0], [-w, -w]]))
        assert (parts.peak > 0).all()
        shares.append(parts.band_pass.mean())
    assert shares == [0, 1]


def test_directions_count_by_their_size():
    """One head at 3 and a difference of size `gap`: the difference weighs gap / (gap + 3)."""
    kernels = [exponential(0.5), exponential(0.9)]
    coupling = [[3.0, 1.0], [0.0, -1.0]]
    gap = np.abs(np.subtract(*kernels)).sum()
    found = measured(kernels, coupling)
    assert found["band_pass_share"] == pytest.approx(gap / (gap + 3))
    assert found["mean_share"] == pytest.approx(3 / (gap + 3))
    assert found["own_share"] == pytest.approx(4 / 5)
    assert found["cancellation"] == pytest.approx(1 - (gap + 3) / 5)


def test_a_head_that_attends_elsewhere_adds_less():
    kernels, coupling = [exponential(0.5), exponential(0.9)], [[1, 1], [-1, -1]]
    found = measured(kernels, coupling, mass=[1.0, 0.25])
    kappa = kernels[0] - kernels[1] / 4
    assert found["mean_share"] == pytest.approx(0.75 / np.abs(kappa).sum())
    gone = measured([kernels[0], np.zeros(512)], coupling, mass=[1.0, 0.0])
    assert gone["mean_share"] == pytest.approx(1)
    assert gone["own_share"] == pytest.approx(1 / 2)


def test_signed_kernels_equal_a_loop_over_directions():
    random = np.random.default_rng(0)
    kernels, c = random.random((2, 3, 16)), random.normal(size=(2, 3, 6))
    found = signed_kernels(kernels, c)
    for b, r in np.ndindex(2, 6):
        expected = sum(c[b, h, r] * kernels[b, h] for h in range(3))
        np.testing.assert_allclose(found[b, r], expected)
    with pytest.raises(ValueError, match="do not fit"):
        signed_parts(kernels, c[..., :5])


def test_the_scale_of_weights_and_the_sign_of_directions_change_nothing():
    random = np.random.default_rng(1)
    signals, c = random.dirichlet(np.ones(64), (40, 4)), random.normal(size=(40, 4, 8))
    mass = random.random((40, 4))
    one = measure_signed(signals, mass, c, True)
    other = measure_signed(signals, mass, 1e3 * c * random.choice([-1, 1], (40, 1, 8)), True)
    ranges = {m.name: m.range for m in signed_measures()}
    assert list(one.values) == list(ranges)
    for name, value in one.values.items():
        np.testing.assert_allclose(other.values[name], value, rtol=1e-9)
        low, high = ranges[name]
        assert ((low <= value) & (value <= high)).all()
    # In pieces, as one by one.
    for i in (0, 17, 39):
        single = measure_signed(signals[[i]], mass[[i]], c[[i]], True)
        for name, value in single.values.items():
            np.testing.assert_allclose(one.values[name][i], value[0], rtol=1e-12)


def test_undefined_values_say_why():
    signals, mass = np.stack([exponential(0.5)] * 2)[None], np.ones((1, 2))
    apart = np.eye(2)[None]

    def reason(*arguments):
        return measure_signed(*arguments).reasons()[0].split(":")[0]

    assert reason(signals, mass, None, True) == "weights"
    assert reason(signals, mass, np.full((1, 2, 2), np.nan), True) == "weights"
    assert reason(signals, mass, apart, False) == "axis"
    assert reason(signals * np.nan, mass, apart, True) == "not_finite"
    opposite = np.array([[[1.0, 1.0], [-1.0, -1.0]]])
    cancelled = measure_signed(signals, mass, opposite, True)
    assert cancelled.values["signed_cancellation"] == 1
    assert cancelled.reasons()[0] == (
        "power: signed_mean_share signed_band_pass_share signed_peak_frequency"
    )
    assert "signed_own_share" in measure_signed(signals * 0, mass * 0, apart, True).reasons()[0]


def test_one_lost_sequence_leaves_the_others(rigorous):
    signals = np.random.default_rng(2).dirichlet(np.ones(32), (3, 2))
    coupling = np.tile(np.array([[1.0, 0.5], [-0.5, 1.0]]), (3, 1, 1))
    coupling[1] = np.nan
    layer = LayerSignals(signals, np.arange(32), mass=np.ones((3, 2)), coupling=coupling)
    found = kind_of(rigorous).layer(layer, None, rigorous)
    known = np.isfinite(found.values["signed_mean_share"])
    assert known.tolist() == [True, False, True]
    assert "weights: signed_mean_share" in found.reasons()[1]
