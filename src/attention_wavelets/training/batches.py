"""Which tokens a step of training sees: a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.training.tokens import BOS, MASK

__all__ = ["Rows", "held_out_rows", "hide"]

# Apart from the stream of weights.
_ORDER_STREAM, _MASK_STREAM = 0x4F524452, 0x4D41534B


@dataclass(frozen=True)
class Rows:
    """Sequences of a stream of tokens, in an order drawn anew for every epoch.

    In each epoch the stream is cut into stretches from another first token on, so that a token is
    seen once an epoch and not always at the same position.

    Attributes
    ----------
    stream
        int32 (T,).
    context
        Tokens of a sequence, BOS included.
    seed
        Decides the order.
    """

    stream: NDArray[np.int32]
    context: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Sequences of an epoch."""
        length = self.context - 1
        return (len(self.stream) - length) // length

    def at(self, step: int, batch: int) -> NDArray[np.int64]:
        """The batch of a step, counted from 0: int64 (batch, context)."""
        found = np.full((batch, self.context), BOS, dtype=np.int64)
        for row, place in enumerate(range(step * batch, (step + 1) * batch)):
            epoch, turn = divmod(place, self.per_epoch)
            start = _starts(self.seed, epoch, self.context - 1, self.per_epoch)[turn]
            found[row, 1:] = self.stream[start : start + self.context - 1]
        return found


# A batch may lie in two epochs.
@lru_cache(maxsize=2)
def _starts(seed: int, epoch: int, length: int, count: int) -> NDArray[np.int64]:
    """First tokens of an epoch's stretches, in the order in which they are seen."""
    random = np.random.default_rng([seed, _ORDER_STREAM, epoch])
    first = random.integers(length)
    return np.asarray(first + length * random.permutation(count))


def held_out_rows(
    stream: NDArray[np.int32], lengths: NDArray[np.int32], context: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Up to `count` stretches spread evenly over a stream, each behind BOS.

    Returns
    -------
    ids, bytes
        int64 (count, context); int32 (count, context - 1), the bytes each predicted token is.
    """
    length = context - 1
    whole = len(stream) // length
    chosen = np.unique(np.linspace(0, whole - 1, min(count, whole)).round().astype(np.int64))
    ids = np.full((len(chosen), context), BOS, dtype=np.int64)
    size = np.zeros((len(chosen), length), dtype=np.int32)
    for row, place in enumerate(chosen):
        ids[row, 1:] = stream[place * length : (place + 1) * length]
        size[row] = lengths[place * length : (place + 1) * length]
    return ids, size


def hide(
    ids: NDArray[np.int64], share: float, seed: int, step: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Replace a share of the tokens by MASK, never BOS: what is seen, and what is asked for.

    Every hidden token becomes MASK: there is no further task in which it would have to be another.
    """
    random = np.random.default_rng([seed, _MASK_STREAM, step])
    hidden = random.random(ids.shape) < share
    hidden[:, 0] = False
    return np.where(hidden, MASK, ids), hidden
