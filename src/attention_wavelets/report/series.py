"""The section on series of known scale: do heads find the scales of the data?"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from markupsafe import Markup

from attention_wavelets.report.headline import number
from attention_wavelets.report.markup import joined, paragraph, table, terms
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import encoding_words, first_and_last

__all__ = ["reader_words", "readers", "series_section"]

_FIRST, _LAST = "before the first step", "last step"
_SERIES = "the series themselves"


def readers(tables: StudyTables) -> dict[tuple[str, str], list[str]]:
    """Who reads the series: (name, when) -> models, the seeds of one encoding and size together.

    Of runs the first and the last checkpoint; a model from elsewhere is alone, and `when` is empty.
    """
    found: dict[tuple[str, str], list[str]] = {}
    if len(tables.runs):
        several = tables.runs.groupby(["encoding", "objective"])["hidden_size"].nunique().max() > 1
        first, last = first_and_last(tables.runs)
        for when, rows in ((_FIRST, first), (_LAST, last)):
            for row in rows.to_dict("records"):
                name = encoding_words(str(row["encoding"]), str(row["objective"]))
                name += f", width {row['hidden_size']}" * bool(several)
                found.setdefault((name, when), []).append(str(row["model"]))
    known = {model for models in found.values() for model in models}
    for name in tables.names:
        if name not in known:
            found[tables.label(name), ""] = [name]
    return found


def reader_words(name: str, when: str) -> str:
    """A reader as figures and tables name it."""
    return f"{name}, {when}" if when else name


def series_section(tables: StudyTables) -> Markup:
    """An answer for every reader, then every scale, probe by probe."""
    rows = tables.series.fillna({"model": "", "group": ""})
    probes = [probe for probe in rows["probe"].unique() if probe != "data"]
    return joined(
        [
            terms(_answers(tables, rows, probes[0])),
            paragraph(
                f"Probe {probes[0]}, mean over heads. What is compared is a share: how much of a "
                "head's variation, the mean level apart, lies within one frequency bin of a known "
                "period, in dB; over the same series shuffled, and over series of periods at least "
                "three bins away. Frequencies of the other known periods and second harmonics are "
                "left out of the variation, so that a head that follows another period has nothing "
                "here. A head singles a period out if it is above both (the larger p-value of two; "
                "false discoveries among the heads controlled). Fresh weights answer too, since "
                "keys depend on the sample: compare before and after. Ranges are over models "
                "(seeds); intervals over series stand in series.csv."
            ),
            *(part for probe in probes for part in _tables(tables, rows, probe)),
        ]
    )


def _answers(tables: StudyTables, rows: pd.DataFrame, probe: str) -> Iterator[tuple[str, str]]:
    own = rows[rows["probe"] == probe]
    everyone = readers(tables)
    for (name, when), models in everyone.items():
        if when == _FIRST:
            continue
        fresh = everyone.get((name, _FIRST), [])
        words = [
            _periods(str(corpus), part, models, fresh)
            for corpus, part in own[own["kind"] == "sinusoids"].groupby("corpus", sort=False)
        ]
        noise = own[(own["kind"] == "fractional_noise") & own["model"].isin(models)]
        if len(noise):
            words.append(_exponents(noise, rows[rows["probe"] == "data"]))
        yield reader_words(name, when), " ".join(words)


def _periods(corpus: str, rows: pd.DataFrame, models: list[str], fresh: list[str]) -> str:
    """One corpus: beside shuffled series, beside others, and how many heads; before in brackets."""
    words = f"On {corpus}: {_both(rows, models, fresh, 'response')} dB above shuffled series"
    if rows["specific"].notna().any():
        words += (
            f", {_both(rows, models, fresh, 'specific')} dB above series of other periods; "
            f"{_both(rows, models, fresh, 'found', 100, 0)} % of the heads single a period out"
        )
    return words + "."


def _both(
    rows: pd.DataFrame,
    models: list[str],
    fresh: list[str],
    name: str,
    factor: float = 1,
    digits: int = 1,
) -> str:
    found = [
        _range(factor * rows[rows["model"].isin(chosen)].groupby("model")[name].mean(), digits)
        for chosen in (models, fresh)
    ]
    return f"{found[0]} (before training {found[1]})" if fresh else found[0]


def _exponents(rows: pd.DataFrame, data: pd.DataFrame) -> str:
    own, theirs = (
        part[part["kind"] == "fractional_noise"].groupby("truth")["slope"].mean()
        for part in (rows, data)
    )
    listed = ", ".join(
        f"{slope:.2f} at H = {truth:g} (the series: {theirs.get(truth, float('nan')):.2f})"
        for truth, slope in own.items()
    )
    return f"On noise of known exponent the slope of attention's spectrum is {listed}."


def _range(values: pd.Series, digits: int) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    low, mean, high = known.min(), known.mean(), known.max()
    shown = f"{mean:.{digits}f}"
    return shown if len(known) == 1 else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"


def _tables(tables: StudyTables, rows: pd.DataFrame, probe: str) -> Iterator[Markup]:
    """Response and specificity of every scale; a column per reader, the series beside them."""
    columns = {
        reader_words(name, when): rows[(rows["probe"] == probe) & rows["model"].isin(models)]
        for (name, when), models in readers(tables).items()
    } | {_SERIES: rows[rows["probe"] == "data"]}
    yield Markup("<h3>Probe {}</h3>").format(probe)
    periods = rows[rows["kind"] == "sinusoids"].drop_duplicates(["corpus", "group", "truth"])
    heads = ("series", "period (samples)", *columns)
    lines = [
        (
            row["group"] or row["corpus"],
            f"{row['truth']:g}",
            *(_cell(part, row, ("response", "specific")) for part in columns.values()),
        )
        for row in periods.to_dict("records")
    ]
    yield table(
        heads,
        lines,
        caption="Share at the period, dB: over shuffled series / over series of other periods",
    )
    noise = rows[rows["kind"] == "fractional_noise"].drop_duplicates(["corpus", "group"])
    if len(noise):
        heads = ("series", "exponent H", *columns)
        lines = [
            (
                row["group"],
                f"{row['truth']:g}",
                *(_cell(part, row, ("slope", "slope_without")) for part in columns.values()),
            )
            for row in noise.to_dict("records")
        ]
        yield table(heads, lines, caption="Slope of log power over log frequency / shuffled")


def _cell(part: pd.DataFrame, row: dict[object, object], names: tuple[str, str]) -> str:
    same = part
    for key in ("corpus", "group", "truth"):
        same = same[same[key] == row[key]]
    return " / ".join(number(same[name].mean()) for name in names)
