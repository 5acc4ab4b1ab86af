"""Bytes on disk."""

from __future__ import annotations

from attention_wavelets.resources.sizes import Sizes

__all__ = ["download_bytes", "signal_bytes", "table_bytes"]

# Of float32 signals after compression, which their noisy last bits do not allow to be less.
_PACKED = 0.95
# Of one signal's row in heads.parquet and what it adds to the other tables.
_ROW = 350


def download_bytes(sizes: Sizes) -> int:
    """Bytes of the weights' files, at most: with a language-model head that is not tied."""
    return int((sizes.parameters + sizes.embeddings) * sizes.stored)


def signal_bytes(sizes: Sizes, numbers: int) -> int:
    """Bytes of a signal store with so many numbers per head."""
    return int(_PACKED * 4 * sizes.layers * sizes.heads * numbers)


def table_bytes(sizes: Sizes, signals: int) -> int:
    """Bytes of the tables of so many signals per head."""
    return _ROW * sizes.layers * sizes.heads * signals
