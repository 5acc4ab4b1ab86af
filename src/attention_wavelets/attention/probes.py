"""Probes: how a head's attention matrix becomes one signal, as streaming reducers.

A reducer sees the rows of one layer's attention in chunks and never holds a queries x keys matrix.
A new probe is one small class with update, merge and finalize, and one line in PROBES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attention_wavelets.attention.reducers import Reducer, Shape, Sum
from attention_wavelets.attention.rows import Rows, lag_view
from attention_wavelets.errors import PipelineError, unknown_name

__all__ = [
    "PROBES",
    "CharacterLag",
    "Lag",
    "LastQuery",
    "ProbeSpec",
    "QueryRows",
    "Received",
    "chosen_queries",
    "get_probe",
    "lag_axis",
    "lag_queries",
]


class Received(Sum):
    """r[k] = mean over queries of A[q, k]: the attention each position receives."""

    def update(self, rows: Rows) -> None:
        self.add_at(rows.received, 0, self.shape.keys)

    def finalize(self) -> Tensor:
        return self.sum() / self.shape.queries


def lag_axis(shape: Shape) -> np.ndarray:
    """Lags (query minus key) of the `lag` probe, M = floor(N/2) of them."""
    return np.arange(_lags(shape).start, _lags(shape).stop)


def _lags(shape: Shape) -> range:
    count = (shape.queries - shape.skip) // 2
    return range(count) if shape.causal else range(-(count // 2), count - count // 2)


def lag_queries(shape: Shape) -> range:
    """Queries that see every lag of `lag_axis`."""
    half = (shape.queries - shape.skip) // 2
    first = shape.skip + (half if shape.causal else half // 2)
    return range(first, shape.queries if shape.causal else shape.queries - half + half // 2)


def lag_rows(matrix: Tensor, start: int, shape: Shape) -> Tensor | None:
    """The part of a chunk that `lag` reads, (batch, head, R', lag) with the FIRST lag LAST.

    None where the chunk holds none of the queries.
    """
    if shape.queries != shape.keys:
        raise ValueError("lags need queries and keys of the same sequence")
    queries = lag_queries(shape)
    first = max(start, queries.start)
    last = min(start + matrix.shape[2], queries.stop)
    if first >= last:
        return None
    return lag_view(matrix, start, _lags(shape), first - start, last - start)


class Lag(Sum):
    """Mean over queries of A[q, q - lag]; all lags are seen by the same queries.

    Causal models: lags 0 ... M-1 and queries M ... N-1, M = floor(N/2), so key 0, where a sink
    sits, never enters. Bidirectional models: lags -M/2 ... M/2-1 and the middle queries. Positions
    that `Shape.skip` leaves out are neither queries nor keys.
    """

    def update(self, rows: Rows) -> None:
        part = lag_rows(rows.probabilities, rows.start, self.shape)
        if part is not None:
            self.add(part.sum(dim=2).flip(-1))

    def finalize(self) -> Tensor:
        return self.sum() / len(lag_queries(self.shape))


class CharacterLag(Sum):
    """Mean over queries of the attention to keys that begin so many characters before, by number.

    Of the queries of `lag`, and of those whose text reaches every distance on the axis, so that all
    distances are seen by the same queries. Where a token is a character it is `lag`. NaN where no
    query's text reaches that far: tokens of less than a character, or special tokens throughout.
    """

    def update(self, rows: Rows) -> None:
        queries = lag_queries(self.shape)
        first, last = max(rows.start, queries.start), min(rows.stop, queries.stop)
        if first >= last:
            return
        part = rows.probabilities[:, :, first - rows.start : last - rows.start]
        lags = _lags(self.shape)
        places = self._places(part)
        keys = places[:, None, : part.shape[3]]
        distance = places[:, first:last, None] - keys
        inside = self._reaching(places)[:, first:last, None] & (keys >= 0)
        inside = inside & (distance >= lags.start) & (distance < lags.stop)
        # One more place takes what lies outside.
        index = torch.where(inside, distance - lags.start, len(lags)).flatten(1)[:, None]
        weights = part.flatten(2).double()
        found = weights.new_zeros((*part.shape[:2], len(lags) + 1))
        found.scatter_add_(2, index.expand_as(weights), weights)
        self.add(found[..., :-1])

    def finalize(self) -> Tensor:
        total = self.sum()
        queries = lag_queries(self.shape)
        reaching = self._reaching(self._places(total))[:, queries.start : queries.stop]
        count = reaching.sum(1)[:, None, None]
        return torch.where(count > 0, total / count.clamp(min=1), torch.nan)

    def _reaching(self, places: Tensor) -> Tensor:
        """Positions of the text that have text at every distance, (sequence, position)."""
        lags = _lags(self.shape)
        known = places >= 0
        first = torch.where(known, places, places.max() + 1).amin(1, keepdim=True)
        last = places.amax(1, keepdim=True)
        return known & (places - first >= lags.stop - 1) & (last - places >= -lags.start)

    def _places(self, like: Tensor) -> Tensor:
        if self.shape.places is None:
            alone = torch.arange(self.shape.queries, device=like.device)
            return alone.expand(like.shape[0], -1)
        return self.shape.places.to(like.device)


class LastQuery(Sum):
    """The attention row of the last token; causal models only."""

    def update(self, rows: Rows) -> None:
        last = self.shape.queries - 1
        if rows.start <= last < rows.stop:
            self.add_at(rows.probabilities[:, :, last - rows.start], 0, self.shape.keys)

    def finalize(self) -> Tensor:
        return self.sum()


def chosen_queries(shape: Shape, count: int) -> np.ndarray:
    """`count` queries at a fixed stride in the second half, the last one always among them.

    Of a shorter half all queries are taken.
    """
    half = shape.queries - shape.queries // 2
    count = min(count, half)
    return np.sort(shape.queries - 1 - np.arange(count) * half // count)


class QueryRows(Sum):
    """Whole attention rows of some queries, (batch, head, row, key)."""

    def __init__(self, shape: Shape, rows: int) -> None:
        super().__init__(shape)
        self.queries = chosen_queries(shape, rows)

    def update(self, rows: Rows) -> None:
        here = np.flatnonzero((self.queries >= rows.start) & (self.queries < rows.stop))
        if not here.size:
            return
        matrix = rows.probabilities
        size = (*matrix.shape[:2], len(self.queries), self.shape.keys)
        chosen = torch.as_tensor(self.queries[here] - rows.start, device=matrix.device)
        total = self.room("", size, matrix.device)
        total[:, :, here[0] : here[-1] + 1, : matrix.shape[3]] += matrix[:, :, chosen]

    def finalize(self) -> Tensor:
        return self.sum()


@dataclass(frozen=True)
class ProbeSpec:
    """A probe as a value.

    make
        `make(shape, **options)` is the reducer; its options are those of the YAML file.
    axes
        Names of the signal's axes after (sequence, layer, head); the signal runs along the last.
    coordinates
        `coordinates(shape, **options)` -> axis -> its values.
    causal_only
        Whether bidirectional models have no such signal.
    by_character
        Whether the signal runs along characters, which only a tokenizer knows.
    """

    name: str
    make: Callable[..., Reducer]
    axes: tuple[str, ...]
    coordinates: Callable[..., dict[str, np.ndarray]]
    causal_only: bool = False
    by_character: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def reducer(self, shape: Shape) -> Reducer:
        """An empty reducer for one layer."""
        return self.make(shape, **self.options)

    def axis_values(self, shape: Shape) -> dict[str, np.ndarray]:
        """Coordinates of each axis in `axes`."""
        return self.coordinates(shape, **self.options)


def _positions(shape: Shape) -> dict[str, np.ndarray]:
    return {"position": np.arange(shape.keys)}


def _lag_values(shape: Shape) -> dict[str, np.ndarray]:
    return {"lags": lag_axis(shape)}


def _character_lag_values(shape: Shape) -> dict[str, np.ndarray]:
    return {"character_lags": lag_axis(shape)}


def _row_values(shape: Shape, rows: int) -> dict[str, np.ndarray]:
    return {"row": chosen_queries(shape, rows), **_positions(shape)}


PROBES: dict[str, ProbeSpec] = {
    "received": ProbeSpec("received", Received, ("position",), _positions),
    "lag": ProbeSpec("lag", Lag, ("lags",), _lag_values),
    "character_lag": ProbeSpec(
        "character_lag",
        CharacterLag,
        ("character_lags",),
        _character_lag_values,
        by_character=True,
    ),
    "last_query": ProbeSpec("last_query", LastQuery, ("position",), _positions, causal_only=True),
    "query_rows": ProbeSpec("query_rows", QueryRows, ("row", "position"), _row_values),
}


def get_probe(kind: str, **options: Any) -> ProbeSpec:
    """The probe of that kind; an unknown one is a `PipelineError` with the list."""
    if kind not in PROBES:
        raise unknown_name("probe", kind, PROBES)
    return replace(PROBES[kind], options=options) if options else PROBES[kind]


def check_rows(shape: Shape, probes: Mapping[str, ProbeSpec]) -> None:
    """Refuse a probe that asks for more rows than the second half of a sequence has."""
    if shape.queries < 2:
        raise PipelineError(
            f"sequences have {shape.queries} token", "probes", "two is the least that has a lag"
        )
    half = shape.queries - shape.queries // 2
    for name, spec in probes.items():
        if spec.options.get("rows", 0) > half:
            raise PipelineError(
                f"asks for {spec.options['rows']} rows, the second half of {shape.queries} tokens "
                f"has {half}",
                f"probe {name}",
                "lower `rows` in conf/probe/, or take longer sequences",
            )
