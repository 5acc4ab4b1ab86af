"""The check every extraction begins with: is what the capture sees what the model computes?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention_wavelets.attention.capture import capturing
from attention_wavelets.attention.inputs import TOKENS, model_inputs
from attention_wavelets.attention.rows import Rows
from attention_wavelets.errors import PipelineError

__all__ = ["check_capture"]

# Largest difference of hidden states with and without the capture, relative to the largest one.
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def check_capture(
    model: nn.Module,
    numbers: np.ndarray,
    causal: bool,
    layers: int,
    given: Mapping[str, Any] = TOKENS,
) -> str:
    """Refuse a model whose attention would be measured wrongly.

    One short sequence is run with and without the capture. Checked: every layer was seen once and
    has the sequence's positions, rows are finite and sum to 1 (at most 1 where a sink is learned),
    a causal model's upper triangle is exactly 0 and its earlier rows do not change with the last
    token, and the hidden states are those of the untouched model.

    Parameters
    ----------
    model
        A base model in evaluation mode.
    numbers, given
        Token ids (sequence, position), or what other models are given; of the first sequence, 32
        positions are used where it can be cut.
    causal, layers
        As the manifest says.

    Returns
    -------
    str
        The path taken, "interface" or "hook".
    """
    # A picture is read whole.
    numbers = np.array(numbers[:1] if given["kind"] == "pictures" else numbers[:1, :32])
    positions = numbers.shape[1]
    names = {module: name for name, module in model.named_modules()}
    seen: list[str] = []
    earlier: list[Tensor] = []

    def inspect(rows: Rows) -> None:
        name = names[rows.call.module]
        if rows.start == 0:
            seen.append(name)
        if (rows.call.queries, rows.call.keys) != (positions, positions):
            raise PipelineError(
                f"attention has {rows.call.keys} positions, the sequence {positions}",
                f"layer {name}",
                "report it",
            )
        _check_rows(rows, f"layer {name}", causal)
        earlier.append(rows.probabilities[:, :, : positions - 1 - rows.start].clone())

    with torch.inference_mode():
        plain = _hidden(model, numbers, given)
        with capturing(model, inspect) as path:
            captured = _hidden(model, numbers, given)
    _check_layers(model, seen, layers)
    dtype = next(model.parameters()).dtype
    if _difference(captured, plain, dtype) > _TOLERANCE[dtype]:
        raise PipelineError(
            "hidden states change when attention is captured", type(model).__name__, "report it"
        )
    if causal:
        before, end = list(earlier), numbers.copy()
        earlier.clear()
        # Another token that certainly exists in the vocabulary.
        end[0, -1] = next((token for token in numbers[0] if token != numbers[0, -1]), 0)
        with torch.inference_mode(), capturing(model, inspect):
            _hidden(model, end, given)
        if any(float((a - b).abs().max()) > 1e-4 for a, b in zip(before, earlier, strict=True)):
            raise PipelineError(
                "attention changes with a later token in a causal model",
                type(model).__name__,
                "report it",
            )
    return path


def _difference(found: Tensor, expected: Tensor, dtype: torch.dtype) -> float:
    """Largest relative difference over tokens; in half precision that of the median token.

    There, rounding may send single tokens to another expert of a mixture, which changes them much.
    """
    by_token = (found - expected).abs().amax((0, 2)) / expected.abs().max().clamp(min=1e-30)
    return float(by_token.max() if dtype == torch.float32 else by_token.median())


def _hidden(model: nn.Module, numbers: np.ndarray, given: Mapping[str, Any]) -> Tensor:
    hidden: Tensor = model(**model_inputs(model, numbers, given)).last_hidden_state
    return hidden.float()


def _check_rows(rows: Rows, where: str, causal: bool) -> None:
    probabilities = rows.probabilities
    if not torch.isfinite(probabilities).all():
        raise PipelineError("attention is not finite", where, "check the weights")
    if (probabilities.sum(-1) > 1 + 1e-4).any():
        raise PipelineError("attention rows sum to more than 1", where, "report it")
    if causal and (not rows.call.causal or torch.triu(probabilities, 1 + rows.start).any()):
        raise PipelineError("attends to later tokens in a causal model", where, "report it")


def _check_layers(model: nn.Module, seen: list[str], layers: int) -> None:
    """Every layer once; of those that were not seen the message has the names."""
    if len(seen) == len(set(seen)) == layers:
        return
    lost = [
        f"{name}.{place}"
        for name, blocks in model.named_modules()
        if isinstance(blocks, nn.ModuleList) and len(blocks) == layers
        for place in range(layers)
        if not any(found.startswith(f"{name}.{place}.") for found in seen)
    ]
    raise PipelineError(
        f"{len(set(seen))} of {layers} layers passed through the capture; "
        f"missing: {', '.join(lost) or 'unknown'}; seen: {', '.join(seen) or 'none'}",
        type(model).__name__,
        "layers without softmax attention, or of another library, are not supported",
    )
