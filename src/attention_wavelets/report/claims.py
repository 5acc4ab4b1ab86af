"""The verdict on every claim: a section of the report, and a table for a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from attention_wavelets.claims.verdict import VERDICTS
from attention_wavelets.report.headline import number
from attention_wavelets.report.markup import joined, paragraph, table, terms

__all__ = ["MARKS", "terminal_claims", "verdict_section"]

MARKS = {
    "pass": "●",
    "fail": "✕",
    "unclear": "?",
    "vacuous": "○",
    "not testable here": "–",
}
"""Verdict -> a shape that tells it apart without colour."""

NOTE = (
    "Literal: does the statement hold for the number that the paper uses? Controlled: does it also "
    "hold against null models, signals and inputs that lack the structure? The smallest effect of "
    "interest stands in conf/claim, with a comment where it was set after a run had been seen. "
    "Open a row for the reason in numbers and for what would have changed the verdict."
)
NOTHING = "No claims are judged in this study."
HEADS = ("claim", "literal", "controlled", "number", "documents", "null", "statement")


def verdict_section(claims: pd.DataFrame) -> Markup:
    """One row per claim, those that can be judged first."""
    if claims.empty:
        return paragraph(NOTHING)
    rows, kinds = [], []
    for row in _ordered(claims).to_dict("records"):
        rows.append(
            (
                row["claim"],
                _mark(row["verdict_literal"]),
                _mark(row["verdict_controlled"]),
                _number(row),
                _count(row),
                _null(row),
                _statement(row),
            )
        )
        kinds.append(str(row["verdict_controlled"]).split()[0])
    key = terms((f"{MARKS[verdict]} {verdict}", words) for verdict, words in VERDICTS.items())
    return joined(
        [paragraph(_counts(claims)), paragraph(NOTE), table(HEADS, rows, kinds=kinds), key]
    )


def _ordered(claims: pd.DataFrame) -> pd.DataFrame:
    tested = claims["verdict_literal"] != "not testable here"
    return pd.concat([claims[tested], claims[~tested]])


def _counts(claims: pd.DataFrame) -> str:
    judged = claims[claims["verdict_literal"] != "not testable here"]
    literal = int((judged["verdict_literal"] == "pass").sum())
    controlled = int((judged["verdict_controlled"] == "pass").sum())
    return (
        f"Of {len(claims)} claims {len(judged)} can be judged with the models and measurements of "
        f"this study. {literal} hold by the paper's own number; {controlled} of them also hold "
        "against the nulls."
    )


def _mark(verdict: Any) -> Markup:
    return Markup('<span class="verdict v-{}">{} {}</span>').format(
        str(verdict).split()[0], MARKS.get(str(verdict), "?"), verdict
    )


def _number(row: dict[Any, Any]) -> Markup:
    if number(row["estimate"]) == "–":
        return Markup("–")
    return Markup('{} <span class="interval">[{}, {}]</span>').format(
        number(row["estimate"]), number(row["low"]), number(row["high"])
    )


def _count(row: dict[Any, Any]) -> str:
    return "–" if pd.isna(row["documents"]) else f"{row['documents']:.0f}"


def _null(row: dict[Any, Any]) -> Markup:
    if not _text(row["null"]):
        return Markup("–")
    return Markup('{} <span class="interval">{}</span>').format(
        number(row["null_value"]), row["null"]
    )


def _statement(row: dict[Any, Any]) -> Markup:
    more = [
        ("why", row["reason"]),
        ("what would have changed it", row["would_change"]),
        ("published", row["reference"]),
        ("source", row["source"]),
    ]
    said = terms((term, _text(words)) for term, words in more if _text(words))
    return Markup("<details><summary>{}</summary>{}</details>").format(row["statement"], said)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def terminal_claims(claims: pd.DataFrame, width: int = 100) -> str:
    """One line per claim that was judged, and how many could not be.

    Parameters
    ----------
    claims
        claims.csv.
    width
        Columns of the terminal; statements are cut to it.
    """
    judged = claims[claims["verdict_literal"] != "not testable here"]
    wide = max(7, 1 + max(map(len, judged["claim"]), default=0))
    lines = [f"{'claim':{wide}}{'literal':10}{'controlled':12}{'number':>9}{'null':>9}  statement"]
    lines.append("-" * width)
    for row in judged.to_dict("records"):
        marks = [f"{MARKS[v]} {v}" for v in (row["verdict_literal"], row["verdict_controlled"])]
        start = (
            f"{row['claim']:{wide}}{marks[0]:10}{marks[1]:12}"
            f"{number(row['estimate']):>9}{number(row['null_value']):>9}  "
        )
        room = width - len(start)
        said = str(row["statement"])
        lines.append(start + (said if len(said) <= room else said[: room - 1] + "…"))
    rest = claims.loc[claims["verdict_literal"] == "not testable here", "claim"]
    if len(rest):
        lines += ["", f"not testable here: {', '.join(rest)}"]
    return "\n".join(
        [*lines, "", "Reasons and what would have changed each: claims.csv, report.html"]
    )
