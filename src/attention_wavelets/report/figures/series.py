"""Mean spectra of attention on series of known scale, one row of colour per kind of series."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.report.figures.spec import FigureSpec
from attention_wavelets.report.figures.style import barren, grid, legend_below, wrapped
from attention_wavelets.report.series import reader_words, readers
from attention_wavelets.report.tables import StudyTables

__all__ = ["SERIES_SCALES"]

HEIGHT = 2.4
# Characters of a title beside another; columns at most.
TITLE, COLUMNS = 26, 4
# dB beyond which the colour no longer changes.
LIMIT = 15.0


def _parts(tables: StudyTables) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of every panel: the series, then each reader by each probe."""
    rows = tables.spectra
    if rows.empty:
        return []
    rows = rows.fillna({"model": "", "group": ""})
    found = [("the series themselves", rows[rows["probe"] == "data"])]
    for probe in (p for p in rows["probe"].unique() if p != "data"):
        for (name, when), models in readers(tables).items():
            part = rows[(rows["probe"] == probe) & rows["model"].isin(models)]
            if len(part):
                found.append((f"{probe}: {reader_words(name, when)}", part))
    return found


def _groups(tables: StudyTables) -> list[tuple[str, str]]:
    """Corpus and group of every row, shortest period first, noise last."""
    known = tables.series.fillna({"group": ""})
    noise = (known["kind"] == "fractional_noise").rename("noise")
    ordered = known.assign(noise=noise).sort_values(["noise", "truth"], kind="stable")
    pairs = zip(ordered["corpus"], ordered["group"], strict=True)
    return list(dict.fromkeys((str(corpus), str(group)) for corpus, group in pairs))


def draw_series(tables: StudyTables, settings: FigureSettings) -> Figure:
    """Share over that on shuffled series, by frequency; known periods are marked."""
    parts = _parts(tables)
    # Who reads, side by side; the series themselves stand alone above.
    columns = min(max(len({name for name, _ in readers(tables)}), 2), COLUMNS)
    count = columns + len(parts) - 1 if len(parts) > 1 else 1
    figure, panels = grid(settings, count, columns, HEIGHT, extra=0.9, share=False)
    for spare in panels[1:columns]:
        spare.remove()
    panels = [panels[0], *panels[columns:]]
    if not parts:
        barren(panels[0])
        return figure
    groups = _groups(tables)
    norm = TwoSlopeNorm(0, -LIMIT, LIMIT)
    image = None
    for place, (axes, (title, rows)) in enumerate(zip(panels, parts, strict=True)):
        axes.set_title(wrapped(title, TITLE), size="small")
        if rows["excess"].isna().all():
            barren(axes)
            continue
        mean = rows.groupby(["corpus", "group", "cycles"])["excess"].mean()
        for height, (corpus, group) in enumerate(groups):
            line = mean.get((corpus, group), pd.Series(dtype=float))
            if line.notna().any():
                image = _row(axes, height, line, norm)
            _marks(axes, height, tables.series, corpus, group)
        axes.set_xscale("log")
        axes.set_xlim(1 / 256, 0.5)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        first = place == 0 or (place - 1) % columns == 0
        names = [group or corpus for corpus, group in groups] if first else []
        axes.set_yticks(range(len(groups)), names or [""] * len(groups), size="x-small")
        axes.set_ylabel("series" if first else "")
        if place + columns >= len(parts) and (place or len(parts) == 1):
            axes.set_xlabel("frequency\n(cycles a sample)")
    if image is not None:
        label = "share over shuffled series (dB)"
        figure.colorbar(image, ax=panels, label=label, shrink=0.6, extend="both")
    legend_below(
        figure,
        [Line2D([], [], color="k", marker="|", linestyle="", label="known period")],
    )
    return figure


def _row(axes: Axes, height: int, line: pd.Series, norm: TwoSlopeNorm) -> object:
    cycles = line.index.to_numpy(dtype=float)
    edges = np.concatenate([[cycles[0] / 2], (cycles[1:] + cycles[:-1]) / 2, [cycles[-1]]])
    values = line.to_numpy(dtype=float)[None]
    return axes.pcolormesh(
        edges, [height - 0.45, height + 0.45], values, norm=norm, cmap="cividis", rasterized=True
    )


def _marks(axes: Axes, height: int, known: pd.DataFrame, corpus: str, group: str) -> None:
    rows = known[(known["corpus"] == corpus) & (known["group"].fillna("") == group)]
    for period in rows.loc[rows["kind"] == "sinusoids", "truth"].unique():
        axes.plot([1 / period] * 2, [height - 0.45, height + 0.45], color="k", linewidth=1.2)


SERIES_SCALES = FigureSpec(
    name="series_scales",
    title="Do heads find the scales of the data?",
    caption=(
        "Share of each frequency in the variation of attention on series of each kind, over that "
        "on the same series shuffled, in dB; mean over heads, series and seeds. Light: attention "
        "varies more at that frequency because of the order of the data. Strokes mark the periods "
        "that the series have. A model that follows the scales of the data has light cells at the "
        "strokes, as the series themselves have (first panel); light cells at the same frequency "
        "in every row are the model's own. Shares sum to one: where attention follows a period, "
        "the other frequencies of the row are darker. Fresh weights follow a little, since keys "
        "depend on the sample. Noise has no period; its slope is told in the report. Quantisation "
        "and tuning are part of each name."
    ),
    draw=draw_series,
    category="Series of known scale",
    single=False,
)
