"""Protocol `rigorous` keeps what all promise: reasons, inputs, batches, chunks, types."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.measures.dilation import lag_sensitivity, resample
from attention_wavelets.measures.measured import in_chunks
from attention_wavelets.measures.rigorous import compare_signals, measure_signals
from attention_wavelets.measures.rigorous_layers import (
    measure_bank,
    measure_correlation,
    measure_rotary,
)
from attention_wavelets.measures.sparsity import best_packet_entropy, coefficient_entropy
from attention_wavelets.measures.two_sided import octave_shares, spectral_flatness, two_sided_power
from attention_wavelets.measures.uncertainty import arrangement, draw_permutations, excess
from attention_wavelets.measures.wavelet import dyadic_entropies, haar

# Shortest even signals with one periodic level: twice the filter's length less 1.
SHORTEST = {"haar": 2, "packets": 2, "db2": 6, "coif1": 10, "db4": 14, "sym4": 14}
KERNELS = {"kernel_width", "lag_octave_slope"}
KERNELS |= {f"kernel_kl_{law}" for law in ("exponential", "power", "uniform")}
FREQUENCY = np.geomspace(0.4, 0.02, 12)


def reasons_of(result, index):
    parts = (part.split(": ") for part in result.reasons()[index].split("; ") if part)
    return {reason: set(names.split()) for reason, names in parts}


def too_short(length, protocol):
    """Names that a signal of at least 3 positions is too short for."""
    names = {f"octave_share_{j}" for j in range(1, protocol.octaves + 1) if length < 2**j}
    names |= {f"window_entropy_{width}" for width in protocol.window_entropy if length < width}
    for basis, shortest in SHORTEST.items():
        if length % 2 or length < shortest:
            names.add(f"sparsity_{basis}")
    if length < 6:
        names |= {f"db2_energy_{mode}" for mode in ("symmetric", "zero", "periodization")}
    if length < 12:
        # One level's energies have no entropy.
        names.add("db2_energy_entropy")
    if length & (length - 1) == 0:
        for level in range(1, protocol.levels + 1):
            if length < 2**level:
                names |= {f"haar_share_{level}", f"dyadic_entropy_{level}"}
            if length < 2 ** (level + 1):
                names.add(f"haar_entropy_{level}")
    return names


@pytest.mark.parametrize("length", [3, 4, 5, 6, 8, 11, 12, 14, 16, 64, 95, 96, 100, 128, 256])
@pytest.mark.parametrize("by_lag", [True, False])
def test_every_length_is_measured_as_far_as_it_goes(length, by_lag, rigorous):
    a = np.random.default_rng(length).gamma(1.0, size=(5, length))
    result = measure_signals(a, rigorous, np.arange(length) if by_lag else None)
    for index in range(5):
        found = reasons_of(result, index)
        # Whether the power falls to half depends on the signal.
        found.pop("width", None)
        named = {name for name in result.values if name.startswith(("haar_", "dyadic_"))}
        expected = {
            "length": too_short(length, rigorous),
            "dyadic": named if length & (length - 1) else set(),
            # What a signal by lag leaves out is not to be seen from its shares.
            "unknown": {"lost_mass"} if by_lag else set(),
            "axis": set() if by_lag else KERNELS,
            # Octaves of lags: 1, 2 to 3, 4 to 7.
            "octaves": {"lag_octave_slope"} if by_lag and length < 8 else set(),
        }
        assert found == {reason: names for reason, names in expected.items() if names}


@pytest.mark.parametrize(
    ("lengths", "dyadic"), [((64, 32), True), ((64, 48), False), ((96, 32), False)]
)
def test_a_shift_of_levels_needs_two_powers_of_two(lengths, dyadic, rigorous):
    random = np.random.default_rng(0)
    a, b = (random.gamma(0.3, size=(4, length)) for length in lengths)
    result = compare_signals(a, b, rigorous)
    for index in range(4):
        assert reasons_of(result, index) == ({} if dyadic else {"dyadic": {"scale_level_shift"}})


def test_bad_rows_are_undefined_throughout_and_leave_the_others_alone(rows, rigorous):
    batch, lags = np.array(rows[:6]), np.arange(96)
    batch[1] = 0
    batch[2, 5] = np.nan
    batch[3, 5] = -0.1
    batch[4, 5] = np.inf
    result = measure_signals(batch, rigorous, lags)
    every = set(result.values)
    for index, reason in ((1, "mass"), (2, "not_finite"), (3, "negative"), (4, "not_finite")):
        assert reasons_of(result, index) == {reason: every}
    clean = measure_signals(rows[[0, 5]], rigorous, lags)
    for name, value in clean.values.items():
        np.testing.assert_allclose(result.values[name][[0, 5]], value, rtol=1e-12, atol=1e-14)
    pairs = compare_signals(batch, np.roll(batch[:, :48], 1, axis=0), rigorous)
    bad = [set(reasons_of(pairs, index)) & {"mass", "not_finite", "negative"} for index in range(6)]
    assert bad == [set(), {"mass"}, {"not_finite"}, {"negative"}, {"not_finite"}, {"not_finite"}]


def test_an_empty_batch_keeps_its_shape_and_columns(rows, rigorous):
    empty, some, lags = np.empty((0, 4, 96)), rows[:4].reshape(1, 4, 96), np.arange(96)
    usage = np.ones((1, 4, 12))
    for measure in (
        lambda x: measure_signals(x, rigorous, lags),
        lambda x: measure_signals(x, rigorous),
        lambda x: compare_signals(x, x[..., ::2], rigorous),
        lambda x: measure_correlation(x, rigorous, True),
        lambda x: measure_rotary(x, None, FREQUENCY, usage[: len(x)], rigorous),
        lambda x: measure_bank(x, lags, rigorous),
    ):
        found, other = measure(empty), measure(some)
        assert found.shape == (0, *other.shape[1:])
        assert list(found.values) == list(other.values)
        assert found.reasons().shape == found.shape


def test_inputs_may_be_read_only_and_are_never_changed(rigorous):
    random = np.random.default_rng(2)
    a, b = random.gamma(1.0, size=(3, 5, 64)), random.gamma(1.0, size=(3, 5, 32))
    a[0, 0], b[1, 1] = 0, np.nan
    lags, near = np.arange(64), np.arange(32)
    usage, logits = random.gamma(1.0, size=(3, 5, 12)), random.gamma(1.0, size=(3, 5, 33))
    k = random.dirichlet(np.ones(64), size=(3, 5))
    inputs = (a, b, lags, near, usage, logits, k, FREQUENCY)
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    dropping = rigorous.model_copy(update={"sink": "drop"})
    for protocol in (rigorous, dropping):
        measure_signals(a, protocol).reasons()
        compare_signals(a, b, protocol)
    measure_signals(a, rigorous, lags)
    compare_signals(a, b, rigorous, (lags, near))
    measure_correlation(a, rigorous, True)
    measure_bank(k, lags, rigorous)
    measure_rotary(a, logits, FREQUENCY, usage, rigorous)
    power = two_sided_power(k)
    power.flags.writeable = False
    octave_shares(power, 64, 4)
    spectral_flatness(power, 64)
    for function in (excess, haar, dyadic_entropies):
        function(k)
    best_packet_entropy(k, "haar")
    for basis in ("identity", "dct", "db2"):
        coefficient_entropy(k, basis)
    resample(k, 48)
    lag_sensitivity(k, k[..., :32], (lags, near))
    arrangement(k, draw_permutations(64, 9, 0))
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("size", [1, 7, 60, 1000])
def test_chunks_of_any_size_give_the_same_measures(size, rows, rigorous):
    batch, lags = np.array(rows), np.arange(96)
    batch[7] = 0
    batch[31, 0] = np.nan
    # Of unlike rows: a distance near 0 is the root of rounding.
    others = np.roll(batch[:, ::2], 20, axis=0)

    def single(part):
        return measure_signals(part, rigorous, lags)

    def pair(part, shorter):
        return compare_signals(part, shorter, rigorous)

    for measure, arrays in ((single, (batch,)), (pair, (batch, others))):
        whole, parts = measure(*arrays), in_chunks(measure, *arrays, size=size)
        np.testing.assert_array_equal(parts.reasons(), whole.reasons())
        for name, value in whole.values.items():
            np.testing.assert_allclose(
                parts.values[name], value, rtol=1e-12, atol=1e-14, err_msg=name
            )


def test_layers_measured_together_equal_layers_measured_alone(rows, rigorous):
    layers, lags = rows.reshape(5, 12, 96), np.arange(96)
    for measure in (
        lambda x: measure_correlation(x, rigorous, True),
        lambda x: measure_bank(x, lags, rigorous),
    ):
        together = measure(layers)
        for index, layer in enumerate(layers):
            for name, value in measure(layer).values.items():
                np.testing.assert_allclose(
                    together.values[name][index], value, rtol=1e-10, atol=1e-12, err_msg=name
                )


def test_float32_moves_order_statistics_by_one_step_and_the_rest_by_its_own_rounding(
    rows, rigorous
):
    lags = np.arange(96)
    double = measure_signals(rows, rigorous, lags).values
    single = measure_signals(rows.astype(np.float32), rigorous, lags).values
    # A rearrangement that ties with the signal can fall on either side.
    step = 1 / (rigorous.permutations.count + 1)
    apart = np.abs(single["arrangement_p"] - double["arrangement_p"])
    assert apart.max() <= step * (1 + 1e-9)
    for name in ("spectral_flatness", "half_power_width"):
        assert np.isfinite(double[name]).any()
        np.testing.assert_allclose(single[name], double[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.bool_])
def test_any_real_type_is_measured_in_float64(dtype, rigorous):
    a = np.arange(64).astype(dtype)
    values = measure_signals(a, rigorous, np.arange(64)).values
    exact = measure_signals(a.astype(np.float64), rigorous, np.arange(64)).values
    for name, value in values.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, exact[name])
