"""The law of change with the share kept: closed forms, invariances, what has no law."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from attention_wavelets.inference.decay import FEWEST, scaling_law
from attention_wavelets.measures.dilation import dilation_sensitivity, resample
from attention_wavelets.measures.scaling import scale_sensitivity

KEPT = np.array([0.9, 0.75, 0.5, 0.35, 0.25, 0.125])
HALVINGS = -np.log2(KEPT)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.7])
def test_a_law_is_found_again(exponent: float):
    law = scaling_law(KEPT, 0.04 * HALVINGS**exponent)
    assert_allclose([law.at_half, law.exponent], [0.04, exponent], rtol=1e-12, atol=1e-12)
    assert law.misfit < 1e-12
    assert law.n == len(KEPT)
    assert_allclose(law.at(KEPT), 0.04 * HALVINGS**exponent, rtol=1e-12)


def test_exponent_1_doubles_from_a_half_to_a_quarter():
    half, quarter = scaling_law(KEPT, 0.3 * HALVINGS).at([0.5, 0.25])
    assert_allclose([half, quarter], [0.3, 0.6], rtol=1e-12)


def test_it_is_the_least_squares_line_of_the_logarithms():
    values = np.array([0.01, 0.02, 0.05, 0.06, 0.11, 0.12])
    law = scaling_law(KEPT, values)
    slope, height = np.polyfit(np.log(HALVINGS), np.log(values), 1)
    assert_allclose([law.exponent, law.at_half], [slope, np.exp(height)], rtol=1e-9)
    assert_allclose(law.misfit, np.std(np.log(values / law.at(KEPT))), rtol=1e-9)


def test_another_unit_changes_the_height_alone():
    values = np.array([0.01, 0.02, 0.05, 0.06, 0.11, 0.12])
    one, other = scaling_law(KEPT, values), scaling_law(KEPT, 7 * values)
    assert_allclose(
        [other.at_half, other.exponent, other.misfit],
        [7 * one.at_half, one.exponent, one.misfit],
        rtol=1e-12,
    )


def test_what_has_no_logarithm_is_left_out():
    values = 0.04 * HALVINGS
    gaps = np.concatenate([values, [0.0, -0.1, np.nan, np.inf]])
    law = scaling_law(np.concatenate([KEPT, [0.6, 0.4, 0.3, 0.2]]), gaps)
    assert_allclose([law.at_half, law.exponent], [0.04, 1.0], rtol=1e-12)
    assert law.n == len(KEPT)


@pytest.mark.parametrize(
    ("kept", "values"), [([0.5, 0.25], [0.1, 0.2]), ([0.5] * 4, [0.1] * 4), ([], [])]
)
def test_few_shares_have_no_law(kept: list[float], values: list[float]):
    law = scaling_law(kept, values)
    assert np.isnan([law.at_half, law.exponent, law.misfit]).all()
    assert law.n == len(kept)
    assert len(set(kept)) < FEWEST


def test_wrong_calls_are_refused():
    for kept in ([0.5, 1.0, 0.2], [0.0, 0.5, 0.2], [np.nan, 0.5, 0.2]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            scaling_law(kept, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="one length"):
        scaling_law(KEPT, [0.1])


def test_inputs_are_left_alone():
    kept, values = KEPT.copy(), 0.1 * HALVINGS
    values[0] = 0.0
    before = values.copy()
    kept.flags.writeable = values.flags.writeable = False
    scaling_law(kept, values)
    np.testing.assert_array_equal(values, before)


def test_the_papers_sensitivity_jumps_between_shares_where_signals_only_stretch():
    """Its coefficients stand at like places only where the length was halved."""
    signals = resample(np.random.default_rng(0).dirichlet(np.full(16, 0.5), 200), 256)
    of = {kept: resample(signals, int(256 * kept)) for kept in (0.75, 0.5, 0.35)}
    found = {
        kept: scale_sensitivity(signals, shorter, "zero_padded_concat", "db2", "symmetric").mean()
        for kept, shorter in of.items()
    }
    assert found[0.75] > 5 * found[0.5]
    assert found[0.35] > 5 * found[0.5]
    for shorter in of.values():
        assert dilation_sensitivity(signals, shorter).max() < 1e-6
