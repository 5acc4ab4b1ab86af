"""The band of a layer against planted ones, and when no band is predicted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.measures.protocols import LayerSignals, kind_of
from attention_wavelets.measures.rotary_band import (
    band_index,
    follows_base,
    measure_band,
    predicted_band,
)

PAIRS, BASE, LENGTH = 16, 1e4, 2048
PLAIN = BASE ** (-np.arange(PAIRS) / PAIRS) / (2 * math.pi)


# One of four dimensions four times the others.
VALUE = np.tile([1.0, 1.0, 4.0, 1.0], (3, 2, 1))


def usage_at(*pairs, sequences=3):
    """One head per pair, strong there; the second head is a hundred times as long."""
    values = np.ones((sequences, len(pairs), PAIRS))
    values[:, np.arange(len(pairs)), pairs] = 5.0
    values[:, 1:] *= 100.0
    return values


@pytest.mark.parametrize(
    ("pairs", "base", "length", "expected"),
    [(8, 1e4, 2048, 5.5), (16, 1e4, 2048, 11.0), (64, 5e5, 8192, 37.6), (128, 1e4, 8192, 107)],
)
def test_predicted_band_of_known_models(pairs, base, length, expected):
    assert predicted_band(pairs, base, length) == pytest.approx(expected, abs=0.5)


def test_the_predicted_pair_turns_by_the_same_angle_over_any_length():
    for base, length in ((1e4, 2048), (5e5, 8192), (512, 512)):
        j = predicted_band(64, base, length)
        assert length * base ** (-j / 64) == pytest.approx(3.657210)


def test_the_band_is_where_most_heads_are_strong_however_long_their_queries():
    np.testing.assert_array_equal(band_index(usage_at(11, 4, 11)), [11, 11, 11])
    # Equal heads at two pairs: the faster one.
    np.testing.assert_array_equal(band_index(usage_at(9, 4)), [4, 4, 4])
    assert np.isnan(band_index(np.full((1, 2, PAIRS), np.nan))).all()
    assert np.isnan(band_index(np.zeros((1, 2, PAIRS)))).all()


def test_index_and_ratio_of_a_planted_band():
    found = measure_band(usage_at(11, 4, 11), PLAIN, BASE, LENGTH, 3, VALUE)
    assert found.reasons().tolist() == [""] * 3
    np.testing.assert_array_equal(found.values["rotary_band_index"], 11)
    np.testing.assert_allclose(
        found.values["rotary_band_ratio"], 11 / predicted_band(PAIRS, BASE, LENGTH)
    )


@pytest.mark.parametrize(
    "frequency",
    [
        PLAIN / 4,
        # The slow half at an eighth, as in llama3.
        PLAIN * np.where(np.arange(PAIRS) < 8, 1, 1 / 8),
        # Another base than the stated one, as in a layer of another type.
        1e6 ** (-np.arange(PAIRS) / PAIRS) / (2 * math.pi),
    ],
)
def test_scaled_frequencies_have_a_band_but_no_prediction(frequency):
    assert not follows_base(frequency, BASE)
    found = measure_band(usage_at(11, 11), frequency, BASE, LENGTH, 3, VALUE)
    np.testing.assert_array_equal(found.values["rotary_band_index"], 11)
    assert set(found.reasons()) == {"band: rotary_band_ratio"}


def test_a_table_in_bfloat16_still_follows_its_base():
    rounded = np.frexp(PLAIN)
    assert follows_base(np.ldexp(np.round(rounded[0] * 256) / 256, rounded[1]), BASE)


@pytest.mark.parametrize(
    ("base", "length"), [(None, LENGTH), (BASE, None), (1.0, LENGTH), (BASE, 2)]
)
def test_without_base_or_length_there_is_no_prediction(base, length):
    found = measure_band(usage_at(11, 11), PLAIN, base, length, 3, VALUE)
    assert set(found.reasons()) == {"band: rotary_band_ratio"}


@pytest.mark.parametrize(
    ("usage", "frequency"),
    [
        (None, None),
        (np.ones((3, 2, 0)), np.empty(0)),
        (usage_at(3, 3), np.full(PAIRS, np.nan)),
        (np.full((3, 2, PAIRS), np.nan), PLAIN),
    ],
)
def test_a_layer_that_does_not_rotate_has_no_band(usage, frequency):
    found = measure_band(usage, frequency, BASE, LENGTH, 3, VALUE)
    names = "rotary_band_index rotary_band_ratio rotary_slow_share rotary_peak"
    assert set(found.reasons()) == {f"rotary: {names}"}


def test_share_of_slow_pairs_and_peaks_of_known_usage():
    usage = np.ones((1, 2, PAIRS))
    usage[0, 0, PAIRS // 2 :] = 3.0
    usage[0, 1, 0] = 1.0 + PAIRS
    usage[0, 1] *= 100.0
    found = measure_band(usage, PLAIN, BASE, LENGTH, 1, VALUE[:1])
    # Heads count alike: 3 of 4 parts, and half of the pairs of the second head, whose first is big.
    slow = (0.75 + PAIRS / 2 / (2 * PAIRS)) / 2
    np.testing.assert_allclose(found.values["rotary_slow_share"], slow)
    peaks = (3.0 / 2.0 + (1 + PAIRS) / 2.0) / 2
    np.testing.assert_allclose(found.values["rotary_peak"], peaks)
    np.testing.assert_allclose(found.values["value_peak"], 4.0 / 1.75)
    lacking = measure_band(usage, PLAIN, BASE, LENGTH, 1)
    assert lacking.reasons().tolist() == ["weights: value_peak"]


def test_the_layer_table_has_the_band_of_signals_by_lag_only(rows, rigorous):
    signals = rows[:6].reshape(3, 2, 96)
    facts = {"frequency": PLAIN, "usage": usage_at(11, 11), "base": BASE, "length": LENGTH}
    for lags, known in ((np.arange(96), True), (None, False)):
        found = kind_of(rigorous).layer(LayerSignals(signals, lags, **facts), None, rigorous)
        assert np.isfinite(found.values["rotary_band_ratio"]).all() == known
