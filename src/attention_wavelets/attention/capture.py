"""Exact attention probabilities inside an ordinary forward pass, a chunk of rows at a time.

Two paths. Models whose layers call transformers' attention interface get a backend of ours: logits
and softmax in float32 for the probes, the layer's own output from the fused kernel. The other
families run eager attention, and a forward hook reads each layer's probabilities as they pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from attention_wavelets.attention.mask import LazyMask, build_mask, everything
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.memory import CHUNK_BYTES

__all__ = [
    "BACKEND",
    "HOOKED",
    "Observer",
    "OutputEdit",
    "RowEdit",
    "attention_path",
    "capturing",
    "editing",
    "refuse_rounded",
]

# transformers gives names that contain "sdpa", "flash" or a slash a meaning of their own.
BACKEND = "wavelet_capture"

# Attention classes outside the interface whose second output is the probabilities, by `model_type`;
# `resources.sizes` has the same names.
HOOKED = {
    "bloom": "BloomAttention",
    "codegen": "CodeGenAttention",
    "falcon": "FalconAttention",
    "gptj": "GPTJAttention",
    "gpt_neo": "GPTNeoSelfAttention",
    "mpt": "MptAttention",
    "roformer": "RoFormerSelfAttention",
}

Observer = Callable[[Rows], None]
# New probabilities for some rows, (batch, head, R, keys), or None to leave them.
RowEdit = Callable[[Rows], Tensor | None]
# New outputs of a module's heads, (batch, head, queries, size), or None to leave them.
OutputEdit = Callable[[nn.Module, Tensor], Tensor | None]


@dataclass
class _Capture:
    """What is asked for while a model runs: who looks, and whether they need logits."""

    observer: Observer
    products: bool
    chunk_bytes: int | None
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def buffer(self, name: str, size: Sequence[int], device: torch.device) -> Tensor:
        """Room for one chunk, float32; the same memory for every chunk of every layer.

        Fresh memory costs a page fault per 4 KiB, which is as much as the softmax.
        """
        count = math.prod(size)
        known = self.buffers.get(name)
        if known is None or known.numel() < count or known.device != device:
            known = self.buffers[name] = torch.empty(count, device=device)
        return known[:count].view(*size)


_capture: _Capture | None = None


@dataclass(frozen=True)
class _Edits:
    """What is changed of attention while a model runs."""

    rows: RowEdit | None
    outputs: OutputEdit | None


_edits: _Edits | None = None


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
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function registered with transformers' `AttentionInterface`.

    `query` is (batch, head, queries, size); `key` and `value` hold the key/value heads. Returns
    (batch, queries, head, size) in the input's type, and no weights.
    """
    if attention_mask is None:
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if not causal:
            # Encoders of pictures build none: every patch sees every other.
            attention_mask = everything(query.shape[0], query.shape[2], key.shape[2])
    if not isinstance(attention_mask, LazyMask):
        raise PipelineError(
            "no attention mask reached the capture",
            type(module).__name__,
            "this architecture builds its own mask; report it",
        )
    if _capture is not None and torch.is_grad_enabled():
        raise PipelineError(
            "attention is captured without gradients",
            type(module).__name__,
            "run the model inside torch.inference_mode() or torch.no_grad()",
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    whole = attention_mask.plain and softcap is None and position_bias is None and s_aux is None

    def fused() -> Tensor:
        return _fused(query, key, value, scale, is_causal=attention_mask.plain == "causal")

    if _capture is None and _edits is None and whole:
        return fused().transpose(1, 2).contiguous(), None
    call = Call(
        module,
        batch=query.shape[0],
        heads=query.shape[1],
        queries=query.shape[2],
        keys=key.shape[2],
        causal=attention_mask.causal,
        query=query,
        key=key,
        value=value,
        scale=scale,
        mask=attention_mask,
    )
    special = _Special(softcap, position_bias, s_aux)
    edit = None if _edits is None else _edits.rows
    # Rows are computed only where somebody looks at them, changes them, or needs them as output.
    by_rows = edit is not None or not whole
    parts: list[Tensor | None] = []
    if by_rows or _capture is not None:
        for start, stop in _chunks(call):
            rows = _rows(call, start, stop, special)
            changed = None if edit is None else edit(rows)
            if changed is not None:
                parts.append(_weighted(call, changed))
            elif by_rows:
                parts.append(None if whole else _layer_output(call, rows, special))
            if _capture is not None:
                _capture.observer(rows)
    output = _joined(parts, _chunks(call), fused) if by_rows else fused()
    if _edits is not None and _edits.outputs is not None:
        found = _edits.outputs(call.module, output)
        output = output if found is None else found
    return output.transpose(1, 2).contiguous(), None


def _joined(
    parts: Sequence[Tensor | None], chunks: Iterator[tuple[int, int]], fused: Callable[[], Tensor]
) -> Tensor:
    """Outputs of all chunks; those that were left have the numbers of the fused kernel."""
    if any(part is None for part in parts):
        whole = fused()
        found = [
            whole[:, :, start:stop] if part is None else part
            for part, (start, stop) in zip(parts, chunks, strict=True)
        ]
        return torch.cat(found, dim=2)
    return torch.cat([part for part in parts if part is not None], dim=2)


def _weighted(call: Call, probabilities: Tensor) -> Tensor:
    """Values weighted by rows of probabilities, (batch, head, R, size)."""
    assert call.value is not None
    value = call.value[:, :, : probabilities.shape[3]]
    return call.per_head(torch.matmul(call.grouped(probabilities.to(value.dtype)), value))


@dataclass(frozen=True)
class _Special:
    """What some families do to logits besides scaling and masking."""

    softcap: float | None
    bias: Tensor | None
    sinks: Tensor | None


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float, **options: Any) -> Tensor:
    """Attention by torch's fused kernels."""
    groups = query.shape[1] // key.shape[1]
    if query.is_cuda and groups > 1:
        # Of the GPU kernels not all share key heads; what is left would hold the whole matrix.
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        groups = 1
    return scaled_dot_product_attention(
        query, key, value, scale=scale, enable_gqa=groups > 1, **options
    )


def _chunks(call: Call) -> Iterator[tuple[int, int]]:
    """Ranges of queries whose probabilities fit in a chunk; one query at least."""
    assert call.query is not None
    limit = _capture.chunk_bytes if _capture is not None else None
    if limit is None:
        limit = CHUNK_BYTES.get(call.query.device.type, CHUNK_BYTES["cpu"])
    row = 4 * call.batch * call.heads * call.keys
    step = max(1, limit // row)
    return ((start, min(start + step, call.queries)) for start in range(0, call.queries, step))


def _product(query: Tensor, key: Tensor, call: Call) -> Tensor:
    """Scaled products in float32, (batch, head, R, keys).

    Products of half-precision numbers are exact in float32, so only the sum is rounded: on a GPU
    by the matrix unit, which adds in float32; on a processor after upcasting.
    """
    key = key if query.is_cuda and _half(query) else call.key32[:, :, : key.shape[2]]
    if _half(key):
        left = call.grouped(query).flatten(0, 1)
        flat = torch.bmm(left, key.flatten(0, 1).transpose(1, 2), out_dtype=torch.float32)
        return call.per_head(flat.unflatten(0, key.shape[:2])).mul_(call.scale)
    left = call.grouped(query.float() * call.scale)
    out = _buffer("products", (left.shape[0] * left.shape[1], left.shape[2], key.shape[2]), key)
    torch.bmm(left.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), out=out)
    return call.per_head(out.unflatten(0, left.shape[:2]))


def _buffer(name: str, size: Sequence[int], like: Tensor) -> Tensor:
    if _capture is None:
        return torch.empty(size, device=like.device)
    return _capture.buffer(name, size, like.device)


def _half(states: Tensor) -> bool:
    return states.dtype in (torch.bfloat16, torch.float16)


def _rows(call: Call, start: int, stop: int, special: _Special) -> Rows:
    """One chunk of rows: products, mask, float32 softmax."""
    assert call.query is not None
    assert call.key is not None
    assert call.mask is not None
    causal = call.mask.plain == "causal"
    # Keys after the chunk's last query have probability 0 in a causal layer.
    keys = min(stop, call.keys) if causal else call.keys
    products = _product(call.query[:, :, start:stop], call.key[:, :, :keys], call)
    logits = products
    if special.softcap is not None:
        logits = torch.tanh(logits / special.softcap) * special.softcap
    if special.bias is not None:
        logits = logits + special.bias[:, :, start:stop, :keys].float()
    # Only the last keys of a causal chunk lie ahead of some of its queries.
    edge = start if causal else 0
    hidden = None
    if call.mask.plain != "full":
        hidden = ~call.mask.rows(start, stop, products.device, range(edge, keys))
        logits[..., edge:].masked_fill_(hidden, -torch.inf)
    if _capture is None or not _capture.products:
        return Rows(call, start, _softmax(logits, special.sinks, call.mask, hidden), hidden=hidden)
    probabilities = _softmax(logits, special.sinks, call.mask, hidden)
    # The largest entry never underflows, so it gives the log-sum-exp.
    log_sum = logits.amax(-1) - probabilities.amax(-1).log()
    if hidden is not None:
        for values in {id(t): t for t in (products, logits)}.values():
            values[..., edge:].masked_fill_(hidden, 0)
    return Rows(call, start, probabilities, products, logits, log_sum, hidden)


def _softmax(logits: Tensor, sinks: Tensor | None, mask: LazyMask, hidden: Tensor | None) -> Tensor:
    """Softmax over keys; a learned sink logit takes its share and is dropped again."""
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1).expand(*logits.shape[:3], 1)
        return torch.softmax(torch.cat([logits, column], dim=-1), dim=-1)[..., :-1]
    out = _buffer("probabilities", logits.shape, logits)
    probabilities = torch.softmax(logits, dim=-1, out=out)
    if hidden is not None and not mask.plain:
        # A query of padding sees no key at all.
        probabilities.masked_fill_(hidden.all(-1, keepdim=True), 0)
    return probabilities


def _layer_output(call: Call, rows: Rows, special: _Special) -> Tensor:
    """Output of some rows where one fused call for the whole layer cannot serve."""
    assert call.query is not None
    assert call.key is not None
    assert call.value is not None
    if special.softcap is not None or special.sinks is not None:
        return _weighted(call, rows.probabilities)
    keys = rows.probabilities.shape[3]
    mask: Tensor | None = rows.allowed
    if special.bias is not None:
        bias = special.bias[:, :, rows.start : rows.stop, :keys]
        mask = bias if mask is None else bias.masked_fill(~mask, torch.finfo(bias.dtype).min)
    query, key = call.query[:, :, rows.start : rows.stop], call.key[:, :, :keys]
    return _fused(query, key, call.value[:, :, :keys], call.scale, attn_mask=mask)


AttentionInterface.register(BACKEND, captured_attention)
AttentionMaskInterface.register(BACKEND, build_mask)


def attention_path(model_class: type[nn.Module], module_classes: set[str]) -> str:
    """How this architecture's attention is captured: "interface" or "hook".

    Raises
    ------
    PipelineError
        If neither path serves it; the message names the class.
    """
    if module_classes & set(HOOKED.values()):
        return "hook"
    probe = getattr(model_class, "_can_set_attn_implementation", None)
    if probe is not None and probe():
        return "interface"
    raise PipelineError(
        f"attention of {model_class.__name__} cannot be captured",
        "model",
        "it neither uses transformers' attention interface nor is among the hooked classes "
        + ", ".join(sorted(HOOKED.values())),
    )


def refuse_rounded(model_type: str, dtype: torch.dtype, where: str) -> None:
    """Refuse half precision where attention can only be read as the model itself computes it."""
    if model_type in HOOKED and dtype != torch.float32:
        raise PipelineError(
            f"{HOOKED[model_type]} hands out its attention rounded to {str(dtype)[6:]}",
            where,
            "set `dtype: float32` for this model",
        )


@contextmanager
def capturing(
    model: nn.Module,
    observer: Observer,
    *,
    products: bool = False,
    chunk_bytes: int | None = None,
) -> Iterator[str]:
    """Call `observer(rows)` for every chunk of rows of every layer's attention.

    Parameters
    ----------
    model
        A transformers model; its own attention implementation is restored afterwards.
    observer
        Sees each `Rows` while the layer runs; it must not keep or change its tensors.
    products
        Whether `Rows.products` and `Rows.logits` are needed; they take a second buffer.
    chunk_bytes
        Size of a chunk of probabilities; None takes the device's entry of `CHUNK_BYTES`.

    Yields
    ------
    str
        The path taken, "interface" or "hook".
    """
    global _capture
    path = attention_path(type(model), {type(module).__name__ for module in model.modules()})
    if path == "hook":
        dtype = next(model.parameters()).dtype
        refuse_rounded(model.config.model_type, dtype, type(model).__name__)
        with _hooks(model, observer):
            yield path
        return
    before = model.config._attn_implementation, torch.get_float32_matmul_precision(), _capture
    model.set_attn_implementation(BACKEND)
    # TF32 would round operands to 10 bits.
    torch.set_float32_matmul_precision("highest")
    _capture = _Capture(observer, products, chunk_bytes)
    try:
        yield path
    finally:
        implementation, precision, _capture = before
        torch.set_float32_matmul_precision(precision)
        model.set_attn_implementation(implementation)


@contextmanager
def editing(
    model: nn.Module, *, rows: RowEdit | None = None, outputs: OutputEdit | None = None
) -> Iterator[None]:
    """Change attention while a model runs: its probabilities, or what its heads give out.

    Where nothing is changed the pass is the same, number by number, as without.

    Parameters
    ----------
    model
        A transformers model; its own attention implementation is restored afterwards.
    rows
        Given a chunk of rows, new probabilities for it, or None.
    outputs
        Given an attention module and the outputs of its heads, before they are joined, new ones or
        None.

    Raises
    ------
    PipelineError
        A family whose layers compute their attention by themselves: it can be read, not changed.
    """
    global _edits
    path = attention_path(type(model), {type(module).__name__ for module in model.modules()})
    if path == "hook":
        raise PipelineError(
            f"attention of {type(model).__name__} cannot be changed",
            "model",
            "its layers compute it by themselves; choose a family of transformers' interface",
        )
    before = model.config._attn_implementation, torch.get_float32_matmul_precision(), _edits
    model.set_attn_implementation(BACKEND)
    torch.set_float32_matmul_precision("highest")
    _edits = _Edits(rows, outputs)
    try:
        yield
    finally:
        implementation, precision, _edits = before
        torch.set_float32_matmul_precision(precision)
        model.set_attn_implementation(implementation)


@contextmanager
def _hooks(model: nn.Module, observer: Observer) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")

    def read(module: nn.Module, given: Any, named: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4:
            raise PipelineError(
                f"{type(module).__name__} returned no attention probabilities",
                "model",
                "load the model with attn_implementation='eager'",
            )
        inputs = signature(module.forward).bind(*given, **named).arguments
        observer(_hooked_rows(module, weights, inputs.get("attention_mask")))

    handles = [
        module.register_forward_hook(read, with_kwargs=True)
        for module in model.modules()
        if type(module).__name__ in HOOKED.values()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.set_attn_implementation(before)


def _hooked_rows(module: nn.Module, probabilities: Tensor, mask: Tensor | None) -> Rows:
    """All rows of a layer at once; these layers hand out nothing else."""
    batch, heads, queries, keys = probabilities.shape
    # Of these families RoFormer alone may look ahead.
    causal = bool(getattr(module, "is_decoder", True))
    hidden = probabilities.new_zeros(1, 1, queries, keys, dtype=torch.bool)
    if causal:
        hidden = hidden.logical_not().triu(1 + keys - queries)
    if mask is not None:
        # Falcon's with ALiBi is one per head, but hides the same keys in all of them.
        hidden = hidden | _hides(module, mask[:, :1])
    if getattr(module, "attention_type", None) == "local":
        # GPT-Neo adds its window inside the layer.
        bias: Any = module.bias
        hidden = hidden | ~bias[:, :, keys - queries : keys, :keys]
    nothing = hidden.all(-1, keepdim=True)
    probabilities = probabilities.masked_fill(nothing, 0)
    call = Call(module, batch, heads, queries, keys, causal)
    return Rows(call, 0, probabilities, hidden=hidden if bool(hidden.any()) else None)


def _hides(module: nn.Module, mask: Tensor) -> Tensor:
    """What a layer's own mask hides: MPT's is true there, others' are false or very negative."""
    if type(module).__name__ == "MptAttention":
        return mask.bool()
    return ~mask if mask.dtype == torch.bool else mask < torch.finfo(mask.dtype).min / 2
