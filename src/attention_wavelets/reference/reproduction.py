"""Published Tables 1 to 7 beside ours, number by number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.reference import TABLES, paper_table
from attention_wavelets.reference.distance import (
    READINGS,
    Number,
    condition_of,
    methods_of,
    published_name,
    row_label,
    table_distance,
)

__all__ = ["COLUMNS", "Origin", "reproduce"]

# Left out of the distances between rows, as it is the precision of the numbers used.
PRECISION: dict[int, dict[str, Number]] = {
    1: {"reconstruction_error_mean": Number("reconstruction_error_mean")},
    4: {
        f"reconstruction_error_{end}": Number(f"reconstruction_error_{end}")
        for end in ("mean", "std")
    },
    6: {"reconstruction_error": Number("reconstruction_error_mean")},
}
# Weights without a step in their revision are the last ones of training.
LAST_STEP = 143000


@dataclass(frozen=True)
class Origin:
    """Where a model of the study comes from.

    Attributes
    ----------
    repository
        On the hub; None for other sources.
    revision
        Branch, tag or commit; `step512` is a checkpoint of training.
    """

    repository: str | None
    revision: str | None = None

    @property
    def step(self) -> int:
        """Training step of the weights."""
        found = re.fullmatch(r"step(\d+)", self.revision or "")
        return int(found[1]) if found else LAST_STEP

    def is_row(self, row: pd.Series) -> bool:
        """Whether a published row is of these weights."""
        own = published_name(self.repository) == row["model"]
        return bool(own and self.step == row.get("training_step", LAST_STEP))


@dataclass(frozen=True)
class Line:
    """One published number beside one of ours; a row of reproduction.csv.

    Attributes
    ----------
    table, row, column, printed
        Of the published number.
    reading, subsampling
        How the table's formula was read, where there are two ways; how sequences were shortened,
        for scale sensitivities.
    model
        Of the study; empty where it has none for this row.
    ours, low, high
        In the unit of the table, with the limits of the interval.
    distance_in_intervals
        (ours - printed) / half the width of the interval: beyond 1 the interval leaves the
        printed number out.
    same_model
        Whether the two are of the same weights.
    reason
        Codes joined by "; ": `no_model`, `other_model`, `not_measured`, `undefined`, `documents`,
        `no_width`.
    """

    table: int
    row: str
    column: str
    reading: str
    subsampling: str
    printed: float
    model: str = ""
    ours: float = np.nan
    low: float = np.nan
    high: float = np.nan
    distance_in_intervals: float = np.nan
    same_model: bool = False
    reason: str = "no_model"


COLUMNS = list(Line.__dataclass_fields__)

Measured = Mapping[tuple[str, str, str], Any]
Scales = Mapping[str, Mapping[str, Any]]


def reproduce(
    summary: pd.DataFrame,
    models: Mapping[str, Origin],
    headline: Mapping[str, str],
    scales: Scales,
) -> pd.DataFrame:
    """Every published number beside ours of the same weights, or with the reason why there is none.

    A study without any of the paper's weights has, besides, its own models beside the nearest row
    of each table: another model, so neither agreement nor a gap tests the paper.

    Parameters
    ----------
    summary
        Rows of summary.parquet: statistic, mean, low, high, reason.
    models
        Name in the study -> where its weights come from.
    headline
        Corpus, condition, probe and protocol of the numbers.
    scales
        Subsampled condition -> fraction and method.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, ordered by table.
    """
    measured = _measured(summary, headline)
    lines: list[Line] = []
    found = False
    for number in TABLES:
        for _, row in paper_table(number).iterrows():
            own = [name for name, origin in models.items() if origin.is_row(row)]
            found = found or bool(own)
            lines += [
                line
                for name in own
                for line in _beside(number, row, name, measured, headline, scales, same=True)
            ] or [replace(line, reading="", subsampling="") for line in _printed(number, row)]
    if not found:
        for number in TABLES:
            for name in models:
                lines += _other(number, name, measured, headline, scales)
    order = sorted(lines, key=lambda line: line.table)
    return pd.DataFrame([vars(line) for line in order], columns=COLUMNS)


def _measured(summary: pd.DataFrame, headline: Mapping[str, str]) -> Measured:
    """(model, condition, statistic) -> row of the summary."""
    cell = summary
    for key in ("corpus", "probe", "protocol"):
        cell = cell[cell[key] == headline[key]]
    # A condition has rows with and without a reference; the one with the number counts.
    cell = cell.sort_values("mean", key=lambda mean: mean.isna(), kind="stable")
    keys = ["model", "condition", "statistic"]
    return {(r.model, r.condition, r.statistic): r for r in cell.drop_duplicates(keys).itertuples()}


def _columns(number: int, reading: str) -> dict[str, Number]:
    return {**READINGS[number][reading], **PRECISION.get(number, {})}


def _printed(number: int, row: pd.Series) -> Iterator[Line]:
    """Each number of a published row, once."""
    for column in _columns(number, next(iter(READINGS[number]))):
        yield Line(number, row_label(row), column, "", "", float(row[column]))


def _beside(
    number: int,
    row: pd.Series,
    model: str,
    measured: Measured,
    headline: Mapping[str, str],
    scales: Scales,
    *,
    same: bool,
    readings: Sequence[str] = (),
) -> Iterator[Line]:
    """The numbers of a published row beside those of one model, in every reading."""
    known = READINGS[number]
    for reading in readings or known:
        for column, wanted in _columns(number, reading).items():
            # Without a subsampled condition in the study the number is there as not measured.
            methods = [""] if wanted.fraction is None else methods_of(scales) or [""]
            for method in methods:
                line = Line(
                    number,
                    row_label(row),
                    column,
                    reading if len(known) > 1 else "",
                    method,
                    float(row[column]),
                    model,
                    same_model=same,
                    reason="" if same else "other_model",
                )
                condition = condition_of(wanted, headline["condition"], method, scales)
                yield _filled(line, wanted, measured.get((model, condition, wanted.statistic)))


def _filled(line: Line, wanted: Number, found: Any) -> Line:
    """The line with our number, or with why there is none."""
    if found is None:
        return replace(line, reason=_joined(line.reason, "not_measured"))
    ours, low, high = (wanted.factor * float(v) for v in (found.mean, found.low, found.high))
    half = (high - low) / 2
    # Values that do not vary have an interval of rounding only.
    usable = half > 1e-12 * abs(ours)
    reason = found.reason or ("" if usable else "no_width")
    return replace(
        line,
        ours=ours,
        low=low,
        high=high,
        distance_in_intervals=(ours - line.printed) / half if usable else np.nan,
        reason=_joined(line.reason, reason),
    )


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def _other(
    number: int, model: str, measured: Measured, headline: Mapping[str, str], scales: Scales
) -> Iterator[Line]:
    """A model the paper does not have beside the row that is nearest in each reading."""
    method = next(iter(methods_of(scales)), "")
    for reading, columns in READINGS[number].items():
        ours = {}
        for column, wanted in columns.items():
            condition = condition_of(wanted, headline["condition"], method, scales)
            row = measured.get((model, condition, wanted.statistic))
            if row is not None and np.isfinite(row.mean):
                ours[column] = wanted.factor * float(row.mean)
        if not ours:
            continue
        _, label = table_distance(ours, number)
        table = paper_table(number)
        nearest = next(row for _, row in table.iterrows() if row_label(row) == label)
        yield from _beside(
            number, nearest, model, measured, headline, scales, same=False, readings=[reading]
        )
