"""The structureless null: closed form against simulation and against recorded values."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.measures.paper import measure_signals
from attention_wavelets.nulls.bounds import excess_upper_bound, uncertainty_line
from attention_wavelets.nulls.iid import iid_closed_form, iid_curve

GRID = [0.0, 0.25, 1.0, 3.0]


@pytest.fixture(scope="module")
def curve(protocol):
    return iid_curve(96, GRID, protocol, draws=4000, seed=1)


def test_simulation_agrees_with_the_closed_form(curve):
    theory = iid_closed_form(GRID, 96, 128)
    np.testing.assert_allclose(curve["band_low"], theory["band_low"], atol=0.02)
    np.testing.assert_allclose(curve["band_mid"], theory["band_mid"], atol=0.02)
    np.testing.assert_allclose(curve["selectivity"], theory["selectivity"], atol=0.06)


def test_uniform_weights_are_one_end_of_the_curve(curve, protocol):
    values = measure_signals(np.full(96, 1 / 96), protocol).values
    for name in ("selectivity", "spectral_entropy", "band_low"):
        np.testing.assert_allclose(curve[name][0], values[name], rtol=1e-9)
    np.testing.assert_allclose(iid_closed_form(0.0, 92, 128)["selectivity"], 1.84, rtol=1e-12)


def test_closed_form_bands_sum_to_one_and_the_middle_is_twice_the_high():
    theory = iid_closed_form(np.linspace(0, 10, 50), 80, 128)
    total = theory["band_low"] + theory["band_mid"] + theory["band_high"]
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    np.testing.assert_allclose(theory["band_mid"], 2 * theory["band_high"], rtol=1e-12)


def test_simulation_reproduces_recorded_values_of_the_null(protocol):
    # CV^2 from a low-band share of 0.544, 80 tokens: recorded independently as 3.185 and 0.341.
    p, low = 128 / 80, 0.544
    cv2 = (1.5 * p + 1) / 8 * (1 - low) / (p * (0.1875 * low - 0.046875))
    np.testing.assert_allclose(iid_closed_form(cv2, 80, 128)["band_low"], low, rtol=1e-12)
    curve = iid_curve(80, [cv2], protocol, draws=6000, seed=3)
    np.testing.assert_allclose(curve["spectral_entropy"], 3.185, atol=0.03)
    np.testing.assert_allclose(curve["selectivity"], 0.341, atol=0.02)


def test_the_curve_depends_on_the_seed_and_on_nothing_else(protocol):
    first = iid_curve(32, [0.5, 2.0], protocol, draws=50, seed=4)
    again = iid_curve(32, [0.5, 2.0], protocol, draws=50, seed=4)
    longer = iid_curve(32, [0.5, 2.0, 4.0], protocol, draws=50, seed=4)
    other = iid_curve(32, [0.5, 2.0], protocol, draws=50, seed=5)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        np.testing.assert_array_equal(values, longer[name][:2])
    assert (first["selectivity"] != other["selectivity"]).all()


def test_impossible_settings_of_the_null_are_refused(protocol):
    with pytest.raises(ValueError, match="CV"):
        iid_curve(32, [-1.0], protocol, draws=5, seed=0)
    with pytest.raises(ValueError, match="nfft"):
        iid_closed_form(1.0, 96, 64)


def test_bounds_at_their_ends():
    np.testing.assert_allclose(uncertainty_line([0.0, np.log(8)], 8), [np.log(8), 0.0], atol=1e-12)
    assert excess_upper_bound(1) == 0
    assert excess_upper_bound(2) > 0
    # The maximum over a fine grid of its definition, at a length the oracle lacks.
    q = np.linspace(1e-4, 1 - 1e-4, 200001)
    h = -q * np.log(q) - (1 - q) * np.log(1 - q)
    grid = (np.log(q) + h + (1 - q) * np.log(95)).max()
    np.testing.assert_allclose(excess_upper_bound(96), grid, rtol=1e-8)
