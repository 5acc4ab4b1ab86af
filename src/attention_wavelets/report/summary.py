"""The headline numbers as a table for a terminal."""

from __future__ import annotations

import pandas as pd

from attention_wavelets.report.headline import COLUMNS, number
from attention_wavelets.report.tables import family_order

__all__ = ["terminal_table"]

WIDTH = 100
CELL = 7
KEY = (
    "entr. spectral entropy (nats) · select selectivity · low, mid, high shares of power",
    "S scale sensitivity at 1/2 and 1/4 of the tokens · rho position-spectrum correlation",
    "Means over heads and sequences; intervals are in models.csv. – means not measured.",
)


def terminal_table(models: pd.DataFrame) -> str:
    """One line per model, at most 100 columns wide, untrained twins below their trained model.

    Parameters
    ----------
    models
        models.csv.

    Returns
    -------
    Text without a final newline; a number that is undefined or was not measured is an en dash.
    """
    room = WIDTH - CELL * len(COLUMNS)
    ordered = family_order(models)
    labels = [_fitted(str(label), room - 1) for label in ordered["label"]]
    width = max([len("model"), *map(len, labels)])
    head = "model".ljust(width) + "".join(column.short.rjust(CELL) for column in COLUMNS)
    lines = [head, "-" * len(head)]
    for label, (_, row) in zip(labels, ordered.iterrows(), strict=True):
        cells = (number(row.get(column.statistic)).rjust(CELL) for column in COLUMNS)
        lines.append(label.ljust(width) + "".join(cells))
    return "\n".join([*lines, "", *KEY])


def _fitted(label: str, room: int) -> str:
    """`label` in `room` characters; a longer one loses its middle, not the seed at its end."""
    if len(label) <= room:
        return label
    tail = room // 2
    return f"{label[: room - tail - 1]}…{label[-tail:]}"
