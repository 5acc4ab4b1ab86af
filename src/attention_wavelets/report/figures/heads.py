"""Layer-by-head maps: local against global attention, and which heads attend alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import (
    barren,
    grid,
    new_figure,
    outer_labels,
    wrapped,
)
from attention_wavelets.report.tables import StudyTables

__all__ = ["HEAD_CORRELATION", "LOCAL_GLOBAL", "spaced_layers"]

MAP = "cividis"
LAYERS_SHOWN = 6
# Quantiles at the ends of the colour scale.
OUTER = (0.02, 0.98)


def log_limits(values: np.ndarray) -> tuple[float, float]:
    """Ends of a logarithmic colour scale; single heads decades away do not stretch it."""
    usable = values[np.isfinite(values) & (values > 0)]
    if usable.size == 0:
        return 0.1, 10.0
    low, high = (float(value) for value in np.quantile(usable, OUTER))
    return (low, high) if high > 1.01 * low else (low / 2, high * 2)


def draw_local_global(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Heat maps of the local/global ratio, layers down, heads across, one panel per model."""
    rows = tables.head_rows("local_global_ratio")
    values = rows.get("local_global_ratio_mean", pd.Series(dtype=float))
    low, high = log_limits(values.to_numpy(float))
    norm = LogNorm(low, high)
    figure, panels = grid(settings, len(tables.names), 3, 2.4, extra=0.9, share=False)
    for axes, name in zip(panels, tables.names, strict=True):
        axes.set_title(wrapped(tables.label(name), 24))
        own = rows[rows["model"] == name]
        if own.empty:
            barren(axes)
            continue
        cells = own.pivot_table(index="layer", columns="head", values="local_global_ratio_mean")
        # No mass nearby, and no mass elsewhere, take the colours of the ends; undefined is blank.
        cells = cells.reindex(range(int(own["layer"].max()) + 1)).clip(low, high)
        # Edges spelled out: a single layer has no neighbour to take its height from.
        edges = [np.arange(size + 1) - 0.5 for size in cells.T.shape]
        axes.pcolormesh(*edges, cells, norm=norm, cmap=MAP, rasterized=True)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    outer_labels(panels, 3, "head (number)", "layer (number)")
    bar = figure.colorbar(
        ScalarMappable(norm, MAP),
        ax=panels,
        location="bottom",
        shrink=0.7,
        aspect=40,
        pad=0.02,
        extend="both",
    )
    distance = tables.local_distance
    near = "nearby" if distance is None else f"at distance ≤ {distance} tokens"
    bar.set_label(f"local/global ratio (attention {near} / the rest)")
    bar.ax.minorticks_off()
    if high / low < 100:
        bar.ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.xaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False))
    return figure


def spaced_layers(layers: int, shown: int = LAYERS_SHOWN) -> list[int]:
    """At most `shown` layers from first to last, evenly spaced."""
    return sorted({round(place) for place in np.linspace(0, layers - 1, min(shown, layers))})


def correlation_matrix(pairs: pd.DataFrame, order: list[int]) -> np.ndarray:
    """Symmetric matrix (heads, heads) in the given order of heads; 1 on the diagonal."""
    place = {head: index for index, head in enumerate(order)}
    matrix = np.full((len(order), len(order)), np.nan)
    np.fill_diagonal(matrix, 1.0)
    known = pairs[pairs["head"].isin(place) & pairs["other"].isin(place)]
    rows = known["head"].map(place).to_numpy(int)
    columns = known["other"].map(place).to_numpy(int)
    matrix[rows, columns] = matrix[columns, rows] = known["signal_correlation"]
    return matrix


def headline_pairs(tables: StudyTables) -> pd.DataFrame:
    """Pairs of heads of the headline measurement, probe `received` where there are several."""
    pairs, headline = tables.pairs, tables.headline
    if pairs.empty:
        return pd.DataFrame(columns=["model", "layer", "head", "other", "signal_correlation"])
    wanted = (
        (pairs["corpus"] == headline.corpus)
        & (pairs["protocol"] == headline.protocol)
        & (pairs["condition"] == headline.condition)
        & (pairs["probe"] == "received")
    )
    return pairs.loc[wanted & pairs["signal_correlation"].notna()]


def draw_matrix(axes: Axes, pairs: pd.DataFrame, bands: pd.DataFrame, norm: Normalize) -> None:
    """One layer's correlations, heads from the largest low share to the smallest."""
    order = list(bands.sort_values(["band_low_mean", "head"], ascending=[False, True])["head"])
    if not order:
        order = sorted({*pairs["head"], *pairs["other"]})
    matrix = correlation_matrix(pairs, order)
    axes.imshow(matrix, norm=norm, cmap=MAP, interpolation="nearest")


def draw_head_correlation(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Small multiples: models down, evenly spaced layers across."""
    pairs, bands = headline_pairs(tables), tables.head_rows("band_low")
    names = tables.names
    layers = {
        name: spaced_layers(int(group["layer"].max()) + 1)
        for name, group in pairs.groupby("model", observed=True)
    }
    # From the lowest value, in steps of a quarter: unused colours would hide differences.
    lowest = pairs["signal_correlation"].min()
    norm = Normalize(-1.0 if pd.isna(lowest) else min(np.floor(4 * lowest) / 4, 0.75), 1)
    columns = max((len(chosen) for chosen in layers.values()), default=1)
    side = min((settings.width - 2.3) / columns, 1.8)
    figure = new_figure(settings, len(names) * (side + 0.3) + 1.0)
    panels = figure.subplots(len(names), columns, squeeze=False)
    for line, name in zip(panels, names, strict=True):
        chosen = layers.get(name, [])
        for axes, layer in zip(line, chosen, strict=False):
            layer_pairs = pairs[(pairs["model"] == name) & (pairs["layer"] == layer)]
            layer_bands = bands[(bands["model"] == name) & (bands["layer"] == layer)]
            draw_matrix(axes, layer_pairs, layer_bands, norm)
            axes.set_title(f"layer {layer}")
        for axes in line[max(len(chosen), 1) :]:
            axes.remove()
        if not chosen:
            barren(line[0])
        for axes in line:
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(
            wrapped(tables.label(name), 16), rotation=0, ha="right", va="center", labelpad=6
        )
    figure.supxlabel("head (from largest to smallest low share)")
    figure.supylabel("head (same order)")
    remaining = figure.axes
    bar = figure.colorbar(
        ScalarMappable(norm, MAP),
        ax=remaining,
        shrink=min(1.0, 2.5 / len(names)),
        aspect=25,
    )
    bar.set_label("correlation (Pearson, over positions)")
    return figure


LOCAL_GLOBAL = FigureSpec(
    name="local_global",
    title="Local and global attention",
    caption=(
        "For each head (one cell; layers run down, heads across): attention spent on the nearest "
        "tokens divided by attention spent on all others, from the distances between query and "
        "key. At 1 both are equal; brighter is more local. The colour scale is logarithmic and "
        "shared by all panels and spans 96 in 100 heads; the rest take the colour of its ends. "
        "The paper does not say how near is local; our choice is written "
        "under the scale. Queries of an untrained model spread attention evenly, so its panel "
        "shows what the mask and the length give by themselves. Blank cells are undefined. The "
        "models are quantised and tuned as their names say."
    ),
    draw=draw_local_global,
    category="Heads",
)

HEAD_CORRELATION = FigureSpec(
    name="head_correlation",
    title="Which heads attend alike",
    caption=(
        "Correlation between the attention profiles of every two heads of a layer, averaged over "
        "sequences. Each square is one layer; heads are ordered by their low-band share, largest "
        "first, so a block along the diagonal would mean that heads of similar bands look at "
        "similar places. At most six evenly spaced layers are drawn per model, numbered from 0 "
        "above their squares. Blank cells are undefined. Profiles share the mask and the special "
        "tokens, and heads that all attend to the first token correlate near 1 whatever else "
        "they do; the untrained twin shows what the architecture alone gives. The models are "
        "quantised and tuned as their names say."
    ),
    draw=draw_head_correlation,
    category="Heads",
)
