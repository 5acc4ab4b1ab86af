"""What the page says of attention that was changed, from rows made by hand."""

from __future__ import annotations

import dataclasses
import html
import re

import pandas as pd
import pytest

from attention_wavelets.report.causal import causal_section
from attention_wavelets.report.tables import StudyTables

EMPTY = {"count": 0, "replacement": "", "excluded": False, "control": "", "band": "", "loss": None}


def row(kind: str, change: float, **about: object) -> dict[str, object]:
    numbers = {"change": change, "change_low": change - 0.1, "change_high": change + 0.1}
    beyond = {f"beyond{end}": None for end in ("", "_low", "_high")}
    where = {"model": "rope", "text": "full", "kind": kind, "energy": None}
    return {**where, **EMPTY, **numbers, **beyond, "matched": None, "rank": None, **about}


ROWS = [
    row("plain", 0.0, loss=4.25),
    row("heads", 0.5, band="low", count=1, replacement="mean", beyond=0.25),
    row("heads", 2.0, band="low", count=3, replacement="mean", rank=0.2, matched=0.5),
    # As many others: what `beyond` is told of, and no line of its own.
    row("heads", 7.0, band="low", count=3, replacement="mean", control="matched"),
    row("heads", 1.0, band="low", count=2, replacement="mean", excluded=True),
    row("rows", 0.5, band="mid", energy=1.0),
    row("rows", 0.25, band="mid", control="band_part", energy=0.75),
    row("rotary", 0.5, band="high", count=2),
]


def lines(study: StudyTables) -> list[str]:
    """Rows of tables, a text each."""
    page = str(causal_section(dataclasses.replace(study, causal=pd.DataFrame(ROWS))))
    found = re.findall(r"<tr.*?</tr>", page, flags=re.DOTALL)
    return [re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]+>", " ", part))) for part in found]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("low 3, mean among them", "2.000 [1.900, 2.100] – 0.500 0.200"),
        ("low 2, mean left out", "1.000 [0.900, 1.100]"),
        ("mid removed from rows", "1.000 0.500 [0.400, 0.600]"),
        ("mid removed as far as others have its energy", "0.750 0.250 [0.150, 0.350]"),
        ("high rotary pairs at rest (2)", "0.500 [0.400, 0.600]"),
    ],
)
def test_a_change_is_told_once_with_its_own_numbers(
    study: StudyTables, words: str, numbers: str
) -> None:
    (line,) = [found for found in lines(study) if words in found]
    assert numbers in line


def test_smaller_doses_and_controls_have_no_line(study: StudyTables) -> None:
    text = " ".join(lines(study))
    assert "low 1, mean" not in text
    assert "7.000" not in text
