"""Identities, inequalities and invariances that hold for every signal, and known answers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attention_wavelets.measures import bank
from attention_wavelets.measures.correlation import fisher_z
from attention_wavelets.measures.dilation import (
    dilation_sensitivity,
    kappa,
    lag_sensitivity,
    resample,
)
from attention_wavelets.measures.entropy import (
    positional_entropy,
    weighted_window_entropy,
    window_entropy,
)
from attention_wavelets.measures.kernel import kernel_divergence, kernel_width, octave_slope
from attention_wavelets.measures.names import WAVELETS
from attention_wavelets.measures.protocols import LayerSignals, kind_of, rows_by_lag
from attention_wavelets.measures.registry_rigorous import rigorous_measures
from attention_wavelets.measures.rigorous import compare_signals, measure_signals
from attention_wavelets.measures.rigorous_layers import (
    measure_bank,
    measure_correlation,
    measure_rotary,
)
from attention_wavelets.measures.sparsity import (
    BASES,
    best_packet_entropy,
    coefficient_entropy,
    levels,
)
from attention_wavelets.measures.spectrum import power_spectrum, selectivity, spectral_entropy
from attention_wavelets.measures.two_sided import (
    dc_share,
    mirrored,
    octave_shares,
    participation_ratio,
    power_entropy,
    spectral_flatness,
    two_sided_power,
)
from attention_wavelets.measures.uncertainty import (
    arrangement,
    breitenberger_product,
    draw_permutations,
    excess,
    massar_spindel_slack,
)
from attention_wavelets.measures.wavelet import dyadic_entropies, haar, level_energies, zero_edges
from attention_wavelets.nulls.bounds import excess_upper_bound

common = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def signals(draw, least=4, most=70, dyadic=False):
    sizes = st.sampled_from([8, 16, 32, 64]) if dyadic else st.integers(least, most)
    n = draw(sizes)
    weights = draw(arrays(np.float64, n, elements=st.floats(0, 1e6)))
    assume(weights.sum() > 1e-3)
    return weights / weights.sum()


@common
@given(signals())
def test_dc_share_is_the_participation_ratio_and_dc_is_the_peak(a):
    power = two_sided_power(a)
    n = len(a)
    ratio = float(participation_ratio(a))
    assert float(dc_share(power, n)) == pytest.approx(ratio / n, rel=1e-9)
    assert power.argmax() == 0 or power.max() == pytest.approx(power[0])
    if n - ratio > 1e-6 * n:
        both = np.concatenate([power, power[1 : (n + 1) // 2][::-1]])
        assert float(selectivity(both)) == pytest.approx(ratio / (n - ratio), rel=1e-6)


@common
@given(signals())
def test_excess_lies_between_the_bounds(a):
    found, most = excess(a), excess_upper_bound(len(a))
    assert -1e-9 <= found.sqrt <= most + 1e-9
    assert -1e-9 <= found.amp <= most + 1e-9
    assert found.mix >= found.amp - 1e-9
    assert massar_spindel_slack(a) >= -1e-9
    product = float(breitenberger_product(a))
    assert math.isnan(product) or product >= 0.25 - 1e-9


@common
@given(signals())
def test_one_sided_entropy_is_lower_by_what_the_mirror_holds(a):
    """H_one = H_two - (1 - q_0 - q_Nyquist) ln 2, in shares of the two-sided spectrum."""
    n = len(a)
    power, copies = two_sided_power(a), mirrored(n)
    two = float(power_entropy(power, n))
    once = copies == 1
    alone = float(power[once].sum() / (power @ copies))
    doubled = float(spectral_entropy(power * copies))
    assert doubled == pytest.approx(two - (1 - alone) * math.log(2), abs=1e-9)


@common
@given(signals(), st.integers(0, 69))
def test_shifting_on_the_circle_and_reversing_change_no_excess(a, shift):
    for moved in (np.roll(a, shift), a[::-1]):
        for one, other in zip(excess(a), excess(moved), strict=True):
            assert float(one) == pytest.approx(float(other), abs=1e-9)
        assert float(massar_spindel_slack(a)) == pytest.approx(
            float(massar_spindel_slack(moved)), abs=1e-9
        )
    assert breitenberger_product(a) == pytest.approx(
        breitenberger_product(a[::-1]), rel=1e-6, nan_ok=True
    )


@common
@given(signals(), st.randoms(use_true_random=False))
def test_rearranging_keeps_entropy_and_dc_share(a, random):
    order = list(range(len(a)))
    random.shuffle(order)
    moved = a[order]
    assert positional_entropy(moved) == pytest.approx(positional_entropy(a), abs=1e-9)
    first, second = (dc_share(two_sided_power(x), len(a)) for x in (a, moved))
    assert first == pytest.approx(second, rel=1e-9)


@common
@given(signals(dyadic=True))
def test_energy_is_kept_and_dyadic_entropies_sum_to_the_whole(a):
    energy = float(np.square(a).sum())
    assert level_energies(haar(a)).sum() == pytest.approx(energy, rel=1e-9)
    assert level_energies(zero_edges(a)).sum() == pytest.approx(energy, rel=1e-9)
    assert dyadic_entropies(a).sum() == pytest.approx(float(positional_entropy(a)), abs=1e-9)
    for name, basis in BASES.items():
        if name not in WAVELETS or levels(len(a), name):
            assert np.square(basis(a)).sum() == pytest.approx(energy, rel=1e-9)


@common
@given(signals(dyadic=True))
def test_the_best_packet_basis_is_no_worse_than_the_bases_it_chooses_from(a):
    best = float(best_packet_entropy(a, "haar"))
    for basis in ("identity", "haar"):
        other = float(coefficient_entropy(a, basis))
        assert math.isnan(best) or best <= other + 1e-9


@common
@given(signals(least=8), st.integers(1, 4), st.integers(3, 50))
def test_resampling_keeps_mass_and_a_repeated_block_dilates_exactly(a, times, length):
    assert resample(a, length).sum() == pytest.approx(1, abs=1e-9)
    wide = np.repeat(a, times) / times
    assert float(dilation_sensitivity(wide, a)) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(resample(wide, len(a)), a, atol=1e-12)


@common
@given(a=signals(least=2, most=200))
def test_octaves_hold_all_power_beside_dc(a, rigorous):
    values = measure_signals(a, rigorous).values
    shares = [values[f"octave_share_{j}"] for j in (*range(1, 7), "rest")]
    assert np.isnan(shares[-1]) or np.nansum(shares) == pytest.approx(1)


@common
@given(signals(least=16), st.integers(2, 16))
def test_entropy_within_windows_is_the_mean_of_blocks_by_mass(a, width):
    blocks = a[: len(a) // width * width].reshape(-1, width)
    blocks = blocks[blocks.sum(axis=1) > 0]
    found = weighted_window_entropy(a, width)
    if not len(blocks):
        assert np.isnan(found)
        return
    inside = [float(positional_entropy(block)) for block in blocks]
    expected = np.average(inside, weights=blocks.sum(axis=1))
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_far_block_with_nearly_no_attention_hardly_counts(rigorous):
    row = np.full(32, 1e-9 / 16)
    row[16:] = np.eye(16)[3]
    by_position = measure_signals(row, rigorous).values["window_entropy_16"]
    assert by_position == pytest.approx(0, abs=1e-7)
    assert window_entropy(row, 16) > 1
    # Blocks are counted from the query: the partial one is the farthest.
    longer = np.concatenate([np.full(5, 0.1), 0.5 * row])
    assert measure_signals(longer, rigorous).values["window_entropy_16"] == pytest.approx(
        by_position, abs=1e-9
    )
    by_lag = measure_signals(longer[::-1], rigorous, np.arange(37)).values["window_entropy_16"]
    assert by_lag == pytest.approx(by_position, abs=1e-9)
    even = measure_signals(np.full(64, 1 / 64), rigorous).values
    assert even["window_entropy_64"] == pytest.approx(1)


def test_cutting_a_kernel_on_the_left_keeps_its_lags():
    lag = np.arange(64)
    kernel = np.exp(-lag / 4.0)
    longer, shorter = kernel / kernel.sum(), kernel[:32] / kernel[:32].sum()
    distance, lost = lag_sensitivity(longer, shorter, (lag, lag[:32]))
    assert distance == pytest.approx(0, abs=1e-7)
    assert lost == pytest.approx(1 - longer[:32].sum(), abs=1e-12)
    # The same as rows by position, whose last entry is the nearest.
    again, _ = lag_sensitivity(longer[::-1], shorter[::-1])
    assert again == pytest.approx(0, abs=1e-7)
    assert kappa(dilation_sensitivity(longer, shorter), distance, 0.05) == pytest.approx(-1)
    with pytest.raises(ValueError, match="does not hold every lag"):
        lag_sensitivity(longer, shorter, (lag, lag[:32] + 40))


def test_kappa_is_undefined_where_nothing_changes():
    assert np.isnan(kappa(np.array(0.01), np.array(0.02), 0.05))


@pytest.mark.parametrize("law", ["exponential", "power"])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.7, 3.0])
def test_a_kernel_of_a_law_has_no_divergence_from_it_and_others_have(law, rate):
    for lags in (np.arange(96), np.arange(-48, 48)):
        distance = np.abs(lags) if law == "exponential" else np.log1p(np.abs(lags))
        kernel = np.exp(-rate * distance)
        kernel /= kernel.sum()
        assert float(kernel_divergence(kernel, lags, law)) == pytest.approx(0, abs=1e-8)
        uniform = float(kernel_divergence(kernel, lags, "uniform"))
        assert uniform == pytest.approx(math.log(96) - float(positional_entropy(kernel)))


@common
@given(signals(least=6))
def test_divergence_is_that_of_the_best_member_found_by_search(a):
    lags = np.arange(len(a))
    best = math.inf
    for rate in np.concatenate([[0], np.geomspace(1e-4, 30, 400)]):
        member = np.exp(-rate * lags)
        member /= member.sum()
        log_member = -rate * lags - np.log(np.exp(-rate * lags).sum())
        seen = a > 0
        best = min(best, float((a[seen] * (np.log(a[seen]) - log_member[seen])).sum()))
    found = float(kernel_divergence(a, lags, "exponential"))
    assert found <= best + 1e-7
    assert found >= best - 0.05 * max(1.0, best)


def test_width_of_an_exponential_kernel_is_its_decay_time():
    kernel = np.exp(-np.arange(400) / 20)
    assert kernel_width(kernel / kernel.sum()) == pytest.approx(20, rel=1e-3)


def test_octaves_of_white_noise_and_flatness():
    random = np.random.default_rng(0)
    power = two_sided_power(random.dirichlet(np.ones(256), 4000))
    shares = octave_shares(power, 256, 4).mean(0)
    np.testing.assert_allclose(shares, [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16], atol=0.01)
    # exp(-Euler's constant), the geometric mean of an exponential variable of mean 1.
    assert spectral_flatness(power, 256).mean() == pytest.approx(
        math.exp(-np.euler_gamma), abs=0.01
    )


def test_arrangement_of_a_local_kernel_gains_and_of_noise_does_not():
    random = np.random.default_rng(1)
    order = draw_permutations(64, 99, 0)
    kernel = np.exp(-np.arange(64) / 6.0)
    local = arrangement(kernel / kernel.sum(), order)
    assert local.gain > 0.2
    assert local.p == pytest.approx(0.01)
    noise = arrangement(random.dirichlet(np.ones(64), 2000), order)
    assert abs(noise.gain.mean()) < 0.01
    # Uniform over its 100 values, so a tenth of them at or below 0.1.
    assert (noise.p <= 0.1).mean() == pytest.approx(0.1, abs=0.03)
    for certain in (np.eye(64)[5], np.full(64, 1 / 64)):
        nothing = arrangement(certain, order)
        assert np.isnan(nothing.gain)
        assert nothing.p == 1


def test_permutations_are_decided_by_seed_and_length():
    one, same = draw_permutations(16, 19, 3), draw_permutations(16, 19, 3)
    np.testing.assert_array_equal(one, same)
    assert (np.sort(one, axis=1) == np.arange(16)).all()
    assert not np.array_equal(one, draw_permutations(16, 19, 4))


def bank_of(count=6, length=64, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(length) * 0.3, (2, count))


def test_bank_measures_equal_loops():
    k = bank_of()
    unit = k / np.linalg.norm(k, axis=-1, keepdims=True)
    pairs = list(itertools.combinations(range(6), 2))
    shifts = [
        np.mean([np.correlate(unit[b, i], unit[b, j], "full").max() for i, j in pairs])
        for b in range(2)
    ]
    np.testing.assert_allclose(bank.cross_correlation(k), shifts, rtol=1e-9)
    dots = [np.mean([unit[b, i] @ unit[b, j] for i, j in pairs]) for b in range(2)]
    np.testing.assert_allclose(bank.overlap(k), dots, rtol=1e-9)
    shares = octave_shares(two_sided_power(k), 64, 4)
    common_part = [
        np.mean([np.minimum(shares[b, i], shares[b, j]).sum() for i, j in pairs]) for b in range(2)
    ]
    np.testing.assert_allclose(bank.band_complementarity(k, 4), 1 - np.array(common_part))
    response = np.abs(np.fft.rfft(k, 512)) ** 2
    np.testing.assert_allclose(bank.frame_bounds(k).upper, response.sum(1).max(-1), rtol=1e-9)


def test_banks_of_known_shape():
    lag = np.arange(256)
    dyadic = np.stack([np.exp(-lag / 2.0**j) for j in range(1, 5)])
    dyadic /= dyadic.sum(1, keepdims=True)
    copies = np.repeat(dyadic[:1], 4, axis=0)
    assert bank.effective_rank(copies) == pytest.approx(1)
    assert bank.overlap(copies) == pytest.approx(1)
    assert bank.self_similar_collapse(copies, lag) == pytest.approx(0, abs=1e-12)
    assert bank.band_complementarity(copies, 4) == pytest.approx(0, abs=1e-12)
    # One shape at four scales: it collapses, and its widths are an octave apart.
    assert bank.self_similar_collapse(dyadic, lag) < 0.12
    apart = np.diff(np.log2(kernel_width(dyadic)))
    np.testing.assert_allclose(apart, 1, atol=0.12)
    points = np.eye(256)[[3, 50, 100, 200]]
    assert bank.effective_rank(points) == pytest.approx(4)
    assert bank.overlap(points) == pytest.approx(0)
    assert bank.cross_correlation(points) == pytest.approx(1)


def test_difference_of_scales_is_a_mean_over_pairs_whatever_the_number_of_heads():
    k = bank_of(6)
    octaves = np.log2(kernel_width(k))
    pairs = list(itertools.combinations(range(6), 2))
    expected = np.mean([np.abs(octaves[..., i] - octaves[..., j]) for i, j in pairs], axis=0)
    np.testing.assert_allclose(bank.scale_difference(k), expected, rtol=1e-12)
    # A mean over all choices of three of six heads is the same number; outer quantiles are nearer.
    threes = [list(chosen) for chosen in itertools.combinations(range(6), 3)]
    fewer = np.mean([bank.scale_difference(k[..., chosen, :]) for chosen in threes], axis=0)
    np.testing.assert_allclose(fewer, bank.scale_difference(k), rtol=1e-12)

    def reach(kernels):
        return np.subtract(*bank.scale_quantiles(kernels, (0.95, 0.05)))

    assert np.all(np.mean([reach(k[..., c, :]) for c in threes], axis=0) < reach(k))
    assert np.isnan(bank.scale_difference(k[..., :1, :])).all()


def collapse_by_loops(kernels, distances):
    """Both scaled grids together hold the largest difference of two curves of straight lines."""
    border = np.arange(distances.max() + 2)
    curves = [
        np.concatenate([[0], np.cumsum([k[distances == d].sum() for d in border[:-1]])])
        for k in kernels
    ]
    widths = [math.exp(-sum(m * math.log(m) for m in np.diff(c) if m > 0) - 1) for c in curves]
    apart = []
    for i, j in itertools.combinations(range(len(kernels)), 2):
        grid = np.union1d(border / widths[i], border / widths[j])
        one, other = (np.interp(grid * widths[h], border, curves[h]) for h in (i, j))
        apart.append(np.abs(one - other).max())
    return np.mean(apart)


@pytest.mark.parametrize("lags", [np.arange(128), np.arange(-64, 64)], ids=["causal", "signed"])
def test_collapse_is_the_exact_distance_of_rescaled_curves(lags):
    distance = np.abs(lags)
    random = bank_of(5, 128)
    here = (distance == 0) / 1.0
    far = np.stack([0.5 * here + 0.5 * (lags == d) for d in (3, 30, 60)])
    bump = np.exp(-np.square(distance - np.array([10, 40, 55])[:, None]) / 8.0)
    mixed = 0.6 * here + 0.4 * bump / bump.sum(axis=1, keepdims=True)
    for kernels in (*random, far, mixed):
        expected = collapse_by_loops(kernels, distance)
        assert bank.self_similar_collapse(kernels, distance) == pytest.approx(expected, rel=1e-9)
    # One shape to the eye of a short grid, but half of each lies at another distance.
    assert bank.self_similar_collapse(far, distance) == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(
        bank.self_similar_collapse(random, distance),
        [bank.self_similar_collapse(one, distance) for one in random],
    )


def test_order_of_heads_changes_nothing(rigorous):
    k = bank_of()[0]
    order = [3, 0, 5, 1, 4, 2]
    lags = np.arange(64)
    for found in (
        lambda x: measure_bank(x, lags, rigorous),
        lambda x: measure_correlation(x, rigorous, True),
    ):
        one, other = found(k), found(k[order])
        for name, value in one.values.items():
            np.testing.assert_allclose(other.values[name], value, rtol=1e-9, atol=1e-12)


def test_correlation_of_random_rows_is_explained_by_chance(rigorous):
    rows = np.random.default_rng(2).dirichlet(np.ones(64) * 0.5, (200, 12))
    found = measure_correlation(rows, rigorous, True).values
    assert found["correlation"].mean() < -0.5
    assert abs(found["correlation_adjusted"].mean()) < 0.02


def test_z_of_correlations_near_their_end_still_tells_order_from_chance(rigorous):
    lag = np.arange(64)
    widths = np.geomspace(1, 20, 12)
    kernels = np.exp(-lag / widths[:, None])
    kernels /= kernels.sum(axis=1, keepdims=True)
    found = measure_correlation(kernels, rigorous, True).values
    more = measure_correlation(
        kernels,
        rigorous.model_copy(
            update={"permutations": rigorous.permutations.model_copy(update={"correlation": 199})}
        ),
        True,
    ).values
    assert found["correlation"] < -0.9
    # The differences of r and of z have one sign, and r has hardly room for its own.
    assert abs(found["correlation_adjusted"]) < 0.1
    assert abs(found["correlation_z"]) > 0.5
    assert found["correlation_z"] == pytest.approx(more["correlation_z"], abs=0.15)
    assert found["correlation_chance"] != more["correlation_chance"]
    rows = np.random.default_rng(2).dirichlet(np.ones(64) * 0.5, (200, 12))
    noise = measure_correlation(rows, rigorous, True).values
    assert abs(noise["correlation_z"].mean()) < 0.03


def test_heads_on_a_line_have_no_z(rigorous):
    # Points and uniform rows lie on the bound, H(a) + H(|F sqrt a|^2) = ln N.
    combs = np.stack(
        [np.eye(16)[3], np.full(16, 1 / 16), *((np.arange(16) % s == 0) for s in (2, 4))]
    )
    found = measure_correlation(combs / combs.sum(axis=1, keepdims=True), rigorous, True)
    assert found.values["correlation"] == pytest.approx(-1)
    assert "power: correlation_z" in found.reasons().item()


def test_fisher_z():
    np.testing.assert_allclose(fisher_z([0, 0.5, -0.9]), [0, math.log(3) / 2, -math.log(19) / 2])
    assert np.isnan(fisher_z([1.0, -1.0, np.nan])).all()


@common
@given(a=signals(least=2, most=70))
def test_every_value_lies_in_the_range_its_measure_states(a, rigorous):
    lags = np.arange(len(a))
    found = measure_signals(a, rigorous, lags).merge(
        compare_signals(a, a[: len(a) // 2 + 1], rigorous)
    )
    ranges = {m.name: m.range for m in rigorous_measures(rigorous)}
    for name, value in found.values.items():
        low, high = ranges[name]
        assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9, name


def test_the_table_lists_exactly_what_is_measured_in_that_order(rows, rigorous):
    kind = kind_of(rigorous)
    layer = LayerSignals(
        rows.reshape(5, 12, 96), np.arange(96), rows.reshape(5, 12, 96), np.arange(96)
    )
    heads = kind.heads(layer, rigorous)
    by_level = {
        level: {m.name for m in kind.measures(rigorous) if m.level in level.split()}
        for level in ("head pair_of_conditions", "layer", "model")
    }
    assert set(heads.values) == by_level["head pair_of_conditions"]
    assert set(kind.layer(layer, heads, rigorous).values) == by_level["layer"]
    together = kind.model(rows.reshape(5, 12, 96), np.arange(96), rigorous)
    assert set(together.values) == by_level["model"]


def test_a_batch_equals_a_loop_and_float32_is_close(rows, rigorous):
    lags = np.arange(96)
    batch = measure_signals(rows.reshape(5, 12, 96), rigorous, lags)
    single = measure_signals(rows.astype(np.float32), rigorous, lags)
    for i, index in enumerate(np.ndindex(5, 12)):
        one = measure_signals(rows[i], rigorous, lags)
        for name, value in one.values.items():
            np.testing.assert_allclose(batch.values[name][index], value, rtol=1e-9, atol=1e-12)
            if name not in ("arrangement_p", "spectral_flatness", "half_power_width"):
                np.testing.assert_allclose(single.values[name][i], value, rtol=1e-4, atol=1e-5)


def test_edge_cases_say_why(rigorous):
    lags = np.arange(24)
    reasons = measure_signals(np.full(24, 1 / 24), rigorous, lags).reasons().item()
    assert "dyadic: haar_energy_entropy" in reasons
    assert "spectral_flatness" in reasons.split("constant: ")[1]
    point = measure_signals(np.eye(32)[0], rigorous).reasons().item()
    assert "width:" not in point
    assert "neighbours: breitenberger_product" in point
    assert "axis: kernel_width" in point
    tiny = measure_signals(np.array([0.25, 0.75]), rigorous)
    assert "spectral_entropy_share" in tiny.reasons().item().split("length: ")[1]
    assert "haar_energy_entropy" in tiny.reasons().item().split("length: ")[1]
    assert tiny.values["participation_ratio"] == pytest.approx(1.6)


def test_rotary_measures_are_unknown_without_their_facts(rows, rigorous):
    signals = rows.reshape(5, 12, 96)
    # Without facts; and of a model that does not rotate, which has no pairs.
    for facts in ((None, None, None), (np.ones((5, 12, 49)), np.empty(0), np.empty((5, 12, 0)))):
        found = measure_rotary(signals, *facts, rigorous)
        assert all(np.isnan(value).all() for value in found.values.values())
        assert "rotary:" in found.reasons()[0, 0]


def test_whole_rows_are_measured_by_lag_and_averaged(rigorous):
    random = np.random.default_rng(4)
    rows = random.dirichlet(np.ones(64), (3, 2, 5)).astype(np.float64)
    queries = np.array([40, 45, 50, 60, 63])
    by_lag = rows_by_lag(rows, queries, 32)
    assert by_lag[1, 1, 2, 7] == rows[1, 1, 2, 50 - 7]
    layer = LayerSignals(by_lag, np.arange(32))
    found = kind_of(rigorous).heads(layer, rigorous)
    each = measure_signals(by_lag, rigorous, np.arange(32))
    np.testing.assert_allclose(found.values["excess_sqrt"], each.values["excess_sqrt"].mean(-1))
    assert found.shape == (3, 2)


def test_power_two_sided_is_that_of_the_whole_transform(rows):
    np.testing.assert_allclose(two_sided_power(rows), power_spectrum(rows, "none", 96), rtol=1e-12)


def test_octaves_of_lags_with_known_slopes():
    lags = np.arange(128)
    even = np.ones(128) / 128
    # Every token the same: each octave has twice the mass of the one before.
    assert octave_slope(even, lags) == pytest.approx(1.0)
    # The same mass in each octave, whatever lag 0 has.
    octave = np.floor(np.log2(np.maximum(lags, 1)))
    flat = np.where(lags > 0, 2.0**-octave, 5.0)
    assert octave_slope(flat / flat.sum(), lags) == pytest.approx(0.0, abs=1e-12)
    # Both sides of a token count by distance; the last, broken octave of 64 lags is left out.
    signed = np.arange(-64, 64)
    assert octave_slope(np.ones(128) / 128, signed) == pytest.approx(1.0)
    assert np.isnan(octave_slope(np.ones(7) / 7, np.arange(7)))
    gap = np.where((lags >= 4) & (lags < 8), 0.0, 1.0)
    assert np.isnan(octave_slope(gap / gap.sum(), lags))
