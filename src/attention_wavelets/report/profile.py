"""One page on one model: the report's sections and figures, with a single row."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.embed import embed_figures
from attention_wavelets.report.figures import FIGURES, draw_figure, save_figure
from attention_wavelets.report.page import render_page
from attention_wavelets.report.sections import PROFILE_SECTIONS, ReportInput
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.store.atomic import write_text

__all__ = ["PROFILE_FIGURES", "write_profile"]

PROFILE_FIGURES = tuple(name for name, spec in FIGURES.items() if spec.single)


def write_profile(
    path: Path,
    tables: StudyTables,
    context: Mapping[str, Any],
    settings: FigureSettings,
    figures: Sequence[str] = PROFILE_FIGURES,
) -> None:
    """Draw the figures of one model and write its page; no other file is left behind.

    Parameters
    ----------
    path
        HTML file to write.
    tables
        Tables of the one model; pairs may be empty.
    context
        As for `page.write_report`.
    settings
        How figures look.
    figures
        Names of figures, in order.
    """
    with tempfile.TemporaryDirectory(prefix="attention-wavelets-") as folder:
        drawn: list[Path] = []
        for name in figures:
            drawn += save_figure(draw_figure(name, tables, settings), Path(folder), name, settings)
        page = ReportInput(tables, embed_figures(drawn), context)
    write_text(path, render_page(page, PROFILE_SECTIONS))
