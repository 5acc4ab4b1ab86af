"""Facts of a head that its signals do not hold, read in the same pass as the probes.

A fact is a reducer like a probe; its `finalize` returns one or more named numbers per head. Where a
layer hands out probabilities only, what needs queries, keys or values is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attention_wavelets.attention.detectors import WINDOWS, Locality, Repeats, RowEntropy, Sink
from attention_wavelets.attention.probes import lag_axis, lag_queries, lag_rows
from attention_wavelets.attention.reducers import Shape, Sums
from attention_wavelets.attention.rotary import Rotary
from attention_wavelets.attention.rows import Rows
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
    place = torch.as_tensor(rotary.component, device=values.device)
    sums = values.new_zeros((*values.shape[:-1], rotary.pairs + 1))
    return sums.index_add_(-1, place, values)


class RotaryUsage(Sums):
    """Mean over tokens of the L2 norm of q and k in each rotary pair (Barbero et al. 2024).

    A rotation leaves the norm of its pair as it is, so the position of a token does not matter. The
    last component holds the dimensions that do not turn.
    """

    def __init__(self, shape: Shape, rotary: Rotary) -> None:
        super().__init__(shape)
        self.rotary = rotary

    def update(self, rows: Rows) -> None:
        batch, heads = rows.call.batch, rows.call.heads
        if rows.call.query is None or rows.call.key is None:
            unknown = rows.probabilities.new_full((batch, heads, self.rotary.pairs + 1), torch.nan)
            self.accumulate({"query": unknown, "key": unknown})
            return
        self.accumulate({"query": self._norms(rows.call.query[:, :, rows.start : rows.stop])})
        if rows.start == 0:
            self.accumulate({"key": self._norms(rows.call.key)})

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
                squares = value.float().square().sum(dim=2)
            self.accumulate({"squares": squares})

    def finalize(self) -> dict[str, Tensor]:
        """Values >= 0."""
        return {"value_norm": (self.total("squares") / self.shape.keys).sqrt()}


class LogitVariance(Sums):
    """Share of each rotary pair in the variance of the scaled products of query and key.

    The product s is the sum of s_c over the pairs, so with moments over the pairs (q, k) that the
    mask allows the shares Cov(s_c, s) / Var(s) sum to 1. A share can be negative. The moments come
    from sum_k s[q, k] k[k], one product of matrices per chunk, so no product is kept per pair.
    """

    def __init__(self, shape: Shape, rotary: Rotary) -> None:
        super().__init__(shape)
        self.rotary = rotary

    def update(self, rows: Rows) -> None:
        call = rows.call
        if rows.products is None or call.query is None:
            unknown = rows.probabilities.new_full((call.batch, call.heads, 1), torch.nan)
            self.accumulate({"cross": unknown, "first": unknown, "pairs": unknown[..., 0]})
            return
        keys = rows.products.shape[3]
        query = call.query[:, :, rows.start : rows.stop].float() * call.scale
        weighted = torch.matmul(rows.products, call.key32[:, :, :keys])
        self.accumulate(
            {
                "cross": (query * weighted).sum(dim=2),
                "first": (query * self._seen_keys(rows)).sum(dim=2),
                "pairs": rows.allowed_counts.sum(-1).expand(call.batch, call.heads),
            }
        )

    @staticmethod
    def _seen_keys(rows: Rows) -> Tensor:
        """Sum of the keys each query may see, (batch, head, R, size)."""
        call = rows.call
        assert call.mask is not None
        if call.mask.plain == "full":
            return call.key_sums[:, :, -1:]
        if call.mask.plain == "causal":
            return call.key_sums[:, :, rows.start : rows.stop]
        return torch.matmul(rows.allowed.float(), call.key32)

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
        if rows.call.mask is not None and not rows.call.mask.plain:
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
    """A fact as a value.

    make
        `make(shape, rotary)` is an empty reducer of one layer.
    variables
        Each number it gives -> names of its axes after (sequence, layer, head).
    products
        Whether it reads `Rows.products` or `Rows.logits`.
    repeats
        Whether it needs sequences that repeat themselves.
    """

    name: str
    make: Callable[[Shape, Rotary], Any]
    variables: Mapping[str, tuple[str, ...]]
    products: bool = False
    repeats: bool = False


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
    """
    if axis == "component":
        return np.array([*range(size - 1), -1])
    if axis == "window":
        return np.array(WINDOWS)
    if axis == "logit_frequency":
        return np.arange(size) / len(lag_axis(shape))
    return np.arange(size)
