"""Stage judge_claims: tables of measures and of nulls to one verdict per claim."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from attention_wavelets.claims.judge import AgainstNull, Judged, NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.statistics import placed
from attention_wavelets.claims.verdict import (
    Verdict,
    combined,
    edge,
    one_sided_p,
)
from attention_wavelets.config.claims import SHARED_NULLS, Claim, Column, Subjects, null_family
from attention_wavelets.config.schema import Protocol
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.exact import sign_flip
from attention_wavelets.inference.multiple import benjamini_hochberg, holm
from attention_wavelets.measures.offered import OFFERED
from attention_wavelets.store.tables import read_table, write_csv

__all__ = ["judge_claims"]

# Models whose sentences stand in a row of claims.csv.
MOST_MODELS = 3
_PROTOCOL: TypeAdapter[Any] = TypeAdapter(Protocol)
_TABLES = {"head": "heads", "pair_of_conditions": "heads", "layer": "layers", "model": "model"}
_KEYS = ("null", "draw", "condition", "probe", "sequence", "document", "layer", "head", "unmatched")


@dataclass(frozen=True)
class _Case:
    """A claim with what judging it takes."""

    name: str
    claim: Claim
    corpus: str
    lacking: str
    conditions: Sequence[str]


@dataclass(frozen=True)
class _Outcome:
    """A case judged for one model, or for a row of models under one name."""

    model: str
    judged: Judged


def judge_claims(
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    measures: Sequence[Path],
    nulls: Sequence[Path],
    claims: Path,
    by_model: Path,
) -> None:
    """Judge every claim of a study.

    Parameters
    ----------
    config
        The slice: claims, their evidence, nulls, models, protocols, statistics.
    manifests
        Model -> its manifest.
    measures, nulls
        Folders of what measure_heads and measure_nulls wrote, in the order of `config["cells"]` and
        `config["null_cells"]`.
    claims, by_model
        CSV files to write: a row per claim; a row per claim, model and null.
    """
    tables = _Tables(
        config, _by_cell(config["cells"], measures), _by_cell(config["null_cells"], nulls)
    )
    cases = [
        _Case(
            name,
            Claim.model_validate(plain),
            config["evidence"][name]["corpus"],
            config["evidence"][name]["lacking"],
            config["evidence"][name]["conditions"],
        )
        for name, plain in config["claims"].items()
    ]
    rules = _rules(config["statistics"])
    rows, details = [], []
    for case in cases:
        outcomes, lacking = _outcomes(case, config, manifests, tables, rules)
        rows.append(_row(case, outcomes, lacking))
        details += [
            _detail(case, outcome, null) for outcome in outcomes for null in _nulls(outcome)
        ]
    frame = pd.DataFrame(rows)
    frame = _with_holm(frame, rules.confidence)
    write_csv(claims, frame)
    write_csv(by_model, _with_q(pd.DataFrame(details, columns=_DETAILS)))


def _by_cell(
    cells: Sequence[Mapping[str, str]], folders: Sequence[Path]
) -> dict[tuple[str, str, str], Path]:
    if len(cells) != len(folders):
        raise PipelineError(
            f"{len(folders)} folders for {len(cells)} cells of the study",
            "command line",
            "give one folder for each model, corpus and protocol",
        )
    keys = [(cell["model"], cell["corpus"], cell["protocol"]) for cell in cells]
    return dict(zip(keys, folders, strict=True))


def _rules(statistics: Mapping[str, Any]) -> Rules:
    return Rules(
        confidence=statistics["confidence"],
        min_documents=statistics["min_documents"],
        resamples=statistics["resamples"],
        seed=statistics["seed"],
    )


def _outcomes(
    case: _Case,
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    tables: _Tables,
    rules: Rules,
) -> tuple[list[_Outcome], str]:
    """The claim for each model it speaks of, or why it cannot be judged."""
    groups, lacking = _compared(case.claim, config, manifests)
    if lacking or case.lacking:
        return [], lacking or case.lacking
    silent = [model for group in groups for model in group if not tables.has(case, model)]
    groups = [group for group in groups if not set(group) & set(silent)]
    if not groups or (silent and case.claim.together):
        return [], f"probe {case.claim.probe} has no signals in {', '.join(silent)}"
    return [_outcome(case, group, config, manifests, tables, rules) for group in groups], ""


def _outcome(
    case: _Case,
    models: Sequence[str],
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    tables: _Tables,
    rules: Rules,
) -> _Outcome:
    """The claim for one model, or for several in a row."""
    claim = case.claim
    places = None
    if claim.test.over == "parameters":
        sizes = [manifests[model]["facts"]["non_embedding_parameters"] for model in models]
        places = placed(np.array(sizes, dtype=np.float64), "parameters")
    elif claim.test.over == "step":
        steps = [config["models"][model]["step"] for model in models]
        places = placed(np.array(steps, dtype=np.float64), "step")
    subject = Subject(tuple(tables.panel(case, model) for model in models), places)
    nulls = [_joined(case, name, models, places, config, tables) for name in claim.nulls()]
    return _Outcome(_named(claim, models, config), judge(claim, subject, nulls, rules))


def _named(claim: Claim, models: Sequence[str], config: Mapping[str, Any]) -> str:
    if claim.test.over != "step":
        return ", ".join(models)
    return f"{config['models'][models[0]]['repository']}, {len(models)} checkpoints"


def _compared(
    claim: Claim, config: Mapping[str, Any], manifests: Mapping[str, Mapping[str, Any]]
) -> tuple[list[list[str]], str]:
    """Groups of trained models that each give one number, or which are missing."""
    asked = claim.models
    missing = [name for name in asked.needs if name not in config["models"]]
    if missing:
        return [], f"models missing: {', '.join(missing)}"
    if asked.checkpoints_of:
        return _checkpoints(asked, config["models"])
    found = []
    for name, entry in config["models"].items():
        facts = manifests[name]["facts"]
        if (
            not entry["of"]
            and not entry.get("passing")
            and (not asked.needs or name in asked.needs)
            and facts["position_encoding"]
            in (asked.position_encoding or [facts["position_encoding"]])
            and asked.causal in (None, facts["causal"])
        ):
            found.append(name)
    if len(found) < asked.at_least:
        words = " or ".join(asked.position_encoding).replace("_", " ")
        kind = f" with {words} positions" if words else ""
        return [], f"needs {asked.at_least} trained models{kind}, the study has {len(found)}"
    return ([found] if claim.together else [[name] for name in found]), ""


def _checkpoints(
    asked: Subjects, models: Mapping[str, Mapping[str, Any]]
) -> tuple[list[list[str]], str]:
    groups, lacking = [], []
    for repository in asked.checkpoints_of:
        own = [
            name
            for name, entry in models.items()
            if entry["repository"] == repository and entry["step"] is not None
        ]
        groups.append(sorted(own, key=lambda name: models[name]["step"]))
        if len(own) < asked.at_least:
            lacking.append(
                f"{asked.at_least} checkpoints of {repository}, the study has {len(own)}"
            )
    return groups, f"needs {'; '.join(lacking)}" if lacking else ""


def _of_model(
    case: _Case, name: str, model: str, config: Mapping[str, Any], tables: _Tables
) -> NullDraws:
    null = config["nulls"][name]
    kind = str(null["kind"])
    if kind == "untrained":
        twins = [twin for twin in config["models"] if _is_twin(twin, model, config["models"])]
        draws = [Subject((tables.panel(case, twin),)) for twin in twins]
        return NullDraws(name, kind, draws, "the study has no untrained twin")
    if kind == "condition":
        other = null["condition"]
        columns = case.claim.columns()
        if other not in case.conditions:
            return NullDraws(name, kind, (), f"condition {other} is not measured")
        if any(column.condition != case.claim.condition for column in columns):
            return NullDraws(name, kind, (), "it has no subsampled sequences")
        replaced = [Column(measure=c.measure, condition=other) for c in columns]
        return NullDraws(name, kind, [Subject((tables.panel(case, model, replaced),))])
    draws = [Subject((panel,)) for panel in tables.null_panels(case, name, model)]
    return NullDraws(name, kind, draws, "it has no meaning for these signals")


def _is_twin(twin: str, model: str, models: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a model is the other before training, or differs from that in the seed alone."""
    of, family = models[twin]["of"], models[model].get("family")
    return bool(of) and (of == model or (bool(family) and models[twin].get("family") == family))


def _joined(
    case: _Case,
    name: str,
    models: Sequence[str],
    places: np.ndarray | None,
    config: Mapping[str, Any],
    tables: _Tables,
) -> NullDraws:
    """The null of models in a row: draw i of each; that of a model alone as it is."""
    null = config["nulls"][name]
    kept = {
        "family": null_family(null["kind"], null.get("sink", "")),
        "shared": null["kind"] in SHARED_NULLS,
    }
    parts = [_of_model(case, name, model, config, tables) for model in models]
    if places is None:
        return replace(parts[0], **kept)
    count = min(len(part.draws) for part in parts)
    lacking = next((part.lacking for part in parts if not part.draws), "")
    draws = [Subject(tuple(part.draws[i].first for part in parts), places) for i in range(count)]
    return NullDraws(name, parts[0].kind, draws, lacking, **kept)


@dataclass
class _Tables:
    """Reads each table once, and of it only what claims ask for."""

    config: Mapping[str, Any]
    measures: Mapping[tuple[str, str, str], Path]
    nulls: Mapping[tuple[str, str, str], Path]
    kept: dict[Path, pd.DataFrame] = field(default_factory=dict)

    def panel(self, case: _Case, model: str, columns: Sequence[Column] | None = None) -> Panel:
        """What a claim reads of a model."""
        folder = self.measures[model, case.corpus, case.claim.protocol]
        frame = self._read(folder / f"{self._table(case)}.parquet")
        return _panel(frame[frame["probe"] == case.claim.probe], columns or case.claim.columns())

    def has(self, case: _Case, model: str) -> bool:
        """Whether the claim's probe has signals in a model: some are for causal ones."""
        folder = self.measures[model, case.corpus, case.claim.protocol]
        frame = self._read(folder / f"{self._table(case)}.parquet")
        return bool((frame["probe"] == case.claim.probe).any())

    def null_panels(self, case: _Case, null: str, model: str) -> Iterator[Panel]:
        """The same of every draw of a signal-level null; nothing where there is none."""
        folder = self.nulls.get((model, case.corpus, case.claim.protocol))
        table = self._table(case)
        if folder is None or table == "model":
            return
        frame = self._read(folder / f"{table}.parquet")
        frame = frame[(frame["null"] == null) & (frame["probe"] == case.claim.probe)]
        for _, draw in frame.groupby("draw", sort=True):
            yield _panel(draw, case.claim.columns())

    def _read(self, path: Path) -> pd.DataFrame:
        if path not in self.kept:
            claims = [Claim.model_validate(plain) for plain in self.config["claims"].values()]
            wanted = {column.measure for claim in claims for column in claim.columns()}
            self.kept[path] = read_table(path, [*_KEYS, *wanted])
        return self.kept[path]

    def _table(self, case: _Case) -> str:
        """heads, layers or model: where the claim's measures stand."""
        protocol = _PROTOCOL.validate_python(self.config["protocols"][case.claim.protocol])
        level = {m.name: m.level for m in OFFERED[protocol.kind](protocol)}
        return _TABLES[level[case.claim.columns()[0].measure]]


def _panel(frame: pd.DataFrame, columns: Sequence[Column]) -> Panel:
    """(sequence, layer, head, column) out of rows; a measure of a layer has one head."""
    parts, documents, unmatched = [], np.empty(0), 0.0
    for column in columns:
        rows = frame[frame["condition"] == column.condition]
        places = [name for name in ("sequence", "layer", "head") if name in rows]
        rows = rows.sort_values(places, kind="stable")
        shape = [
            rows[name].nunique() if name in rows else 1 for name in ("sequence", "layer", "head")
        ]
        parts.append(rows[column.measure].to_numpy(dtype=np.float64).reshape(shape))
        documents = rows["document"].to_numpy().reshape(shape)[:, 0, 0]
        if "unmatched" in rows:
            unmatched = max(unmatched, float(rows["unmatched"].mean()))
    return Panel(np.stack(parts, axis=-1), documents, unmatched)


def _nulls(outcome: _Outcome) -> list[AgainstNull | None]:
    return list(outcome.judged.nulls) or [None]


def _nearest(judged: Judged) -> AgainstNull | None:
    """The null that stopped the claim, else the one whose number is nearest."""
    known = [null for null in judged.nulls if not null.lacking]
    if not known:
        return None
    stopped = [null for null in known if null.verdict != "pass"]
    return min(stopped or known, key=lambda null: abs(null.difference.value))


def _row(case: _Case, outcomes: Sequence[_Outcome], lacking: str) -> dict[str, Any]:
    row = {
        "claim": case.name,
        "statement": case.claim.statement,
        "source": case.claim.source,
        "test": case.claim.test.kind,
        "corpus": case.corpus,
        "protocol": case.claim.protocol,
        "probe": case.claim.probe,
        "generality": case.claim.generality,
        "models": len(outcomes),
    }
    if not outcomes:
        nothing = dict.fromkeys(_NUMBERS, math.nan)
        return row | {
            "model": "",
            **nothing,
            "null": "",
            "reference": case.claim.reference,
            "verdict_literal": "not testable here",
            "verdict_controlled": "not testable here",
            "reason": f"{lacking[:1].upper()}{lacking[1:]}.",
            "would_change": "",
        }
    literal: Verdict = combined([o.judged.literal for o in outcomes])
    # Without a literal pass there is nothing to control.
    controlled = combined([o.judged.controlled for o in outcomes]) if literal == "pass" else literal
    column = "controlled" if literal == "pass" else "literal"
    deciding = [o for o in outcomes if getattr(o.judged, column) == controlled]
    # The claim speaks of every model, so the one that bears it out least decides.
    decides = max(deciding, key=lambda outcome: _doubt(case, outcome))
    doubt = max(_doubt(case, outcome) for outcome in outcomes)
    judged, null = decides.judged, _nearest(decides.judged)
    rest = [
        f"{outcome.model} {outcome.judged.literal}, {outcome.judged.controlled}"
        for outcome in outcomes
        if outcome is not decides
    ]
    more = f" Also: {'; '.join(rest)} (claims_by_model.csv)." if rest else ""
    return row | {
        "model": decides.model,
        "estimate": judged.estimate.value,
        "low": judged.estimate.low,
        "high": judged.estimate.high,
        "n": judged.estimate.n,
        "documents": judged.estimate.documents,
        "p": _known_or_nan(doubt),
        "p_models": _over_models(case, outcomes),
        "p_controlled": max(_controlled_doubt(case, outcome) for outcome in outcomes),
        "null_value": math.nan if null is None else null.value,
        "null": "" if null is None else null.name,
        "reference": case.claim.reference,
        "verdict_literal": literal,
        "verdict_controlled": controlled,
        "reason": f"{decides.model}: {judged.reason}{more}",
        "would_change": _would_change(deciding, controlled),
    }


def _would_change(deciding: Sequence[_Outcome], controlled: Verdict) -> str:
    """Every model that stands in the way would have to change; of a pass any one could undo it."""
    said = [f"{outcome.model}: {outcome.judged.would_change}" for outcome in deciding[:MOST_MODELS]]
    if len(deciding) > MOST_MODELS:
        said.append(f"{len(deciding) - MOST_MODELS} more models (claims_by_model.csv)")
    between = " Or " if controlled == "pass" else " And "
    return f"{f'.{between}'.join(said)}."


def _doubt(case: _Case, outcome: _Outcome) -> float:
    """p of the claim's own number; the largest doubt is that of a model without an interval."""
    p = one_sided_p(outcome.judged.estimate, case.claim.test)
    return math.inf if math.isnan(p) else float(np.fmax(p, outcome.judged.chance))


def _controlled_doubt(case: _Case, outcome: _Outcome) -> float:
    """p that the number or its difference to some null does not lie beyond the smallest effect.

    All must, so the largest p is a valid one (Berger 1982); what is unknown has p = 1.
    """
    test = case.claim.test
    apart = [one_sided_p(null.difference, test, bound=0.0) for null in outcome.judged.nulls]
    found = [_doubt(case, outcome), *apart]
    return min(1.0, max(1.0 if math.isnan(p) else p for p in found))


def _known_or_nan(doubt: float) -> float:
    return math.nan if math.isinf(doubt) else doubt


def _over_models(case: _Case, outcomes: Sequence[_Outcome]) -> float:
    """Exact p that models as these lie beyond the line, by all signs of their distances to it."""
    test = case.claim.test
    if len(outcomes) < 2 or test.range is not None:
        return math.nan
    line = edge(test, test.bound)
    away = [outcome.judged.estimate.value - line for outcome in outcomes]
    return sign_flip(away, "less" if test.claimed == "below" else "greater").p


_NUMBERS = (
    "estimate",
    "low",
    "high",
    "n",
    "documents",
    "p",
    "p_models",
    "p_controlled",
    "null_value",
)


def _with_holm(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Adjusted p-values of all claims of the study; a controlled pass must survive them."""
    adjusted = holm(frame["p_controlled"].to_numpy(dtype=np.float64))
    frame.insert(int(frame.columns.get_loc("p_controlled")) + 1, "p_holm", adjusted)
    lost = (frame["verdict_controlled"] == "pass") & (adjusted > 1 - confidence)
    frame.loc[lost, "verdict_controlled"] = "unclear"
    frame.loc[lost, "reason"] += " It does not survive the correction for the number of claims."
    return frame


def _with_q(details: pd.DataFrame) -> pd.DataFrame:
    """Adjusted p-values of all claims and models: below q, a share of at most q is false."""
    once = ~details.duplicated(["claim", "model"])
    details.loc[once, "q"] = benjamini_hochberg(details.loc[once, "p"].to_numpy(dtype=np.float64))
    details["q"] = details.groupby(["claim", "model"])["q"].transform("first")
    return details


_DETAILS = [
    *("claim", "model", "estimate", "low", "high", "n", "documents", "p", "q", "chance"),
    *("verdict_literal", "verdict_controlled", "null", "null_kind", "null_family"),
    "null_value",
    *("difference", "difference_low", "difference_high", "null_verdict", "null_passes"),
    *("draws", "unmatched", "superiority", "null_sd", "lacking", "reason", "would_change"),
]


def _detail(case: _Case, outcome: _Outcome, null: AgainstNull | None) -> dict[str, Any]:
    judged = outcome.judged
    row: dict[str, Any] = {
        "claim": case.name,
        "model": outcome.model,
        "estimate": judged.estimate.value,
        "low": judged.estimate.low,
        "high": judged.estimate.high,
        "n": judged.estimate.n,
        "documents": judged.estimate.documents,
        "p": _known_or_nan(_doubt(case, outcome)),
        "chance": judged.chance,
        "verdict_literal": judged.literal,
        "verdict_controlled": judged.controlled,
        "reason": judged.reason,
        "would_change": judged.would_change,
    }
    if null is None:
        return row
    return row | {
        "null": null.name,
        "null_kind": null.kind,
        "null_family": null.family,
        "null_value": null.value,
        "difference": null.difference.value,
        "difference_low": null.difference.low,
        "difference_high": null.difference.high,
        "null_verdict": null.verdict,
        "null_passes": null.passing,
        "draws": null.draws,
        "unmatched": null.unmatched,
        "superiority": null.superiority,
        "null_sd": null.null_sd,
        "lacking": null.lacking,
    }
