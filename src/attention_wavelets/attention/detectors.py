"""Detectors: scores of what a head does, from its probabilities alone.

Definitions follow Olsson et al. 2022 (induction, previous token), Gu et al. 2024 (sinks) and Clark
et al. 2019 (entropy); each docstring states what is averaged over what.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from attention_wavelets.attention.reducers import Sums
from attention_wavelets.attention.rows import Rows, lag_view

__all__ = ["SINK_THRESHOLD", "SPAN", "WINDOWS", "Locality", "Repeats", "RowEntropy", "Sink"]

# Distances of local mass: keys fewer than this many tokens from the query, itself included.
WINDOWS = (1, 4, 16, 64, 256)
# Share of attention that the effective span holds.
SPAN = 0.9
# From what mean attention on a sink is called one.
SINK_THRESHOLD = 0.3


class Locality(Sums):
    """How far a head looks, from its mean attention by lag over ALL queries.

    local_mass
        Mean over queries of the attention to keys fewer than w tokens away, for w in `WINDOWS`.
    previous_token
        Mean over queries from 1 on of A[q, q-1].
    effective_span
        Smallest distance d such that keys at most d tokens away hold `SPAN` of all attention.
    """

    def update(self, rows: Rows) -> None:
        zero = 0 if self.shape.causal else self.shape.keys - 1
        size = (*rows.probabilities.shape[:2], self.shape.queries + zero)
        profile = self.room("profile", size, rows.probabilities.device)
        for part, lowest in _lag_sums(rows):
            profile[..., zero + lowest : zero + lowest + part.shape[-1]] += part

    def finalize(self) -> dict[str, Tensor]:
        """Values in [0, 1], but for the span, which is a distance in tokens."""
        profile = self.total("profile")
        if not self.shape.causal:
            profile = _fold(profile, self.shape.keys)
        queries = self.shape.queries
        reach = profile.cumsum(-1)
        ends = [min(w, profile.shape[-1]) - 1 for w in WINDOWS]
        previous = self.total("profile")[..., 1 + (0 if self.shape.causal else self.shape.keys - 1)]
        # Rounding must not push the end of a sum below the share it is compared with.
        held = reach >= SPAN * reach[..., -1:] * (1 - 1e-9)
        span = held.double().argmax(-1).double()
        return {
            "local_mass": reach[..., ends] / queries,
            "previous_token": previous / (queries - 1),
            "effective_span": span.where(held[..., -1], torch.nan),
        }


def _lag_sums(rows: Rows) -> Iterator[tuple[Tensor, int]]:
    """Sums over a chunk's queries of A[q, q - lag], ascending lags, and the first lag of each."""
    matrix, start, stop = rows.probabilities, rows.start, rows.stop
    count, keys = matrix.shape[2:]
    side = count - 1

    def lags_of(part: Tensor, first_key: int, lags: range) -> Iterator[tuple[Tensor, int]]:
        if lags:
            view = lag_view(part, start - first_key, lags, 0, count)
            yield view.sum(dim=2).flip(-1), lags.start

    # Lags that every row holds, read in place; of the two ends a copy with zeros beside it.
    nearest = 0 if rows.call.causal else stop - keys
    yield from lags_of(matrix, 0, range(nearest, start + 1))
    old = matrix[..., :side]
    yield from lags_of(pad(old, (side, side - old.shape[-1])), -side, range(start + 1, stop))
    if not rows.call.causal:
        edge = max(0, keys - side)
        ahead = pad(matrix[..., edge:], (0, side))
        yield from lags_of(ahead, edge, range(start - keys + 1, min(nearest, start + 1)))


def _fold(profile: Tensor, keys: int) -> Tensor:
    """Lags -(K-1) ... N-1 to distances 0 ... max(N, K)-1."""
    behind, ahead = profile[..., keys - 1 :], profile[..., : keys - 1].flip(-1)
    size = max(behind.shape[-1], ahead.shape[-1] + 1)
    folded = profile.new_zeros((*profile.shape[:-1], size))
    folded[..., : behind.shape[-1]] += behind
    folded[..., 1 : ahead.shape[-1] + 1] += ahead
    return folded


class Sink(Sums):
    """Attention sinks. The importance of key k is the mean of A[q, k] over queries that see it.

    sink_importance
        Importance of the first key.
    sink_rate
        1 where that exceeds `SINK_THRESHOLD`, else 0; its mean over sequences is the rate.
    sink_rate_anywhere
        The same for the most important key of those that at least half as many queries see as see
        the key seen most. Keys that one or two late queries see would be "important" by chance.
    """

    def update(self, rows: Rows) -> None:
        part = rows.received
        total = self.room("received", (*part.shape[:2], self.shape.keys), part.device)
        total[..., : part.shape[-1]] += part
        hidden = rows.hidden
        batch = 1 if hidden is None else hidden.shape[0]
        seen = self.room("seen", (batch, 1, self.shape.keys), part.device)
        seen[..., : part.shape[-1]] += rows.stop - rows.start
        if hidden is not None:
            seen[..., part.shape[-1] - hidden.shape[-1] : part.shape[-1]] -= hidden.sum(2)

    def finalize(self) -> dict[str, Tensor]:
        """Importance in [0, 1]; rates 0 or 1. NaN where no query sees the key."""
        seen = self.total("seen")
        importance = self.total("received") / seen
        often = seen >= seen.amax(-1, keepdim=True) / 2
        most = importance.where(often, -torch.inf).amax(-1)
        return {
            "sink_importance": importance[..., 0],
            "sink_rate": _exceeds(importance[..., 0]),
            "sink_rate_anywhere": _exceeds(most),
        }


def _exceeds(importance: Tensor) -> Tensor:
    rate = (importance > SINK_THRESHOLD).double()
    return rate.where(importance.isfinite(), torch.nan)


class RowEntropy(Sums):
    """Mean over queries of a row's entropy divided by the logarithm of how many keys it may see.

    Of a row that sums to less than 1 (learned sinks) it is that of the row divided by its sum.
    Queries that may see one key only, or attend to none, have no entropy and are left out.
    """

    def update(self, rows: Rows) -> None:
        counts = rows.allowed_counts.to(torch.float64)
        some = (counts > 1) & (rows.mass != 0)
        share = torch.where(some, rows.entropy / counts.log(), 0.0)
        self.accumulate({"share": share.sum(-1), "queries": some.sum(-1)})

    def finalize(self) -> dict[str, Tensor]:
        """0 where every query attends to one key, 1 where it attends to all alike."""
        return {"row_entropy": self.total("share") / self.total("queries")}


class Repeats(Sums):
    """Scores on a sequence whose tokens come twice, the second copy `period` tokens later.

    duplicate_token
        Mean over the second copy of the attention to the same token in the first.
    induction
        Mean over the second copy, but for its last token, of the attention to the token AFTER the
        same token in the first: where a head must look that copies what came next.
    """

    def update(self, rows: Rows) -> None:
        shape = self.shape
        if not shape.period:
            raise ValueError("these sequences do not repeat themselves")
        end = shape.repeat + shape.period
        self.accumulate(
            {
                "duplicate_token": _at_lag(rows, shape.period, shape.repeat, end),
                "induction": _at_lag(rows, shape.period - 1, shape.repeat, end - 1),
            }
        )

    def finalize(self) -> dict[str, Tensor]:
        """Both in [0, 1]."""
        period = self.shape.period
        return {
            "duplicate_token": self.total("duplicate_token") / period,
            "induction": self.total("induction") / (period - 1),
        }


def _at_lag(rows: Rows, lag: int, first: int, last: int) -> Tensor:
    """Sum of A[q, q - lag] over the chunk's queries in first:last, (batch, head)."""
    queries = np.arange(max(first, rows.start), min(last, rows.stop))
    device = rows.probabilities.device
    here = torch.as_tensor(queries - rows.start, device=device)
    keys = torch.as_tensor(queries - lag, device=device)
    return rows.probabilities[:, :, here, keys].sum(-1)
