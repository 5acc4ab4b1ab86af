"""What a reducer sees: one attention call, and its rows a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from attention_wavelets.attention.mask import LazyMask

__all__ = ["Call", "Rows", "lag_view"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of one layer's attention.

    module
        The attention module that made the call.
    causal
        Whether keys end at the query.
    query, key, value
        (batch, head, position, size) as the softmax sees them: rotated and normalised. Keys and
        values have as many heads as the model gives them; see `grouped`. None where the layer hands
        out probabilities only.
    scale
        What products of query and key are multiplied by.
    mask
        Which keys each query may see; None as above.
    """

    module: nn.Module
    batch: int
    heads: int
    queries: int
    keys: int
    causal: bool
    query: Tensor | None = None
    key: Tensor | None = None
    value: Tensor | None = None
    scale: float = 1.0
    mask: LazyMask | None = None

    @property
    def groups(self) -> int:
        """Query heads to a key head."""
        assert self.key is not None
        return self.heads // self.key.shape[1]

    @cached_property
    def key32(self) -> Tensor:
        """Keys in float32, (batch, key head, key, size)."""
        assert self.key is not None
        return self.key.float()

    def grouped(self, states: Tensor) -> Tensor:
        """(batch, head, R, ...) to (batch, key head, group * R, ...).

        Query heads that share a key head lie one below the other, so one product of matrices
        serves them all and no key is repeated.
        """
        return states.unflatten(1, (-1, self.groups)).flatten(2, 3)

    def per_head(self, states: Tensor) -> Tensor:
        """The way back from `grouped`: (batch, head, R, ...)."""
        return states.unflatten(2, (self.groups, -1)).flatten(1, 2)


class Rows:
    """Rows `start` to `start + R` of one call's attention.

    Keys from `probabilities.shape[3]` on have probability 0: of a causal layer only the keys up to
    the last query of the chunk are there.

    start
        First query of the chunk.
    probabilities
        float32 (batch, head, R, keys). A query that may see no key (padding) has a row of zeros.
    products
        Scaled products of query and key before softcap, bias and mask, 0 where the mask hides;
        float32, shape of `probabilities`. None where none were asked for or handed out.
    hidden
        Boolean (batch or 1, 1, R, H): what the mask hides of the LAST H keys of the chunk; it hides
        none of the others. None if nothing is hidden.
    """

    def __init__(
        self,
        call: Call,
        start: int,
        probabilities: Tensor,
        products: Tensor | None = None,
        logits: Tensor | None = None,
        log_sum: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> None:
        self.call = call
        self.start = start
        self.probabilities = probabilities
        self.products = products
        self.hidden = hidden
        self._logits = logits
        self._log_sum = log_sum

    @property
    def stop(self) -> int:
        """One past the last query of the chunk."""
        return self.start + self.probabilities.shape[2]

    @cached_property
    def received(self) -> Tensor:
        """Sum over the chunk's queries, (batch, head, keys)."""
        return self.probabilities.sum(dim=2)

    @cached_property
    def logits(self) -> Tensor:
        """What the softmax is taken of, up to a constant of each row; 0 where the mask hides.

        Where a layer hands out probabilities only, their logarithm: -inf where one underflowed.
        """
        if self._logits is not None:
            return self._logits
        values = self.probabilities.log()
        if self.hidden is not None:
            values[..., -self.hidden.shape[-1] :].masked_fill_(self.hidden, 0)
        return values

    @cached_property
    def mass(self) -> Tensor:
        """Sum of each row, (batch, head, R): 1 but for what a learned sink takes."""
        return self.probabilities.sum(-1)

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy in nats of each row divided by its mass, (batch, head, R).

        NaN for a row without any mass.
        """
        mass = self.mass
        if self._log_sum is None:
            return torch.special.entr(self.probabilities).sum(-1) / mass + mass.log()
        # -sum p log p = lse sum p - sum p s: a product of rows instead of a logarithm per key.
        mean = torch.linalg.vecdot(self.probabilities, self.logits)
        return self._log_sum - mean / mass + mass.log()

    @cached_property
    def allowed_counts(self) -> Tensor:
        """How many keys each query may see, (batch or 1, 1, R)."""
        count, keys = self.probabilities.shape[2:]
        if self.hidden is None:
            return torch.full((1, 1, count), keys, device=self.probabilities.device)
        return keys - self.hidden.sum(-1)

    @property
    def allowed(self) -> Tensor:
        """Which keys each query may see, boolean (batch or 1, 1, R, keys)."""
        count, keys = self.probabilities.shape[2:]
        size = (1 if self.hidden is None else self.hidden.shape[0], 1, count, keys)
        allowed = torch.ones(size, dtype=torch.bool, device=self.probabilities.device)
        if self.hidden is not None:
            allowed[..., -self.hidden.shape[-1] :] = ~self.hidden
        return allowed


def lag_view(matrix: Tensor, start: int, lags: range, first: int, last: int) -> Tensor:
    """The same numbers with lags in place of keys, nothing copied.

    Parameters
    ----------
    matrix
        (batch, head, R, keys), rows `start` to `start + R` of an attention matrix.
    start
        Query of the first row.
    lags
        Query minus key, ascending by 1.
    first, last
        Rows of `matrix` to take; each of them must hold every lag.

    Returns
    -------
    Tensor
        View (batch, head, last - first, len(lags)); the LAST column is the first lag.
    """
    batch, head, _, keys = matrix.shape
    left = start + first - lags[-1]
    if left < 0 or start + last - 1 - lags[0] >= keys:
        raise ValueError(f"queries {start + first} to {start + last} do not hold {lags}")
    # One row down and one key to the right is the same lag.
    size = (batch, head, last - first, len(lags))
    down = matrix.stride(2)
    strides = (matrix.stride(0), matrix.stride(1), down + 1, 1)
    return matrix.as_strided(size, strides, matrix.storage_offset() + first * down + left)
