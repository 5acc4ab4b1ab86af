"""How much memory and time an extraction takes, said before it starts, and what to do without."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.memory import CHUNK_BYTES, rows_bytes, state_bytes
from attention_wavelets.resources.sizes import HOOKED

__all__ = ["Plan", "plan_batches", "with_less_memory"]

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

# Part of a GPU's free memory that a forward pass may take; the rest is for the allocator.
_SHARE = 0.7


@dataclass(frozen=True)
class Plan:
    """How sequences are batched, and what that is expected to take.

    batch_tokens
        Tokens per forward pass.
    chunk_bytes
        Size of a chunk of attention rows.
    weights, activations, chunk
        Bytes of the weights, of one layer's states in a pass, and of its attention rows.
    """

    batch_tokens: int
    chunk_bytes: int
    weights: int
    activations: int
    chunk: int

    @property
    def memory(self) -> int:
        """Bytes in all, without the libraries."""
        return self.weights + self.activations + self.chunk

    def sentence(self, tokens: int) -> str:
        """What the user is told before the run."""
        return (
            f"{tokens:,} tokens in passes of up to {self.batch_tokens:,}, about "
            f"{self.memory / 2**20:,.0f} MiB beside the libraries"
        )


def plan_batches(
    model: nn.Module, facts: Mapping[str, Any], positions: int, batch_tokens: int, free: int | None
) -> Plan:
    """Choose the size of a forward pass.

    Parameters
    ----------
    model, facts
        A loaded model and the architecture facts of its manifest.
    positions
        Tokens of the longest sequence; a pass holds at least one.
    batch_tokens
        The largest pass asked for.
    free
        Bytes that states may take; None where that is not known (a processor).
    """
    first = next(model.parameters())
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    per_token = state_bytes(
        facts["hidden_size"],
        facts["heads"] * facts["head_size"],
        facts["heads"],
        first.element_size(),
        positions,
        facts["model_type"] in HOOKED,
    )
    chunk_bytes = CHUNK_BYTES.get(first.device.type, CHUNK_BYTES["cpu"])
    if free is not None:
        chunk_bytes = min(chunk_bytes, int(_SHARE * free) // 8)
    chunk = rows_bytes(chunk_bytes, facts["heads"], positions)
    tokens = max(batch_tokens, positions)
    if free is not None:
        tokens = min(tokens, int(_SHARE * free - chunk) // per_token)
    if tokens < positions:
        raise PipelineError(
            f"a sequence of {positions} tokens needs about {positions * per_token / 2**20:,.0f} "
            f"MiB beside the weights, {(free or 0) / 2**20:,.0f} MiB are free",
            type(model).__name__,
            "take shorter sequences, or a device with more memory",
        )
    return Plan(tokens, chunk_bytes, weights, tokens * per_token, chunk)


def with_less_memory(run: Callable[[int], Result], count: int) -> tuple[Result, int]:
    """Call `run(count)`; where memory runs out, with half as many sequences, and so on.

    Returns
    -------
    result, count
        What `run` returned, and for how many sequences.

    Raises
    ------
    PipelineError
        If memory does not suffice for one sequence.
    """
    while True:
        try:
            return run(count), count
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if count == 1:
            raise PipelineError(
                "out of memory with a single sequence",
                "extraction",
                "take shorter sequences, or a device with more memory",
            )
        count //= 2
        _log.warning("out of memory; going on with %d sequences per pass", count)


def _out_of_memory(error: BaseException) -> bool:
    """A processor's allocator has no exception of its own, only a sentence."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "not enough memory"))
