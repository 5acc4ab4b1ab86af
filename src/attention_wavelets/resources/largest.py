"""The largest requests among the jobs of an experiment, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from attention_wavelets.config.evidence import null_cells
from attention_wavelets.config.variants import chunks
from attention_wavelets.resources.jobs import Need, Needs

__all__ = ["Request", "largest_requests"]


@dataclass(frozen=True)
class Request:
    """What a job of a rule asks for; `of` names the job."""

    rule: str
    of: str
    need: Need


def largest_requests(needs: Needs, threads: Callable[[str], int]) -> list[Request]:
    """Of each rule that is submitted, the jobs with most memory, most minutes, most cards.

    Parameters
    ----------
    needs
        Requests of the experiment.
    threads
        Cores of a job of a rule, on which the minutes of an extraction depend.
    """
    return [
        request
        for rule, jobs in _jobs(needs, threads).items()
        for request in _extremes(Request(rule, of, need) for of, need in jobs)
    ]


def _jobs(needs: Needs, threads: Callable[[str], int]) -> dict[str, list[tuple[str, Need]]]:
    experiment = needs.experiment
    shards = experiment.runtime.shards
    varied = set(experiment.variants)
    study = experiment.study
    packing, part = threads("extract_signals"), threads("extract_shard")
    found = {
        "extract_signals": [
            (f"{model} on {corpus}", needs.packing(model, corpus, packing, shards))
            for model, corpus in needs.extractions()
        ],
        "extract_shard": [
            (f"{model} on {corpus}", needs.extraction(model, corpus, part, shards))
            for model, corpus in needs.extractions()
            if shards > 1
        ],
        "measure_heads": [
            (f"{model} on {cell.corpus}", needs.measuring(model, cell.corpus, [cell.protocol]))
            for model in study.models
            for cell in study.measurements
            if cell.protocol not in varied
        ],
        "measure_nulls": [
            (f"{c.model} on {c.corpus}", needs.nulls(c.model, c.corpus, c.protocol))
            for c in null_cells(experiment)
        ],
        "judge_claims": [("all models", needs.judging())] if study.claims else [],
    }
    parts = chunks(study.measurements, experiment.variants, experiment.runtime.chunk)
    for number, (corpus, protocols) in enumerate(parts):
        found[f"measure_settings_{number}"] = [
            (f"{model} on {corpus}", needs.measuring(model, corpus, protocols))
            for model in study.models
        ]
    return found


def _extremes(requests: Iterable[Request]) -> list[Request]:
    """Those of most memory, minutes and cards, each once; none where there are no jobs."""
    jobs = list(requests)
    most = [
        max(jobs, key=lambda r: (r.need.mem_mb, r.need.runtime), default=None),
        max(jobs, key=lambda r: (r.need.runtime, r.need.mem_mb), default=None),
        max(jobs, key=lambda r: (r.need.gpu, r.need.mem_mb, r.need.runtime), default=None),
    ]
    return [request for request in dict.fromkeys(most) if request is not None]
