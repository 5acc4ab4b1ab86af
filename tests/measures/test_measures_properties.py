"""Identities that hold for every signal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attention_wavelets.measures.correlation import (
    position_spectrum_correlation,
    signal_correlation,
)
from attention_wavelets.measures.dilation import lag_sensitivity
from attention_wavelets.measures.entropy import positional_entropy, window_entropy
from attention_wavelets.measures.paper import compare_signals, measure_layers, measure_signals
from attention_wavelets.measures.registry_paper import paper_measures
from attention_wavelets.measures.scaling import ALIGNMENTS, scale_sensitivity
from attention_wavelets.measures.spectrum import (
    NFFT,
    WINDOWS,
    band_shares,
    conjugate_entropy,
    fft_length,
    power_spectrum,
    selectivity,
    window_values,
)
from attention_wavelets.measures.two_sided import participation_ratio
from attention_wavelets.measures.wavelet import decompose, level_energies
from attention_wavelets.nulls.bounds import excess_upper_bound, uncertainty_line

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@st.composite
def signals(draw, least=2, most=130):
    """A row on the simplex: some entries may be exactly zero, one is not."""
    length = draw(st.integers(least, most))
    weight = st.one_of(st.just(0.0), st.floats(1e-6, 1.0))
    values = draw(arrays(np.float64, length, elements=weight))
    values[draw(st.integers(0, length - 1))] += draw(st.floats(1e-3, 1.0))
    return values / values.sum()


common = settings(max_examples=60, deadline=None)


@common
@given(signals())
def test_bands_sum_to_one_and_no_band_is_negative(a):
    power = power_spectrum(a, "none", len(a))
    shares = band_shares(power, [0.25, 0.75], len(a))
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(), 1.0, **CLOSE)


@common
@given(signals(), st.sampled_from(["none", "hann_periodic"]))
def test_the_largest_bin_of_a_non_negative_signal_is_dc(a, window):
    power = power_spectrum(a, window, 1 << (len(a) - 1).bit_length())
    assert power[0] >= power.max() * (1 - 1e-12)


@common
@given(signals())
def test_dc_share_is_the_participation_ratio_over_the_length(a):
    # Two-sided, unwindowed, unpadded: Parseval.
    power = np.abs(np.fft.fft(a)) ** 2
    ratio = 1 / np.square(a).sum()
    np.testing.assert_allclose(power[0] / power.sum(), ratio / len(a), **CLOSE)
    if ratio < 0.99 * len(a):
        # The same function reads any spectrum, two-sided ones too.
        np.testing.assert_allclose(selectivity(power), ratio / (len(a) - ratio), rtol=1e-8)


@common
@given(signals(), st.sampled_from(sorted(WINDOWS)), st.sampled_from(sorted(NFFT)))
def test_selectivity_is_padding_and_concentration_and_nothing_else(a, window, rule):
    # S = 2 / (p N / PR - 1 + P_Nyquist / P_0), p = nfft / N, PR that of the windowed signal.
    values = window_values(window, len(a)) * a
    nfft = fft_length(rule, len(a))
    power = power_spectrum(a, window, nfft)
    assume(values.sum() > 1e-3)
    nyquist = power[-1] if nfft % 2 == 0 else 0.0
    ratio = values.sum() ** 2 / np.square(values).sum()
    below = nfft / ratio - 1 + nyquist / power[0]
    # Where nothing is left beside DC, the quotient is one of rounding errors.
    assume(below > 1e-4)
    np.testing.assert_allclose(selectivity(power), 2 / below, rtol=1e-9)


@common
@given(signals(), signals(), st.floats(0.0, 0.99))
def test_a_row_cut_on_the_left_keeps_its_lags_and_loses_what_was_there(a, before, share):
    longer = np.concatenate([share * before, (1 - share) * a])
    for reference, scaled in ((longer, a), (a, longer)):
        distance, lost = lag_sensitivity(reference, scaled)
        # The root of the rounding of a sum near 1.
        np.testing.assert_allclose(distance**2, 0, atol=1e-14)
        np.testing.assert_allclose(lost, share, **CLOSE)


@common
@given(signals(least=4, most=60), st.integers(1, 30), st.floats(0.0, 0.99))
def test_rows_by_signed_lag_are_compared_over_the_lags_that_both_have(a, more, share):
    # The longer row has lags beyond both ends, as in a model that attends both ways.
    near = np.arange(len(a)) - len(a) // 2
    lags = np.arange(near[0] - more, near[-1] + more + 1)
    longer = np.full(len(lags), share / (2 * more))
    longer[more:-more] = (1 - share) * a
    distance, lost = lag_sensitivity(longer, a, (lags, near))
    np.testing.assert_allclose(distance**2, 0, atol=1e-14)
    np.testing.assert_allclose(lost, share, **CLOSE)
    # Its columns may stand in any order, since lags and not places are compared.
    again, _ = lag_sensitivity(longer[::-1], a[::-1], (lags[::-1], near[::-1]))
    np.testing.assert_allclose(again**2, 0, atol=1e-14)


@common
@given(signals(), st.integers(0, 200), st.randoms(use_true_random=False))
def test_entropy_and_participation_ratio_ignore_order(a, shift, random):
    order = list(range(len(a)))
    random.shuffle(order)
    for measure, low, high in (
        (positional_entropy, 0.0, math.log(len(a))),
        (participation_ratio, 1.0, len(a)),
    ):
        expected = measure(a)
        np.testing.assert_allclose(measure(np.roll(a, shift)), expected, **CLOSE)
        np.testing.assert_allclose(measure(a[order]), expected, **CLOSE)
        assert low - 1e-12 <= expected <= high * (1 + 1e-12)


@common
@given(signals())
def test_excess_lies_between_its_two_bounds(a):
    position, spectrum = positional_entropy(a), conjugate_entropy(a)
    excess = position + spectrum - math.log(len(a))
    assert -1e-10 <= excess <= excess_upper_bound(len(a)) + 1e-10
    assert spectrum >= uncertainty_line(position, len(a)) - 1e-10


@common
@given(signals(), st.integers(0, 200))
def test_conjugate_entropy_ignores_shift_and_reversal(a, shift):
    expected = conjugate_entropy(a)
    np.testing.assert_allclose(conjugate_entropy(np.roll(a, shift)), expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(conjugate_entropy(a[::-1]), expected, rtol=1e-8, atol=1e-9)


@common
@given(signals())
def test_one_sided_entropy_differs_from_two_sided_by_the_folded_bins(a):
    # H_one = H_two - (1 - q_0 - q_Nyquist) ln 2: folding halves the number of equal bins.
    power = np.abs(np.fft.fft(np.sqrt(a))) ** 2
    power /= power.sum()
    ends = power[0] + (power[len(a) // 2] if len(a) % 2 == 0 else 0.0)
    folded = power[: len(a) // 2 + 1].copy()
    folded[1 : (len(a) + 1) // 2] *= 2
    one = -sum(p * math.log(p) for p in folded if p > 0)
    np.testing.assert_allclose(one, conjugate_entropy(a) - (1 - ends) * math.log(2), **CLOSE)


@common
@given(signals(least=16), st.sampled_from([2, 4, 16]))
def test_window_entropy_lies_between_zero_and_ln_w(a, width):
    value = window_entropy(a, width)
    whole = a[: len(a) // width * width]
    assert math.isnan(value) == (whole.sum() == 0)
    assert math.isnan(value) or -1e-12 <= value <= math.log(width) + 1e-12


@common
@given(signals(least=12))
def test_energy_is_kept_in_zero_mode(a):
    energies = level_energies(decompose(a, "db2", "zero"))
    np.testing.assert_allclose(energies.sum(), np.square(a).sum(), rtol=1e-8)


@common
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_energy_is_kept_by_periodised_haar(log_length, seed):
    a = np.random.default_rng(seed).gamma(0.5, size=2**log_length)
    energies = level_energies(decompose(a, "haar", "periodization"))
    np.testing.assert_allclose(energies.sum(), np.square(a).sum(), rtol=1e-10)


@common
@given(signals(least=24), signals(least=24), st.sampled_from(sorted(ALIGNMENTS)))
def test_scale_sensitivity_lies_in_zero_to_two_and_is_zero_for_itself(a, b, rule):
    value = scale_sensitivity(a, b, rule, "haar", "symmetric")
    assert math.isnan(value) or 0 <= value <= 2
    itself = scale_sensitivity(a, a, rule, "haar", "symmetric")
    assert math.isnan(itself) or 0 <= itself < 1e-12


@common
@given(a=signals(least=24, most=100))
def test_every_value_lies_in_the_range_its_measure_states(a, protocol):
    values = measure_signals(a, protocol).merge(compare_signals(a, a[: len(a) // 2], protocol))
    for measure in paper_measures(protocol):
        if measure.name in values.values:
            value, (low, high) = float(values.values[measure.name]), measure.range
            assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9, measure.name


def test_a_batch_equals_a_loop_over_its_signals(rows, protocol):
    batch = measure_signals(rows.reshape(5, 3, 4, 96), protocol)
    pair = compare_signals(rows, rows[:, ::2], protocol)
    for i, (index, row) in enumerate(zip(np.ndindex(5, 3, 4), rows, strict=True)):
        one = measure_signals(row, protocol)
        assert one.values.keys() == batch.values.keys()
        for name, value in one.values.items():
            # The float32 round trip may be filtered in another order.
            rtol = 1e-2 if name == "reconstruction_error" else 1e-12
            np.testing.assert_allclose(batch.values[name][index], value, rtol=rtol, atol=1e-14)
        alone = compare_signals(row, row[::2], protocol)
        np.testing.assert_allclose(
            pair.values["scale_sensitivity"][i],
            alone.values["scale_sensitivity"],
            rtol=1e-12,
            atol=1e-14,
        )


def test_shuffling_the_heads_changes_nothing_but_their_order(rows, protocol):
    order = np.random.default_rng(0).permutation(12)
    heads = rows.reshape(5, 12, 96)
    plain, shuffled = measure_signals(heads, protocol), measure_signals(heads[:, order], protocol)
    for name, value in plain.values.items():
        np.testing.assert_array_equal(value[:, order], shuffled.values[name])
    np.testing.assert_allclose(
        measure_layers(plain.values, protocol).values["position_spectrum_correlation"],
        measure_layers(shuffled.values, protocol).values["position_spectrum_correlation"],
        rtol=1e-10,
    )


@pytest.mark.parametrize("scale", [1e-30, 3.0, 1e30])
def test_the_scale_of_the_input_does_not_matter(rows, protocol, scale):
    plain, scaled = measure_signals(rows, protocol), measure_signals(rows * scale, protocol)
    for name, value in plain.values.items():
        rtol = 0.5 if name == "reconstruction_error" else 1e-9
        np.testing.assert_allclose(scaled.values[name], value, rtol=rtol, atol=1e-14)


def test_float32_input_gives_nearly_the_same_values(rows, protocol):
    double, single = measure_signals(rows, protocol), measure_signals(np.float32(rows), protocol)
    for name, value in double.values.items():
        assert single.values[name].dtype == np.float64
        if name != "reconstruction_error":
            np.testing.assert_allclose(single.values[name], value, rtol=2e-5, atol=1e-7)


def test_correlation_over_heads_equals_numpy():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(2, 4, 6, 9))
    expected = [[np.corrcoef(x[i, j], y[i, j])[0, 1] for j in range(6)] for i in range(4)]
    np.testing.assert_allclose(position_spectrum_correlation(x, y), expected, rtol=1e-10)
    np.testing.assert_allclose(
        position_spectrum_correlation(np.moveaxis(x, -1, 0), np.moveaxis(y, -1, 0), axis=0),
        expected,
        rtol=1e-10,
    )


def test_correlation_between_signals_equals_numpy(rows):
    heads = rows.reshape(5, 12, 96)
    expected = [np.corrcoef(layer) for layer in heads]
    np.testing.assert_allclose(signal_correlation(heads), expected, rtol=1e-10, atol=1e-12)


def test_random_rows_have_a_negative_position_spectrum_correlation(protocol):
    # The known artefact: content-free rows of varying width correlate strongly.
    generator = np.random.default_rng(5)
    shape = np.exp(generator.uniform(-2, 2, size=(50, 9, 1)))
    rows = generator.gamma(np.broadcast_to(shape, (50, 9, 96)))
    r = measure_layers(measure_signals(rows, protocol).values, protocol)
    assert r.values["position_spectrum_correlation"].mean() < -0.7
