"""What a layer's heads do to values, read off its weights: W_V^h and W_O^h, and their couplings.

Only classes in `LAYOUTS` are read: fused weights of other families look alike, and a wrong guess
would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

__all__ = ["DIRECTIONS", "LAYOUTS", "ValueOutput", "couplings", "value_output"]

# Leading singular pairs of each head's W_O^h W_V^h.
DIRECTIONS = 2


@dataclass(frozen=True)
class ValueOutput:
    """Weights of one layer, without biases: head h adds W_O^h W_V^h x to the layer's output.

    value
        W_V, (key head, size, inputs); heads of a group share a key head.
    output
        W_O, (head, outputs, size).
    """

    value: Tensor
    output: Tensor


# (weight (rows, inputs), attention module, heads, size) -> (key head, size, inputs).
_Reader = Callable[[Tensor, Any, int, int], Tensor]


def _separate(weight: Tensor, _module: Any, _heads: int, size: int) -> Tensor:
    return weight.unflatten(0, (-1, size))


def _per_head(weight: Tensor, _module: Any, heads: int, size: int) -> Tensor:
    """Query, key and value of each head side by side."""
    return weight.unflatten(0, (heads, 3, size))[:, 2]


def _blocks(weight: Tensor, _module: Any, heads: int, size: int) -> Tensor:
    """All queries, then all keys, then all values; there may be fewer of the last two."""
    rows = weight.unflatten(0, (-1, size))
    return rows[(len(rows) + heads) // 2 :]


def _quarters(weight: Tensor, _module: Any, heads: int, size: int) -> Tensor:
    """Four parts of query, value and key, as CodeGen was trained on four processors."""
    return weight.unflatten(0, (4, 3, heads // 4, size))[:, 1].flatten(0, 1)


def _falcon(weight: Tensor, module: Any, heads: int, size: int) -> Tensor:
    if module.new_decoder_architecture:
        return weight.unflatten(0, (module.num_kv_heads, -1, size))[:, -1]
    if module.multi_query:
        return weight.unflatten(0, (heads + 2, size))[-1:]
    return _per_head(weight, module, heads, size)


@dataclass(frozen=True)
class _Layout:
    """Names of the modules that hold the weights, below the attention module or (`..`) its parent.

    linear
        False for a module whose settings clamp or turn its values.
    """

    value: str
    output: str
    read: _Reader = _separate
    linear: Callable[[Any], bool] = lambda _module: True


_PLAIN = _Layout("v_proj", "o_proj")
_OUT = _Layout("v_proj", "out_proj")
_BERT = _Layout("value", "..output.dense")

LAYOUTS: dict[str, _Layout] = {
    **dict.fromkeys(
        (
            "CohereAttention",
            "Gemma2Attention",
            "Gemma3Attention",
            "GemmaAttention",
            "GptOssAttention",
            "GraniteAttention",
            "LlamaAttention",
            "MistralAttention",
            "Olmo2Attention",
            "Qwen2Attention",
            "Qwen3Attention",
            "SmolLM3Attention",
            "StableLmAttention",
            "Starcoder2Attention",
        ),
        _PLAIN,
    ),
    "OlmoAttention": _Layout("v_proj", "o_proj", linear=lambda m: m.config.clip_qkv is None),
    **dict.fromkeys(("GPTJAttention", "GPTNeoSelfAttention", "OPTAttention"), _OUT),
    "PhiAttention": _Layout("v_proj", "dense"),
    **dict.fromkeys(("BertSelfAttention", "RobertaSelfAttention"), _BERT),
    "RoFormerSelfAttention": _Layout(
        "value", "..output.dense", linear=lambda m: not m.rotary_value
    ),
    **dict.fromkeys(
        ("BloomAttention", "GPTNeoXAttention"),
        _Layout("query_key_value", "dense", _per_head),
    ),
    "FalconAttention": _Layout("query_key_value", "dense", _falcon),
    "GPT2Attention": _Layout(
        "c_attn", "c_proj", _blocks, linear=lambda m: not m.is_cross_attention
    ),
    "ModernBertAttention": _Layout("Wqkv", "Wo", _blocks),
    "MptAttention": _Layout("Wqkv", "out_proj", _blocks, linear=lambda m: not m.clip_qkv),
    "Phi3Attention": _Layout("qkv_proj", "o_proj", _blocks),
    "CodeGenAttention": _Layout("qkv_proj", "out_proj", _quarters),
}
"""Class of an attention module -> where its weights are."""


def value_output(model: nn.Module, name: str, heads: int) -> ValueOutput | None:
    """The weights W_V^h and W_O^h of one attention module.

    Parameters
    ----------
    model, name
        A transformers model and the qualified name of one of its attention modules.
    heads
        Query heads of the layer.

    Returns
    -------
    ValueOutput or None
        Views of the weights. None where the class is not in `LAYOUTS`, the layer is not linear in
        its values, or a weight is no plain matrix (quantised, adapted, not in memory).
    """
    module = model.get_submodule(name)
    layout = LAYOUTS.get(type(module).__name__)
    if layout is None or not layout.linear(module):
        return None
    above = model.get_submodule(name.rpartition(".")[0])
    home = above if layout.output.startswith("..") else module
    value = _matrix(module.get_submodule(layout.value))
    output = _matrix(home.get_submodule(layout.output.removeprefix("..")))
    if value is None or output is None or output.shape[1] % heads:
        return None
    size = output.shape[1] // heads
    parts = layout.read(value, module, heads, size)
    return ValueOutput(parts, output.unflatten(1, (heads, size)).transpose(0, 1))


def _matrix(layer: nn.Module) -> Tensor | None:
    """A plain layer's weight, (outputs, inputs)."""
    if type(layer) is nn.Linear or type(layer).__name__ == "FalconLinear":
        weight: Any = layer.weight
    elif type(layer) is Conv1D:
        weight = layer.weight.T
    else:
        return None
    return None if weight.is_meta or not weight.is_floating_point() else weight.detach()


def couplings(model: nn.Module, name: str, heads: int) -> Tensor:
    """u_r' W_O^h W_V^h v_r for each head h of a layer and each direction r.

    Directions are the leading `DIRECTIONS` pairs of singular vectors (u, v) of each head's own
    W_O^h W_V^h: r // DIRECTIONS is the head, r % DIRECTIONS the number of the pair. The head's own
    coupling is the singular value; those of other heads have either sign. The norm layers before
    and after attention are left aside, and so are biases, which add the same to every position.

    Returns
    -------
    Tensor
        float64 (head, heads * DIRECTIONS) on the processor; NaN where weights are not known.
    """
    unknown = torch.full((heads, heads * DIRECTIONS), torch.nan, dtype=torch.float64)
    weights = value_output(model, name, heads)
    if weights is None or weights.value.shape[1] < DIRECTIONS:
        return unknown
    with torch.no_grad():
        value, output = weights.value.double(), weights.output.double()
        groups = heads // len(value)
        # The product has the rank of a head, so its singular vectors come from two small factors.
        right, small = torch.linalg.qr(value.transpose(1, 2))
        left, small_too = torch.linalg.qr(output)
        right, small = (part.repeat_interleave(groups, dim=0) for part in (right, small))
        u, _, v = torch.linalg.svd(small_too @ small.transpose(1, 2))
        u = (left @ u[..., :DIRECTIONS]).transpose(0, 1).flatten(1)
        v = (right @ v.transpose(1, 2)[..., :DIRECTIONS]).transpose(0, 1).flatten(1)
        read = torch.matmul(value, v).repeat_interleave(groups, dim=0)
        wrote = torch.einsum("or,hos->hsr", u, output)
        return (wrote * read).sum(dim=1).cpu()
