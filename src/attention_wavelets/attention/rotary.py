"""Rotary position encoding as a live model has it: which dimensions turn together, and how fast."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from attention_wavelets.models.facts import rotary_layers, uses_alibi

__all__ = ["Rotary", "rotary_of"]


@dataclass(frozen=True, eq=False)
class Rotary:
    """How the dimensions of one layer's heads divide into rotary pairs.

    component
        For each dimension of a head its pair, in the model's own order (the fastest first);
        dimensions that do not turn have the number `pairs`. None where the layout is not known.
    frequency
        Cycles per token of each pair; NaN in a layer that does not rotate, and where several
        tables bear one name, so that it is not known which of them the layer uses.
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
    # Those of pictures turn by rows and columns, so that no frequency is one of the sequence.
    none = uses_alibi(config) or model.main_input_name == "pixel_values"
    tables = {} if none else _tables(model)
    rotating = rotary_layers(config, int(config.num_hidden_layers))
    return {
        name: _layer(module, config, tables, rotating, size) for name, module in modules.items()
    }


def _tables(model: nn.Module) -> dict[str, np.ndarray]:
    """Frequencies by the last part of their name, radians per token; NaN where they differ."""
    tables: dict[str, np.ndarray] = {}
    for path, buffer in model.named_buffers():
        name = path.rsplit(".", 1)[-1]
        if name.endswith("inv_freq") and "original" not in path:
            table = buffer.detach().double().cpu().numpy()
            known = tables.setdefault(name, table)
            if not np.array_equal(known, table):
                tables[name] = np.full(len(known), np.nan)
    return tables


def _layer(
    module: nn.Module,
    config: Any,
    tables: Mapping[str, np.ndarray],
    rotating: Sequence[bool],
    size: int,
) -> Rotary:
    if not tables:
        return Rotary(np.zeros(size, dtype=np.int64), np.empty(0))
    table = next(iter(tables.values()))
    index = getattr(module, "layer_idx", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and index is not None:
        # Gemma 3 and ModernBERT keep one table per type of layer.
        table = tables.get(f"{kinds[index]}_inv_freq", table)
    component = None if np.isnan(table).any() else _components(module, len(table), size)
    frequency = table / (2 * math.pi)
    return Rotary(component, frequency if index is None or rotating[index] else frequency * np.nan)


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
