"""Claims and panels made by hand, whose number is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from attention_wavelets.claims.judge import NullDraws
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.config.claims import Claim

__all__ = ["claim", "draws", "noisy", "panel", "subject"]


def claim(
    kind: str = "sign",
    of: Sequence[str] = ("a",),
    *,
    claimed: str = "above",
    smallest_effect: float = 0.1,
    controls: Sequence[str] = (),
    rivals: Sequence[str] = (),
    generality: str = "text",
    needs: Sequence[str] = (),
    **test: Any,
) -> Claim:
    """A claim; what is not named belongs to its test."""
    return Claim.model_validate(
        {
            "statement": "A statement made up for a test.",
            "source": "a test",
            "test": {
                "kind": kind,
                "of": list(of),
                "claimed": claimed,
                "smallest_effect": smallest_effect,
                **test,
            },
            "protocol": "paper",
            "probe": "received",
            "controls": list(controls),
            "rivals": list(rivals),
            "generality": generality,
            "models": {
                "needs": list(needs),
                "checkpoints_of": ["a/b"] if test.get("over") == "step" else [],
                "at_least": 4 if test.get("over") == "step" else 1,
            },
        }
    )


def panel(values: Any, documents: Any = None, unmatched: float = 0.0) -> Panel:
    """(sequence, layer, head[, column]) values, each sequence a document unless said otherwise."""
    table = np.asarray(values, dtype=np.float64)
    table = table[..., None] if table.ndim == 3 else table
    named = np.arange(len(table)) if documents is None else np.asarray(documents)
    return Panel(table, named, unmatched)


def subject(values: Any, documents: Any = None, unmatched: float = 0.0) -> Subject:
    """A model by itself."""
    return Subject((panel(values, documents, unmatched),))


def noisy(
    level: float | Sequence[float],
    seed: int = 0,
    *,
    noise: float = 0.05,
    sequences: int = 12,
    layers: int = 6,
    heads: int = 4,
) -> np.ndarray:
    """(sequence, layer, head, column): each column a level with normal noise."""
    levels = np.atleast_1d(np.asarray(level, dtype=np.float64))
    shape = (sequences, layers, heads, len(levels))
    return levels + noise * np.random.default_rng(seed).standard_normal(shape)


def draws(
    name: str, *values: Any, kind: str = "", unmatched: float = 0.0, documents: Any = None
) -> NullDraws:
    """A null with these draws."""
    made = [subject(part, documents, unmatched) for part in values]
    return NullDraws(name, kind or name, made, shared=name == "untrained")
