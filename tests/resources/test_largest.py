"""The largest requests of a study, rule by rule, are no smaller than any job's."""

from __future__ import annotations

import pytest

from attention_wavelets.config.checkpoints import runs_of
from attention_wavelets.config.compose import compose
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.largest import Request, largest_requests
from helpers.tiny_study import ROOT


def largest(*overrides: str, threads: int = 4) -> tuple[Needs, list[Request]]:
    needs = Needs(compose(list(overrides), ROOT / "conf"), lambda _: None)
    return needs, largest_requests(needs, lambda _rule, _usual: threads)


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


def test_jobs_of_training_runs_are_among_them():
    needs, requests = largest("study=ladder_gpu", "runtime.device=cuda", threads=1)
    experiment = needs.experiment
    runs = [list(steps.values()) for steps in runs_of(experiment).values()]
    asked = {
        "prepare_recipe": [needs.preparing("ladder-gpu")],
        "train_model": [needs.training(models[0]) for models in runs],
        # One process reads all checkpoints of a run.
        "extract_": [
            needs.extraction(models[-1], "ladder-512", 1, times=len(models)) for models in runs
        ],
        "measure_ladder": [
            needs.measuring(models[-1], "ladder-512", [cell.protocol], times=len(models))
            for models in runs
            for cell in experiment.study.measurements
        ],
        "change_attention": [
            needs.changing(model, "ladder-512", 1) for model in experiment.study.causal.models
        ],
    }
    for rule, jobs in asked.items():
        ours = [r for r in requests if r.rule.startswith(rule)]
        for key in ("mem_mb", "runtime", "gpu"):
            most_of_all = max(getattr(job, key) for job in jobs)
            assert max(getattr(r.need, key) for r in ours) == most_of_all, (rule, key)
    # They are rules of their own, and those of models from elsewhere have no job.
    assert not {"extract_signals", "measure_heads"} & {r.rule for r in requests}


def test_changed_attention_of_a_fetched_model_is_among_them():
    needs, requests = largest("study=bands")
    (request,) = [r for r in requests if r.rule == "change_attention"]
    causal = needs.experiment.study.causal
    assert request.need == needs.changing(*causal.models, causal.corpus, 4)


def test_cores_are_those_of_the_rules_where_the_profile_has_none():
    needs = Needs(compose(["study=bands"], ROOT / "conf"), lambda _: None)
    cores = {r.rule: r.threads for r in largest_requests(needs, lambda _rule, usual: usual)}
    assert cores["extract_signals"] == cores["change_attention"] == 4
    needs = Needs(compose(["study=ladder"], ROOT / "conf"), lambda _: None)
    cores = {r.rule: r.threads for r in largest_requests(needs, lambda _rule, usual: usual)}
    assert set(cores.values()) == {1}


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
