"""The section on models trained here: what changes, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from attention_wavelets.report.headline import number, with_interval
from attention_wavelets.report.markup import joined, paragraph, table, terms
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import (
    REFERENCE,
    coincidences,
    encoding_words,
    reference_runs,
)

__all__ = ["ladder_section"]

# A difference counts if chance alone gives one as large less often, for all rows of a question.
_LEVEL = 0.05
_FACTORS = {
    "training": "Training",
    "size": "Size",
    "encoding": "Position encoding",
    "block": "The block of layers alone",
}


def ladder_section(tables: StudyTables) -> Markup:
    """Answers in a sentence each, then every measure, then where in training each steps."""
    changes = tables.changes
    if changes.empty:
        return paragraph("No runs were compared.")
    return joined(
        [
            terms(_answers(tables)),
            paragraph(_how(tables)),
            _measures(changes),
            Markup("<h3>Where in training it happens</h3>"),
            *_phases(tables),
            Markup("<h3>What was trained</h3>"),
            _trained(tables.runs),
        ]
    )


def _answers(tables: StudyTables) -> Iterator[tuple[str, str]]:
    changes = tables.changes[tables.changes["wavelet"].astype(bool)]
    for factor, title in _FACTORS.items():
        rows = changes[(changes["factor"] == factor) & changes["p"].notna()]
        if rows.empty:
            if factor != "block":
                yield f"{title}?", "Not compared in this study."
            continue
        sure = rows[rows["p_holm"] < _LEVEL]
        count, total = sure["measure"].nunique(), rows["measure"].nunique()
        words = f"{count} of {total} wavelet-like measures change{_by(factor, rows)}."
        if count:
            largest = sure.loc[sure["size"].abs().idxmax()]
            words += f" Most: {_one(largest)}."
        yield f"{title}?", words + _unseen(rows[rows["p_holm"] >= _LEVEL])
    yield from _remaining(changes[changes["factor"] == "remains"])
    yield from _together(tables)


def _unseen(rows: pd.DataFrame) -> str:
    """What the comparisons that do not count leave open: no change seen is not no change."""
    if rows.empty:
        return ""
    deviation = (rows["value"] / rows["size"]).abs()
    reach = (rows[["low", "high"]].abs().max(axis=1) / deviation).max()
    others = f"{len(rows)} comparisons do" if len(rows) > 1 else "one comparison does"
    return (
        f" Not seen is not shown to be absent: {others} not count, with intervals that leave room "
        f"for up to {reach:.1f} standard deviations between runs."
    )


def _remaining(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    if len(rows):
        low, high = rows["value"].min(), rows["value"].max()
        yield (
            "What remains of fresh weights?",
            f"Heads keep their order between the first and the last step with rank correlations of "
            f"{low:.2f} to {high:.2f}, by measure (1: the same order; 0: none of it).",
        )


def _together(tables: StudyTables) -> Iterator[tuple[str, str]]:
    """Whether wavelet-like measures step where what training is known to bring does."""
    found = [
        f"{steps.title.split(' (')[0]} {steps.near} of {steps.count} ({steps.share:.0%}; by chance "
        f"{steps.chance:.0%})"
        for steps in coincidences(tables.phases, reference_runs(tables.runs))
    ]
    if found:
        yield (
            "Do phases coincide?",
            "Steps of wavelet-like measures within one kept checkpoint of the step, in the same "
            f"run, of: {'; '.join(found)}. Chance: a step as likely between any two checkpoints.",
        )


def _by(factor: str, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    if factor == "training":
        return f" between fresh weights and the last step ({int(first['n'])} seeds)"
    if factor == "size":
        return f" from {first['reference']} to {first['level']} parameters ({int(first['n'])} runs)"
    seeds = int(first["n"]) // 2
    if factor == "block":
        blocks = ", ".join(rows["block"].unique())
        return (
            f" when only the block does: {encoding_words(REFERENCE)} in that of {blocks}, not of "
            f"{first['reference_block']} ({seeds} seeds each)"
        )
    levels = ", ".join(_level(row) for _, row in rows.drop_duplicates("level").iterrows())
    return f" when {encoding_words(REFERENCE)} is replaced ({levels}; {seeds} seeds each)"


def _level(row: Mapping[Any, Any]) -> str:
    """An encoding, and whether the block changes with it."""
    words = encoding_words(row["level"])
    if row["block"] == row["reference_block"]:
        return f"{words} in the same block"
    return f"{words} with the block of {row['block']}"


def _one(row: Mapping[Any, Any]) -> str:
    level = f" with {encoding_words(row['level'])}" * (row["factor"] == "encoding")
    return (
        f"{row['title']}{level}, by {number(row['value'])} "
        f"[{number(row['low'])}, {number(row['high'])}]"
    )


def _how(tables: StudyTables) -> str:
    runs = tables.runs
    least, most = (f"{int(runs['parameters'].agg(f)):,}" for f in ("min", "max"))
    return (
        f"Small models ({least} to {most} parameters beside embeddings), trained by this pipeline "
        "on one text in one order per seed; nothing here says that large models "
        "behave alike. Intervals and p-values are about new seeds on the same text: of training "
        "and of what remains, a seed is one value, its mean over sizes. p is corrected (Holm) "
        f"for all measures of a question together, and a change counts below {_LEVEL:g}. Size is "
        "the change from the smallest to the largest model along a line in log parameters; "
        "training and size are of models with rotary positions on the whole head and one block, "
        "encodings of one size, with seeds as blocks of the design. An encoding comes with the "
        "layers of its family (norms, feed-forward, biases): it is compared with rotary positions "
        "in the same ones where there are such runs, and else differs in both."
    )


def _measures(changes: pd.DataFrame) -> Markup:
    heads = ("measure", "training", "size", "encoding", "encodings that differ", "remains")
    rows = []
    kinds = []
    for _, part in changes.groupby("measure", sort=False):
        own = dict(iter(part.groupby("factor", sort=False)))
        first = part.iloc[0]
        rows.append(
            (
                first["title"],
                *(_cell(own.get(factor)) for factor in ("training", "size")),
                _share(own.get("encoding")),
                _different(own.get("encoding")),
                _interval(own["remains"].iloc[0]) if "remains" in own else Markup("–"),
            )
        )
        kinds.append("" if first["wavelet"] else "twin")
    note = (
        "Training and size: difference with its interval, bold where it counts. Encoding: share of "
        "the variance that encodings, with their blocks, explain beside seeds (partial eta "
        "squared). Remains: rank correlation over heads between first and last step. Indented: "
        "what training is known to bring; of the best head no size is given, since the best of "
        "more heads is better by itself."
    )
    return joined([table(heads, rows, kinds=kinds), paragraph(note)])


def _cell(rows: pd.DataFrame | None) -> Markup:
    if rows is None or rows["p"].isna().all():
        return Markup("–")
    row = rows.iloc[0]
    found = _interval(row)
    return Markup("<strong>{}</strong>").format(found) if row["p_holm"] < _LEVEL else found


def _interval(row: Mapping[Any, Any]) -> Markup:
    return with_interval(row, "value", "low", "high")


def _share(rows: pd.DataFrame | None) -> str:
    return "–" if rows is None else number(rows["share"].iloc[0])


def _different(rows: pd.DataFrame | None) -> Markup:
    if rows is None:
        return Markup("–")
    sure = rows[rows["p_holm"] < _LEVEL]
    lines = [Markup("{} {}").format(_level(row), _interval(row)) for row in sure.to_dict("records")]
    return Markup("<br>").join(lines) if lines else Markup("none seen")


def _phases(tables: StudyTables) -> Iterator[Markup]:
    """Median step over runs with the reference encoding, and how often a step fits best."""
    phases, runs = tables.phases, tables.runs
    chosen = reference_runs(runs)["run"].unique()
    mine = phases[phases["run"].isin(chosen)]
    if mine.empty:
        yield paragraph("Not compared in this study.")
        return
    rows, kinds = [], []
    for _, part in mine.groupby("measure", sort=False):
        sure = part[part["best"] == "step"]
        steps = sure["step"]
        shown = "–"
        if len(steps):
            shown = f"{steps.median():.0f} ({steps.min():.0f} to {steps.max():.0f})"
        rows.append((part.iloc[0]["title"], f"{len(sure)} of {len(part)}", shown))
        kinds.append("" if part.iloc[0]["wavelet"] else "twin")
    yield table(("measure", "runs with a step", "where: median (range)"), rows, kinds=kinds)
    yield paragraph(
        "On the axis ln(1 + step), a step is compared with a line, with no change, and with "
        "smooth growth in the number of steps: by a power of it, or saturating (BIC), run by run, "
        "for rotary positions. A measure that only wanders from checkpoint to checkpoint can look "
        "like a step. Only kept steps are seen, so that a place is known to the gap between two "
        "of them. Steps of two measures at neighbouring kept checkpoints came at about the same "
        "time; whether one has to do with the other is not told by that."
    )


def _trained(runs: pd.DataFrame) -> Markup:
    last = runs.sort_values("step").groupby("run", sort=False).tail(1).sort_values("run")
    rows = []
    for (objective, encoding, size), part in last.groupby(
        ["objective", "encoding", "parameters"], sort=True
    ):
        bits = part["bits_per_byte"].mean()
        rows.append(
            (
                encoding_words(str(encoding), str(objective)),
                f"{int(size):,}",
                f"{part['layers'].iloc[0]} × {part['heads'].iloc[0]}",
                len(part),
                f"{int(part['tokens'].iloc[0]):,}",
                number(part["held_out_loss"].mean()),
                number(bits),
            )
        )
    heads = (
        *("position encoding", "parameters", "layers × heads", "seeds", "tokens"),
        *("held-out loss (nats a token)", "bits a byte"),
    )
    return table(heads, rows)
