"""How every figure looks: fonts, greys, markers, hatches, panels."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from attention_wavelets.config.schema import Figure as FigureSettings

__all__ = [
    "GREY",
    "Mark",
    "barren",
    "figure_style",
    "grid",
    "legend_below",
    "mark",
    "new_figure",
    "not_measured",
    "outer_labels",
    "settle",
    "wrapped",
]

# Published values and nulls: lighter than any model, darker than the frame's grid lines.
GREY = "0.62"
# Decimals of a place on the page, as a share of its size.
DIGITS = 4


@dataclass(frozen=True)
class Mark:
    """Colour, marker and line of one model within its family; luminance, shape and dash differ."""

    colour: str
    marker: str
    line: str
    filled: bool


# The trained model is darkest; twins get lighter. Colours are steps of cividis.
MARKS = (
    Mark("#00306f", "o", "-", True),
    Mark("#7c7b78", "^", "--", False),
    Mark("#c9b25c", "s", ":", False),
    Mark("#a49c6d", "D", "-.", False),
    Mark("#57606e", "v", (0, (5, 1, 1, 1)), False),  # type: ignore[arg-type]
)


def mark(place: int) -> Mark:
    """The mark of the `place`-th model of a family; 0 is the trained one."""
    return MARKS[0] if place == 0 else MARKS[1 + (place - 1) % (len(MARKS) - 1)]


@contextmanager
def figure_style(settings: FigureSettings) -> Iterator[None]:
    """Matplotlib settings under which figures are drawn and saved; they are undone afterwards.

    Text in SVG is drawn as shapes, so a report looks the same where the font is missing, and
    element names are derived from a fixed salt, so equal figures are equal bytes.
    """
    size = settings.font_size
    with mpl.rc_context(), warnings.catch_warnings():
        # seaborn 0.13 still names a box's direction the old way.
        warnings.filterwarnings("ignore", "vert: bool", mpl.MatplotlibDeprecationWarning)
        mpl.rcdefaults()
        sns.set_theme(context="paper", style="ticks", font="DejaVu Sans")
        mpl.rcParams.update(
            {
                "font.size": size,
                "axes.labelsize": size,
                "axes.titlesize": size,
                "figure.labelsize": size,
                "figure.titlesize": size,
                "xtick.labelsize": size - 1,
                "ytick.labelsize": size - 1,
                "legend.fontsize": size - 1,
                "legend.frameon": False,
                "axes.titlelocation": "left",
                "axes.linewidth": 0.8,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": False,
                "hatch.linewidth": 0.6,
                "xtick.major.size": 3,
                "ytick.major.size": 3,
                "savefig.bbox": "standard",
                "svg.fonttype": "path",
                "svg.hashsalt": "attention-wavelets",
                "pdf.fonttype": 42,
            }
        )
        yield


def new_figure(settings: FigureSettings, height: float) -> Figure:
    """A figure of the configured width and `height` inches, laid out without overlaps."""
    # Figure without pyplot: nothing is kept in a global list.
    return Figure(
        figsize=(settings.width, max(height, 1.5)), dpi=settings.dpi, layout="constrained"
    )


def grid(
    settings: FigureSettings,
    count: int,
    columns: int,
    panel_height: float,
    *,
    extra: float = 0.6,
    share: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` equal panels in at most `columns` columns; spare cells are removed."""
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    figure = new_figure(settings, rows * panel_height + extra)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share).ravel()
    for spare in axes[count:]:
        spare.remove()
    if share and columns > 1:
        # A panel above a removed cell is the last of its column and keeps its tick labels.
        for place in range(max(count - columns, 0), count):
            axes[place].tick_params(labelbottom=True)
    return figure, list(axes[:count])


def settle(figure: Figure) -> None:
    """Lay the figure out once and keep the places, rounded.

    The solver behind the layout visits its constraints in an order that differs between runs, and
    so do the last digits of its places; rounded places give equal bytes.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        place = axes.get_position(original=True)
        left, bottom, width, height = (round(float(value), DIGITS) for value in place.bounds)
        axes.set_position((left, bottom, width, height))
    for child in figure.get_children():
        if isinstance(child, Text):
            x, y = child.get_position()
            child.set_position((round(x, DIGITS), round(y, DIGITS)))


def wrapped(text: str, width: int = 26) -> str:
    """`text` in as few lines of at most `width` characters as it needs, of similar length."""
    lines = textwrap.wrap(text, width)
    for narrower in range(width - 1, 5, -1):
        tighter = textwrap.wrap(text, narrower, break_long_words=False)
        if len(tighter) > len(lines) or max(map(len, tighter), default=0) > narrower:
            break
        lines = tighter
    return "\n".join(lines)


def outer_labels(panels: Sequence[Axes], columns: int, x: str, y: str) -> None:
    """Label y on the first panel of each row and x on the last panel of each column."""
    columns = max(1, min(columns, len(panels)))
    for place, axes in enumerate(panels):
        axes.set_ylabel(y if place % columns == 0 else "")
        axes.set_xlabel(x if place + columns >= len(panels) else "")


def legend_below(figure: Figure, handles: Sequence[object], columns: int = 3) -> None:
    """A legend under the panels, outside the data."""
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def not_measured(axes: Axes, place: float | None = None, x: float = 0.5) -> None:
    """Write 'not measured' in the middle of `axes`, or in row `place` of a categorical y axis."""
    transform = axes.transAxes if place is None else axes.get_yaxis_transform()
    y = 0.5 if place is None else place
    axes.text(
        x,
        y,
        "not measured",
        transform=transform,
        ha="center",
        va="center",
        color="0.4",
        size="small",
    )


def barren(axes: Axes) -> None:
    """Take the ticks off a panel that shows no data, and say so in it."""
    not_measured(axes)
    axes.set_xscale("linear")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
