"""The section on attention that was changed: which bands matter to the loss, and how surely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from attention_wavelets.report.headline import number, with_interval
from attention_wavelets.report.markup import joined, paragraph, table
from attention_wavelets.report.tables import StudyTables

__all__ = ["causal_section"]


def causal_section(tables: StudyTables) -> Markup:
    """The loss of every model, then heads of a band beside others like them, then bands of rows."""
    rows = tables.causal
    plain = rows[rows["kind"] == "plain"]
    losses = [
        (tables.label(row["model"]), row["text"], number(row["loss"]))
        for row in plain.to_dict("records")
    ]
    return joined(
        [
            paragraph(
                "Nothing is trained here: attention is changed while a finished model runs, and "
                "the loss of the next token is told, in nats, with its interval over documents. "
                "Every second sequence is changed; what replaces the output of a head comes from "
                "the others."
            ),
            table(("model", "text", "loss, nothing changed"), losses),
            Markup("<h3>Heads of a band</h3>"),
            _heads(tables, rows),
            Markup("<h3>Bands of rows, and rotary pairs</h3>"),
            _bands(tables, rows),
        ]
    )


def _heads(tables: StudyTables, rows: pd.DataFrame) -> Markup:
    """The largest dose that has a number; with and without heads that do what is known."""
    heads = rows[(rows["kind"] == "heads") & (rows["control"].fillna("") == "")]
    if heads["change"].isna().all():
        return paragraph("No model has enough heads.")
    keys = ["model", "text", "band", "replacement", "excluded"]
    # Where no dose has a number, the smallest stands for all.
    size = heads["count"].where(heads["change"].notna(), -heads["count"])
    most = heads.loc[heads.assign(size=size).groupby(keys, sort=False)["size"].idxmax()]
    lines = [
        (
            tables.label(row["model"]),
            row["text"],
            row["band"],
            f"{int(row['count'])}, {row['replacement']}",
            "left out" if row["excluded"] else "among them",
            _interval(row, "change"),
            _interval(row, "beyond"),
            number(row["matched"]),
            number(row["rank"]),
        )
        for row in most.to_dict("records")
    ]
    titles = (
        *("model", "text", "band", "heads, replaced by"),
        *("sinks, previous token, induction", "change of loss", "beyond those others"),
        *("matched (share)", "rank (share)"),
    )
    note = (
        "Where the interval of the change beyond others lies above 0, these heads cost more than "
        "those others on new texts. That is said of one set of heads, often of one or two, and not "
        "of their band: any two heads differ. Matched: control heads of the same layer whose "
        "outputs are about as large; for the rest the nearest was taken. Rank: draws of others "
        "that cost at least as much. No number: fewer heads are left than twice the smallest "
        "dose. Mean: over other sequences at the same position; resample: "
        "another sequence, drawn for each head."
    )
    return joined([table(titles, lines), paragraph(note)])


def _bands(tables: StudyTables, rows: pd.DataFrame) -> Markup:
    words = {
        ("rows", ""): "removed from rows",
        ("rows", "band_part"): "removed as far as others have its energy",
        ("rows", "random_band"): "as much energy as that from elsewhere",
        ("rows", "random_phase"): "phases drawn",
        ("rotary", ""): "rotary pairs at rest",
        ("rotary", "random_pairs"): "as many of other bands at rest",
    }
    chosen = rows[rows["kind"].isin(["rows", "rotary"])].fillna({"control": ""})
    lines = [
        (
            tables.label(row["model"]),
            row["text"],
            row["band"],
            words[row["kind"], row["control"]]
            + (f" ({int(row['count'])})" if row["count"] else ""),
            number(row["energy"]),
            _interval(row, "change"),
            _interval(row, "beyond"),
        )
        for row in chosen.to_dict("records")
    ]
    titles = (
        *("model", "text", "band", "what", "energy changed"),
        *("change of loss", "beyond as much of other bands"),
    )
    note = (
        "Energy: over that of removing the band, mean over rows. Other frequencies often have "
        "less, so that as much of the band is compared with them; drawn phases change about twice "
        "as much. In brackets: rotary pairs. Bands hold different numbers of them, so that the "
        "last column is what compares them. No number: no pair lies in the band, or each pass "
        "writes the frequencies anew; nothing in the last column: other bands have fewer pairs."
    )
    return joined([table(titles, lines), paragraph(note)])


def _interval(row: Mapping[Any, Any], name: str) -> Markup:
    return with_interval(row, name, f"{name}_low", f"{name}_high")
