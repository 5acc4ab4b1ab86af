"""Probes: how a head's attention matrix becomes one signal, as streaming reducers.

A reducer sees the rows of one layer's attention in chunks and never holds a queries x keys matrix.
A new probe is one small class with update, merge and finalize, and one line in PROBES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from attention_wavelets.errors import unknown_name

__all__ = ["PROBES", "Lag", "LastQuery", "ProbeSpec", "Received", "Reducer", "Shape", "get_probe"]


@dataclass(frozen=True)
class Shape:
    """What a reducer must know before the first row: positions N, and whether keys are causal."""

    positions: int
    causal: bool


class Reducer(Protocol):
    """A sum over attention rows that can be built in any number of pieces."""

    def update(self, probabilities: Tensor, start: int) -> None:
        """Take rows start:start+R; `probabilities` is float32 (batch, head, R, keys)."""

    def merge(self, other: Reducer) -> None:
        """Add what another reducer of the same shape has seen; `other` is left as it was."""

    def finalize(self) -> Tensor:
        """The unnormalised signal, float64 (batch, head, axis); can be called repeatedly."""


class _Sum:
    """A running float64 sum that starts empty and takes its device from the first row."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.total: Tensor | None = None

    def add(self, part: Tensor) -> None:
        self.total = part.double() if self.total is None else self.total + part.double()

    def merge(self, other: Reducer) -> None:
        assert isinstance(other, type(self))
        if other.total is not None:
            self.add(other.total)

    def _sum(self) -> Tensor:
        if self.total is None:
            raise ValueError("finalize before any row was seen")
        return self.total


class Received(_Sum):
    """r[k] = mean over queries of A[q, k]: the attention each position receives."""

    def update(self, probabilities: Tensor, start: int) -> None:
        del start
        self.add(probabilities.sum(dim=2))

    def finalize(self) -> Tensor:
        return self._sum() / self.shape.positions


def lag_axis(shape: Shape) -> np.ndarray:
    """Lags (query minus key) of the `lag` probe, M = floor(N/2) of them."""
    count = shape.positions // 2
    return np.arange(count) if shape.causal else np.arange(count) - count // 2


def lag_queries(shape: Shape) -> range:
    """Queries that see every lag of `lag_axis`."""
    half = shape.positions // 2
    edge = half // 2
    return (
        range(half, shape.positions) if shape.causal else range(edge, shape.positions - half + edge)
    )


class Lag(_Sum):
    """Mean over queries of A[q, q - lag]; all lags are seen by the same queries.

    Causal models: lags 0 ... M-1 and queries M ... N-1, M = floor(N/2), so key 0, where a sink
    sits, never enters. Bidirectional models: lags -M/2 ... M/2-1 and the middle queries.
    """

    def update(self, probabilities: Tensor, start: int) -> None:
        queries = lag_queries(self.shape)
        first = max(start, queries.start)
        last = min(start + probabilities.shape[2], queries.stop)
        if first >= last:
            return
        rows = probabilities[:, :, first - start : last - start]
        lags = torch.as_tensor(lag_axis(self.shape), device=rows.device)
        keys = torch.arange(first, last, device=rows.device)[:, None] - lags[None, :]
        self.add(rows.gather(3, keys.expand(*rows.shape[:2], *keys.shape)).sum(dim=2))

    def finalize(self) -> Tensor:
        return self._sum() / len(lag_queries(self.shape))


class LastQuery(_Sum):
    """The attention row of the last token; causal models only."""

    def update(self, probabilities: Tensor, start: int) -> None:
        last = self.shape.positions - 1 - start
        if 0 <= last < probabilities.shape[2]:
            self.add(probabilities[:, :, last])

    def finalize(self) -> Tensor:
        return self._sum()


@dataclass(frozen=True)
class ProbeSpec:
    """A probe as a value: its name, its reducer and the axis its signals run along."""

    name: str
    make: Callable[[Shape], Reducer]
    axis: str
    coordinates: Callable[[Shape], np.ndarray]
    causal_only: bool = False


def _positions(shape: Shape) -> np.ndarray:
    return np.arange(shape.positions)


PROBES: dict[str, ProbeSpec] = {
    "received": ProbeSpec("received", Received, "position", _positions),
    "lag": ProbeSpec("lag", Lag, "lags", lag_axis),
    "last_query": ProbeSpec("last_query", LastQuery, "position", _positions, causal_only=True),
}


def get_probe(kind: str) -> ProbeSpec:
    """The probe of that kind; an unknown one is a `PipelineError` with the list."""
    if kind not in PROBES:
        raise unknown_name("probe", kind, PROBES)
    return PROBES[kind]
