"""How spectral power is shared between three bands: across heads, and by depth."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import (
    barren,
    grid,
    legend_below,
    new_figure,
    not_measured,
    outer_labels,
    wrapped,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["BAND_DEPTH", "BAND_SHARES"]

BANDS = ("band_low", "band_mid", "band_high")
# Shares the paper states in its text for trained models; it gives no table of them.
STATED = {"band_low": (0.60, 0.80), "band_mid": (0.15, 0.25), "band_high": (0.05, 0.15)}
LINES: dict[str, tuple[str, Literal["-", "--", ":"], str]] = {
    "band_low": ("#00306f", "-", "o"),
    "band_mid": ("#7c7b78", "--", "^"),
    "band_high": ("#c9b25c", ":", "s"),
}


def band_titles(tables: StudyTables) -> dict[str, str]:
    """Each band with its place on the frequency axis."""
    low, high = tables.band_edges
    return {
        "band_low": f"low: below {low:g} of Nyquist",
        "band_mid": f"mid: {low:g} to {high:g}",
        "band_high": f"high: from {high:g}",
    }


def draw_band_shares(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Boxes over heads of each band's share of power, one row per model."""
    rows = tables.head_rows(*BANDS)
    names = tables.names
    figure = new_figure(settings, 0.5 * len(names) + 1.6)
    panels = figure.subplots(1, 3, sharey=True)
    titles = band_titles(tables)
    for axes, band in zip(panels, BANDS, strict=True):
        axes.axvspan(*STATED[band], facecolor="0.9", edgecolor="0.6", hatch="////", linewidth=0)
        if not rows.empty:
            sns.boxplot(
                rows,
                x=f"{band}_mean",
                y="model",
                order=names,
                color="0.75",
                width=0.6,
                linewidth=0.9,
                fliersize=1.5,
                ax=axes,
            )
        for place, name in enumerate(names):
            if not (rows["model"] == name).any():
                not_measured(axes, place)
        axes.set(xlim=(0, 1), xticks=(0, 0.5, 1), ylim=(len(names) - 0.5, -0.5), ylabel="")
        axes.set_xlabel("share of power")
        axes.set_title(titles[band].replace(": ", ":\n"))
        axes.set_yticks(range(len(names)), [wrapped(tables.label(name)) for name in names])
    panels[0].set_ylabel("model")
    stated = Patch(facecolor="0.9", edgecolor="0.6", hatch="////", linewidth=0)
    stated.set_label("stated in the paper: other models, lengths unknown")
    box = Patch(
        facecolor="0.75", edgecolor="0.2", label="heads: median, quartiles, whiskers to 1.5 boxes"
    )
    legend_below(figure, [box, stated], columns=2)
    return figure


def depth_profile(rows: pd.DataFrame) -> pd.DataFrame:
    """Per layer: mean over heads of each band's value and interval ends; index = relative depth.

    The average of the heads' intervals is at least as wide as the interval of the average,
    since a standard error of a mean is at most the mean of the standard errors.
    """
    columns = [f"{band}_{part}" for band in BANDS for part in ("mean", "low", "high")]
    layers = rows.groupby("layer")[columns].mean()
    # A single layer has no depth to speak of: it stands at 0.
    layers.index = pd.Index(layers.index / max(rows["layer"].max(), 1), name="depth")
    return layers


def draw_band_depth(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Mean share of each band by relative depth, one panel per model."""
    rows = tables.head_rows(*BANDS)
    figure, panels = grid(settings, len(tables.names), 3, 1.7, extra=0.7)
    for axes, name in zip(panels, tables.names, strict=True):
        axes.set_title(wrapped(tables.label(name)))
        own = rows[rows["model"] == name]
        if own.empty:
            barren(axes)
            continue
        layers = depth_profile(own)
        for band in BANDS:
            colour, line, marker = LINES[band]
            axes.fill_between(
                layers.index,
                layers[f"{band}_low"],
                layers[f"{band}_high"],
                color=colour,
                alpha=0.25,
                linewidth=0,
            )
            axes.plot(
                layers.index,
                layers[f"{band}_mean"],
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=3,
                markevery=max(len(layers) // 6, 1),
            )
    for axes in panels:
        axes.set(xlim=(-0.04, 1.04), ylim=(0, 1))
    outer_labels(panels, 3, "relative depth (0 to 1)", "share of power")
    handles = [
        Line2D(
            [], [], color=c, linestyle=s, marker=m, markersize=4, label=band_titles(tables)[band]
        )
        for band, (c, s, m) in LINES.items()
    ]
    legend_below(figure, handles)
    return figure


BAND_SHARES = FigureSpec(
    name="band_shares",
    title="Band shares across heads",
    caption=(
        "How each head's spectral power divides into slow (low), middle and fast (high) "
        "variation along the positions. Each box covers all heads of a model: the line is the "
        "median head, the box the middle half, whiskers reach 1.5 box lengths, dots are heads "
        "further out. The three shares of a head sum to 1. Hatched: the range the paper states "
        "in its text, for other models at lengths it does not give. The low band contains the "
        "mean level of the signal, so a nearly flat signal has a large low share without any "
        "structure: compare a trained model with its untrained twin before reading anything into "
        "its bands. Quantisation and tuning are part of a model's name; other versions of the "
        "same weights may differ."
    ),
    draw=draw_band_shares,
    category="Spectrum",
)

BAND_DEPTH = FigureSpec(
    name="band_depth",
    title="Band shares by depth",
    caption=(
        "The same shares of power, averaged over the heads of each layer, from the first layer "
        "(left) to the last (right). Ribbons are confidence intervals over documents, averaged "
        "over the heads; they are never too narrow for the layer's mean, and they do not show "
        "how much heads of one layer differ, which is far more. A rise or fall with depth "
        "describes this model with the quantisation and tuning in its name; it does not show "
        "what the bands are used for."
    ),
    draw=draw_band_depth,
    category="Spectrum",
)
