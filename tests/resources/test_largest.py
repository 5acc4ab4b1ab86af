"""The largest requests of a study, rule by rule, are no smaller than any job's."""

from __future__ import annotations

import pytest

from attention_wavelets.config.compose import compose
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.largest import Request, largest_requests
from helpers.tiny_study import ROOT


def largest(*overrides: str, threads: int = 4) -> tuple[Needs, list[Request]]:
    needs = Needs(compose(list(overrides), ROOT / "conf"), lambda _: None)
    return needs, largest_requests(needs, lambda _: threads)


def most(requests: list[Request], rule: str, key: str) -> int:
    return max(getattr(r.need, key) for r in requests if r.rule == rule)


@pytest.mark.parametrize("study", ["quickstart", "paper"])
def test_no_job_asks_for_more(study: str):
    needs, requests = largest(f"study={study}")
    jobs = [needs.extraction(model, corpus, 4) for model, corpus in needs.extractions()]
    measured = [
        needs.measuring(model, cell.corpus, [cell.protocol])
        for model in needs.experiment.study.models
        for cell in needs.experiment.study.measurements
    ]
    for key in ("mem_mb", "runtime", "gpu"):
        assert most(requests, "extract_signals", key) == max(getattr(j, key) for j in jobs)
        assert most(requests, "measure_heads", key) == max(getattr(j, key) for j in measured)


def test_rules_without_jobs_are_left_out():
    _, requests = largest("study=quickstart", "study.claims=[]")
    assert {r.rule for r in requests} == {"extract_signals", "measure_heads"}


def test_shards_are_jobs_of_their_own_and_only_they_ask_for_cards():
    _, requests = largest("study=quickstart", "runtime.shards=3")
    assert most(requests, "extract_shard", "gpu") == 1
    assert most(requests, "extract_signals", "gpu") == 0


def test_varied_settings_are_jobs_of_many():
    _, requests = largest("study=protocol_sweep")
    assert any(r.rule == "measure_settings_0" for r in requests)


def test_cores_of_a_rule_decide_its_minutes_on_a_processor():
    cpu = ("study=paper", "runtime.device=cpu")
    slow, fast = (largest(*cpu, threads=threads)[1] for threads in (1, 16))
    assert most(slow, "extract_signals", "runtime") > most(fast, "extract_signals", "runtime")
