"""Spectral entropy against selectivity, and against positional entropy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import (
    grid,
    legend_below,
    mark,
    new_figure,
    not_measured,
    outer_labels,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["ENTROPY_SELECTIVITY", "POSITION_SPECTRUM"]

MANY_MARKS = 3000


def scatter_family(axes: Axes, family: list[str], rows: pd.DataFrame, x: str, y: str) -> None:
    """One dot per head; the trained model filled, each twin hollow with its own shape."""
    drawn = False
    # The trained model is drawn last, so that twins do not hide it.
    for place, name in reversed(list(enumerate(family))):
        own, style = rows[rows["model"] == name], mark(place)
        drawn = drawn or not own.empty
        axes.plot(
            own[f"{x}_mean"],
            own[f"{y}_mean"],
            linestyle="",
            marker=style.marker,
            markersize=3.2,
            markerfacecolor=style.colour if style.filled else "none",
            markeredgecolor=style.colour,
            markeredgewidth=0.7,
            alpha=0.75,
            # Thousands of shapes make a vector file slow to open.
            rasterized=len(rows) > MANY_MARKS,
        )
    if not drawn:
        not_measured(axes)


def family_handles(tables: StudyTables, family: list[str], rows: pd.DataFrame) -> list[Line2D]:
    """Legend entries of one family; a model without heads in `rows` is said to have none."""
    said = {name: "" if (rows["model"] == name).any() else " (not measured)" for name in family}
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=mark(place).marker,
            markersize=5,
            markeredgecolor=mark(place).colour,
            markerfacecolor=mark(place).colour if mark(place).filled else "none",
            label=tables.label(name) + said[name],
        )
        for place, name in enumerate(family)
    ]


def legend_above(axes: Axes, handles: list[Line2D], title: str | None = None) -> None:
    """A legend of one column on top of a panel, in place of its title."""
    axes.legend(
        handles=handles,
        title=title,
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(-0.04, 1.0),
        borderaxespad=0.2,
        handletextpad=0.2,
        labelspacing=0.25,
    )


def draw_entropy_selectivity(tables: StudyTables, settings: FigureSettings) -> Figure:
    """One panel per trained model and its twins, with the i.i.d. curve of their length."""
    rows = tables.head_rows("spectral_entropy", "selectivity")
    families = tables.families()
    figure, panels = grid(settings, len(families), 2, 3.1, extra=0.6)
    lengths = set()
    for axes, family in zip(panels, families, strict=True):
        scatter_family(axes, family, rows, "selectivity", "spectral_entropy")
        for length in sorted({tables.length(name) for name in family} & set(tables.null_curves)):
            curve = tables.null_curves[length]
            axes.plot(
                curve["selectivity"],
                curve["spectral_entropy"],
                color="black",
                linestyle="--",
                linewidth=1.2,
                zorder=5,
            )
            lengths.add(length)
        legend_above(axes, family_handles(tables, family, rows))
    outer_labels(
        panels, 2, "selectivity (largest power / all other power)", "spectral entropy (nats)"
    )
    if lengths:
        named = ", ".join(str(length) for length in sorted(lengths))
        null = Line2D([], [], color="black", linestyle="--", linewidth=1.2)
        null.set_label(f"independent random weights, {named} positions: no structure at all")
        legend_below(figure, [null])
    return figure


def draw_bound(axes: Axes, lengths: list[int]) -> None:
    """The forbidden region below ln N - H for each signal length."""
    left, right = axes.get_xlim()
    top = axes.get_ylim()[1]
    x = np.linspace(left, right, 50)
    for length in lengths:
        edge = np.log(length) - x
        axes.plot(x, edge, color="black", linewidth=1.2)
        axes.fill_between(
            x, np.minimum(-0.1, edge), edge, facecolor="none", edgecolor="0.7", hatch="////", lw=0
        )
    axes.set_xlim(left, right)
    axes.set_ylim(-0.1, top)


def draw_position_spectrum(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Left: the paper's spectral entropy, no bound. Right: that of the square root, with it."""
    families = tables.families()
    figure = new_figure(settings, 3.0 * len(families) + 0.9)
    panels = figure.subplots(len(families), 2, squeeze=False, sharex=True, sharey="col")
    spectra = ("spectral_entropy", "spectral_entropy_sqrt")
    for line, family in zip(panels, families, strict=True):
        for axes, spectrum in zip(line, spectra, strict=True):
            rows = tables.head_rows("positional_entropy", spectrum)
            scatter_family(axes, family, rows, "positional_entropy", spectrum)
        rows = tables.head_rows("positional_entropy", spectra[0])
        legend_above(line[0], family_handles(tables, family, rows))
        line[0].set_ylabel("spectral entropy (nats)\nwindowed, one-sided: no bound")
        line[1].set_ylabel("spectral entropy (nats)\nof the square root, two-sided")
    for line, family in zip(panels, families, strict=True):
        draw_bound(line[1], sorted({tables.length(name) for name in family} - {0}))
    for axes in panels[-1]:
        axes.set_xlabel("positional entropy (nats)")
    bound = Line2D([], [], color="black", linewidth=1.2)
    bound.set_label("lower bound ln N − positional entropy, a theorem; hatched: impossible")
    legend_below(figure, [bound])
    return figure


ENTROPY_SELECTIVITY = FigureSpec(
    name="entropy_selectivity",
    title="Spectral entropy and selectivity",
    caption=(
        "Each mark is a head: how evenly its power spreads over frequencies (up) against how far "
        "one frequency stands out (right). The dashed curve is what independent random weights "
        "give as they become more uneven, with no order of positions and no model. Heads on the "
        "curve have spectra these two numbers cannot tell from chance; only distance from it "
        "could be structure. The curve is an expectation over random weights, so single heads "
        "scatter around it. The two axes are nearly one quantity: a tight line is expected and is "
        "not a finding. Filled marks are trained models, hollow ones the same architecture "
        "untrained; quantisation and tuning are part of each name."
    ),
    draw=draw_entropy_selectivity,
    category="Spectrum",
)

POSITION_SPECTRUM = FigureSpec(
    name="position_spectrum",
    title="Positional and spectral entropy",
    caption=(
        "Each mark is a head: spread over positions (right) against spread over frequencies (up). "
        "Left: the paper's spectral entropy, from a windowed one-sided spectrum; no uncertainty "
        "theorem holds for it, so nearness to a bound has no meaning there. Right: the entropy "
        "of the two-sided spectrum of the signal's square root, for which the sum of both "
        "entropies cannot be below ln N for any signal of N positions, trained or random. Lying "
        "near the line is not learned optimality: a single token, a uniform spread and an "
        "untrained model do too. A falling cloud is forced by the bound. Quantisation and "
        "tuning are part of each name."
    ),
    draw=draw_position_spectrum,
    category="Spectrum",
)
