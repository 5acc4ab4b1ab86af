"""Stage slices: the part of an experiment that decides one file, as canonical JSON.

A slice is keyed by its stage's wildcards. Whatever is not in it cannot trigger a rerun, and
whatever is in it triggers one, so each function below lists exactly what its stage reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from attention_wavelets.config.checkpoints import run_of, runs_of
from attention_wavelets.config.evidence import evidence, null_cells
from attention_wavelets.config.lock import lock_key
from attention_wavelets.config.schema import Experiment, Measurement, Model, Probe, Text

__all__ = ["canonical", "slices", "slices_by_stage"]


# Keys of a model that decide no number: sizes to tell resources from, what is spelled out into
# models, and whether weights stay on the disk.
FORECAST = {"architecture", "checkpoints", "steps", "keep_weights"}


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal content, equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def slices(experiment: Experiment, lock: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Every slice of an experiment.

    Parameters
    ----------
    experiment
        What `config.compose.compose` returned.
    lock
        What `config.lock.read_lock` returned.

    Returns
    -------
    dict
        Path below the results folder, without `.json`, to plain JSON-able values.
    """
    made = dict(_corpora(experiment, lock or {}))
    made |= _recipes(experiment, lock or {})
    made |= _models(experiment, lock or {})
    made |= _families(experiment)
    for model in experiment.study.models:
        made |= _cells(experiment, model)
    return (
        made
        | _nulls(experiment)
        | _changed(experiment)
        | _series_cells(experiment)
        | _study(experiment)
    )


def slices_by_stage(
    made: Mapping[str, Any], models: Sequence[str]
) -> dict[tuple[str, ...], list[str]]:
    """Slices of some models, grouped by what they are of besides the model.

    Slices of nulls and of changed attention, which not every model has, are left out. The keys are
    such as `("measures", "enwiki-96", "paper")`; each group is in the order of the models.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    place = {model: number for number, model in enumerate(models)}
    for name in made:
        stage, model, *rest = name.split("/")
        if model in place and stage not in ("nulls", "causal"):
            found.setdefault((stage, *rest), []).append(name)
    return {
        key: sorted(names, key=lambda name: place[name.split("/")[1]])
        for key, names in found.items()
    }


def _plain(
    value: BaseModel, *, include: set[str] | None = None, exclude: set[str] | None = None
) -> dict[str, Any]:
    return value.model_dump(mode="json", include=include, exclude=exclude)


def _model(model: Model) -> dict[str, Any]:
    """Its keys that decide something; `part` only where it is set."""
    return _plain(model, exclude=FORECAST if model.part else FORECAST | {"part"})


def _models(experiment: Experiment, lock: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name in experiment.study.models:
        model = experiment.model[name]
        source = model.source
        if found := run_of(name, model):
            run, step = found
            plain = {"name": name, "run": run, "step": step, "model": _model(model)}
            yield f"models/{name}/fetch", plain
            continue
        base = experiment.model[source.of] if source.kind == "untrained" else None
        origin = base.source if base is not None else source
        key = lock_key(origin) if origin.kind == "hub" else ""
        yield (
            f"models/{name}/fetch",
            {
                "name": name,
                "model": _model(model),
                "base": None if base is None else _model(base),
                "lock": {key: lock[key]} if key in lock else {},
            },
        )


# Keys of a recipe that say which text; training sees only its tokens.
_OF_TEXT = {"corpus", "also"}


def _recipes(experiment: Experiment, lock: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Text and tokens that models are trained on, and every training run."""
    for name, recipe in experiment.recipe.items():
        for corpus in recipe.corpora:
            text = experiment.corpus[corpus].text
            assert text.split is not None, "checked when composed"
            training = text.split.model_copy(update={"part": "training"})
            rest = text.model_copy(update={"split": training})
            yield from _corpus(f"{corpus}.training", rest, lock)
        yield (
            f"recipes/{name}/prepare",
            {
                "name": name,
                **_plain(recipe, include={"tokenizer", "context"}),
                # Of several the order decides; of one it is the file that is read.
                **({"corpora": recipe.corpora} if recipe.also else {}),
            },
        )
    for run, models in runs_of(experiment).items():
        source = experiment.model[next(iter(models.values()))].source
        assert source.kind == "trained"
        yield (
            f"training/{run}/train",
            {
                "run": run,
                "source": _plain(source),
                # All that the recipe keeps, so that another choice of steps trains nothing again.
                "recipe": _plain(
                    experiment.recipe[source.recipe], exclude={*_OF_TEXT, "tokenizer"}
                ),
            },
        )


def _families(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Revisions that are compared before the first of them is fetched."""
    for name, models in experiment.families.items():
        sources = [_plain(experiment.model[model].source) for model in models]
        yield f"models/{name}/audit", {"name": name, "sources": sources}


def _corpora(experiment: Experiment, lock: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, corpus in experiment.corpus.items():
        yield from _corpus(name, corpus.text, lock)


def _corpus(name: str, text: Text, lock: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    source = text.source
    key = lock_key(source, dataset=True) if source.kind == "hub" else ""
    entry = {key: lock[key]} if key in lock else {}
    yield f"corpora/{name}/build", {"name": name, "text": _text(text), "lock": entry}


def _text(text: Text) -> dict[str, Any]:
    """Its keys; some only where they say something, so that other corpora are not built anew."""
    return _plain(text, exclude={key for key in ("split", "samples") if not getattr(text, key)})


def _read(text: Text) -> dict[str, str]:
    """Whether models are given sounds or pictures; nothing of texts."""
    return {} if text.read == "tokens" else {"read": text.read}


def _cells(experiment: Experiment, model: str) -> Iterator[tuple[str, Any]]:
    for corpus, cells in _by_corpus(experiment).items():
        facts = _facts(experiment, corpus)
        conditions = sorted({c for cell in cells for c in cell.conditions} | set(facts))
        yield (
            f"sequences/{model}/{corpus}",
            {
                "corpus": corpus,
                "rules": _plain(experiment.corpus[corpus].sequences),
                "conditions": {c: _plain(experiment.condition[c]) for c in conditions},
                **_read(experiment.corpus[corpus].text),
            },
        )
        probes = {p for cell in cells for p in _probes(experiment, cell)}
        probes |= {p for e in experiment.study.facts if e.corpus == corpus for p in e.probes}
        yield (
            f"signals/{model}/{corpus}",
            {
                "model": model,
                "corpus": corpus,
                "conditions": conditions,
                "probes": {p: _probe(experiment.probe[p]) for p in sorted(probes)},
                "facts": {c: facts.get(c, []) for c in conditions},
                "repeated": [c for c in conditions if experiment.condition[c].kind == "repeat"],
            },
        )
        for cell in cells:
            scaled = [c for c in cell.conditions if experiment.condition[c].kind == "subsample"]
            yield (
                f"measures/{model}/{corpus}/{cell.protocol}",
                {
                    "conditions": sorted(cell.conditions),
                    "scaled": sorted(scaled),
                    "probes": sorted(cell.probes),
                    "protocol": _plain(experiment.protocol[cell.protocol]),
                },
            )


def _nulls(experiment: Experiment) -> dict[str, Any]:
    """What signal-level nulls of each model, corpus and protocol are measured."""
    found = {}
    for cell in null_cells(experiment):
        protocol = experiment.protocol[cell.protocol]
        chosen = protocol.model_copy(update={"measures": list(cell.measures)})
        found[f"nulls/{cell.model}/{cell.corpus}/{cell.protocol}"] = {
            "model": cell.model,
            "conditions": list(cell.conditions),
            "scaled": [c for c in cell.conditions if experiment.condition[c].kind == "subsample"],
            "probes": {p: _probe(experiment.probe[p]) for p in cell.probes},
            "protocol": _plain(chosen),
            "nulls": {name: _plain(experiment.null[name]) for name in cell.nulls},
            "draws": experiment.statistics.null_draws,
        }
    return found


def _changed(experiment: Experiment) -> dict[str, Any]:
    """How attention of each model is changed, and what is summed up; nothing in other studies."""
    asked = experiment.study.causal
    if asked is None:
        return {}
    protocol = experiment.protocol[asked.protocol]
    assert protocol.kind == "paper", "checked when composed"
    plain = _plain(asked, exclude={"models", "corpus", "protocol"})
    plain |= {"probe": protocol.probe, "band_edges": protocol.spectrum.band_edges}
    summary = {"models": list(asked.models), "statistics": _intervals(experiment)}
    return {f"causal/{model}/{asked.corpus}": plain for model in asked.models} | {
        f"studies/{experiment.study_name}/causal": summary
    }


def _series_cells(experiment: Experiment) -> dict[str, Any]:
    """Series of known scale, and who reads them; nothing in other studies."""
    asked = experiment.study.series
    if asked is None:
        return {}
    runs = [list(models.values()) for models in runs_of(experiment).values()]
    passing = {model for models in runs for model in models[1:-1]}
    return {
        f"studies/{experiment.study_name}/series": {
            **_plain(asked),
            "models": list(experiment.study.models),
            # Of checkpoints on the way there are hundreds: their spectra are not kept.
            "drawn": [name for name in experiment.study.models if name not in passing],
            "corpora": {
                name: {group: _plain(known) for group, known in found.items()}
                for name in _by_corpus(experiment)
                if (found := experiment.corpus[name].text.known)
            },
            "statistics": _intervals(experiment),
        }
    }


def _intervals(experiment: Experiment) -> dict[str, Any]:
    """What an interval over documents is made by."""
    return _plain(experiment.statistics, include={"confidence", "min_documents"})


def _judged_cells(experiment: Experiment) -> list[dict[str, str]]:
    """Model, corpus and protocol of every table that some claim reads."""
    pairs = {
        (found["corpus"], experiment.claim[name].protocol)
        for name, found in evidence(experiment).items()
        if found["corpus"]
    }
    return [
        {"model": model, "corpus": corpus, "protocol": protocol}
        for model in experiment.study.models
        for corpus, protocol in sorted(pairs)
    ]


def _by_corpus(experiment: Experiment) -> dict[str, list[Measurement]]:
    grouped: dict[str, list[Measurement]] = {}
    for cell in experiment.study.measurements:
        grouped.setdefault(cell.corpus, []).append(cell)
    return grouped


def _facts(experiment: Experiment, corpus: str) -> dict[str, list[str]]:
    """Condition -> names of its facts."""
    found: dict[str, set[str]] = {}
    for entry in experiment.study.facts:
        for condition in entry.conditions if entry.corpus == corpus else []:
            found.setdefault(condition, set()).update(entry.facts)
    return {condition: sorted(names) for condition, names in found.items()}


def _comparisons(experiment: Experiment, folder: str) -> dict[str, Any]:
    """Runs of models trained here, and where their numbers stand; nothing in other studies."""
    runs = {run: list(models.values()) for run, models in runs_of(experiment).items()}
    if not runs:
        return {}
    head = experiment.study.headline
    names = {c.protocol for c in experiment.study.measurements if c.corpus == head.corpus}
    kinds = {name: experiment.protocol[name].kind for name in sorted(names)}
    return {
        f"{folder}/runs": {
            "runs": runs,
            "protocols": kinds,
            "corpus": head.corpus,
            "condition": head.condition,
            "statistics": _plain(experiment.statistics, include={"confidence"}),
        }
    }


def _identities(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Of which model each is the twin, of which training a checkpoint, and whether on its way.

    Of a model trained here the checkpoint before the first step is the untrained twin of the last,
    and those between are `passing`: claims about trained models are not asked of them.
    """
    runs = runs_of(experiment)
    found: dict[str, dict[str, Any]] = {}
    for name in experiment.study.models:
        model = experiment.model[name]
        if trained := run_of(name, model):
            run, step = trained
            last = list(runs[run])[-1]
            twin = step == 0 and last > 0
            found[name] = {
                "of": runs[run][last] if twin else "",
                "repository": run,
                "step": step,
                # Seeds of one YAML: each is an untrained twin of the others before its first step.
                "family": run.rsplit("-s", 1)[0],
                "passing": not twin and step != last,
            }
            continue
        source = model.source
        named = re.search(r"step(\d+)$", getattr(source, "revision", ""))
        found[name] = {
            "of": getattr(source, "of", ""),
            "repository": getattr(source, "repository", ""),
            "step": int(named.group(1)) if named else None,
        }
    return found


def _probe(probe: Probe) -> dict[str, Any]:
    return probe.model_dump(mode="json", exclude_none=True)


def _probes(experiment: Experiment, cell: Measurement) -> list[str]:
    """Probes to extract: those measured and those the protocol reads beside them."""
    return [*cell.probes, *experiment.protocol[cell.protocol].also_read]


def _study(experiment: Experiment) -> dict[str, Any]:
    study = experiment.study
    head = study.headline
    cells = [
        {
            "model": model,
            "corpus": cell.corpus,
            "protocol": cell.protocol,
            # Hundreds of settings would make a table of millions of heads that nobody reads.
            "by_head": cell.protocol not in experiment.variants,
        }
        for model in study.models
        for cell in study.measurements
    ]
    scales = {
        name: {"fraction": c.fraction, "method": c.method}
        for name, c in sorted(experiment.condition.items())
        if c.kind == "subsample"
    }
    headline = _plain(head) | {"probe": experiment.protocol[head.protocol].probe}
    folder = f"studies/{experiment.study_name}"
    corpora = {
        name: {"text": _text(c.text), "sequences": _plain(c.sequences)}
        for name, c in experiment.corpus.items()
    }
    facts = [
        {"model": model, "corpus": corpus, "facts": found}
        for model in study.models
        for corpus in _by_corpus(experiment)
        if any((found := _facts(experiment, corpus)).values())
    ]
    claims = {name: _plain(claim) for name, claim in experiment.claim.items()}
    identities = _identities(experiment)
    intervals = _intervals(experiment)
    return {
        f"{folder}/claims": {
            "claims": claims,
            "evidence": evidence(experiment),
            "nulls": {name: _plain(null) for name, null in experiment.null.items()},
            "cells": _judged_cells(experiment),
            "null_cells": [
                {"model": cell.model, "corpus": cell.corpus, "protocol": cell.protocol}
                for cell in null_cells(experiment)
            ],
            "protocols": {
                name: _plain(protocol)
                for name, protocol in experiment.protocol.items()
                if name in {claim.protocol for claim in experiment.claim.values()}
            },
            "models": identities,
            # The tables of nulls hold their draws; how many there are stands in their own slices.
            "statistics": _plain(experiment.statistics, exclude={"null_draws"}),
        },
        f"{folder}/facts": {"cells": facts, "statistics": intervals},
        f"{folder}/aggregate": {
            "cells": cells,
            "headline": headline,
            "models": {
                name: {"label": experiment.model[name].label, "of": identity["of"]}
                for name, identity in identities.items()
            },
            "scales": scales,
            "statistics": intervals,
            "tokens": experiment.corpus[head.corpus].sequences.tokens,
        },
        **_comparisons(experiment, folder),
        f"{folder}/nearest": {
            "headline": headline,
            "models": {
                name: getattr(experiment.model[name].source, "repository", None)
                for name in study.models
            },
            "revisions": {
                name: getattr(experiment.model[name].source, "revision", None)
                for name in study.models
            },
            "protocols": {
                name: protocol.reference
                for name, protocol in sorted(experiment.protocol.items())
                if protocol.kind == "paper"
            },
            "scales": scales,
            "settings": {
                name: _plain(protocol)
                for name, protocol in sorted(experiment.protocol.items())
                if protocol.kind == "paper"
            },
        },
        f"{folder}/figures": {
            "figures": list(study.figures),
            "headline": headline,
            "protocol": _plain(experiment.protocol[head.protocol]),
            "scales": scales,
            "settings": _plain(experiment.figure),
        },
        f"{folder}/report": {
            "study": {
                "name": experiment.study_name,
                "title": study.title,
                "description": study.description,
            },
            "figures": list(study.figures),
            "headline": headline,
            "models": list(study.models),
            # Only where there are some, so that the report of other studies is not written anew.
            **({"left_out": experiment.left_out} if experiment.left_out else {}),
            "corpora": corpora,
            "conditions": {n: _plain(c) for n, c in experiment.condition.items()},
            "measurements": [_plain(cell) for cell in study.measurements],
            "protocol": _plain(experiment.protocol[head.protocol]),
            "statistics": intervals,
        },
    }
