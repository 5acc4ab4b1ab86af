"""What a figure is: a name, words, and a function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.tables import StudyTables

__all__ = ["FigureSpec"]


@dataclass(frozen=True)
class FigureSpec:
    """One figure of a study.

    Attributes
    ----------
    name
        Key in the registry, file name and name in a study's list.
    title
        Heading in the report.
    caption
        Plain language: what is drawn, how to read it, what it can and cannot show.
    draw
        Draws the figure from the study's tables; pure, no files.
    category
        Heading in the Snakemake report.
    single
        Whether it says something about one model on its own.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[StudyTables, FigureSettings], Figure]
    category: str
    single: bool = True
