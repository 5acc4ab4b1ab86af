"""Power at a head's own rotary frequencies against those of the layer's other heads."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from attention_wavelets.measures.rigorous_layers import measure_rotary, measure_rotary_match
from attention_wavelets.measures.rotary_power import rotary_excess
from attention_wavelets.measures.two_sided import two_sided_power

FREQUENCY = 1e5 ** (-np.arange(32) / 32) / (2 * np.pi)
BINS = np.arange(65) / 128


def smooth_usage(random, layers, heads):
    """Usage that varies smoothly over the pairs, as that of real heads does."""
    pair = np.arange(len(FREQUENCY))
    likeness = np.exp(-0.5 * np.square((pair[:, None] - pair) / 3))
    factor = np.linalg.cholesky(likeness + 1e-6 * np.eye(len(pair)))
    return np.exp(random.normal(size=(layers, heads, len(pair))) @ factor.T)


def decaying_power(random, layers, heads):
    """Spectra of exponential kernels of many widths."""
    width = np.exp(random.uniform(0, 4, (layers, heads, 1)))
    kernels = np.exp(-np.arange(128) / width)
    return two_sided_power(kernels / kernels.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("kind", ["smooth", "trend", "independent"])
def test_unrelated_usage_is_significant_as_often_as_it_should(kind):
    random = np.random.default_rng(3)
    usage = {
        "smooth": lambda: smooth_usage(random, 300, 20),
        "trend": lambda: np.exp(random.normal(size=(300, 20, 1)) * np.linspace(-1, 1, 32)),
        "independent": lambda: random.gamma(1.0, 1.0, (300, 20, 32)),
    }[kind]()
    found = rotary_excess(decaying_power(random, 300, 20), 1 / 128, FREQUENCY, usage, 99, 0)
    assert found.p.shape == (300, 20)
    assert found.layer_p.shape == (300,)
    # A rank of 20 is 0.05 for one head in 20; 6000 heads, 300 layers.
    for level, share in ((0.05, 0.05), (0.1, 0.1), (0.5, 0.5)):
        assert (found.p <= level + 1e-9).mean() == pytest.approx(share, abs=0.02)
        assert (found.layer_p <= level).mean() == pytest.approx(share, abs=0.06)
    assert abs(found.excess.mean()) < 0.1 * found.excess.std()


def test_planted_frequencies_are_found_through_smooth_usage():
    random = np.random.default_rng(3)
    usage = smooth_usage(random, 40, 12)
    share = usage / usage.sum(axis=-1, keepdims=True)
    peaks = np.exp(-0.5 * np.square((BINS - FREQUENCY[:, None]) / 0.004))
    found = rotary_excess(
        decaying_power(random, 40, 12) * (1 + 20 * share @ peaks), 1 / 128, FREQUENCY, usage, 99, 0
    )
    assert found.excess.mean() > 3 * found.excess.std() / math.sqrt(found.excess.size)
    assert (found.layer_p <= 0.05).mean() > 0.9
    assert found.p.mean() < 0.35


def test_rotary_excess_equals_loops():
    random = np.random.default_rng(4)
    power, usage = random.exponential(size=(3, 65)), random.gamma(1.0, 1.0, (3, 6))
    frequency = np.array([0.4, 0.2, 0.1, 0.05, 0.02, 0.001])
    found = rotary_excess(power, 1 / 128, frequency, usage, 99, 0)
    # The last pair turns less than once over 128 tokens.
    at = frequency[:5]
    scores = np.empty((3, 3))
    for h, g in np.ndindex(3, 3):
        logs = np.interp(at, BINS, np.log(power[h]))
        logs = logs - np.polyval(np.polyfit(np.log(at), logs, 1), np.log(at))
        scores[h, g] = np.average(logs, weights=usage[g, :5])
    for h in range(3):
        others = [scores[h, g] for g in range(3) if g != h]
        assert found.excess[h] == pytest.approx(scores[h, h] - np.mean(others))
        rank = 1 + sum(other >= scores[h, h] for other in others)
        assert found.p[h] == pytest.approx(rank / 3)
    ways = [scores[range(3), order].sum() for order in itertools.permutations(range(3))]
    exact = np.mean([way >= scores.trace() - 1e-9 for way in ways])
    assert found.layer_p == pytest.approx(exact, abs=0.12)


def test_rotary_excess_needs_four_frequencies_two_heads_and_power():
    random = np.random.default_rng(5)
    power, usage = random.exponential(size=(4, 65)), random.gamma(1.0, 1.0, (4, 32))
    few = rotary_excess(power, 1 / 128, FREQUENCY[:3], usage[:, :3], 99, 0)
    alone = rotary_excess(power[:1], 1 / 128, FREQUENCY, usage[:1], 99, 0)
    for found in (few, alone):
        assert np.isnan(found.excess).all()
        assert np.isnan(found.p).all()
        assert np.isnan(found.layer_p)
    usage[1] = 0
    power[2] = np.nan
    found = rotary_excess(power, 1 / 128, FREQUENCY, usage, 99, 0)
    np.testing.assert_array_equal(np.isnan(found.excess), [False, True, True, False])
    # Head 0 is compared with the usage of heads 2 and 3, which are known.
    kept = [0, 2, 3]
    again = rotary_excess(power[kept], 1 / 128, FREQUENCY, usage[kept], 99, 0)
    np.testing.assert_allclose(found.excess[kept], again.excess)
    np.testing.assert_allclose(found.p[kept], again.p)
    assert np.isnan(found.layer_p)


def test_rounding_has_no_rotary_frequencies(rigorous):
    random = np.random.default_rng(6)
    signals = random.dirichlet(np.ones(128), (1, 4))
    signals[0, 2] = (1 + 6e-8 * random.choice([-1, 0, 1], 128)) / 128
    usage = random.gamma(1.0, 1.0, (1, 4, 32))
    found = measure_rotary(signals, None, FREQUENCY, usage, rigorous)
    known = np.isfinite(found.values["rotary_excess"])
    np.testing.assert_array_equal(known, [[True, True, False, True]])
    assert "rotary: rotary_excess rotary_excess_p" in found.reasons()[0, 2]
    match = measure_rotary_match(
        signals[:, [0, 1, 3]], None, FREQUENCY, usage[:, [0, 1, 3]], rigorous
    )
    assert np.isfinite(match.values["rotary_match_p"]).all()
    assert "rotary: rotary_match_logits_p" in match.reasons()[0]
