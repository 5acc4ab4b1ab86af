"""The study's models beside the paper's Tables 1, 2, 3 and 7: marks, no distance, no ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.reference import PUBLISHED_LABEL, paper_table
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import GREY, legend_below, mark, new_figure, wrapped
from attention_wavelets.report.tables import StudyTables

__all__ = ["PAPER_TABLES", "STATISTICS", "Statistic"]

COLUMNS = 3
SCALES = range(6)


@dataclass(frozen=True)
class Statistic:
    """One column that models.csv and a table of the paper share."""

    column: str
    table: int
    label: str
    prefix: str = ""


STATISTICS = (
    Statistic("spectral_entropy_mean", 3, "spectral entropy,\nmean over heads (nats)"),
    Statistic("spectral_entropy_std", 3, "spectral entropy,\nSD over heads (nats)"),
    Statistic("spectral_entropy_iqr", 3, "spectral entropy,\nIQR over heads (nats)"),
    Statistic("frequency_selectivity_mean", 3, "selectivity,\nmean over heads (ratio)"),
    Statistic("frequency_selectivity_std", 3, "selectivity,\nSD over heads (ratio)"),
    Statistic("frequency_selectivity_iqr", 3, "selectivity,\nIQR over heads (ratio)"),
    Statistic("scale_sensitivity_0_5", 1, "scale sensitivity at 1/2\n(1 − cosine)", "_prefix"),
    Statistic("scale_sensitivity_0_25", 1, "scale sensitivity at 1/4\n(1 − cosine)", "_prefix"),
    Statistic("position_spectrum_correlation", 1, "position-spectrum\ncorrelation (Pearson)"),
    Statistic("window_entropy_16_tokens", 2, "window entropy, W = 16\n(share of ln 16)"),
    Statistic("window_entropy_32_tokens", 2, "window entropy, W = 32\n(share of ln 32)"),
    Statistic("window_entropy_64_tokens", 2, "window entropy, W = 64\n(share of ln 64)"),
    Statistic("reconstruction_error_mean", 1, "reconstruction error\n(numerical precision)"),
)


def column(tables: StudyTables, name: str) -> np.ndarray:
    """A column of models.csv as floats, NaN where it is absent."""
    if name not in tables.models:
        return np.full(len(tables.models), np.nan)
    return tables.models[name].to_numpy(float)


def draw_values(axes: Axes, tables: StudyTables, name: str, filled: bool, shift: float) -> None:
    """One mark with its interval per model; a model without the number gets none."""
    value, low, high = (column(tables, name + end) for end in ("", "_low", "_high"))
    place = np.arange(len(value)) + shift
    width = np.stack([value - low, high - value])
    # An interval can be undefined (too few documents) while its mean is not.
    width = np.where(np.isfinite(width), np.maximum(width, 0), 0)
    axes.errorbar(
        value,
        place,
        xerr=width,
        fmt="o",
        color="black",
        markersize=3.5,
        markerfacecolor="black" if filled else "white",
        elinewidth=1,
        capsize=2,
    )


def short(value: float, _place: int) -> str:
    """A tick label: plain where it is short, else with an exponent."""
    return f"{value:.1e}" if value and abs(value) < 1e-3 else f"{value:g}"


def draw_statistic(axes: Axes, tables: StudyTables, statistic: Statistic) -> None:
    """Models down, the published values as grey strokes in a row of their own at the bottom."""
    count = len(tables.names)
    printed = paper_table(statistic.table)[statistic.column].to_numpy(float)
    axes.plot(printed, np.full(len(printed), count), "|", color=GREY, ms=9, mew=1.5)
    two = bool(statistic.prefix)
    draw_values(axes, tables, statistic.column, True, -0.15 if two else 0.0)
    if two:
        draw_values(axes, tables, statistic.column + statistic.prefix, False, 0.15)
    axes.axhline(count - 0.5, color="0.8", linewidth=0.8)
    for place in np.flatnonzero(~np.isfinite(column(tables, statistic.column))):
        axes.annotate(
            "not measured",
            (0.5, place),
            xycoords=axes.get_yaxis_transform(),
            ha="center",
            va="center",
            color="0.4",
        )
    axes.set_ylim(count + 0.5, -0.5)
    axes.set_yticks(
        range(count + 1), [*(wrapped(tables.label(n)) for n in tables.names), "published"]
    )
    axes.set_xlabel(statistic.label)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(short))


def draw_profile(axes: Axes, tables: StudyTables, family: list[str]) -> None:
    """Wavelet entropy over scales: published lines grey behind, one family in front."""
    names = [f"wavelet_entropy_scale_{scale}" for scale in SCALES]
    for printed in paper_table(7)[names].to_numpy(float):
        axes.plot(SCALES, printed, color=GREY, linewidth=0.8)
    for place, name in enumerate(family):
        style = mark(place)
        row = tables.models["model"].to_numpy() == name
        value, low, high = (
            np.array([column(tables, n + end)[row][0] for n in names])
            for end in ("", "_low", "_high")
        )
        width = np.stack([value - low, high - value])
        axes.errorbar(
            SCALES,
            value,
            yerr=np.where(np.isfinite(width), np.maximum(width, 0), 0),
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markerfacecolor=style.colour if style.filled else "white",
            markersize=4,
            capsize=2,
            label=tables.label(name),
        )
    axes.set_xticks(list(SCALES))
    axes.set_xlabel("wavelet scale (0 = coarsest)")
    axes.set_ylabel("wavelet entropy (nats)")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.04, 1.0), borderaxespad=0.2, labelspacing=0.25)


def panels_in(figure: Figure, spec: SubplotSpec, count: int, columns: int) -> list[Axes]:
    """`count` panels in one part of a figure; panels of a row share y."""
    cells = spec.subgridspec(-(-count // columns), columns)
    panels: list[Axes] = []
    for place in range(count):
        line, column = divmod(place, columns)
        first = panels[line * columns] if column else None
        panels.append(figure.add_subplot(cells[line, column], sharey=first))
        if column:
            panels[-1].tick_params(labelleft=False)
    return panels


def draw_paper_tables(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Tables 1 to 3 as rows of marks, Table 7 as profiles over scales."""
    families = tables.families()
    heights = (
        -(-len(STATISTICS) // COLUMNS) * (0.33 * (len(tables.names) + 1) + 0.75),
        -(-len(families) // 2) * 2.7 + 0.4,
    )
    figure = new_figure(settings, sum(heights))
    parts = figure.add_gridspec(2, 1, height_ratios=heights)
    panels = panels_in(figure, parts[0], len(STATISTICS), COLUMNS)
    for place, (axes, statistic) in enumerate(zip(panels, STATISTICS, strict=True)):
        draw_statistic(axes, tables, statistic)
        axes.set_ylabel("" if place % COLUMNS else "model")
    for axes, family in zip(panels_in(figure, parts[1], len(families), 2), families, strict=True):
        draw_profile(axes, tables, family)
    handles = [
        Line2D([], [], color=GREY, marker="|", ms=9, mew=1.5, label=PUBLISHED_LABEL),
        Line2D([], [], color="black", marker="o", ls="-", ms=4, label="this study, with interval"),
        Line2D(
            [], [], color="black", marker="o", mfc="white", ls="-", ms=4, label="this study, prefix"
        ),
    ]
    legend_below(figure, handles)
    return figure


PAPER_TABLES = FigureSpec(
    name="paper_tables",
    title="Beside the paper's tables",
    caption=(
        "The study's models (black, with confidence intervals over documents) and, in grey, the "
        "values printed in Tables 1, 2, 3 and 7 of the paper, each published value one stroke or "
        "line. The published values come from other models at sequence lengths the paper does "
        "not give, and most of these numbers change with length: the grey marks show the order of "
        "magnitude, not a target, and neither agreement nor a gap tests the paper. Hollow marks "
        "are the prefix form of scale sensitivity. SD and IQR are taken over heads. The "
        "reconstruction error is numerical precision of the transform and says nothing about "
        "attention. The study's models are quantised and tuned as their names say."
    ),
    draw=draw_paper_tables,
    category="Published values",
)
