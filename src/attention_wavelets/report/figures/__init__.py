"""Figures of a study: a registry of specifications, drawn and saved by name."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.errors import unknown_name
from attention_wavelets.report.figures.bands import BAND_DEPTH, BAND_SHARES
from attention_wavelets.report.figures.causal import CAUSAL_BANDS, CAUSAL_HEADS
from attention_wavelets.report.figures.decay import SCALE_DECAY
from attention_wavelets.report.figures.heads import HEAD_CORRELATION, LOCAL_GLOBAL
from attention_wavelets.report.figures.ladder import LADDER_ENCODING, LADDER_SIZE, LADDER_STEPS
from attention_wavelets.report.figures.published import PAPER_TABLES
from attention_wavelets.report.figures.scale import SCALE_CORRELATION
from attention_wavelets.report.figures.series import SERIES_SCALES
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.spectrum import ENTROPY_SELECTIVITY, POSITION_SPECTRUM
from attention_wavelets.report.figures.style import figure_style, settle
from attention_wavelets.report.figures.uncertainty import UNCERTAINTY
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.store.atomic import replacing

__all__ = ["FIGURES", "FigureSpec", "caption_rst", "draw_figure", "figure_spec", "save_figure"]

FIGURES: dict[str, FigureSpec] = {
    "local_global": LOCAL_GLOBAL,
    "band_shares": BAND_SHARES,
    "band_depth": BAND_DEPTH,
    "head_correlation": HEAD_CORRELATION,
    "entropy_selectivity": ENTROPY_SELECTIVITY,
    "position_spectrum": POSITION_SPECTRUM,
    "uncertainty": UNCERTAINTY,
    "scale_correlation": SCALE_CORRELATION,
    "scale_decay": SCALE_DECAY,
    "paper_tables": PAPER_TABLES,
    "ladder_size": LADDER_SIZE,
    "ladder_steps": LADDER_STEPS,
    "ladder_encoding": LADDER_ENCODING,
    "causal_heads": CAUSAL_HEADS,
    "causal_bands": CAUSAL_BANDS,
    "series_scales": SERIES_SCALES,
}

# What would make two runs differ in bytes: dates, and versions of the drawing library.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def figure_spec(name: str) -> FigureSpec:
    """The specification of a figure.

    Raises
    ------
    PipelineError
        If there is no such figure; the message lists those there are.
    """
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES, "study figures")
    return FIGURES[name]


def draw_figure(name: str, tables: StudyTables, settings: FigureSettings) -> Figure:
    """Draw the figure `name` of a study; what was not measured is marked, not left out."""
    spec = figure_spec(name)
    with figure_style(settings):
        figure = spec.draw(tables, settings)
        settle(figure)
        return figure


def save_figure(figure: Figure, folder: Path, name: str, settings: FigureSettings) -> list[Path]:
    """Write `figure` as folder/name.<format> for each configured format; return the paths.

    Each file appears whole or not at all, and equal figures give equal bytes.
    """
    paths = []
    with figure_style(settings):
        for form in settings.formats:
            path = Path(folder) / f"{name}.{form}"
            with replacing(path) as partial:
                figure.savefig(partial, format=form, dpi=settings.dpi, metadata=METADATA[form])
            paths.append(path)
    return paths


def caption_rst(spec: FigureSpec) -> str:
    """The caption as reStructuredText for `snakemake --report`."""
    body = "\n".join(textwrap.wrap(spec.caption, 98, break_on_hyphens=False))
    return f"**{spec.title}**\n\n{body}\n"
