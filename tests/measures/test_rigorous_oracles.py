"""References of measures of protocol `rigorous` that have a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attention_wavelets.measures.bank import frame_bounds
from attention_wavelets.measures.dilation import hellinger
from attention_wavelets.measures.entropy import weighted_window_entropy


def test_entropy_within_windows_weighted_by_mass(oracles):
    compared = 0
    for oracle in oracles["signals"].values():
        for width in (16, 32, 64):
            expected = oracle["paper"].get(f"window_entropy_{width}_mass_weighted")
            if expected is not None:
                found = weighted_window_entropy(oracle["a"], width)
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
                compared += 1
    assert compared >= 6


def test_references_of_frame_bounds():
    # A bank of one copying head answers every frequency alike.
    delta = np.zeros((1, 64))
    delta[0, 0] = 1
    assert frame_bounds(delta).octaves == pytest.approx(0)
    # The closed form of one exponential kernel: |K|^2 = (1-r)^2 / (1 - 2 r cos w + r^2).
    r = math.exp(-1 / 2)
    kernel = (1 - r) * r ** np.arange(256)[None]
    expected = math.log2(((1 + r) / (1 - r)) ** 2)
    found = frame_bounds(kernel)
    assert found.octaves == pytest.approx(expected, rel=1e-6)
    assert found.ratio == pytest.approx(((1 + r) / (1 - r)) ** 2, rel=1e-6)
    assert found.ratio == pytest.approx(found.upper / found.lower, rel=1e-12)


def test_hellinger_is_one_for_laws_without_a_common_position():
    assert hellinger([1.0, 0, 0], [0, 0.5, 0.5]) == 1
    assert hellinger([0.5, 0.5, 0], [0.5, 0.5, 0]) == 0
