"""The report's table of the measured cells that come nearest to the published tables."""

from __future__ import annotations

from markupsafe import Markup

from attention_wavelets.report.headline import number
from attention_wavelets.report.markup import joined, paragraph, table
from attention_wavelets.report.tables import StudyTables

__all__ = ["nearest_cells"]

NOTE = (
    "The paper leaves several of its conventions open. Of all the cells measured here (text, "
    "condition, probe, protocol, and where needed how sequences are shortened and how a formula "
    "is read), this is the one whose numbers lie nearest to each published table. Where two "
    "protocols are named, spectral numbers are those of the first, numbers of wavelets and scale "
    "those of the second. The distance is the root mean square over the table's columns, in units "
    "of the spread between the published models; 0 means equal. A model that the paper does not "
    "have is compared with the most similar published row. The smallest of many distances is small "
    "by chance too: how many different sets of numbers were compared, and with how many published "
    "rows each, stands beside it. The last column is the distance of ONE cell for all tables, the "
    "one nearest to them together."
)
NOTHING = "No cell of this study has all the numbers of one of the published tables."

HEADS = (
    "model",
    "table",
    "nearest published row",
    "text",
    "condition",
    "shortened by",
    "probe",
    "protocol",
    "read as",
    "distance",
    "different cells tried",
    "rows tried",
    "distance of the one cell",
)


def nearest_cells(tables: StudyTables) -> Markup:
    """One row per model and published table."""
    if tables.nearest.empty:
        return paragraph(NOTHING)
    rows = [
        (
            tables.label(row.model),
            str(row.table),
            row.row,
            row.corpus,
            row.condition,
            _said(row.subsampling),
            row.probe,
            row.protocol,
            _said(row.reading),
            number(row.distance),
            str(row.cells_tried),
            str(row.rows_tried),
            number(row.overall_distance),
        )
        for row in tables.nearest.itertuples()
    ]
    best = [
        f"{tables.label(model)}: {cell}"
        for model, cell in tables.nearest.groupby("model", sort=False)["overall_cell"]
        .first()
        .items()
    ]
    one = "The one cell: " + "; ".join(best) + "."
    return joined([paragraph(NOTE), table(HEADS, rows), paragraph(one)])


def _said(value: object) -> str:
    return value if isinstance(value, str) and value else "–"
