"""Rotary position encoding as a live model has it: which dimensions turn together, and how fast."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["Rotary", "rotary_of"]


@dataclass(frozen=True, eq=False)
class Rotary:
    """How the dimensions of one layer's heads divide into rotary pairs.

    component
        For each dimension of a head its pair, in the model's own order (the fastest first);
        dimensions that do not turn have the number `pairs`. None where the layout is not known.
    frequency
        Cycles per token of each pair; NaN in a layer that does not rotate.
    """

    component: np.ndarray | None
    frequency: np.ndarray

    @property
    def pairs(self) -> int:
        """Number of rotary pairs."""
        return len(self.frequency)


def rotary_of(model: nn.Module, modules: Mapping[str, nn.Module], size: int) -> dict[str, Rotary]:
    """The rotary layout of each attention module.

    Parameters
    ----------
    model
        A loaded transformers model: frequencies are read from its live buffers, so scaled variants
        (llama3, yarn, proportional) are as the model uses them.
    modules
        Name -> attention module.
    size
        Size of a head.
    """
    config = model.config.get_text_config()
    tables = {
        name.rsplit(".", 1)[-1]: buffer.detach().double().cpu().numpy()
        for name, buffer in model.named_buffers()
        if name.endswith("inv_freq") and "original" not in name
    }
    return {name: _layer(module, config, tables, size) for name, module in modules.items()}


def _layer(module: nn.Module, config: Any, tables: Mapping[str, np.ndarray], size: int) -> Rotary:
    if not tables:
        return Rotary(np.zeros(size, dtype=np.int64), np.empty(0))
    table = next(iter(tables.values()))
    index = getattr(module, "layer_idx", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and index is not None:
        # Gemma 3 and ModernBERT keep one table per type of layer.
        table = tables.get(f"{kinds[index]}_inv_freq", table)
    component = _components(module, len(table), size)
    frequency = table / (2 * math.pi)
    return Rotary(component, frequency if _rotates(module, config, index) else frequency * np.nan)


def _rotates(module: nn.Module, config: Any, index: int | None) -> bool:
    """Some families leave every few layers without positions."""
    if hasattr(module, "use_rope"):
        return bool(module.use_rope)
    if config.model_type == "cohere2":
        return getattr(module, "sliding_window", None) is not None
    flags = getattr(config, "no_rope_layers", None)
    # Despite the name, 1 marks a layer that does rotate.
    return bool(flags[index]) if flags and index is not None else True


def _components(module: nn.Module, pairs: int, size: int) -> np.ndarray | None:
    """Pair of each dimension, found by turning unit vectors with the family's own function."""
    rotated = 2 * pairs
    # Where only part of a head turns it is the first part, but for latent attention.
    if rotated > size or hasattr(module, "qk_rope_head_dim"):
        return None
    family = sys.modules[type(module).__module__]
    unit = torch.eye(rotated)
    if hasattr(family, "rotate_half"):
        turned = family.rotate_half(unit)
    elif hasattr(family, "_apply_rotary_emb"):
        turned = family._apply_rotary_emb(unit, torch.zeros(pairs), torch.ones(pairs))
    else:
        return None
    partner = turned.abs().argmax(dim=1).numpy()
    first = np.flatnonzero(partner > np.arange(rotated))
    component = np.full(size, pairs, dtype=np.int64)
    component[first] = np.arange(pairs)
    component[partner[first]] = np.arange(pairs)
    return component
