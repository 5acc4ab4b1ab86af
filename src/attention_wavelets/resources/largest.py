"""The largest requests among the jobs of an experiment, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from attention_wavelets.config.checkpoints import runs_of
from attention_wavelets.config.evidence import null_cells
from attention_wavelets.config.variants import chunks
from attention_wavelets.resources.jobs import CORES, Need, Needs

__all__ = ["Request", "largest_requests"]


@dataclass(frozen=True)
class Request:
    """What a job of a rule asks for, beside its cores; `of` names the job."""

    rule: str
    of: str
    need: Need
    threads: int = 1


def largest_requests(needs: Needs, threads: Callable[[str, int], int]) -> list[Request]:
    """Of each stage that is submitted, the jobs with most memory, most minutes, most cards.

    Parameters
    ----------
    needs
        Requests of the experiment.
    threads
        Cores of a job of a rule, where its own say so many: the minutes of an extraction depend
        on them.
    """
    stages = [*_of_fetched(needs, threads), *_of_runs(needs, threads), *_of_study(needs, threads)]
    return [request for jobs in stages for request in _extremes(jobs)]


def _of_fetched(needs: Needs, threads: Callable[[str, int], int]) -> list[list[Request]]:
    """Extraction and measuring of models from elsewhere."""
    experiment = needs.experiment
    shards, usual = experiment.runtime.shards, experiment.runtime.threads or CORES
    packing, part = (threads(rule, usual) for rule in ("extract_signals", "extract_shard"))
    found = [(model, corpus) for model, corpus in needs.extractions() if not _trained(needs, model)]
    return [
        [
            Request("extract_signals", f"{m} on {c}", needs.packing(m, c, packing, shards), packing)
            for m, c in found
        ],
        [
            Request("extract_shard", f"{m} on {c}", needs.extraction(m, c, part, shards), part)
            for m, c in found
            if shards > 1
        ],
        [
            Request("measure_heads", f"{m} on {corpus}", needs.measuring(m, corpus, [protocol]))
            for m in experiment.study.models
            if not _trained(needs, m)
            for corpus, protocol in _single(needs)
        ],
    ]


def _of_runs(needs: Needs, threads: Callable[[str, int], int]) -> list[list[Request]]:
    """Jobs of models trained here: a run's checkpoints follow each other in one of each kind."""
    training, extraction, measuring = [], [], []
    corpora = dict.fromkeys(corpus for _, corpus in needs.extractions())
    for run, steps in runs_of(needs.experiment).items():
        last, times = list(steps.values())[-1], len(steps)
        cores = threads("train_model", 1)
        training.append(Request("train_model", run, needs.training(last), cores))
        for corpus in corpora:
            rule = f"extract_{run}"
            asked = needs.extraction(last, corpus, threads(rule, 1), times=times)
            named = f"{times} checkpoints on {corpus}"
            extraction.append(Request(rule, named, asked, threads(rule, 1)))
        for corpus, protocol in _single(needs):
            asked = needs.measuring(last, corpus, [protocol], times=times)
            measuring.append(Request(f"measure_{run}", f"{times} checkpoints on {corpus}", asked))
    preparing = [
        Request("prepare_recipe", recipe, needs.preparing(recipe))
        for recipe in needs.experiment.recipe
    ]
    return [preparing, training, extraction, measuring]


def _of_study(needs: Needs, threads: Callable[[str, int], int]) -> list[list[Request]]:
    """Jobs that a model may have whether it is trained here or not, and those of all models."""
    experiment, study = needs.experiment, needs.experiment.study
    usual = experiment.runtime.threads or CORES
    changing = []
    if study.causal:
        corpus = study.causal.corpus
        for model in study.causal.models:
            cores = threads("change_attention", 1 if _trained(needs, model) else usual)
            asked = needs.changing(model, corpus, cores)
            changing.append(Request("change_attention", f"{model} on {corpus}", asked, cores))
    parts = chunks(study.measurements, experiment.variants, experiment.runtime.chunk)
    settings = [
        [
            Request(f"measure_settings_{n}", f"{m} on {corpus}", needs.measuring(m, corpus, names))
            for m in study.models
        ]
        for n, (corpus, names) in enumerate(parts)
    ]
    nulls = [
        Request(
            "measure_nulls", f"{c.model} on {c.corpus}", needs.nulls(c.model, c.corpus, c.protocol)
        )
        for c in null_cells(experiment)
    ]
    judging = [Request("judge_claims", "all models", needs.judging())] if study.claims else []
    return [changing, *settings, nulls, judging]


def _trained(needs: Needs, model: str) -> bool:
    return needs.experiment.model[model].source.kind == "trained"


def _single(needs: Needs) -> list[tuple[str, str]]:
    """Corpus and protocol of every measurement that has a job of its own."""
    varied = set(needs.experiment.variants)
    cells = needs.experiment.study.measurements
    return [(cell.corpus, cell.protocol) for cell in cells if cell.protocol not in varied]


def _extremes(requests: Iterable[Request]) -> list[Request]:
    """Those of most memory, minutes and cards, each once; none where there are no jobs."""
    jobs = list(requests)
    most = [
        max(jobs, key=lambda r: (r.need.mem_mb, r.need.runtime), default=None),
        max(jobs, key=lambda r: (r.need.runtime, r.need.mem_mb), default=None),
        max(jobs, key=lambda r: (r.need.gpu, r.need.mem_mb, r.need.runtime), default=None),
    ]
    return [request for request in dict.fromkeys(most) if request is not None]
