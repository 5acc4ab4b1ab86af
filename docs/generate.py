"""Write the parts of these pages that stand in the code: `python docs/generate.py`.

A part lies between `<!-- generated: NAME -->` and `<!-- end -->`; tests/docs fails if it is stale.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from quickstart import MODELS, TABLE, WORKED

from attention_wavelets.claims.statistics import KINDS
from attention_wavelets.config.claims import Claim
from attention_wavelets.config.compose import load_member, options
from attention_wavelets.config.sources import STAGE_SOURCES
from attention_wavelets.measures.measured import REASONS
from attention_wavelets.measures.protocols import protocol_measures
from attention_wavelets.measures.registry import Measure, markdown_table
from attention_wavelets.reference.checks.finding import printed
from attention_wavelets.reference.inconsistencies import Judged, inconsistencies, judge

__all__ = ["PARTS", "main", "render"]

DOCS = Path(__file__).parent
CONF = DOCS.parent / "conf"

_PART = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _measures(protocol: str) -> tuple[Measure, ...]:
    return protocol_measures(load_member("protocol", protocol, CONF, {}))


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(header)
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    """A bar inside a cell would end it."""
    return text.replace("|", chr(92) + "|")


def _range(measure: Measure) -> str:
    low, high = (f"{bound:.4g}".replace("inf", "∞") for bound in measure.range)
    return f"{low} to {high}"


def measures_paper() -> str:
    """Definition, source and meaning of every measure."""
    return markdown_table(_measures("paper"))


def measures_rigorous() -> str:
    """The same of protocol `rigorous`."""
    return markdown_table(_measures("rigorous"))


def worked_numbers() -> str:
    """One number of each rigorous measure, out of a run of the quickstart."""
    table = pd.read_csv(TABLE).set_index(["statistic", "condition", "model"])["mean"]
    rows = [
        (
            f"`{name}`" + ("" if condition == "full" else f", {condition}"),
            *(_rounded(table.get((name, condition, model))) for model in MODELS),
            words,
        )
        for name, condition, words in WORKED
    ]
    return _table(("statistic", *MODELS.values(), "what it says"), rows)


def _rounded(value: float | None) -> str:
    """Three digits; a dash where there is no number."""
    if value is None or value != value:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def measure_columns() -> str:
    """Column, unit, range and NaN reason of every measure."""
    rows = (
        (f"`{m.name}`", m.level.replace("_", " "), m.unit, _range(m), m.undefined)
        for m in _measures("paper")
    )
    return _table(("column", "level", "unit", "range", "NaN when (reason)"), rows)


def reasons() -> str:
    """What a reason code means."""
    return _table(("reason", "meaning"), ((f"`{name}`", text) for name, text in REASONS.items()))


def stage_sources() -> str:
    """Which modules rerun which stage."""
    rows = (
        (f"`{stage}`", ", ".join(f"`{pattern}`" for pattern in patterns))
        for stage, patterns in STAGE_SOURCES.items()
    )
    return _table(("stage", "modules below `src/attention_wavelets/`"), rows)


def published_inconsistencies() -> str:
    """Every known inconsistency of the paper with its check, run now."""
    judged = [judge(name) for name in inconsistencies()]
    count = Counter(one.outcome for one in judged)
    counted = "; ".join(f"{outcome}: {number}" for outcome, number in sorted(count.items()))
    heads = ("id", "where", "what conflicts", "checked by", "how", "outcome", "numbers")
    return f"{counted}.\n\n{_table(heads, map(_inconsistency, judged))}"


def _inconsistency(one: Judged) -> tuple[str, ...]:
    said = one.statement
    needs = f" Needs {', '.join(f'`{name}`' for name in said.models)}." if said.models else ""
    outcome, numbers = one.outcome, "–"
    if one.finding is not None:
        numbers = "; ".join(f"{n}: {printed(v)}" for n, v in one.finding.numbers.items()) or "–"
        if outcome != "confirmed":
            outcome = f"{outcome}; does not hold: {'; '.join(one.finding.failed)}"
    return (said.id, said.where, said.conflict, said.kind, said.how + needs, outcome, numbers)


def _claims() -> dict[str, Claim]:
    return {name: load_member("claim", name, CONF, {}) for name in options(CONF, "claim")}


def claims() -> str:
    """Every claim with its test."""
    heads = ("id", "statement", "source", "test", "published", "nulls", "models", "measurement")
    return _table(heads, (_claim(name, claim) for name, claim in _claims().items()))


def _claim(name: str, claim: Claim) -> tuple[str, ...]:
    test, asked = claim.test, claim.models
    columns = ", ".join(f"`{column}`" for column in test.of)
    words = f"{KINDS[test.kind].says}, of {columns}"
    if test.kind == "share_in_range":
        words += f" in {', '.join(f'[{low:g}, {high:g}]' for low, high in test.ranges)}"
    if test.at:
        words += f" at {', '.join(f'{place:.3g}' for place in test.at)}"
    elif test.over in ("heads", "parameters", "step"):
        words += f", over {test.over}"
    if test.range:
        side = f"within [{test.range[0]:g}, {test.range[1]:g}]"
    else:
        side = f"{test.claimed} {test.bound:g}"
    words += f". Claimed: **{side}**; smallest effect {test.smallest_effect:g}"
    models = [", ".join(f"`{model}`" for model in asked.needs)]
    models += [" or ".join(asked.position_encoding).replace("_", " ")]
    models += [", ".join(f"checkpoints of {name}" for name in asked.checkpoints_of)]
    models += [f"at least {asked.at_least}"] if asked.at_least > 1 else []
    nulls = claim.nulls()
    return (
        name,
        claim.statement + (f" *{claim.remark}*" if claim.remark else ""),
        claim.source,
        words,
        claim.reference or "–",
        ", ".join(f"`{null}`" for null in nulls) or "–",
        "; ".join(filter(None, models)) or "every trained model",
        f"`{claim.protocol}`, `{claim.probe}`"
        + (", heads like these" if claim.generality == "heads" else ""),
    )


def claim_kinds() -> str:
    """Every kind of test, and which claims are of it."""
    found = _claims().items()
    rows = (
        (f"`{name}`", kind.says, ", ".join(n for n, c in found if c.test.kind == name) or "–")
        for name, kind in KINDS.items()
    )
    return _table(("kind", "the number", "claims"), rows)


def claim_nulls() -> str:
    """Every null, and which claims are compared with it."""
    found = _claims().items()
    rows = []
    for name in options(CONF, "null"):
        null = load_member("null", name, CONF, {})
        using = [n for n, c in found if name in c.nulls()]
        rows.append((f"`{name}`", f"`{null.kind}`", null.says, ", ".join(using) or "–"))
    return _table(("null", "kind", "what it is", "claims"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "claims": claims,
    "claim-kinds": claim_kinds,
    "claim-nulls": claim_nulls,
    "measures-paper": measures_paper,
    "worked-numbers": worked_numbers,
    "measures-rigorous": measures_rigorous,
    "measure-columns": measure_columns,
    "reasons": reasons,
    "inconsistencies": published_inconsistencies,
    "stage-sources": stage_sources,
}


def render(page: str) -> str:
    """The page with every generated part as it should be. Raises KeyError for an unknown part."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[4]}", page)


def main() -> None:
    """Rewrite every page of this folder that has changed."""
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        new = render(old)
        if new != old:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
