"""The contract of reducers: numbers built up from chunks of attention rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from attention_wavelets.attention.rows import Rows

__all__ = ["Reducer", "Shape", "Sum", "Sums"]


@dataclass(frozen=True)
class Shape:
    """What a reducer must know before the first row.

    queries, keys
        Sizes of the attention matrix; equal in self-attention.
    causal
        Whether keys end at the query.
    period
        Of a sequence that repeats itself: how many tokens later; else 0.
    repeat
        First query of the second copy.
    skip
        Positions in front that are no part of the sequence ([CLS] and registers of pictures), which
        probes by lag leave out.
    places
        (sequence, position), the character of the text at which each token begins, -1 of tokens
        that are none of the text. None where a token counts as a character.
    """

    queries: int
    keys: int
    causal: bool
    period: int = 0
    repeat: int = 0
    skip: int = 0
    places: Tensor | None = field(default=None, compare=False)

    @classmethod
    def square(cls, positions: int, causal: bool) -> Shape:
        """Self-attention over that many positions."""
        return cls(positions, positions, causal)


class Reducer(Protocol):
    """A sum over attention rows that can be built in any number of pieces."""

    def update(self, rows: Rows) -> None:
        """Take a chunk of rows; nothing of it may be kept or changed."""

    def merge(self, other: Reducer) -> None:
        """Add what another reducer of the same shape has seen; `other` is left as it was."""

    def finalize(self) -> Any:
        """What was summed, float64 (batch, head, ...); can be called repeatedly.

        Of a probe the unnormalised signal, of a fact a dict of numbers by name.
        """


class Sums:
    """Running float64 sums by name; each starts empty and takes its device from its first part."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.totals: dict[str, Tensor] = {}

    def accumulate(self, parts: Mapping[str, Tensor]) -> None:
        """Add one part to each named sum."""
        for name, part in parts.items():
            known = self.totals.get(name)
            # A copy: a total may be changed in place, and belongs to this reducer alone.
            self.totals[name] = (
                part.to(torch.float64, copy=True) if known is None else known.add_(part)
            )

    def room(self, name: str, size: Sequence[int], device: torch.device) -> Tensor:
        """A named sum of that size, zeros at first, to add to in place."""
        if name not in self.totals:
            self.totals[name] = torch.zeros(size, dtype=torch.float64, device=device)
        return self.totals[name]

    def merge(self, other: Reducer) -> None:
        assert isinstance(other, type(self))
        # Totals made while a model ran can be changed in this mode only.
        with torch.inference_mode():
            self.accumulate(other.totals)

    def total(self, name: str) -> Tensor:
        """One sum."""
        if name not in self.totals:
            raise ValueError("finalize before any row was seen")
        return self.totals[name]


class Sum(Sums):
    """A single running sum."""

    def add(self, part: Tensor) -> None:
        self.accumulate({"": part})

    def add_at(self, part: Tensor, start: int, size: int) -> None:
        """Add `part` to positions from `start` on of a last axis of that size."""
        total = self.room("", (*part.shape[:-1], size), part.device)
        total[..., start : start + part.shape[-1]] += part

    def sum(self) -> Tensor:
        return self.total("")
