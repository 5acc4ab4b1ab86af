"""The report's table of the published tables beside ours."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from attention_wavelets.report.headline import number
from attention_wavelets.report.markup import joined, paragraph, table
from attention_wavelets.report.tables import StudyTables

__all__ = ["side_by_side"]

NOTE = (
    "Each published table beside the headline measurement of this study. A distance is our number "
    "minus the printed one, in half widths of our confidence interval over documents: beyond 1 the "
    "interval leaves the printed number out. Intervals hold the scatter of our texts alone; the "
    "paper's texts, lengths and open conventions differ, and its numbers have no intervals. "
    "reproduction.csv has every number; the reconstruction error, which is numerical precision, is "
    "left out here."
)
OTHER = (
    "This study has none of the paper's models. Its own stand beside the published row that is "
    "nearest: another model, so neither agreement nor a gap tests the paper."
)
NOTHING = "This study has no numbers to set beside the published tables."

HEADS = (
    "model",
    "weights",
    "table",
    "published row",
    "read as",
    "numbers",
    "inside our interval",
    "median distance",
    "farthest",
    "printed, ours",
    "its distance",
)


def side_by_side(tables: StudyTables) -> Markup:
    """One row per model, published row and reading; how many published rows have no model here."""
    lines = tables.reproduction
    if lines.empty or not (lines["model"] != "").any():
        return paragraph(NOTHING)
    lines = lines[~lines["column"].str.startswith("reconstruction_error")]
    ours = lines[lines["model"] != ""]
    keys = ["model", "table", "row", "reading", "same_model"]
    rows = [_row(tables, key, part) for key, part in ours.groupby(keys, sort=False)]
    published = lines[["table", "row"]].drop_duplicates()
    held = ours.loc[ours["same_model"], ["table", "row"]].drop_duplicates()
    counted = (
        f"Of {len(published)} published rows, {len(published) - len(held)} are of weights that "
        "this study does not have."
    )
    notes = [NOTE, *([] if len(held) else [OTHER]), counted]
    return joined([*map(paragraph, notes), table(HEADS, rows)])


def _row(tables: StudyTables, key: tuple[object, ...], part: pd.DataFrame) -> tuple[object, ...]:
    model, of_table, row, reading, same = key
    distance = part["distance_in_intervals"].abs().dropna()
    first = (
        tables.label(str(model)),
        "same" if same else "other model",
        of_table,
        row,
        reading or "–",
    )
    if distance.empty:
        return (*first, 0, "–", "–", "–", "–", "–")
    far = part.loc[distance.idxmax()]
    way = f" ({far['subsampling']})" if far["subsampling"] else ""
    return (
        *first,
        len(distance),
        int((distance <= 1).sum()),
        number(distance.median()),
        f"{far['column']}{way}",
        f"{number(far['printed'])}, {number(far['ours'])}",
        number(far["distance_in_intervals"]),
    )
