"""What `cluster-check` asks SLURM about a study's jobs; stand-ins for its programs answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from attention_wavelets.cluster import check_cluster, read_profile, threads_of
from attention_wavelets.config.compose import compose
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.largest import largest_requests
from helpers.tiny_study import ROOT

PROGRAMS = {
    "scontrol": 'echo "Slurmctld(primary) at here is UP"',
    "sinfo": "printf 'cpu*|up|infinite|2|idle\\ngpu|up|infinite|1|idle\\n'",
    "squeue": "true",
    # Nodes with GPUs have less memory than the largest training takes.
    "sbatch": """for word in "$@"; do
  case "$word" in --mem=[0-9][0-9][0-9][0-9][0-9]*) echo "too large" >&2; exit 1;; esac
done""",
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch) -> None:
    for name, text in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def lines(tmp_path: Path, *overrides: str) -> list[str]:
    profile = read_profile(ROOT / "workflow/profiles/slurm")
    requests = []
    if overrides:
        needs = Needs(compose(list(overrides), ROOT / "conf"), lambda _: None)
        requests = largest_requests(needs, lambda rule, usual: threads_of(profile, rule, usual))
    return [finding.line() for finding in check_cluster(profile, tmp_path, {}, requests)]


@pytest.mark.usefixtures("slurm")
def test_a_training_that_no_node_has_room_for_is_a_problem(tmp_path: Path):
    found = lines(tmp_path, "study=ladder_gpu")
    problems = [line for line in found if line.startswith("problem train_model of ladder-gpu-")]
    assert problems
    assert all("would be refused (--partition=gpu --mem=" in line for line in problems)


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("study", ["ladder", "bands", "quickstart"])
def test_requests_with_a_gpu_name_its_partition_and_no_others_do(tmp_path: Path, study: str):
    found = [line for line in lines(tmp_path, f"study={study}") if "--partition" in line]
    assert found
    for line in found:
        assert ("--partition=gpu" in line) == ("--gpus=1" in line), line


@pytest.mark.usefixtures("slurm")
def test_without_a_study_a_job_of_each_kind_is_tried(tmp_path: Path):
    found = lines(tmp_path)
    for rule in ("extract_signals", "extract_shard", "train_model", "change_attention"):
        (line,) = [line for line in found if f"a job of {rule} " in line]
        assert "--partition=gpu" in line
        assert line.startswith("ok")
    assert "ok      partition gpu is up, with nodes that take jobs: 1" in found
