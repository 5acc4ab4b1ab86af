"""What the loss does when heads, bands of rows or rotary pairs are taken away."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import (
    barren,
    grid,
    legend_below,
    outer_labels,
    wrapped,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["CAUSAL_BANDS", "CAUSAL_HEADS"]

BANDS = ("low", "mid", "high")
LOOKS = {"low": ("#00306f", "o"), "mid": ("#7c7b78", "^"), "high": ("#c9b25c", "s")}
HEIGHT, COLUMNS = 1.9, 3
# What a row of a band figure is: kind and control, and its words.
CHANGES = (
    ("rows", "", "band removed"),
    ("rows", "band_part", "as far as others have energy"),
    ("rows", "random_band", "as much from elsewhere"),
    ("rows", "random_phase", "phases of the band drawn"),
    ("rotary", "", "rotary pairs at rest"),
    ("rotary", "random_pairs", "as many of others at rest"),
)


def _texts(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table["text"])) if len(table) else []


def _panels(
    tables: StudyTables, settings: FigureSettings
) -> tuple[Figure, list[tuple[Axes, str, str]]]:
    """A panel per model and text."""
    table = tables.causal
    models = list(dict.fromkeys(table["model"])) if len(table) else []
    places = [(model, text) for model in models for text in _texts(table)]
    figure, axes = grid(settings, max(1, len(places)), COLUMNS, HEIGHT, extra=0.8, share=False)
    if not places:
        barren(axes[0])
    found = []
    for panel, (model, text) in zip(axes, places, strict=False):
        panel.set_title(wrapped(f"{tables.label(model)}, {text}", 32), size="small")
        panel.axhline(0, color="0.6", linewidth=0.6)
        found.append((panel, model, text))
    return figure, found


def draw_heads(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Dose and response: heads of a band against matched others, mean replacement."""
    figure, panels = _panels(tables, settings)
    table = tables.causal
    for axes, model, text in panels:
        rows = table[
            (table["model"] == model)
            & (table["text"] == text)
            & (table["kind"] == "heads")
            & (table["replacement"] == "mean")
            & ~table["excluded"].astype(bool)
        ]
        for shift, band in enumerate(BANDS):
            for control, line, filled in (("", "-", True), ("matched", ":", False)):
                part = rows[(rows["band"] == band) & (rows["control"].fillna("") == control)]
                part = part.sort_values("count")
                if part.empty:
                    continue
                colour, marker = LOOKS[band]
                spread = np.abs(
                    part[["change_low", "change_high"]].to_numpy().T - part["change"].to_numpy()
                )
                axes.errorbar(
                    part["count"] * 1.04 ** (shift - 1),
                    part["change"],
                    yerr=spread,
                    color=colour,
                    marker=marker,
                    markerfacecolor=colour if filled else "white",
                    markersize=3,
                    linestyle=line,
                    linewidth=1,
                    capsize=1.5,
                )
        axes.set_xscale("log")
        # The doses themselves: a decade of heads often has one round number, or none.
        counts = sorted(int(count) for count in rows["count"].unique())
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        if rows["change"].isna().all():
            barren(axes)
    outer_labels([p[0] for p in panels], COLUMNS, "heads (number)", "change of loss (nats)")
    handles = [
        *(
            Line2D([], [], color=LOOKS[band][0], marker=LOOKS[band][1], label=f"{band} band")
            for band in BANDS
        ),
        Line2D([], [], color="0.3", linestyle=":", marker="o", markerfacecolor="w", label="others"),
    ]
    legend_below(figure, handles, columns=4)
    return figure


def draw_bands(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Each band of rows removed, beside its controls, and rotary pairs at rest."""
    figure, panels = _panels(tables, settings)
    table = tables.causal
    for axes, model, text in panels:
        for place, (kind, control, _) in enumerate(CHANGES):
            rows = table[
                (table["model"] == model)
                & (table["text"] == text)
                & (table["kind"] == kind)
                & (table["control"].fillna("") == control)
            ]
            for shift, band in enumerate(BANDS):
                part = rows[rows["band"] == band]
                if part.empty:
                    continue
                row = part.iloc[0]
                spread = [[row["change"] - row["change_low"]], [row["change_high"] - row["change"]]]
                colour, marker = LOOKS[band]
                axes.errorbar(
                    [place + 0.2 * (shift - 1)],
                    [row["change"]],
                    yerr=np.abs(spread),
                    color=colour,
                    marker=marker,
                    markersize=4,
                    capsize=2,
                    linestyle="none",
                )
        mine = (table["model"] == model) & (table["text"] == text)
        if table.loc[mine, "change"].isna().all():
            barren(axes)
        axes.set_xticks(range(len(CHANGES)), [])
    words = [wrapped(text, 18) for _, _, text in CHANGES]
    for axes, _, _ in panels[-COLUMNS:]:
        axes.set_xticks(range(len(CHANGES)), words, rotation=60, ha="right", size="x-small")
    outer_labels([p[0] for p in panels], COLUMNS, "change", "change of loss (nats)")
    handles = [
        Line2D([], [], color=LOOKS[b][0], marker=LOOKS[b][1], linestyle="", label=f"{b} band")
        for b in BANDS
    ]
    legend_below(figure, handles)
    return figure


CAUSAL_HEADS = FigureSpec(
    name="causal_heads",
    title="Heads of a band knocked out",
    caption=(
        "Change of the loss when the heads with the largest share of power in a band give out "
        "their mean over other texts, against the number of heads. Dotted: as many heads of the "
        "same layers with outputs about as large, mean of several draws. Bars are confidence "
        "intervals over documents, for this one set of heads: a line above its dotted one says "
        "that these heads cost more than those on new texts, not that their band does. Heads that "
        "are sinks, look at the previous token or do induction are among them; the table of the "
        "report also has the numbers without those. Quantisation and tuning are part of each name."
    ),
    draw=draw_heads,
    category="Causes",
    single=False,
)

CAUSAL_BANDS = FigureSpec(
    name="causal_bands",
    title="Bands of attention removed",
    caption=(
        "Change of the loss when a band of frequencies is removed from every row of every head; "
        "when only as much of it is removed as other frequencies have energy; when as much as that "
        "is taken from those instead; when the band keeps its energy and only its phases are drawn "
        "anew, which changes about twice as much; and, in rotary models, when the rotary pairs "
        "whose frequency lies in the band no longer turn, or as many of other bands. The second "
        "and the third compare with each other. Bands hold different numbers of pairs, and without "
        "any there is no mark. Rows are cut off at 0 and scaled to their mass afterwards. If only "
        "the spectrum mattered, drawn phases would cost nothing. Bars are confidence intervals "
        "over documents. Quantisation and tuning are part of each name."
    ),
    draw=draw_bands,
    category="Causes",
    single=False,
)
