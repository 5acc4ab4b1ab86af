"""Where protocol `rigorous` reads rounding, single positions and overflow as what they are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from attention_wavelets.measures.protocols import LayerSignals, kind_of
from attention_wavelets.measures.registry_rigorous import rigorous_measures
from attention_wavelets.measures.rigorous import compare_signals, measure_signals
from attention_wavelets.measures.sparsity import best_packet_entropy, coefficient_entropy
from attention_wavelets.measures.two_sided import (
    half_power_width,
    spectral_flatness,
    two_sided_power,
)

STRUCTURE = [
    "spectral_entropy_share",
    "spectral_flatness",
    "octave_share_1",
    "octave_share_rest",
    "haar_energy_entropy",
    "haar_share_1",
    "sparsity_identity",
    "sparsity_haar",
    "sparsity_packets",
]


def test_rounding_of_float32_on_a_uniform_signal_is_no_structure(rigorous):
    random = np.random.default_rng(0)
    ulp = np.finfo(np.float32).eps / 2
    noisy = np.full((20, 128), 1 / 128) * (1 + ulp * random.choice([-1, 0, 1], (20, 128)))
    found = measure_signals(noisy.astype(np.float32), rigorous, np.arange(128))
    for name in STRUCTURE:
        assert np.isnan(found.values[name]).all(), name
    assert "constant: spectral_entropy_share" in found.reasons()[0]
    # A thousandth of structure is structure.
    seen = np.full(128, 1.0) + 1e-3 * np.cos(2 * np.pi * 4 * np.arange(128) / 128)
    for name in STRUCTURE:
        assert np.isfinite(measure_signals(seen, rigorous).values[name]), name
    level = compare_signals(noisy[:1], noisy[1:2, :64], rigorous).values["scale_level_shift"]
    assert np.isnan(level).all()


def test_flatness_of_a_smooth_kernel_is_the_same_in_float32():
    lag = np.arange(128)
    smooth = np.exp(-((lag - 64.0) ** 2) / 128)
    smooth /= smooth.sum()
    exact, single = (
        spectral_flatness(two_sided_power(x), 128) for x in (smooth, smooth.astype(np.float32))
    )
    assert single == pytest.approx(exact, rel=0.02)


def test_a_head_that_never_falls_to_half_lets_every_frequency_through(rigorous):
    assert half_power_width(two_sided_power(np.eye(64)[5]), 64) == 0.5
    near = 0.9 * np.eye(64)[5] + 0.1 / 64
    assert half_power_width(two_sided_power(near), 64) == 0.5
    found = measure_signals(np.stack([near, np.full(64, 1 / 64)]), rigorous).values
    assert found["half_power_width"] == pytest.approx([0.5, 0.5 / 64])


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("sink", ["keep", "drop"])
def test_the_shortest_signals_have_reasons_instead_of_numbers(rigorous, length, sink):
    protocol = rigorous.model_copy(update={"sink": sink})
    kind = kind_of(protocol)
    rows = np.random.default_rng(1).dirichlet(np.ones(length), (5, 4))
    expected = {m.name for m in rigorous_measures(protocol) if m.level == "head"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = kind.signals(rows, None, protocol)
        assert set(found.values) == {n for n in expected if not n.startswith("rotary_excess")}
        for lags in (None, np.arange(length), np.arange(length) - length // 2):
            layer = LayerSignals(rows, lags, rows, lags)
            heads = kind.heads(layer, protocol)
            assert heads.shape == (5, 4)
            assert kind.layer(layer, heads, protocol).shape == (5,)
            assert kind.model(rows, lags, protocol).shape == (5,)
    for name in ("spectral_entropy_share", "haar_energy_entropy"):
        assert np.isnan(found.values[name]).all() or length == 3
    if length == 1 and sink == "keep":
        assert "width: half_power_width" in found.reasons()[0, 0]


def test_a_product_that_would_overflow_is_undefined(rigorous):
    row = np.full(32, 1e-310)
    row[0] = row[-1] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_signals(row, rigorous)
    assert np.isnan(found.values["breitenberger_product"])
    assert "neighbours: breitenberger_product" in found.reasons().item()


def test_an_entropy_of_coefficients_is_never_negative():
    # All energy in one coefficient, whose share is 1 up to rounding on either side.
    height = np.random.default_rng(2).uniform(0, 1 / 8, (2000, 1))
    rows = 1 / 8 + height * np.repeat([1.0, -1.0], 4)
    for entropies in (coefficient_entropy(rows, "haar"), best_packet_entropy(rows, "haar")):
        assert entropies.min() == 0
        assert entropies.max() < 1e-12
