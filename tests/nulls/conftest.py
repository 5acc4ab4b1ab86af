"""Observed rows of many shapes, and one stream per sequence."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.nulls.seeds import child

LENGTH = 24


@pytest.fixture(scope="session")
def rows():
    """(8, 5, 24) read-only signals: Dirichlet from spiky to flat, then special ones."""
    generator = np.random.default_rng(11)
    shapes = np.array([0.02, 0.1, 0.3, 1.0, 10.0, 1000.0])[:, None, None]
    values = np.full((8, 5, LENGTH), 1.0 / LENGTH)
    values[:6] = generator.gamma(np.broadcast_to(shapes, (6, 5, LENGTH)))
    # Points: exact, nearly so, at either end; the uniform row, and rows near to it.
    values[6] = 0.0
    values[6, [0, 1, 2, 3], [0, LENGTH - 1, 7, 0]] = 1.0
    values[6, 2] += 1e-9
    values[6, 3] += 1e-4
    values[6, 4, [3, 9]] = 0.5
    values[7, 1] += 1e-6 * generator.standard_normal(LENGTH)
    values[7, 2] *= 1 + 2.0**-24 * generator.integers(-1, 2, LENGTH)
    values[7, 3] += np.linspace(0, 1e-3, LENGTH)
    values[7, 4] += np.linspace(1e-9, 0, LENGTH)
    values /= values.sum(axis=-1, keepdims=True)
    values.flags.writeable = False
    return values


@pytest.fixture(scope="session")
def streams():
    return [child(0, "model", 3, sequence, "null", 0) for sequence in range(8)]
