"""Token sequences of one model and corpus, one group per condition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attention_wavelets.store.arrays import Group, Variable, open_group, write_store

if TYPE_CHECKING:
    from attention_wavelets.corpora.sequences import Sequences

__all__ = ["read_sequences", "write_sequences"]

_DIMS = {
    "ids": ("sequence", "position"),
    "special": ("sequence", "position"),
    "source_position": ("sequence", "position"),
    "document": ("sequence",),
    "start": ("sequence",),
}
_CONTENT = ("sequence", "position", "number")


def write_sequences(
    path: Path, conditions: Mapping[str, Sequences], attributes: Mapping[str, Any]
) -> None:
    """Write ids, special-token marks, source positions, documents and starts, atomically.

    Sounds and pictures have `content` too.
    """
    groups = {}
    for name, sequences in conditions.items():
        dims = dict(_DIMS)
        if sequences.content is not None:
            dims["content"] = _CONTENT
        groups[name] = Group(
            {
                key: Variable.of(np.asarray(getattr(sequences, key)), axes)
                for key, axes in dims.items()
            }
        )
    write_store(path, groups, attributes)


def read_sequences(path: Path, condition: str) -> dict[str, np.ndarray]:
    """Arrays of one condition: ids, special, source_position (sequence, position), ...

    `content` (sequence, position, number) is there of sounds and pictures alone.
    """
    with open_group(path, condition) as dataset:
        keys = [*_DIMS, *(["content"] if "content" in dataset else [])]
        return {key: np.asarray(dataset[key].values) for key in keys}
