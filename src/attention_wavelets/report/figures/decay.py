"""How much heads change as fewer tokens are kept, with a power law through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.inference.decay import ScalingLaw, halvings, scaling_law
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.spectrum import legend_above
from attention_wavelets.report.figures.style import (
    legend_below,
    mark,
    new_figure,
    not_measured,
    wrapped,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["SCALE_DECAY", "decay_points"]


@dataclass(frozen=True)
class Panel:
    """One measure of change: its column, the probe it is read from, its axis label."""

    measure: str
    probe: str
    label: str


PANELS = (
    Panel("scale_sensitivity", "received", "scale sensitivity\n(1 − cosine)"),
    Panel("scale_dilation", "lag", "change of shape, by lag\n(Hellinger distance)"),
    Panel("scale_lag", "lag", "change in tokens, by lag\n(Hellinger distance)"),
)
WORDS = {
    "stride": "stride: evenly spaced tokens",
    "prefix": "prefix: the first tokens",
    "suffix": "suffix: the last tokens",
    "random": "random: tokens by chance",
}


def decay_points(tables: StudyTables, panel: Panel) -> pd.DataFrame:
    """Mean over heads against the share kept: columns model, method, kept, mean.

    Of the headline's text, against its condition. Of conditions that differ in their seed alone,
    the first.
    """
    heads, column = tables.heads, f"{panel.measure}_mean"
    empty = pd.DataFrame(columns=["model", "method", "kept", "mean"])
    if column not in heads:
        return empty
    wanted = (
        (heads["corpus"] == tables.headline.corpus)
        & (heads["reference"].fillna("") == tables.headline.condition)
        & (heads["probe"] == panel.probe)
        & heads["condition"].isin(tables.scales)
        & heads[column].notna()
    )
    keys = ["model", "protocol", "condition"]
    means = heads.loc[wanted].groupby(keys, sort=False, observed=True)[column].mean()
    rows = means.rename("mean").reset_index()
    if rows.empty:
        return empty
    rows["method"] = [tables.scales[name]["method"] for name in rows["condition"]]
    rows["kept"] = [float(tables.scales[name]["fraction"]) for name in rows["condition"]]
    rows = rows.sort_values(["kept", "condition"], ascending=[False, True], kind="stable")
    return rows.drop_duplicates(["model", "method", "kept"])[list(empty)]


def said(law: ScalingLaw) -> str:
    """A law in words; a study with two shares has none."""
    if not np.isfinite(law.exponent):
        return "no law: fewer than three shares"
    return f"{law.at_half:#.2g} h$^{{{law.exponent:.2f}}}$ ± {100 * law.misfit:.0f} %"


def draw_panel(
    axes: Axes, tables: StudyTables, family: list[str], points: pd.DataFrame, title: str
) -> None:
    """One measure and one way of shortening: a mark per share, a line for the law, per model."""
    handles = []
    for place, name in enumerate(family):
        own, style = points[points["model"] == name], mark(place)
        look = {
            "color": style.colour,
            "marker": style.marker,
            "markersize": 4.5,
            "markerfacecolor": style.colour if style.filled else "white",
        }
        if own.empty:
            label = f"{wrapped(tables.label(name), 34)} (not measured)"
            handles.append(Line2D([], [], linestyle="", label=label, **look))
            continue
        kept = own["kept"].to_numpy(float)
        law = scaling_law(kept, own["mean"].to_numpy(float))
        axes.plot(halvings(kept), own["mean"], linestyle="", **look)
        # A power law is a straight line here.
        ends = np.array([kept.max(), kept.min()])
        line = {"color": style.colour, "linestyle": style.line, "linewidth": 1.0}
        axes.plot(halvings(ends), law.at(ends), **line)
        label = f"{wrapped(tables.label(name), 34)}\n{said(law)}"
        handles.append(Line2D([], [], linestyle=style.line, linewidth=1.0, label=label, **look))
    legend_above(axes, handles, title)
    if points.empty:
        not_measured(axes)
        return
    if (points["mean"] > 0).any():
        axes.set_yscale("log")
    shares = sorted(points["kept"].unique(), reverse=True)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(halvings(shares)))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{100 * share:g}" for share in shares]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.06, y=0.12)


def draw_scale_decay(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Rows: the measures of each family; columns: ways of shortening."""
    families = tables.families()
    methods = [m for m in WORDS if any(s["method"] == m for s in tables.scales.values())] or [""]
    every = {panel.measure: decay_points(tables, panel) for panel in PANELS}
    lines = [(family, panel) for family in families for panel in PANELS]
    # Two lines of legend for each model.
    legend = 0.15 * (2 * max(map(len, families)) + 1)
    figure = new_figure(settings, (2.1 + legend) * len(lines) + 0.4)
    grid = figure.subplots(len(lines), len(methods), squeeze=False, sharey="row")
    for row, (family, panel) in zip(grid, lines, strict=True):
        points = every[panel.measure]
        points = points[points["model"].isin(family)]
        for axes, method in zip(row, methods, strict=True):
            of_method = points[points["method"] == method]
            draw_panel(axes, tables, family, of_method, WORDS.get(method, ""))
            axes.set_xlabel("tokens kept (% of tokens)")
        row[0].set_ylabel(panel.label)
    law = Line2D([], [], color="black", linewidth=1.0)
    law.set_label(
        "least squares through ln S: S = c h$^b$ ± misfit, h = −log$_2$ of the share kept"
    )
    legend_below(figure, [law])
    return figure


SCALE_DECAY = FigureSpec(
    name="scale_decay",
    title="Change against the share kept",
    caption=(
        "How much attention changes as fewer tokens are kept; each mark is the mean over all heads "
        "of a model, against the whole sequence. First the paper's scale sensitivity of attention "
        "received, 1 minus the cosine of wavelet coefficients; then, of attention by lag, the "
        "Hellinger distance after stretching to one length (0 where heads keep their shape) and "
        "at equal lags (0 where heads keep their width in tokens). The line is the power law c "
        "h^b, where h counts halvings: c is the change at a half, and b = 1 means that it doubles "
        "from a half to a quarter; ± says how far the marks lie from the line. Axes are "
        "logarithmic in h and in the change: a power law is straight, and marks that bend away "
        "follow another law. The paper's number compares coefficient with coefficient, and these "
        "stand at other places of the text unless the length was halved a whole number of times: "
        "it can jump from share to share. A causal model attends within a prefix exactly as "
        "before, so there all change comes from cutting. Shares come from the same sequences, so "
        "the line has no interval. Quantisation and tuning are part of each name."
    ),
    draw=draw_scale_decay,
    category="Scale",
    single=False,
)
