"""Undefined values have a reason, inputs stay as they are, bad arrays are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.correlation import (
    position_spectrum_correlation,
    signal_correlation,
)
from attention_wavelets.measures.entropy import entropy, positional_entropy, window_entropy
from attention_wavelets.measures.locality import covers, local_global_ratio
from attention_wavelets.measures.measured import REASONS, Draft, Measured, in_chunks
from attention_wavelets.measures.paper import (
    compare_signals,
    measure_layers,
    measure_locality,
    measure_signals,
)
from attention_wavelets.measures.scaling import ALIGNMENTS, alignment, scale_sensitivity
from attention_wavelets.measures.spectrum import (
    conjugate_entropy,
    fft_length,
    power_spectrum,
    selectivity,
    window_values,
)
from attention_wavelets.measures.wavelet import decompose, reconstruction_error

SPECTRAL = ["spectral_entropy", "selectivity", "band_low", "band_mid", "band_high"]


def parsed(text):
    """'a: x y; b: z' -> {'a': ['x', 'y'], 'b': ['z']}."""
    return {
        part.split(": ")[0]: part.split(": ")[1].split() for part in str(text).split("; ") if part
    }


def assert_nan_exactly_where_explained(result):
    reasons = result.reasons()
    for index in np.ndindex(result.shape):
        named = sorted(name for names in parsed(reasons[index]).values() for name in names)
        undefined = sorted(name for name, v in result.values.items() if math.isnan(v[index]))
        assert named == undefined


def test_a_pure_sink_has_no_spectrum_under_a_hann_window(protocol):
    sink = np.zeros(96)
    sink[0] = 1.0
    result = measure_signals(sink, protocol)
    assert parsed(result.reasons()[()]) == {"power": SPECTRAL}
    assert result.values["positional_entropy"] == 0
    np.testing.assert_allclose(result.values["spectral_entropy_sqrt"], math.log(96), rtol=1e-12)


def test_a_point_elsewhere_has_a_flat_spectrum(protocol):
    point = np.zeros(96)
    point[48] = 1.0
    values = measure_signals(point, protocol).values
    np.testing.assert_allclose(values["spectral_entropy"], math.log(65), rtol=1e-12)
    np.testing.assert_allclose(values["selectivity"], 1 / 64, rtol=1e-12)
    # Mass in one block of six: the five others are left out, not counted as zeros.
    assert values["window_entropy_16"] == 0
    assert not np.signbit(values["positional_entropy"])


def test_mass_beyond_the_last_whole_block_gives_no_window_entropy(protocol):
    late = np.zeros(96)
    late[70:] = 1.0
    result = measure_signals(late, protocol)
    assert parsed(result.reasons()[()]) == {"mass": ["window_entropy_64", "window_entropy_64_nats"]}


def test_a_uniform_signal_has_no_entropy_of_details_that_are_rounding(protocol):
    result = measure_signals(np.full(96, 1 / 96), protocol)
    assert parsed(result.reasons()[()]) == {"power": [f"wavelet_entropy_{j}" for j in range(1, 6)]}
    assert result.values["wavelet_entropy_0"] > 0


def test_bad_rows_are_undefined_throughout_and_leave_the_others_alone(rows, protocol):
    batch = np.array(rows[:6])
    batch[1] = 0
    batch[2, 5] = np.nan
    batch[3, 5] = -0.1
    batch[4, 5] = np.inf
    result = measure_signals(batch, protocol)
    every = list(result.values)
    reasons = result.reasons()
    assert parsed(reasons[1]) == {"mass": every}
    assert parsed(reasons[2]) == {"not_finite": every}
    assert parsed(reasons[3]) == {"negative": every}
    assert parsed(reasons[4]) == {"not_finite": every}
    clean = measure_signals(rows[[0, 5]], protocol)
    for name, value in clean.values.items():
        np.testing.assert_array_equal(result.values[name][[0, 5]], value)
    assert_nan_exactly_where_explained(result)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 12, 24, 48, 95, 96, 100])
def test_every_length_is_measured_as_far_as_it_goes(length, protocol):
    a = np.random.default_rng(length).gamma(1.0, size=(7, length))
    result = measure_signals(a, protocol)
    assert_nan_exactly_where_explained(result)
    short = {name for names in map(parsed, result.reasons()) for name in names.get("length", [])}
    levels = int(math.log2(length / 3)) if length >= 6 else 0
    for scale in range(6):
        assert (f"wavelet_entropy_{scale}" in short) == (scale > levels or not levels)
    assert ("reconstruction_error" in short) == (levels == 0)
    for width in (16, 32, 64):
        assert (f"window_entropy_{width}" in short) == (length < width)
    if length > 2:
        assert not np.isnan(result.values["selectivity"]).any()


def test_comparing_with_a_signal_too_short_for_the_wavelet_is_undefined(rows, protocol):
    result = compare_signals(rows, rows[:, :5], protocol)
    # Of the wavelets only Haar fits into five positions.
    names = ["scale_sensitivity", "scale_correlation"]
    names += [f"scale_aligned_{family}" for family in ("db2", "db4", "sym4", "coif1")]
    assert set(result.reasons()) == {f"length: {' '.join(names)}"}


def test_a_comparison_is_undefined_where_either_signal_is_bad(rows, protocol):
    first, second = np.array(rows[:3]), np.array(rows[:3, ::2])
    first[0], second[1] = 0, np.nan
    reasons = compare_signals(first, second, protocol).reasons()
    assert [list(parsed(text)) for text in reasons] == [["mass"], ["not_finite"], []]


def test_one_shared_level_of_energies_is_undefined_not_perfect(rows, protocol):
    settings = protocol.model_dump()
    settings["scale"]["alignment"] = "energies_coarse"
    result = compare_signals(rows, rows[:, :8], PaperProtocol(**settings))
    # Eight positions hold one level of Haar and of db2, which is enough without energies.
    names = ["scale_sensitivity", "scale_correlation"]
    names += [f"scale_aligned_{family}" for family in ("db4", "sym4", "coif1")]
    assert set(result.reasons()) == {f"length: {' '.join(names)}"}


def test_alignment_rules_pad_and_cut_as_their_names_say():
    a, b = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[2.0, 1.0]])
    x, y = np.concatenate(decompose(a, "haar", "zero"), -1), decompose(b, "haar", "zero")
    y = np.concatenate(y, -1)

    def expected(u, v):
        return 1 - (u @ v) / np.sqrt((u @ u) * (v @ v))

    padded = scale_sensitivity(a, b, "zero_padded_concat", "haar", "zero")
    np.testing.assert_allclose(padded, expected(x[0], np.append(y[0], [0, 0])), rtol=1e-12)
    cut = scale_sensitivity(a, b, "truncated_concat", "haar", "zero")
    np.testing.assert_allclose(cut, expected(x[0, :2], y[0]), rtol=1e-12)


def test_energy_rules_count_levels_from_the_end_they_are_named_after():
    generator = np.random.default_rng(1)
    a, b = generator.gamma(1.0, size=16), generator.gamma(1.0, size=8)
    first = [np.square(level).sum() for level in decompose(a, "haar", "zero")[1:]]
    second = [np.square(level).sum() for level in decompose(b, "haar", "zero")[1:]]
    for rule, left in (("energies_coarse", first[:3]), ("energies_fine", first[1:])):
        u, v = np.array(left), np.array(second)
        expected = 1 - (u @ v) / np.sqrt((u @ u) * (v @ v))
        value = scale_sensitivity(a, b, rule, "haar", "zero")
        np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_published_anchors_of_the_concatenation_rules():
    # 256 -> 128 positions, db2 symmetric: a dilated Gaussian, a fixed exponential, a fixed bump.
    def shapes(length):
        u, lag = (np.arange(length) + 0.5) / length, np.arange(length)[::-1]
        return np.stack(
            [
                np.exp(-np.square((u - 0.7) / 0.05) / 2),
                np.exp(-lag / 4),
                np.exp(-np.square((lag - 20) / 3) / 2),
            ]
        )

    value = scale_sensitivity(shapes(256), shapes(128), "zero_padded_concat", "db2", "symmetric")
    np.testing.assert_allclose(value, [0.005, 0.044, 1.046], atol=6e-4)


def test_unknown_names_are_refused_with_the_nearest_spelling():
    with pytest.raises(PipelineError, match="did you mean 'truncated_concat'"):
        alignment("truncated_concatt")
    with pytest.raises(PipelineError, match=r"unknown window 'hamming'; .*hann_periodic"):
        window_values("hamming", 8)
    with pytest.raises(PipelineError, match="unknown nfft rule"):
        fft_length("next", 8)
    assert set(ALIGNMENTS) == {rule.name for rule in ALIGNMENTS.values()}


def test_arrays_without_positions_or_real_numbers_are_refused(protocol):
    for wrong in (np.float64(1), np.empty((3, 0)), np.ones(3, dtype=complex), np.array(["a"])):
        with pytest.raises(PipelineError, match="signals: "):
            measure_signals(wrong, protocol)
    with pytest.raises(ValueError, match="agree but for the last axis"):
        compare_signals(np.ones((2, 8)), np.ones((3, 8)), protocol)


def test_an_empty_batch_keeps_its_shape_and_columns(protocol, rows):
    result = measure_signals(np.empty((0, 4, 96)), protocol)
    assert result.shape == (0, 4)
    assert result.values.keys() == measure_signals(rows, protocol).values.keys()
    assert result.reasons().shape == (0, 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.bool_])
def test_any_real_type_is_measured_in_float64(dtype, protocol):
    a = np.arange(96).astype(dtype)
    values = measure_signals(a, protocol).values
    exact = measure_signals(a.astype(np.float64), protocol).values
    for name, value in values.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, exact[name])


def test_inputs_may_be_read_only_and_are_never_changed(protocol):
    generator = np.random.default_rng(2)
    a, b = generator.gamma(1.0, size=(3, 5, 96)), generator.gamma(1.0, size=(3, 5, 48))
    mass = np.ones((3, 5))
    a[0, 0], b[1, 1] = 0, np.nan
    lags = np.arange(96)
    inputs = (a, b, mass, lags)
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    measure_signals(a, protocol).reasons()
    compare_signals(a, b, protocol)
    measure_locality(a, mass, lags, protocol)
    measure_layers({"positional_entropy": a, "spectral_entropy": a}, protocol)
    for function in (entropy, positional_entropy, conjugate_entropy, signal_correlation):
        function(a)
    window_entropy(a, 16)
    power = power_spectrum(a, "hann_periodic", 128)
    power.flags.writeable = False
    selectivity(power)
    for array in (a, a[2, 3]):
        decompose(array, "db2", "symmetric")
        reconstruction_error(array, "db2", "symmetric")
        scale_sensitivity(array, array, "energies_fine", "db2", "symmetric")
    position_spectrum_correlation(a, a)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_chunks_of_any_size_give_the_same_measures(rows, protocol):
    batch = np.array(rows)
    batch[7] = 0
    batch[31, 0] = np.nan
    whole = measure_signals(batch, protocol)

    def one_by_one(part):
        return measure_signals(part, protocol)

    for size in (1, 7, 60, 1000):
        parts = in_chunks(one_by_one, batch, size=size)
        np.testing.assert_array_equal(parts.reasons(), whole.reasons())
        np.testing.assert_allclose(
            parts.values["selectivity"], whole.values["selectivity"], rtol=1e-12
        )


def test_measured_refuses_a_nan_without_a_reason_and_a_name_given_twice(rows, protocol):
    with pytest.raises(ValueError, match="NaN exactly where it has a reason"):
        Measured({"x": np.array([np.nan, 1.0])}, {})
    with pytest.raises(ValueError, match="one shape"):
        Measured({"x": np.ones(2), "y": np.ones(3)}, {})
    one = measure_signals(rows, protocol)
    with pytest.raises(ValueError, match="given twice: band_high"):
        one.merge(one)
    draft = Draft(2)
    draft.put("x", np.ones(2))
    with pytest.raises(ValueError, match="given twice"):
        draft.put("x", np.ones(2))


def test_merging_keeps_values_and_reasons_of_both(rows, protocol):
    first = measure_signals(rows[:, :48], protocol)
    second = compare_signals(rows, rows[:, :5], protocol)
    both = first.merge(second)
    assert list(both.values) == [*first.values, *second.values]
    reasons = parsed(both.reasons()[0])
    added = ["scale_sensitivity", "scale_correlation"]
    added += [f"scale_aligned_{family}" for family in ("db2", "db4", "sym4", "coif1")]
    assert reasons["length"][-6:] == added
    assert "wavelet_entropy_5" in reasons["length"]
    assert set(reasons) <= set(REASONS)


def test_ratio_of_a_known_histogram():
    lags = np.arange(4)
    signal = np.array([0.4, 0.3, 0.2, 0.1])
    # The histogram covers 0.8 of the attention; lags 0 and 1 hold 0.7 of that.
    value = local_global_ratio(signal, 0.8, lags, 1)
    np.testing.assert_allclose(value, 0.56 / 0.44, rtol=1e-12)
    both_sides = local_global_ratio(signal, 0.8, np.arange(-2, 2), 1)
    np.testing.assert_allclose(both_sides, 0.48 / 0.52, rtol=1e-12)


@pytest.mark.parametrize(
    ("lags", "covered"),
    [(np.arange(12), [4, 8]), (np.arange(-12, 12), [4, 8]), (np.arange(-8, 8), [4])],
)
def test_a_distance_beyond_the_lags_is_undefined(lags, covered, protocol):
    signal = np.ones((2, len(lags)))
    result = measure_locality(signal, np.full(2, 0.9), lags, protocol)
    for distance in (4, 8, 16):
        missing = np.isnan(result.values[f"local_global_ratio_{distance}"])
        assert (~missing).all() if distance in covered else missing.all()
    headline = "local_global_ratio local_global_ratio_8 " if 8 not in covered else ""
    assert result.reasons()[0].startswith("length: ")
    assert headline in result.reasons()[0] or not headline
    np.testing.assert_array_equal(
        result.values["local_global_ratio"], result.values["local_global_ratio_8"]
    )


def test_a_ratio_without_attention_beyond_the_distance_is_undefined(protocol):
    signal = np.zeros((4, 32))
    signal[:, 0] = 1.0
    mass = np.array([1.0, 1 - 1e-7, 0.5, np.nan])
    result = measure_locality(signal, mass, np.arange(32), protocol)
    kinds = [list(parsed(text)) for text in result.reasons()]
    assert kinds == [["rest"], ["rest"], [], ["not_finite"]]
    np.testing.assert_allclose(result.values["local_global_ratio"][2], 1.0, rtol=1e-12)


def test_correlation_over_heads_needs_three_heads_that_vary(protocol):
    x = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, np.nan, 3.0, np.nan], [2.0, 2.0, 2.0, 2.0]])
    y = np.array([[2.0, 1.0, 0.0, -1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    heads = {"positional_entropy": x, "spectral_entropy": y}
    result = measure_layers(heads, protocol)
    name = "position_spectrum_correlation"
    np.testing.assert_allclose(result.values[name], [-1.0, np.nan, np.nan], rtol=1e-12)
    assert result.reasons().tolist() == ["", f"heads: {name}", f"variance: {name}"]
    # Values that differ in the last digit only do not vary.
    third = np.array([0.1, 0.1 + 1e-17, 0.3 - 0.2])
    assert np.isnan(position_spectrum_correlation(third, np.arange(3)))


def test_a_constant_signal_correlates_with_nothing():
    signals = np.stack([np.full(8, 0.125), np.arange(8) / 28, np.arange(8)[::-1] / 28])
    r = signal_correlation(signals)
    assert np.isnan(r[0]).all()
    assert np.isnan(r[:, 0]).all()
    np.testing.assert_allclose(r[1:, 1:], [[1, -1], [-1, 1]], rtol=1e-12)


def test_reconstruction_error_is_float32_rounding_whatever_the_signal(rows, protocol):
    noise = np.random.default_rng(0).gamma(1.0, size=(200, 95))
    for signals in (rows, noise):
        error = measure_signals(signals, protocol).values["reconstruction_error"]
        assert (error > 1e-9).all()
        assert (error < 1e-6).all()


def test_lags_must_reach_the_distance_on_both_sides():
    assert covers(np.arange(-8, 9), 8)
    assert not covers(np.arange(-3, 9), 8)
    assert not covers(np.arange(-9, 8), 8)
    assert covers(np.arange(0, 9), 8)
    assert not covers(np.array([], dtype=int), 0)
