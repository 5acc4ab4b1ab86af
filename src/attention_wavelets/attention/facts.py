"""Facts of a head that its signals do not hold, read in the same pass as the probes.

A fact is a reducer like a probe; its `finalize` returns one or more named numbers per head. Where a
layer hands out probabilities only, what needs queries, keys or values is NaN. A fact of weights is
a function of the model instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention_wavelets.attention.detectors import WINDOWS, Locality, Repeats, RowEntropy, Sink
from attention_wavelets.attention.probes import lag_axis, lag_queries, lag_rows
from attention_wavelets.attention.reducers import Shape, Sums
from attention_wavelets.attention.rotary import Rotary
from attention_wavelets.attention.rows import Rows
from attention_wavelets.attention.value_output import couplings
from attention_wavelets.errors import unknown_name

__all__ = [
    "FACTS",
    "FactSpec",
    "LogitLags",
    "LogitVariance",
    "RotaryUsage",
    "ValueNorm",
    "axis_values",
    "get_fact",
    "needs_products",
]


def _by_component(values: Tensor, rotary: Rotary) -> Tensor:
    """Sum over the dimensions of each pair, and over those that do not turn: (..., pairs + 1)."""
    if rotary.component is None:
        return values.new_full((*values.shape[:-1], rotary.pairs + 1), torch.nan)
    belongs = rotary.component[:, None] == np.arange(rotary.pairs + 1)
    return torch.matmul(values, torch.as_tensor(belongs).to(values))


def _for_each_head(values: Tensor, heads: int) -> Tensor:
    """(batch, key head, ...) to (batch, head, ...)."""
    return values.repeat_interleave(heads // values.shape[1], dim=1)


class RotaryUsage(Sums):
    """Mean over tokens of the L2 norm of q and k in each rotary pair (Barbero et al. 2024).

    A rotation leaves the norm of its pair as it is, so the position of a token does not matter. The
    last component holds the dimensions that do not turn.
    """

    def __init__(self, shape: Shape, rotary: Rotary) -> None:
        super().__init__(shape)
        self.rotary = rotary

    def update(self, rows: Rows) -> None:
        # Of the whole layer at once: there is nothing in it that is queries by keys.
        if rows.start > 0:
            return
        call = rows.call
        if call.query is None or call.key is None:
            unknown = rows.probabilities.new_full(
                (call.batch, call.heads, self.rotary.pairs + 1), torch.nan
            )
            self.accumulate({"query": unknown, "key": unknown})
            return
        key = _for_each_head(self._norms(call.key), call.heads)
        self.accumulate({"query": self._norms(call.query), "key": key})

    def _norms(self, states: Tensor) -> Tensor:
        return _by_component(states.float().square(), self.rotary).sqrt().sum(dim=2)

    def finalize(self) -> dict[str, Tensor]:
        """Norms >= 0, and the pairs' frequencies in cycles per token (NaN: does not turn)."""
        query, key = self.total("query"), self.total("key")
        frequency = torch.as_tensor([*self.rotary.frequency, np.nan])
        return {
            "query_norm": query / self.shape.queries,
            "key_norm": key / self.shape.keys,
            "rotary_frequency": frequency.to(query).expand(query.shape),
        }


class ValueNorm(Sums):
    """Root mean square over tokens of each dimension of v: does anything massive sit there?"""

    def update(self, rows: Rows) -> None:
        if rows.start == 0:
            value = rows.call.value
            if value is None:
                squares = rows.probabilities.new_full(
                    (rows.call.batch, rows.call.heads, 1), torch.nan
                )
            else:
                squares = _for_each_head(value.float().square().sum(dim=2), rows.call.heads)
            self.accumulate({"squares": squares})

    def finalize(self) -> dict[str, Tensor]:
        """Values >= 0."""
        return {"value_norm": (self.total("squares") / self.shape.keys).sqrt()}


class LogitVariance(Sums):
    """Share of each rotary pair in the variance of the scaled products of query and key.

    The product s is the sum of s_c over the pairs, so with moments over the pairs (q, k) that the
    mask allows the shares Cov(s_c, s) / Var(s) sum to 1. A share can be negative. The moments come
    from sum_k s[q, k] k[k], so no product is kept per pair. The mean of products can be much larger
    than their deviation: sums are taken of centred products or, under other masks, in float64.
    """

    def __init__(self, shape: Shape, rotary: Rotary) -> None:
        super().__init__(shape)
        self.rotary = rotary

    def update(self, rows: Rows) -> None:
        call = rows.call
        if rows.products is None or call.query is None or call.key is None or call.mask is None:
            unknown = rows.probabilities.new_full((call.batch, call.heads, 1), torch.nan)
            self.accumulate({"cross": unknown, "first": unknown, "pairs": unknown[..., 0]})
            return
        if call.mask.plain:
            if rows.start > 0:
                return
            # From queries and keys alone, of the whole layer at once.
            causal = call.mask.plain == "causal"
            query = (call.query.float() * call.scale).unflatten(1, (-1, call.groups))
            cross = plain_covariance(query, call.key32, causal).flatten(1, 2)
            first = torch.zeros_like(cross)
            counted = cross.new_full((), _count_pairs(call.queries, call.keys, causal))
            counted = counted.expand(call.batch, call.heads)
        else:
            query = call.query[:, :, rows.start : rows.stop].double() * call.scale
            keys = call.key[:, :, : rows.products.shape[3]].double()
            weighted = call.per_head(torch.matmul(call.grouped(rows.products.double()), keys))
            seen = _for_each_head(torch.matmul(rows.allowed.double(), keys), call.heads)
            cross, first = (query * weighted).sum(dim=2), (query * seen).sum(dim=2)
            counted = rows.allowed_counts.sum(-1).expand(call.batch, call.heads)
        self.accumulate({"cross": cross, "first": first, "pairs": counted})

    def finalize(self) -> dict[str, Tensor]:
        """Shares that sum to 1, and the variance itself (logits squared)."""
        cross, first, pairs = (self.total(name) for name in ("cross", "first", "pairs"))
        mean = first.sum(-1, keepdim=True) / pairs[..., None]
        covariance = cross / pairs[..., None] - first / pairs[..., None] * mean
        variance = covariance.sum(-1)
        if covariance.shape[-1] == 1:
            covariance = covariance.expand(*variance.shape, self.rotary.pairs + 1)
            return {"rotary_share": covariance, "product_variance": variance}
        shares = _by_component(covariance, self.rotary) / variance[..., None]
        return {"rotary_share": shares, "product_variance": variance}


def plain_covariance(query: Tensor, key: Tensor, causal: bool) -> Tensor:
    """Sum of (s[q, k] - mean of s) q k, per dimension, over the pairs that a plain mask allows.

    sum_k s[q, k] k[k] is (sum_k k k') q: keys before a block of queries count by the sum of their
    outer products, so no queries x keys matrix is made (as in linear attention). Keys and products
    are centred first: float32 would lose the deviations beside a large mean.

    Parameters
    ----------
    query
        Scaled, float32 (batch, key head, group, position, size).
    key
        float32 (batch, key head, position, size).

    Returns
    -------
    Tensor
        float64 (batch, key head, group, size).
    """
    queries, keys = query.shape[3], key.shape[2]
    centre = key.mean(dim=2)[:, :, None, None]
    key = key - centre[:, :, 0]
    # Of the keys that each query sees: how many, and their sum (of all of them it is 0).
    if causal:
        count = torch.arange(1.0, queries + 1, device=key.device)
        seen = key.cumsum(dim=2, dtype=torch.float64).float()
    else:
        count = torch.full((queries,), float(keys), device=key.device)
        seen = key.new_zeros(()).expand(*key.shape[:2], queries, key.shape[3])
    level = torch.matmul(query.double(), centre.double().transpose(3, 4))[..., 0]
    of_row = (query * seen[:, :, None]).sum(dim=-1) + count * level
    mean = of_row.double().sum(dim=-1, keepdim=True) / _count_pairs(queries, keys, causal)
    level, of_row = level - mean, of_row - count * mean
    total = torch.matmul(of_row.float()[..., None, :], query).double() * centre
    for start, weighted in _weighted_keys(query, key, causal):
        here = slice(start, start + weighted.shape[3])
        weighted = weighted + level[..., here, None].float() * seen[:, :, None, here]
        total += (query[..., here, :] * weighted).sum(dim=3, keepdim=True, dtype=torch.float64)
    return total[:, :, :, 0]


def _weighted_keys(query: Tensor, key: Tensor, causal: bool) -> Iterator[tuple[int, Tensor]]:
    """Blocks of sum_k (q . k) k over the keys that each query sees; first query of each."""
    groups = query.shape[2]
    if not causal:
        yield 0, torch.matmul(query, torch.matmul(key.transpose(2, 3), key)[:, :, None])
        return
    # Float32 inside a block, float64 across them.
    outer = key.new_zeros(*key.shape[:2], key.shape[3], key.shape[3], dtype=torch.float64)
    blocks = zip(query.split(_BLOCK, dim=3), key.split(_BLOCK, dim=2), strict=True)
    for number, (q, k) in enumerate(blocks):
        flat = q.flatten(2, 3)
        own = torch.matmul(flat, k.transpose(2, 3)).unflatten(2, (groups, -1)).tril_()
        weighted = torch.matmul(flat, outer.float()) + torch.matmul(own.flatten(2, 3), k)
        yield number * _BLOCK, weighted.view_as(q)
        outer += torch.matmul(k.transpose(2, 3), k)


# Positions to a block of `_weighted_keys`.
_BLOCK = 64


def _count_pairs(queries: int, keys: int, causal: bool) -> int:
    return queries * (queries + 1) // 2 if causal else queries * keys


class LogitLags(Sums):
    """Logits along the lags and queries of the probe `lag`, each row less its mean.

    A constant of a row changes no probability, so it is left out. Layers whose mask hides
    one of these lags (a window shorter than half the sequence) have NaN.

    logit_spectrum
        Mean over queries of the power at each frequency; the sum over frequencies is the mean
        variance of a row (logits squared).
    toeplitz_share
        Share of the variance that the lag alone explains. Where lags explain nothing it is about
        1 / number of queries.
    """

    def update(self, rows: Rows) -> None:
        part = lag_rows(rows.logits, rows.start, self.shape)
        if part is None:
            return
        if rows.call.mask is None or not rows.call.mask.plain:
            allowed = lag_rows(rows.allowed, rows.start, self.shape)
            assert allowed is not None
            seen = allowed.all(-1).all(-1).expand(part.shape[:2])
            part = part.where(seen[..., None, None], torch.nan)
        waves = torch.view_as_real(torch.fft.rfft(part)).flatten(3)
        power = waves.square().sum(dim=2).unflatten(-1, (-1, 2)).sum(-1)
        self.accumulate({"power": power, "lags": part.sum(dim=2).flip(-1)})

    def finalize(self) -> dict[str, Tensor]:
        """Power >= 0; share in [0, 1]."""
        count, queries = len(lag_axis(self.shape)), len(lag_queries(self.shape))
        power = self.total("power") / (queries * count**2)
        power[..., 0] *= 0
        # Every frequency but 0 and, of an even number, the last stands for two.
        twice = power[..., 1 : (count + 1) // 2]
        twice *= 2
        variance = power.sum(-1)
        mean = self.total("lags") / queries
        explained = mean.var(-1, correction=0)
        return {"logit_spectrum": power, "toeplitz_share": explained / variance}


@dataclass(frozen=True)
class FactSpec:
    """A fact as a value; one of `make` and `weights` is there.

    make
        `make(shape, rotary)` is an empty reducer of one layer.
    weights
        `weights(model, name, heads)` gives the numbers (head, ...) of the attention module of that
        name. Called once per model: they are the same for every sequence.
    variables
        Each number it gives -> names of its axes after (sequence, layer, head).
    products
        Whether it reads `Rows.products` or `Rows.logits`.
    repeats
        Whether it needs sequences that repeat themselves.
    """

    name: str
    make: Callable[[Shape, Rotary], Any] | None
    variables: Mapping[str, tuple[str, ...]]
    products: bool = False
    repeats: bool = False
    weights: Callable[[nn.Module, str, int], Mapping[str, Tensor]] | None = None


def _plain(reducer: type[Sums]) -> Callable[[Shape, Rotary], Any]:
    return lambda shape, _rotary: reducer(shape)


FACTS: dict[str, FactSpec] = {
    "rotary_usage": FactSpec(
        "rotary_usage",
        RotaryUsage,
        dict.fromkeys(("query_norm", "key_norm", "rotary_frequency"), ("component",)),
    ),
    "value_norm": FactSpec("value_norm", _plain(ValueNorm), {"value_norm": ("dimension",)}),
    "logit_variance": FactSpec(
        "logit_variance",
        LogitVariance,
        {"rotary_share": ("component",), "product_variance": ()},
        products=True,
    ),
    "logit_lags": FactSpec(
        "logit_lags",
        _plain(LogitLags),
        {"logit_spectrum": ("logit_frequency",), "toeplitz_share": ()},
        products=True,
    ),
    "locality": FactSpec(
        "locality",
        _plain(Locality),
        {"local_mass": ("window",), "previous_token": (), "effective_span": ()},
    ),
    "sink": FactSpec(
        "sink",
        _plain(Sink),
        {"sink_importance": (), "sink_rate": (), "sink_rate_anywhere": ()},
    ),
    "row_entropy": FactSpec("row_entropy", _plain(RowEntropy), {"row_entropy": ()}, products=True),
    "repeats": FactSpec(
        "repeats", _plain(Repeats), {"duplicate_token": (), "induction": ()}, repeats=True
    ),
    "value_output": FactSpec(
        "value_output",
        None,
        {"coupling": ("direction",)},
        weights=lambda model, name, heads: {"coupling": couplings(model, name, heads)},
    ),
}


def get_fact(name: str) -> FactSpec:
    """The fact of that name; an unknown one is a `PipelineError` with the list."""
    if name not in FACTS:
        raise unknown_name("fact", name, FACTS)
    return FACTS[name]


def needs_products(facts: Iterable[FactSpec]) -> bool:
    """Whether any of these facts reads products or logits."""
    return any(fact.products for fact in facts)


def axis_values(axis: str, shape: Shape, size: int) -> np.ndarray:
    """Coordinates of a fact's axis that has `size` entries.

    component
        Number of the rotary pair; -1 for the dimensions that do not turn.
    window
        Tokens.
    logit_frequency
        Cycles per token.
    dimension
        Of a head.
    direction
        Number of the direction, as in `value_output.couplings`.
    """
    if axis == "component":
        return np.array([*range(size - 1), -1])
    if axis == "window":
        return np.array(WINDOWS)
    if axis == "logit_frequency":
        return np.arange(size) / len(lag_axis(shape))
    return np.arange(size)
