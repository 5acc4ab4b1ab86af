"""Families of models with and without a trend over size, through the verdicts of real claims.

Without a trend a model's level says nothing about its size, and its documents tell the level well:
any `pass` is wrong, however sure each level is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from attention_wavelets.claims.judge import NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.config.claims import Claim
from attention_wavelets.config.compose import load_member

__all__ = ["CASES", "FAMILIES", "TRUE", "of_family"]

CONF = Path(__file__).parents[1] / "conf"
# Non-embedding parameters of Pythia, 14M to 12B.
SIZES = (1.2e6, 1.89e7, 8.51e7, 3.02e8, 1.208e9, 2.517e9, 6.444e9, 1.133e10)
# Sequences in each of 12 documents.
DOCUMENTS = np.repeat(np.arange(12), (3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1))
# Levels of models about their law; of the untrained twins about one level; of sequences about the
# level, half of that variance in common to all models. Draws of the untrained null.
SCATTER, UNTRAINED, NOISE, DRAWS = 0.02, 0.01, 0.01, 2

Law = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _without(places: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Levels 0.05 apart, whatever the size."""
    return 0.15 + 0.05 * generator.standard_normal(len(places))


def _line(places: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """From 0.3 down to 0.1, straight in the logarithm of the size."""
    along = (places - places[0]) / (places[-1] - places[0])
    return 0.3 - 0.2 * along + SCATTER * generator.standard_normal(len(places))


def _step(places: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """0.3 up to the third model, 0.1 beyond."""
    levels = np.where(np.arange(len(places)) < 3, 0.3, 0.1)
    return levels + SCATTER * generator.standard_normal(len(places))


FAMILIES: dict[str, Law] = {"no trend": _without, "line": _line, "step": _step}

TRUE: dict[str, tuple[str, ...]] = {
    "no trend": (),
    "line": ("H08", "H10"),
    # Larger models have the lower level as well.
    "step": ("H07", "H08", "H10"),
}
"""Family -> claims that are true of it."""

CASES = {
    f"{family}, {claim}": each
    for family in FAMILIES
    for claim, each in (("H07", 10 if family == "no trend" else 40), ("H08", 4), ("H10", 4))
}
"""Family and claim -> one simulation in so many of the others: orders of a step are slow."""


@lru_cache
def _claim(name: str) -> Claim:
    return load_member("claim", name, CONF, {}).model_copy(update={"controls": ["untrained"]})


def of_family(
    name: str, streams: Sequence[np.random.SeedSequence], _weights: int
) -> dict[str, np.ndarray]:
    """Whether the verdict of a claim is a literal and a controlled `pass`."""
    family, _, claim = name.rpartition(", ")
    rows = [_passes(FAMILIES[family], _claim(claim), stream) for stream in streams]
    return dict(zip(("literal", "passed"), np.array(rows, dtype=np.float64).T, strict=True))


def _passes(law: Law, claim: Claim, stream: np.random.SeedSequence) -> tuple[bool, bool]:
    generator = np.random.default_rng(stream)
    places = np.log(SIZES)
    rules = Rules(seed=int(generator.integers(2**32)))
    observed = _subject(law(places, generator), places, generator)
    twins = 0.25 + UNTRAINED * generator.standard_normal((DRAWS, len(places)))
    draws = [_subject(levels, places, generator) for levels in twins]
    found = judge(claim, observed, [NullDraws("untrained", "untrained", draws, shared=True)], rules)
    return found.literal == "pass", found.controlled == "pass"


def _subject(levels: np.ndarray, places: np.ndarray, generator: np.random.Generator) -> Subject:
    def of_text(count: int) -> np.ndarray:
        """(sequence, count) of variance 1, half of it the document's."""
        document = generator.standard_normal((DOCUMENTS[-1] + 1, count))[DOCUMENTS]
        return np.sqrt(0.5) * (document + generator.standard_normal((len(DOCUMENTS), count)))

    noise = np.sqrt(0.5) * (of_text(1) + of_text(len(levels)))
    values = levels + NOISE * noise
    panels = (Panel(column[:, None, None, None], DOCUMENTS) for column in values.T)
    return Subject(tuple(panels), places)
