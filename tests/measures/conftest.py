"""Fixtures: the shipped protocol, the oracles, and some signals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from attention_wavelets.config.schema import PaperProtocol, RigorousProtocol

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def protocol():
    text = (HERE.parents[1] / "conf" / "protocol" / "paper.yaml").read_text()
    return PaperProtocol(**yaml.safe_load(text))


@pytest.fixture(scope="session")
def rigorous():
    text = (HERE.parents[1] / "conf" / "protocol" / "rigorous.yaml").read_text()
    return RigorousProtocol(**yaml.safe_load(text))


@pytest.fixture(scope="session")
def oracles():
    return json.loads((HERE / "oracles.json").read_text())


@pytest.fixture(scope="session")
def rows():
    """(60, 96) float64 rows of many shapes: spiky, flat, decaying."""
    generator = np.random.default_rng(7)
    spiky = generator.gamma(0.2, size=(20, 96))
    flat = generator.gamma(5.0, size=(20, 96))
    decaying = np.exp(-np.arange(96)[::-1] / generator.uniform(1, 60, size=(20, 1)))
    values = np.concatenate([spiky, flat, decaying])
    values /= values.sum(axis=-1, keepdims=True)
    values.flags.writeable = False
    return values
