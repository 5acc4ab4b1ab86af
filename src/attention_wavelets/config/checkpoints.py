"""Checkpoints of a training run: one model per revision, and revisions known to be wrong.

The files of a hub branch may be those of another step. What is known of that stands in
conf/model/checkpoints.known.yaml, which `attention-wavelets audit` adds to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from attention_wavelets.config.base import Repository, Revision, Strict
from attention_wavelets.config.check import check
from attention_wavelets.config.schema import Experiment, Model, Recipe
from attention_wavelets.config.training import check_source
from attention_wavelets.errors import PipelineError

__all__ = ["KNOWN_FILE", "Known", "expand", "leave_out", "read_known", "run_of", "runs_of"]

# Below conf/.
KNOWN_FILE = Path("model") / "checkpoints.known.yaml"


class _Entry(Strict):
    """One finding about some revisions of a repository."""

    repository: Repository
    revisions: list[Revision]
    finding: str
    source: str


@dataclass(frozen=True)
class Known:
    """Why a revision should not be measured, and who says so."""

    finding: str
    source: str


def expand(name: str, model: Model, recipe: Recipe | None = None) -> dict[str, Model]:
    """A model YAML as the models it stands for: itself, or one per checkpoint.

    Parameters
    ----------
    name, model
        Of the YAML file.
    recipe
        Of a model that is trained here: says which steps are kept.

    Returns
    -------
    dict
        `<name>-step<N>` -> model at that revision, in the order of the steps. Of a model trained
        here `<name>-s<seed>-step<N>`, with that one seed and step.

    Raises
    ------
    PipelineError
        A step that the run did not keep, with the nearest that it did; `all` where the YAML does
        not say which there are.
    """
    if model.checkpoints is None:
        return {name: model}
    where = f"conf/model/{name}.yaml"
    if model.source.kind == "trained":
        assert recipe is not None, "read with the model"
        return _trained(name, model, recipe, where)
    assert model.source.kind == "hub", "the schema allows checkpoints of no other models"
    kept = model.steps.kept()
    if model.checkpoints == "all":
        if not kept:
            raise PipelineError(
                "checkpoints: all, but `steps` does not say which there are",
                where,
                "write `steps.single`, or `steps.every` and `steps.last`",
            )
        chosen: Sequence[int] = kept
    else:
        chosen = model.checkpoints
    if kept:
        _refuse_lost(chosen, kept, where)
    made = {}
    for step in chosen:
        revision = model.steps.revision.replace("{step}", str(step))
        made[f"{name}-step{step}"] = model.model_copy(
            update={
                "label": f"{model.label}, step {step}",
                "source": model.source.model_copy(update={"revision": revision}),
                "checkpoints": None,
            }
        )
    return made


def _trained(name: str, model: Model, recipe: Recipe, where: str) -> dict[str, Model]:
    assert model.source.kind == "trained"
    check_source(model.source, where)
    assert model.checkpoints is not None, "the schema asks for them"
    chosen = recipe.kept if model.checkpoints == "all" else sorted(model.checkpoints)
    _refuse_lost(chosen, recipe.kept, where)
    return {
        f"{name}-s{seed}-step{step}": model.model_copy(
            update={
                "label": f"{model.label}, seed {seed}, step {step}",
                "source": model.source.model_copy(update={"seeds": [seed]}),
                "checkpoints": [step],
            }
        )
        for seed in model.source.seeds
        for step in chosen
    }


def run_of(name: str, model: Model) -> tuple[str, int] | None:
    """Training run and step of an expanded model that is trained here; None of other models."""
    if model.source.kind != "trained":
        return None
    assert isinstance(model.checkpoints, list), "expanded"
    (step,) = model.checkpoints
    return name.removesuffix(f"-step{step}"), step


def runs_of(experiment: Experiment) -> dict[str, dict[int, str]]:
    """Training run of this study -> step -> model, steps ascending."""
    runs: dict[str, dict[int, str]] = {}
    for name in experiment.study.models:
        if found := run_of(name, experiment.model[name]):
            run, step = found
            runs.setdefault(run, {})[step] = name
    return {run: dict(sorted(models.items())) for run, models in runs.items()}


def _refuse_lost(chosen: Sequence[int], kept: Sequence[int], where: str) -> None:
    if lost := sorted(set(chosen) - set(kept)):
        near = min(kept, key=lambda step: abs(step - lost[0]))
        raise PipelineError(
            f"checkpoints: step {lost[0]} was not kept", where, f"the nearest is {near}"
        )


def read_known(conf: Path) -> dict[tuple[str, str], Known]:
    """(repository, revision) -> what is known to be wrong with it; empty without the file."""
    path = conf / KNOWN_FILE
    where = f"conf/{KNOWN_FILE}"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _LOADER) or []
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError):
        raise PipelineError("not valid YAML", where, "write it as it was, or delete it") from None
    if not isinstance(content, list):
        raise PipelineError("not a list of findings", where, "write it as it was, or delete it")
    found = {}
    for place, values in enumerate(content):
        if not isinstance(values, dict):
            raise PipelineError(f"entry {place + 1} is no mapping", where)
        entry = check(_Entry, {str(k): v for k, v in values.items()}, f"{where}, {place + 1}")
        for revision in entry.revisions:
            found[entry.repository, revision] = Known(entry.finding, entry.source)
    return found


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def leave_out(
    models: Mapping[str, Model],
    known: Mapping[tuple[str, str], Known],
    policy: str,
    where: str,
) -> dict[str, Known]:
    """Models of a study whose revision is known to be wrong.

    Parameters
    ----------
    models
        Name -> model, checkpoints expanded.
    known
        What `read_known` returned.
    policy
        `skip` returns them; `fail` refuses the study, and says which they are.
    where
        The study's file, for the message.
    """
    bad = {
        name: known[model.source.repository, model.source.revision]
        for name, model in models.items()
        if model.source.kind == "hub" and (model.source.repository, model.source.revision) in known
    }
    if bad and policy == "fail":
        first = next(iter(bad))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise PipelineError(
            f"{first}: {bad[first].finding} ({bad[first].source}){more}",
            where,
            "take other checkpoints, or set study.bad_checkpoints=skip to leave them out",
        )
    if len(bad) == len(models):
        raise PipelineError(
            "every model's revision is known to be wrong", where, "take other checkpoints"
        )
    return bad
