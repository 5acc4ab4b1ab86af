"""From stored sequences to the arguments of a base model's `forward`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["TOKENS", "model_inputs", "token_inputs"]

# What a model of text is given, as `models.modality.input_of` has it.
TOKENS: Mapping[str, Any] = {"kind": "tokens"}


def token_inputs(model: nn.Module, ids: np.ndarray) -> dict[str, Any]:
    """Arguments of a base model's `forward` for token ids (sequence, position)."""
    device = next(model.parameters()).device
    tokens = torch.as_tensor(np.ascontiguousarray(ids), dtype=torch.long, device=device)
    config: Any = model.config
    options = {"use_cache": False} if hasattr(config, "use_cache") else {}
    return {"input_ids": tokens, **options}


def model_inputs(
    model: nn.Module, numbers: np.ndarray, given: Mapping[str, Any] = TOKENS
) -> dict[str, Any]:
    """Arguments of a base model's `forward` for sequences of any kind.

    Parameters
    ----------
    model
        A base model.
    numbers
        Token ids (sequence, position), or samples or pixels of each position
        (sequence, position, D); what stands at special positions of pictures is not read.
    given
        The manifest's `facts.input`: kind, how positions are cut, and how numbers are scaled.
    """
    if given["kind"] == "tokens":
        return token_inputs(model, numbers)
    first = next(model.parameters())
    values = torch.as_tensor(np.ascontiguousarray(numbers), dtype=torch.float32)
    made = _MAKERS[given["kind"]](values, given)
    name: Any = model.main_input_name
    return {name: made.to(first.device, first.dtype)}


def _sound(blocks: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Samples (sequence, sample); silence behind, so that the last position has its window too."""
    samples = blocks.flatten(1)
    if given["normalise"]:
        # As feature extractors of wav2vec 2.0 do.
        mean = samples.mean(1, keepdim=True)
        samples = (samples - mean) / (samples.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
    return nn.functional.pad(samples, (0, given["window"] - given["hop"]))


def _pictures(patches: Tensor, given: Mapping[str, Any]) -> Tensor:
    """Pictures (sequence, colour, row, column) of patches that are counted row by row."""
    patches = patches[:, given["special"] :]
    grid, patch = isqrt(patches.shape[1]), given["patch"]
    tiles = patches.unflatten(2, (patch, patch, 3)).unflatten(1, (grid, grid))
    pictures = tiles.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
    mean, deviation = (torch.tensor(given[key])[:, None, None] for key in ("mean", "deviation"))
    return (pictures - mean) / deviation


_MAKERS: dict[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "sound": _sound,
    "pictures": _pictures,
}
