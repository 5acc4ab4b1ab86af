"""Distance from the uncertainty bound, with the shapes that mark its scale."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.spectrum import family_handles, legend_above, scatter_family
from attention_wavelets.report.figures.style import GREY, grid, legend_below, outer_labels
from attention_wavelets.report.tables import StudyTables

__all__ = ["ANCHORS", "UNCERTAINTY"]

# Excess in nats of known shapes: exact for the first, limits of wide kernels for the others.
ANCHORS = {
    "one token, comb, uniform: 0": (0.0, "-"),
    "Gaussian kernel: 1 − ln 2": (1 - math.log(2), "--"),
    "exponential kernel: 1": (1.0, ":"),
}


def draw_uncertainty(tables: StudyTables, settings: FigureSettings) -> Figure:
    """One panel per trained model and its twins: excess against spread of positions."""
    rows = tables.rows_with("positional_entropy_share", "excess_sqrt")
    families = tables.families()
    figure, panels = grid(settings, len(families), 2, 3.1, extra=0.6)
    for axes, family in zip(panels, families, strict=True):
        for height, line in ANCHORS.values():
            axes.axhline(height, color=GREY, linestyle=line, linewidth=1.2, zorder=0)
        scatter_family(axes, family, rows, "positional_entropy_share", "excess_sqrt")
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(bottom=-0.08)
        legend_above(axes, family_handles(tables, family, rows))
    outer_labels(
        panels,
        2,
        "positional entropy (0 to 1)",
        "excess over the bound (nats)",
    )
    handles = [
        Line2D([], [], color=GREY, linestyle=line, linewidth=1.2, label=name)
        for name, (_, line) in ANCHORS.items()
    ]
    legend_below(figure, handles)
    return figure


UNCERTAINTY = FigureSpec(
    name="uncertainty",
    title="Distance from the uncertainty bound",
    caption=(
        "Each mark is a head: how many nats the entropies of its attention by lag and of the "
        "two-sided spectrum of its square root lie above the bound of the theorem (up), against "
        "how widely it attends (right). The lines are the excess of known shapes: a single token, "
        "a comb and uniform attention lie on the bound, so heads at both ends of the axis and "
        "untrained models are near 0 without having learned anything; a smooth local kernel "
        "cannot come below that of the Gaussian; an exponential decay has 1. Quantisation and "
        "tuning are part of each name."
    ),
    draw=draw_uncertainty,
    category="Spectrum",
)
