"""How alike the wavelet coefficients of a head are on half and a quarter of the tokens."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import (
    legend_below,
    new_figure,
    not_measured,
    wrapped,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["SCALE_CORRELATION"]

MEASURE = "scale_correlation"
PANELS = (("half", "1/2 of the tokens"), ("quarter", "1/4 of the tokens"))
METHODS = {"stride": "", "prefix": "-prefix"}
LOOKS = {"stride": ("0.55", ""), "prefix": ("0.9", "////")}
WORDS = {"stride": "every 2nd or 4th token", "prefix": "the first tokens"}


def condition_rows(tables: StudyTables, fraction: str) -> pd.DataFrame:
    """Rows of both ways of shortening at one fraction, with column `method`."""
    frames = [
        tables.head_rows(
            MEASURE, condition=fraction + suffix, reference=tables.headline.condition
        ).assign(method=method)
        for method, suffix in METHODS.items()
    ]
    return pd.concat(frames, ignore_index=True)


def draw_fraction(axes: Axes, tables: StudyTables, rows: pd.DataFrame) -> None:
    """Two boxes per model: stride above, prefix below."""
    names = tables.names
    if not rows.empty:
        sns.boxplot(
            rows,
            x=f"{MEASURE}_mean",
            y="model",
            order=names,
            hue="method",
            hue_order=list(METHODS),
            palette={method: look[0] for method, look in LOOKS.items()},
            width=0.7,
            linewidth=0.9,
            fliersize=1.5,
            legend=False,
            ax=axes,
        )
        for container, method in zip(axes.containers, METHODS, strict=False):
            for box in getattr(container, "boxes", ()):
                box.set_hatch(LOOKS[method][1])
    for place, name in enumerate(names):
        for offset, method in zip((-0.18, 0.18), METHODS, strict=True):
            if not ((rows["model"] == name) & (rows["method"] == method)).any():
                not_measured(axes, place + offset, 0.3)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="scale correlation (cosine)", ylabel="")


def draw_scale_correlation(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Boxes over heads: half and quarter side by side, stride and prefix in each."""
    names = tables.names
    figure = new_figure(settings, 0.62 * len(names) + 1.5)
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, (fraction, title) in zip(panels, PANELS, strict=True):
        rows = condition_rows(tables, fraction)
        draw_fraction(axes, tables, rows)
        axes.set_title(title)
        axes.set_yticks(range(len(names)), [wrapped(tables.label(name)) for name in names])
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    panels[0].set_ylabel("model")
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="0.2", label=f"{method}: {WORDS[method]}")
        for method, (colour, hatch) in LOOKS.items()
    ]
    legend_below(figure, handles, columns=2)
    return figure


SCALE_CORRELATION = FigureSpec(
    name="scale_correlation",
    title="Half and quarter of the tokens",
    caption=(
        "How alike a head's wavelet coefficients are on the shortened and the whole sequence: "
        "cosine, 1 means the same. Boxes cover all heads of a model; 1 minus this number is the "
        "paper's scale sensitivity. Two ways of shortening: stride keeps evenly spaced tokens, "
        "so the text is thinned out; prefix keeps the first ones. A causal model attends within "
        "a prefix exactly as before, so there the number says little about scale. The shorter "
        "coefficient vector is padded with zeros, and coefficients are all dominated by the mean "
        "level and by attention to the first token: unrelated profiles come out alike too, and "
        "a high value is not evidence of scale invariance by itself. Quantisation and tuning are "
        "part of each name."
    ),
    draw=draw_scale_correlation,
    category="Scale",
)
