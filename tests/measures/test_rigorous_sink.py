"""Without the first position a row is measured as the row of the positions that are left."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.measures.rigorous import compare_signals, measure_signals
from attention_wavelets.measures.rigorous_layers import measure_correlation

# Read on the last N / 2 positions, since N - 1 do not halve.
HALVING = ("haar_", "dyadic_", "sparsity_")


@pytest.fixture
def dropping(rigorous):
    return rigorous.model_copy(update={"sink": "drop"})


def with_sink(rows, share):
    rows = np.atleast_2d(rows)
    return np.concatenate([np.full((len(rows), 1), share), (1 - share) * rows], axis=1)


def test_a_row_without_its_sink_is_the_row_of_the_other_positions(rigorous, dropping):
    rows = np.random.default_rng(0).dirichlet(np.full(63, 0.5), 20)
    found = measure_signals(with_sink(rows, 0.7), dropping).values
    whole = measure_signals(rows, rigorous).values
    half = measure_signals(rows[:, -32:], rigorous).values
    np.testing.assert_allclose(found["lost_mass"], 0.7, rtol=1e-12)
    np.testing.assert_allclose(found["cut_mass"], 1 - rows[:, -32:].sum(axis=1), rtol=1e-9)
    for name, value in found.items():
        if name in ("lost_mass", "cut_mass"):
            continue
        expected = half[name] if name.startswith(HALVING) else whole[name]
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("share", [1 / 64, 0.5, 0.99])
def test_a_uniform_row_and_a_sink_have_no_structure_but_the_sink(dropping, share):
    found = measure_signals(with_sink(np.full(63, 1 / 63), share), dropping)
    values = {name: value[0] for name, value in found.values.items()}
    for name in ("excess_sqrt", "excess_amp", "excess_mix", "massar_spindel_slack"):
        assert values[name] == pytest.approx(0, abs=1e-9), name
    assert values["positional_entropy_share"] == pytest.approx(1)
    assert values["dc_share"] == pytest.approx(1)
    assert values["dyadic_entropy_5"] == pytest.approx(1)
    constant = found.reasons()[0].split("constant: ")[1].split(";")[0].split()
    for name in ("spectral_flatness", "octave_share_1", "haar_share_1", "sparsity_identity"):
        assert name in constant


@pytest.mark.parametrize("lengths", [(128, 64), (64, 32), (96, 48), (100, 35)])
def test_a_uniform_row_beside_any_sink_changes_nothing_with_length(dropping, lengths):
    first, second = (with_sink(np.full(n - 1, 1 / (n - 1)), 0.3) for n in lengths)
    found = compare_signals(first, second, dropping).values
    assert found["scale_dilation"] == pytest.approx(0, abs=1e-7)
    assert found["scale_lag"] == pytest.approx(0, abs=1e-7)
    assert np.isnan(found["scale_kappa"])


def test_level_shift_reads_the_same_part_of_both_lengths(dropping):
    random = np.random.default_rng(1)
    blocks = random.dirichlet(np.ones(32), 5)
    wide, narrow = np.repeat(blocks, 2, axis=1) / 2, blocks
    # The half nearest to the query is one shape, stretched; the far half is not read.
    first = np.concatenate([random.dirichlet(np.ones(64), 5), wide], axis=1)
    second = np.concatenate([random.dirichlet(np.ones(32), 5), narrow], axis=1)
    found = compare_signals(first, second, dropping).values
    np.testing.assert_allclose(found["scale_level_shift"], 0, atol=1e-12)


def test_a_head_that_sees_nothing_but_the_sink_has_no_numbers_anywhere(dropping):
    sink, random = np.eye(64)[:1], np.random.default_rng(2)
    alone = measure_signals(sink, dropping)
    assert alone.reasons()[0].startswith("mass: ")
    assert all(np.isnan(value).all() for value in alone.values.values())
    short = np.eye(32)[:1]
    other = random.dirichlet(np.ones(32), 1)
    for first, second in ((sink, short), (sink, other)):
        pair = compare_signals(first, second, dropping)
        assert all(np.isnan(value).all() for value in pair.values.values())
        assert pair.reasons()[0].startswith("mass: ")
    heads = random.dirichlet(np.full(64, 0.3), 8)
    heads[0] = sink
    found, without = (measure_correlation(x, dropping, False).values for x in (heads, heads[1:]))
    for name, value in found.items():
        np.testing.assert_allclose(value, without[name], rtol=1e-9, err_msg=name)


def test_mass_on_the_far_half_alone_leaves_halving_measures_undefined(dropping):
    row = np.zeros(64)
    row[[3, 9]] = 0.5
    found = measure_signals(row, dropping)
    assert np.isfinite(found.values["excess_sqrt"])
    assert found.values["cut_mass"] == 1
    halving = {name for name in found.values if name.startswith(HALVING)}
    assert halving <= set(found.reasons().item().split("mass: ")[1].split(";")[0].split())


def test_signals_by_lag_have_no_first_position_to_drop(rigorous, dropping):
    rows = np.random.default_rng(3).dirichlet(np.ones(64), 3)
    dropped, kept = (measure_signals(rows, p, np.arange(64)).values for p in (dropping, rigorous))
    for name, value in kept.items():
        np.testing.assert_array_equal(dropped[name], value, err_msg=name)


def test_what_a_signal_did_not_hold_is_lost(rigorous, dropping):
    row, held = np.full(64, 1 / 64), np.array([0.4, 1.0])
    by_lag = measure_signals([row, row], rigorous, np.arange(64), held)
    np.testing.assert_allclose(by_lag.values["lost_mass"], [0.6, 0], atol=1e-12)
    # By position the first one is lost besides.
    by_position = measure_signals([row, row], dropping, None, held).values
    np.testing.assert_allclose(by_position["lost_mass"], 1 - held * 63 / 64, rtol=1e-9)
    assert measure_signals(row, rigorous).values["lost_mass"] == 0
    unknown = measure_signals(row, rigorous, np.arange(64))
    assert np.isnan(unknown.values["lost_mass"])
    assert "unknown: lost_mass" in unknown.reasons().item()
    with pytest.raises(ValueError, match="one per signal"):
        measure_signals(row, rigorous, None, held)
    # The sum of a row in float32 is not exactly 1; that is no loss.
    rounded = measure_signals(row, rigorous, np.arange(64), np.float32(1) - np.float32(1e-7))
    assert rounded.values["lost_mass"] == 0
