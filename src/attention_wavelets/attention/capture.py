"""Exact attention probabilities inside an ordinary forward pass, a chunk of rows at a time.

Two paths. Models whose layers call transformers' attention interface get a backend of ours: logits
and softmax in float32 for the probes, the layer's own output from the fused kernel. The other
families run eager attention, and a forward hook reads each layer's probabilities as they pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from attention_wavelets.attention.mask import LazyMask, build_mask
from attention_wavelets.errors import PipelineError

__all__ = ["BACKEND", "HOOKED", "Observer", "attention_path", "capturing"]

# transformers gives names that contain "sdpa", "flash" or a slash a meaning of their own.
BACKEND = "wavelet_capture"

# Attention classes outside the interface whose second output is the probabilities.
HOOKED = frozenset(
    {
        "BloomAttention",
        "CodeGenAttention",
        "FalconAttention",
        "GPTJAttention",
        "GPTNeoSelfAttention",
        "MptAttention",
        "RoFormerSelfAttention",
    }
)

# Bytes of one chunk of float32 probabilities.
CHUNK_BYTES = 64 * 2**20

Observer = Callable[[nn.Module, Tensor, int], None]

_observer: Observer | None = None


def _repeat_heads(states: Tensor, groups: int) -> Tensor:
    return states if groups == 1 else states.repeat_interleave(groups, dim=1)


def _chunk_rows(batch: int, heads: int, keys: int) -> int:
    return max(1, CHUNK_BYTES // (4 * batch * heads * keys))


def captured_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: LazyMask | None,
    scaling: float | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function registered with transformers' `AttentionInterface`.

    `query` is (batch, head, queries, size); `key` and `value` hold the key/value heads. Returns
    (batch, queries, head, size) in the input's type, and no weights.
    """
    if not isinstance(attention_mask, LazyMask):
        raise PipelineError(
            "no attention mask reached the capture",
            type(module).__name__,
            "this architecture builds its own mask; report it",
        )
    groups = getattr(module, "num_key_value_groups", query.shape[1] // key.shape[1])
    key, value = _repeat_heads(key, groups), _repeat_heads(value, groups)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    batch, heads, queries, _size = query.shape
    fused = bool(attention_mask.plain) and softcap is None and position_bias is None
    fused = fused and s_aux is None
    output = None if fused else torch.empty_like(query)
    # Products of half-precision operands are exact in float32, so upcasting loses nothing.
    keys32 = key.float().transpose(2, 3)
    step = _chunk_rows(batch, heads, key.shape[2])
    for start in range(0, queries, step):
        stop = min(start + step, queries)
        logits = torch.matmul(query[:, :, start:stop].float() * scale, keys32)
        if softcap is not None:
            logits = torch.tanh(logits / softcap) * softcap
        if position_bias is not None:
            logits = logits + position_bias[:, :, start:stop].float()
        if attention_mask.plain != "full":
            mask = attention_mask.rows(start, stop, logits.device)
            logits = logits.masked_fill(~mask, float("-inf"))
        probabilities = _softmax(logits, s_aux)
        if _observer is not None:
            _observer(module, probabilities, start)
        if output is not None:
            output[:, :, start:stop] = torch.matmul(probabilities.to(value.dtype), value)
    if output is None:
        output = nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=attention_mask.plain == "causal", scale=scale
        )
    return output.transpose(1, 2).contiguous(), None


def _softmax(logits: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over keys; a learned sink logit takes its share and is dropped again."""
    if sinks is None:
        return torch.softmax(logits, dim=-1)
    column = sinks.float().reshape(1, -1, 1, 1).expand(*logits.shape[:3], 1)
    return torch.softmax(torch.cat([logits, column], dim=-1), dim=-1)[..., :-1]


AttentionInterface.register(BACKEND, captured_attention)
AttentionMaskInterface.register(BACKEND, build_mask)


def attention_path(model_class: type[nn.Module], module_classes: set[str]) -> str:
    """How this architecture's attention is captured: "interface" or "hook".

    Raises
    ------
    PipelineError
        If neither path serves it; the message names the class.
    """
    if module_classes & HOOKED:
        return "hook"
    probe = getattr(model_class, "_can_set_attn_implementation", None)
    if probe is not None and probe():
        return "interface"
    raise PipelineError(
        f"attention of {model_class.__name__} cannot be captured",
        "model",
        "it neither uses transformers' attention interface nor is among the hooked classes "
        + ", ".join(sorted(HOOKED)),
    )


@contextmanager
def capturing(model: nn.Module, observer: Observer) -> Iterator[str]:
    """Call `observer(module, probabilities, first_row)` for every chunk of every layer.

    Yields the path taken. The model's own attention implementation is restored afterwards.
    """
    global _observer
    path = attention_path(type(model), {type(module).__name__ for module in model.modules()})
    if path == "hook":
        with _hooks(model, observer):
            yield path
        return
    before = model.config._attn_implementation
    model.set_attn_implementation(BACKEND)
    _observer = observer
    try:
        yield path
    finally:
        _observer = None
        model.set_attn_implementation(before)


@contextmanager
def _hooks(model: nn.Module, observer: Observer) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")

    def read(module: nn.Module, _inputs: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4:
            raise PipelineError(
                f"{type(module).__name__} returned no attention probabilities",
                "model",
                "this version of transformers is not supported for this architecture",
            )
        observer(module, weights.float(), 0)

    handles = [
        module.register_forward_hook(read)
        for module in model.modules()
        if type(module).__name__ in HOOKED
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.set_attn_implementation(before)
