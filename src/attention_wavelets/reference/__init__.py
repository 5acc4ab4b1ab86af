"""The published tables as data, exactly as printed, with the paper's citation.

The columns `params` and `family` of Tables 1, 2, 3 and 7 were added here; everything else is as
printed. Table 4 labels GPT-2 "No PE"; the label is kept, although GPT-2 has learned absolute
positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from attention_wavelets.errors import PipelineError

__all__ = ["CITATION", "PUBLISHED_LABEL", "TABLES", "Citation", "paper_table"]

TABLES = (1, 2, 3, 4, 5, 6, 7)

# The words beside every published value: a mark to orient by, not a target.
PUBLISHED_LABEL = "published: other models, lengths unknown"


@dataclass(frozen=True)
class Citation:
    """Where the published values come from."""

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    number: str
    arxiv: str

    def sentence(self) -> str:
        """The reference as one line of text."""
        names = ", ".join(self.authors)
        return (
            f"{names} ({self.year}). {self.title}. {self.venue}, {self.number}. arXiv:{self.arxiv}."
        )


CITATION = Citation(
    authors=("Valeria Ruscio", "Umberto Nanni", "Fabrizio Silvestri"),
    title="Beyond Position: the emergence of wavelet-like properties in Transformers",
    venue="Proceedings of the 63rd Annual Meeting of the Association for Computational "
    "Linguistics (ACL 2025)",
    year=2025,
    number="long paper 303, pages 6074-6088",
    arxiv="2410.18067",
)


@cache
def _read(number: int) -> pd.DataFrame:
    source = files(__name__) / f"table{number}.csv"
    with source.open(encoding="utf-8") as handle:
        return pd.read_csv(handle)


def paper_table(number: int) -> pd.DataFrame:
    """Table `number` (1 to 7) of the paper, one row per model or checkpoint, values as printed.

    Raises
    ------
    PipelineError
        If the paper has no such table.
    """
    if number not in TABLES:
        raise PipelineError(
            f"the paper has no table {number}", "paper_table", "choose one of 1 to 7"
        )
    return _read(number).copy()
