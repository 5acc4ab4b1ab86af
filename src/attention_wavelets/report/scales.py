"""The section on series of known scale: do heads find the scales of the data?"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from markupsafe import Markup

from attention_wavelets.report.headline import number
from attention_wavelets.report.markup import joined, paragraph, table, terms
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import encoding_words, first_and_last

__all__ = ["readers", "scales_section"]

_FIRST, _LAST = "before the first step", "last step"
_SERIES = "the series themselves"


def readers(tables: StudyTables) -> dict[tuple[str, str], list[str]]:
    """Who reads the series: (name, when) -> models, the seeds of one encoding together.

    Of runs the first and the last checkpoint; a model from elsewhere is alone, and `when` is empty.
    """
    found: dict[tuple[str, str], list[str]] = {}
    if len(tables.runs):
        first, last = first_and_last(tables.runs)
        for when, rows in ((_FIRST, first), (_LAST, last)):
            for row in rows.to_dict("records"):
                name = encoding_words(str(row["encoding"]), str(row["objective"]))
                found.setdefault((name, when), []).append(str(row["model"]))
    known = {model for models in found.values() for model in models}
    for name in tables.names:
        if name not in known:
            found[tables.label(name), ""] = [name]
    return found


def scales_section(tables: StudyTables) -> Markup:
    """An answer for every reader, then every scale, probe by probe."""
    rows = tables.known_scales.fillna({"model": "", "group": ""})
    probes = [probe for probe in rows["probe"].unique() if probe != "data"]
    return joined(
        [
            terms(_answers(tables, rows, probes[0])),
            paragraph(
                f"Probe {probes[0]}, mean over heads. A period: power of attention within one "
                "frequency bin of it, in dB, over the same series shuffled, and over series of "
                "other periods; a head singles it out where the second is above chance (false "
                "discoveries controlled). With two series or more of a period known. Ranges are "
                "over models (seeds), intervals over series stand in scales.csv."
            ),
            *(part for probe in probes for part in _tables(tables, rows, probe)),
        ]
    )


def _answers(tables: StudyTables, rows: pd.DataFrame, probe: str) -> Iterator[tuple[str, str]]:
    own = rows[(rows["probe"] == probe) & (rows["kind"] == "sinusoids")]
    noise = rows[(rows["probe"] == probe) & (rows["kind"] == "fractional_noise")]
    for (name, when), models in readers(tables).items():
        if when == _FIRST:
            continue
        words = [_periods(own[own["model"].isin(models)])]
        fresh = readers(tables).get((name, _FIRST), [])
        if len(before := own[own["model"].isin(fresh)]):
            words.append(f"Before training: {_periods(before, short=True)}")
        if len(part := noise[noise["model"].isin(models)]):
            words.append(_exponents(part))
        yield f"{name}{f', {when}' * bool(when)}", " ".join(words)


def _periods(rows: pd.DataFrame, short: bool = False) -> str:
    by_model = rows.groupby("model")[["response", "specific", "found"]].mean()
    response, specific = (_range(by_model[key]) for key in ("response", "specific"))
    found = _range(100 * by_model["found"], digits=0)
    if short:
        return f"{response} and {specific} dB, {found} % of the heads."
    return (
        f"Attention has {response} dB more power at a known period than on shuffled series, and "
        f"{specific} dB more than on series of other periods; {found} % of the heads single a "
        "period out."
    )


def _exponents(rows: pd.DataFrame) -> str:
    slopes = rows.groupby("truth")["slope"].mean()
    listed = ", ".join(f"{number(slope)} at H = {truth:g}" for truth, slope in slopes.items())
    return f"On noise of known exponent the slope of attention's spectrum is {listed}."


def _range(values: pd.Series, digits: int = 1) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    low, mean, high = known.min(), known.mean(), known.max()
    shown = f"{mean:.{digits}f}"
    return shown if len(known) == 1 else f"{shown} ({low:.{digits}f} to {high:.{digits}f})"


def _tables(tables: StudyTables, rows: pd.DataFrame, probe: str) -> Iterator[Markup]:
    """Response and specificity of every scale; a column per reader, the series beside them."""
    columns = {
        f"{name}{f', {when}' * bool(when)}": rows[
            (rows["probe"] == probe) & rows["model"].isin(models)
        ]
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
    yield table(heads, lines, caption="dB over shuffled / over other periods")
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
