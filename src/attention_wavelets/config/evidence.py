"""Which measurement of a study a claim is judged by, and which nulls that needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from attention_wavelets.config.checkpoints import run_of, runs_of
from attention_wavelets.config.claims import SIGNAL_NULLS, Claim
from attention_wavelets.config.schema import Experiment, Measurement

__all__ = ["NullCell", "evidence", "null_cells"]


@dataclass(frozen=True)
class NullCell:
    """Signal-level nulls of one model, corpus and protocol: what claims read of them."""

    model: str
    corpus: str
    protocol: str
    conditions: tuple[str, ...]
    probes: tuple[str, ...]
    measures: tuple[str, ...]
    nulls: tuple[str, ...]


def evidence(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Claim -> the corpus whose measurement decides it, or why there is none.

    The first measurement of the study counts that has the claim's measures, probe and conditions.
    """
    found = {}
    for name, claim in experiment.claim.items():
        cell = _measurement(experiment, claim)
        conditions = ", ".join(dict.fromkeys(c.condition for c in claim.columns()))
        measures = ", ".join(dict.fromkeys(c.measure for c in claim.columns()))
        lacking = (
            f"the study does not measure {measures} with protocol {claim.protocol}, probe "
            f"{claim.probe}, conditions {conditions}"
        )
        found[name] = {
            "corpus": cell.corpus if cell else "",
            "lacking": "" if cell else lacking,
            "conditions": sorted(cell.conditions) if cell else [],
        }
    return found


def _measurement(experiment: Experiment, claim: Claim) -> Measurement | None:
    needed = {column.condition for column in claim.columns()}
    measures = {column.measure for column in claim.columns()}
    for cell in experiment.study.measurements:
        taken = experiment.protocol[cell.protocol].measures
        if (
            cell.protocol == claim.protocol
            and (taken == ["all"] or measures <= set(taken))
            and claim.probe in cell.probes
            and needed <= set(cell.conditions)
        ):
            return cell
    return None


@dataclass
class _Wanted:
    conditions: set[str] = field(default_factory=set)
    probes: set[str] = field(default_factory=set)
    measures: set[str] = field(default_factory=set)
    nulls: set[str] = field(default_factory=set)
    # Training runs of which every checkpoint counts.
    along: set[str] = field(default_factory=set)
    # Whether some claim is about trained models, each by itself.
    alone: bool = False


def _has_models(experiment: Experiment, claim: Claim) -> bool:
    """Whether the study has what a claim names; without it no null of it is made."""
    sources = [experiment.model[name].source for name in experiment.study.models]
    repositories = {source.repository for source in sources if source.kind == "hub"}
    repositories |= set(runs_of(experiment))
    asked = claim.models
    return set(asked.needs) <= set(experiment.study.models) and (
        set(asked.checkpoints_of) <= repositories
    )


def _asked(experiment: Experiment, entry: _Wanted) -> Iterator[str]:
    """Trained models; of a training here the last checkpoint, or all if a claim is about it."""
    last = {list(models.values())[-1] for models in runs_of(experiment).values()}
    for name in experiment.study.models:
        model = experiment.model[name]
        found = run_of(name, model)
        if found is None:
            if model.source.kind != "untrained":
                yield name
        elif found[0] in entry.along or (entry.alone and name in last):
            yield name


def null_cells(experiment: Experiment) -> Iterator[NullCell]:
    """Every model, corpus and protocol of which some claim needs signal-level nulls."""
    wanted: dict[tuple[str, str], _Wanted] = {}
    for claim in experiment.claim.values():
        cell = _measurement(experiment, claim)
        nulls = set(claim.nulls())
        nulls = {n for n in nulls if experiment.null[n].kind in SIGNAL_NULLS}
        if cell is None or not nulls or not _has_models(experiment, claim):
            continue
        entry = wanted.setdefault((cell.corpus, cell.protocol), _Wanted())
        entry.conditions |= {column.condition for column in claim.columns()}
        scaled = [c for c in entry.conditions if experiment.condition[c].kind == "subsample"]
        if scaled:
            entry.conditions.add(experiment.protocol[cell.protocol].reference)
        entry.probes.add(claim.probe)
        entry.measures |= {column.measure for column in claim.columns()}
        entry.nulls |= nulls
        entry.along |= set(claim.models.checkpoints_of)
        entry.alone |= not claim.models.checkpoints_of
    for (corpus, protocol), entry in sorted(wanted.items()):
        for model in _asked(experiment, entry):
            yield NullCell(
                model,
                corpus,
                protocol,
                tuple(sorted(entry.conditions)),
                tuple(sorted(entry.probes)),
                tuple(sorted(entry.measures)),
                tuple(sorted(entry.nulls)),
            )
