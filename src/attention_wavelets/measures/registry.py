"""Every measure of a protocol as a value: name, unit, range, formula, source, meaning."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

__all__ = ["Measure", "by_name", "markdown_table"]

Level = Literal["head", "pair_of_conditions", "layer", "model"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def by_name(records: Iterable[N]) -> dict[str, N]:
    """Name -> record, in the order given. Raises ValueError if two records share a name."""
    table: dict[str, N] = {}
    for record in records:
        if record.name in table:
            raise ValueError(f"two records are called '{record.name}'")
        table[record.name] = record
    return table


@dataclass(frozen=True)
class Measure:
    """What a column means.

    Attributes
    ----------
    name
        Column name.
    unit
        "nats", "share", "ratio" or "1" (dimensionless).
    range
        Smallest and largest possible value, whatever the length of the signal.
    direction
        What a larger value says.
    formula
        The definition in one line.
    source
        What the paper states and what is our choice.
    undefined
        When the value is NaN, with the reason code.
    summary
        One sentence in plain words.
    level
        "head": one signal. "pair_of_conditions": a signal and its reference. "layer": all heads of
        a layer. "model": all heads of a model.
    over_heads
        What `model.parquet` holds of the heads: their mean; that and its spread; or the median,
        where a mean would be that of one or two extreme heads.
    """

    name: str
    unit: str
    range: tuple[float, float]
    direction: str
    formula: str
    source: str
    undefined: str
    summary: str
    level: Level = "head"
    over_heads: Literal["mean", "spread", "median"] = "mean"


def markdown_table(measures: Iterable[Measure]) -> str:
    """The measures as a Markdown table, one row each, for docs/measures.md."""
    header = ["measure", "level", "unit", "range", "definition", "larger means", "source", "NaN"]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for measure in measures:
        low, high = measure.range
        cells = [
            f"`{measure.name}`: {measure.summary}",
            measure.level.replace("_", " "),
            measure.unit,
            f"{_bracket(low, '[', '(')}, {_bracket(high, ']', ')')}",
            measure.formula,
            measure.direction,
            measure.source,
            measure.undefined,
        ]
        # A bar inside a cell would end it.
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _bracket(bound: float, closed: str, opened: str) -> str:
    text = f"{bound:.4g}".replace("inf", "∞")
    mark = opened if math.isinf(bound) else closed
    return f"{mark}{text}" if closed == "[" else f"{text}{mark}"
