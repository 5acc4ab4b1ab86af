"""Where the paper disagrees with itself: each finding with its check and what that gave.

The statements stand in `inconsistencies.toml`, the checks in `checks/`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import numpy as np

from attention_wavelets.errors import unknown_name
from attention_wavelets.reference import TABLES, paper_table
from attention_wavelets.reference.checks import scales, spectra, tables, text
from attention_wavelets.reference.checks.finding import Finding, Tables

__all__ = ["SEED", "Inconsistency", "Judged", "inconsistencies", "judge", "published_tables"]

Kind = Literal["tables", "simulation", "models", "text"]
SEED = 0

TABLE_CHECKS: dict[str, Callable[[Tables], Finding]] = {**tables.CHECKS, **text.CHECKS}
SIMULATIONS: dict[str, Callable[[np.random.Generator], Finding]] = {
    **spectra.CHECKS,
    **scales.CHECKS,
}


@dataclass(frozen=True)
class Inconsistency:
    """One place in which the paper disagrees with itself or leaves its numbers open.

    Attributes
    ----------
    id
        `I-01` and so on.
    where
        Sections and tables.
    kind
        How it can be checked: `tables`, arithmetic on the printed numbers; `simulation`, measures
        of made-up rows (or of a formula); `models`, only by measuring the weights in `models`;
        `text`, a matter of wording, without a check.
    conflict
        What disagrees with what.
    how
        What the check computes, or why there is none.
    models
        Repositories of the hub that a check, or the part it leaves open, needs.
    """

    id: str
    where: str
    kind: Kind
    conflict: str
    how: str
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown_name("kind", self.kind, get_args(Kind), self.id)
        checks = {"tables": TABLE_CHECKS, "simulation": SIMULATIONS}.get(self.kind, {})
        checked = self.id in TABLE_CHECKS or self.id in SIMULATIONS
        if checked != (self.id in checks) or (self.kind in ("tables", "simulation")) != checked:
            raise ValueError(f"{self.id} of kind '{self.kind}' does not fit its check")
        if self.kind == "models" and not self.models:
            raise ValueError(f"{self.id} names no models")


@dataclass(frozen=True)
class Judged:
    """An inconsistency with its outcome.

    Attributes
    ----------
    outcome
        `confirmed`, `confirmed in part`, `not confirmed`, `not testable here` or `no check`.
    finding
        Parts and numbers, where there is a check.
    """

    statement: Inconsistency
    outcome: str
    finding: Finding | None = None


@cache
def inconsistencies() -> dict[str, Inconsistency]:
    """Id -> statement, in order."""
    raw = (files(__package__ or __name__) / "inconsistencies.toml").read_text(encoding="utf-8")
    return {
        name: Inconsistency(id=name, **{**entry, "models": tuple(entry.get("models", ()))})
        for name, entry in tomllib.loads(raw).items()
    }


def published_tables() -> Tables:
    """Number -> published table."""
    return {number: paper_table(number) for number in TABLES}


def judge(name: str, *, published: Tables | None = None, seed: int = SEED) -> Judged:
    """Check one inconsistency now.

    Parameters
    ----------
    name
        Id.
    published
        Tables to check instead of the paper's, for a check of kind `tables`.
    seed
        Root of the random streams; each simulation has its own child, so that its numbers do not
        depend on which others are run.

    Raises
    ------
    PipelineError
        For an unknown id.
    """
    known = inconsistencies()
    if name not in known:
        raise unknown_name("inconsistency", name, known)
    statement = known[name]
    if statement.kind == "text":
        return Judged(statement, "no check")
    if statement.kind == "models":
        return Judged(statement, "not testable here")
    if statement.kind == "tables":
        finding = TABLE_CHECKS[name](published_tables() if published is None else published)
    else:
        stream = np.random.SeedSequence(seed).spawn(len(known))[list(known).index(name)]
        finding = SIMULATIONS[name](np.random.default_rng(stream))
    return Judged(statement, finding.outcome, finding)
