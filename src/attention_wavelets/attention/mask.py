"""Attention masks evaluated row by row, so that no queries x keys mask is ever held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import (
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    padding_mask_function,
    prepare_padding_mask,
)

__all__ = ["LazyMask", "build_mask", "everything"]


class LazyMask:
    """What a model's mask builder decided, kept as a function instead of a matrix.

    Parameters
    ----------
    allowed
        transformers' mask function of (batch, head, query, key) index tensors.
    batch, queries, keys
        Sizes of the mask.
    query_offset, key_offset
        Position of the first query and key.
    plain
        "causal" or "full" where the mask is exactly that and a fused kernel can serve, else "".
    home
        Device of the tensors that `allowed` reads; None where it reads none.
    """

    def __init__(
        self,
        allowed: Callable[..., Tensor],
        batch: int,
        queries: int,
        keys: int,
        query_offset: int,
        key_offset: int,
        plain: str,
        home: torch.device | None = None,
    ) -> None:
        self.allowed = allowed
        self.batch, self.queries, self.keys = batch, queries, keys
        self.query_offset, self.key_offset = query_offset, key_offset
        self.plain = plain
        self.home = home

    @property
    def causal(self) -> bool:
        """Whether no query may see the key after it."""
        if self.plain:
            return self.plain == "causal"
        query = torch.arange(min(self.queries, self.keys - 1))
        zero = torch.zeros(1, dtype=torch.long)
        sequence = torch.arange(self.batch)[:, None]
        after = self.query_offset + query + 1
        places = (sequence, zero, self.query_offset + query[None, :], after[None, :])
        seen = self.allowed(*(place.to(self.home) for place in places))
        return not bool(seen.any())

    def rows(
        self, start: int, stop: int, device: torch.device, keys: range | None = None
    ) -> Tensor:
        """Boolean mask of queries start:stop and of all or some keys.

        (batch, 1, R, keys), or (1, 1, R, keys) where it is the same for all sequences.
        """
        keys = range(self.keys) if keys is None else keys
        # A model spread over devices hands every layer the padding of the first one.
        home = self.home or device
        sequence = torch.arange(self.batch, device=home)[:, None, None, None]
        head = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=home)
        query = torch.arange(start, stop, device=home)[None, None, :, None] + self.query_offset
        key = torch.arange(keys.start, keys.stop, device=home)[None, None, None, :]
        mask = self.allowed(sequence, head, query, key + self.key_offset)
        return mask.expand(-1, 1, stop - start, len(keys)).to(device)


def everything(batch: int, queries: int, keys: int) -> LazyMask:
    """The mask of attention in which nothing is hidden."""
    return LazyMask(bidirectional_mask_function, batch, queries, keys, 0, 0, "full")


def build_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Tensor] = causal_mask_function,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> LazyMask:
    """The mask function registered with transformers' `AttentionMaskInterface`."""
    padding = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    plain = ""
    if padding is None or bool(padding.all()):
        padding = None
        square = q_length == kv_length and q_offset == kv_offset
        if mask_function is bidirectional_mask_function:
            plain = "full"
        elif mask_function is causal_mask_function and square:
            plain = "causal"
    allowed = (
        mask_function
        if padding is None
        else and_masks(mask_function, padding_mask_function(padding))
    )
    home = None if padding is None else padding.device
    return LazyMask(allowed, batch_size, q_length, kv_length, q_offset, kv_offset, plain, home)
