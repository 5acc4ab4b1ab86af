"""Models trained here: every followed number against size, step of training and encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import barren, grid, legend_below, wrapped
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import (
    ENCODINGS,
    FOLLOWED,
    Followed,
    comparable,
    encoding_words,
    first_and_last,
    reference_runs,
)

__all__ = ["LADDER_ENCODING", "LADDER_SIZE", "LADDER_STEPS"]

COLUMNS, HEIGHT = 3, 1.7
# From few weights to many: steps of cividis.
SHADES = ("#c9b25c", "#a49c6d", "#7c7b78", "#57606e", "#00306f")
FRESH, TRAINED = "0.6", "#00306f"


def _over_seeds(
    axes: Axes, places: Sequence[float], groups: Sequence[np.ndarray], colour: str, line: str
) -> None:
    """Every run a point; the mean with one standard deviation of the seeds to each side."""
    known = [group[~np.isnan(group)] for group in groups]
    means = [float(g.mean()) if len(g) else np.nan for g in known]
    spread = [float(g.std(ddof=1)) if len(g) > 1 else np.nan for g in known]
    for place, group in zip(places, known, strict=True):
        axes.plot([place] * len(group), group, "o", color=colour, markersize=2, alpha=0.6)
    axes.errorbar(
        places, means, yerr=spread, color=colour, linestyle=line, marker="_", capsize=2, linewidth=1
    )


def _panels(
    tables: StudyTables,
    settings: FigureSettings,
    draw: Callable[[Axes, Followed], bool],
) -> tuple[Figure, list[Axes]]:
    """A panel per followed number; `draw` says whether there was something to draw."""
    figure, panels = grid(settings, len(FOLLOWED), COLUMNS, HEIGHT, extra=0.9, share=False)
    for axes, followed in zip(panels, FOLLOWED, strict=True):
        axes.set_ylabel(wrapped(followed.title, 26), size="small")
        known = followed.name in tables.runs and tables.runs[followed.name].notna().any()
        if not known or not draw(axes, followed):
            barren(axes)
    return figure, panels


def draw_size(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Against parameters: fresh and trained, with seeds as error bars."""
    runs = tables.runs
    first, last = (runs, runs) if runs.empty else first_and_last(reference_runs(runs))

    def draw(axes: Axes, followed: Followed) -> bool:
        for rows, colour, line in ((first, FRESH, ":"), (last, TRAINED, "-")):
            groups = [
                (size, part[followed.name].to_numpy(dtype=float))
                for size, part in rows.groupby("parameters")
            ]
            if groups:
                sizes, values = zip(*groups, strict=True)
                _over_seeds(axes, sizes, values, colour, line)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        return len(last) > 0

    figure, panels = _panels(tables, settings, draw)
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel("parameters (number)")
    legend_below(
        figure,
        [
            Line2D([], [], color=TRAINED, label="last step"),
            Line2D([], [], color=FRESH, linestyle=":", label="before the first step"),
        ],
    )
    return figure


def draw_steps(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Along training: a line per size, the mean over seeds, a band of one standard deviation."""
    runs = reference_runs(tables.runs) if len(tables.runs) else tables.runs
    sizes = sorted(runs["parameters"].unique()) if len(runs) else []
    shades = dict(zip(sizes, SHADES[-len(sizes) :] if sizes else (), strict=False))

    def draw(axes: Axes, followed: Followed) -> bool:
        for size in sizes:
            part = runs[runs["parameters"] == size].groupby("step")[followed.name]
            mean, spread = part.mean(), part.std()
            axes.plot(mean.index, mean, color=shades.get(size, "k"), linewidth=1)
            axes.fill_between(
                mean.index, mean - spread, mean + spread, color=shades.get(size, "k"), alpha=0.15
            )
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(left=0)
        return bool(sizes)

    figure, panels = _panels(tables, settings, draw)
    for axes in panels[-COLUMNS:]:
        axes.set_xlabel("step of training (number)")
    handles = [
        Line2D([], [], color=shades.get(size, "k"), label=f"{int(size):,} parameters")
        for size in sizes
    ]
    legend_below(figure, handles)
    return figure


def draw_encoding(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Encodings side by side at the size they share: fresh and trained, every seed a point."""
    runs = tables.runs
    names: list[tuple[str, str, str]] = []
    if len(runs):
        runs = comparable(runs)
        order = list(ENCODINGS)
        names = sorted(
            {*zip(runs["objective"], runs["encoding"], runs["block"], strict=True)},
            key=lambda name: (name[0], order.index(name[1]), name[2]),
        )
    first, last = first_and_last(runs) if len(runs) else (runs, runs)

    def draw(axes: Axes, followed: Followed) -> bool:
        for rows, colour, shift in ((first, FRESH, -0.12), (last, TRAINED, 0.12)):
            groups = [
                rows.loc[
                    (rows[["objective", "encoding", "block"]] == list(name)).all(axis=1),
                    followed.name,
                ].to_numpy(dtype=float)
                for name in names
            ]
            places = [place + shift for place in range(len(names))]
            _over_seeds(axes, places, groups, colour, "none")
        axes.set_xticks(range(len(names)), [])
        return bool(names)

    figure, panels = _panels(tables, settings, draw)
    words = [
        f"{encoding_words(encoding, objective)}\n{block}" for objective, encoding, block in names
    ]
    for axes in panels[-COLUMNS:]:
        if names:
            axes.set_xticks(range(len(names)), words, rotation=60, ha="right", size="x-small")
        axes.set_xlabel("position encoding")
    legend_below(
        figure,
        [
            Line2D([], [], color=TRAINED, marker="o", linestyle="", label="last step"),
            Line2D([], [], color=FRESH, marker="o", linestyle="", label="before the first step"),
        ],
    )
    return figure


_SMALL = (
    "Small models, trained here on the same text; error bars are one standard deviation over "
    "seeds, and every run is a point. The last three panels are what training is known to "
    "bring. Nothing is quantised or tuned."
)

LADDER_SIZE = FigureSpec(
    name="ladder_size",
    title="Size, when nothing else differs",
    caption=(
        "Every followed number against the number of parameters, for rotary positions on the whole "
        "head: after the last step, and before the first. Where the two lines agree, size alone "
        "does it; where they part, training does. " + _SMALL
    ),
    draw=draw_size,
    category="Models trained here",
    single=False,
)

LADDER_STEPS = FigureSpec(
    name="ladder_steps",
    title="From fresh weights to the last step",
    caption=(
        "Every followed number along training, for rotary positions on the whole head. Steps are "
        "on a logarithmic axis from 1 on, and 0 is before the first. A phase is a rise or fall in "
        "few steps; compare its place with those of induction and of the previous-token head. "
        "Lines are means over seeds, bands one standard deviation. " + _SMALL
    ),
    draw=draw_steps,
    category="Models trained here",
    single=False,
)

LADDER_ENCODING = FigureSpec(
    name="ladder_encoding",
    title="Position encodings at one size",
    caption=(
        "Every followed number by position encoding, at one size and with one recipe: after the "
        "last step, and before the first. Parameters beside embeddings agree to within 1 %; the "
        "block around attention (norms, feed-forward, biases) is that of the family below the "
        "encoding, so that only columns of one block differ in the encoding alone. " + _SMALL
    ),
    draw=draw_encoding,
    category="Models trained here",
    single=False,
)
