"""What a claim reads of one model: a few measures of every sequence, layer and head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.inference.intervals import FloatArray
from attention_wavelets.inference.resample import weighted_means

__all__ = ["Panel", "Subject"]


@dataclass(frozen=True)
class Panel:
    """Measures of one model or of one draw of its null.

    Attributes
    ----------
    values
        (sequence, layer, head, column), NaN where undefined. Measures of whole layers have one
        head, measures of whole models one layer and one head.
    documents
        (sequence,), the document each sequence was cut from.
    unmatched
        Share of the signals that the null could not match; 0 for measured signals.

    Raises
    ------
    ValueError
        If the shapes do not agree.
    """

    values: FloatArray
    documents: NDArray[np.generic]
    unmatched: float = 0.0

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.documents.shape != self.values.shape[:1]:
            raise ValueError(
                f"need (sequence, layer, head, column) with a document for each sequence, got "
                f"{self.values.shape} and {self.documents.shape}"
            )

    @property
    def groups(self) -> int:
        """Number of documents."""
        return len(np.unique(self.documents))

    def averages(self, weights: FloatArray) -> FloatArray:
        """Means over sequences (B, layer, head, column) under weights (B, sequence)."""
        return weighted_means(weights, self.values)

    def mean(self) -> FloatArray:
        """Means over all sequences, (layer, head, column)."""
        return np.asarray(self.averages(np.ones((1, len(self.values))))[0])

    def aligned(self, other: Panel) -> bool:
        """Whether both hold the same sequences, as far as documents tell, and as many heads."""
        same = np.array_equal(self.documents, other.documents)
        return same and self.values.shape == other.values.shape

    def shared(self, other: Panel) -> Panel:
        """This panel, NaN also where `other` is: what both have is compared, and nothing else."""
        lacking = np.isnan(other.values) & ~np.isnan(self.values)
        if not lacking.any():
            return self
        return replace(self, values=np.where(lacking, np.nan, self.values))


@dataclass(frozen=True)
class Subject:
    """What one number is computed from: a model, or models in a row.

    Attributes
    ----------
    panels
        One per model.
    places
        (model,), such as the logarithm of the parameters; None for a model by itself.
    """

    panels: tuple[Panel, ...]
    places: FloatArray | None = None

    @property
    def first(self) -> Panel:
        """The panel whose documents are counted."""
        return self.panels[0]

    @property
    def unmatched(self) -> float:
        """The largest share of signals that could not be matched."""
        return max(panel.unmatched for panel in self.panels)

    def aligned(self, other: Subject) -> bool:
        """Whether both hold the same sequences and heads of as many models."""
        return len(self.panels) == len(other.panels) and all(
            mine.aligned(theirs) for mine, theirs in zip(self.panels, other.panels, strict=True)
        )

    def shared(self, other: Subject) -> Subject:
        """This subject, NaN also where `other` is."""
        pairs = zip(self.panels, other.panels, strict=True)
        panels = tuple(mine.shared(theirs) for mine, theirs in pairs)
        unchanged = all(new is old for new, old in zip(panels, self.panels, strict=True))
        return self if unchanged else replace(self, panels=panels)
