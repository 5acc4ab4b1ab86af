"""`attention-wavelets cluster-check` on a real SLURM, and where there is none."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_wavelets.cluster import check_cluster
from helpers.tiny_study import ROOT

PROFILE = ROOT / "workflow/profiles/slurm"


def run(tmp_path: Path, *overrides: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    values = yaml.safe_load((PROFILE / "profile.yaml").read_text(encoding="utf-8"))
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({**values, **changes}))
    command = [sys.executable, "-m", "attention_wavelets", "cluster-check", *overrides]
    return subprocess.run(
        [*command, "--profile", str(tmp_path), "--conf", str(ROOT / "conf")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_profile_as_it_is_fits_a_cluster_with_its_partitions(cluster: Any, tmp_path: Path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    accepted = "a job of extract_signals would be accepted"
    assert (
        f"{accepted} (--partition=gpu --cpus-per-task=4 --mem=2000 --time=30 --gpus=1)"
        in done.stdout
    )
    assert "jobs are watched with squeue" in done.stdout
    assert "partition cpu is up, with nodes that take jobs: 2" in done.stdout
    assert "problem" not in done.stdout


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"default-resources": {"slurm_partition": "nowhere"}},
            "there is no partition nowhere; write one of cpu, gpu into the profile",
        ),
        (
            {"default-resources": {"slurm_partition": "cpu", "gpu_partition": "nowhere"}},
            "there is no partition nowhere; write one of cpu, gpu into the profile",
        ),
        (
            {"default-resources": {"slurm_partition": "cpu", "gpu_partition": "cpu"}},
            "a job of train_model would be refused (--partition=cpu",
        ),
        (
            {"default-resources": {"slurm_partition": "cpu", "runtime": "3h"}},
            "--time=180): Requested time limit is invalid",
        ),
        (
            {"set-resources": {"extract_signals": {"slurm_partition": "gpu", "gpu": 3}}},
            "--gpus=3): Requested node configuration is not available",
        ),
        (
            {"set-resources": {"extract_signals": {"slurm_partition": "cpu"}}},
            "a job of extract_signals would be refused (--partition=cpu",
        ),
        ({"default-resources": ["mem_mb=999999"]}, "--mem=999999): "),
        ({"executor": "local"}, "the profile does not submit to SLURM"),
    ],
)
def test_what_would_be_refused_is_named(cluster: Any, tmp_path: Path, changes, line: str):
    done = run(tmp_path, **changes)
    assert done.returncode == 1
    assert line in done.stdout
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("what", "name", "line"),
    [
        # sbatch takes a request for it, even with --test-only.
        ("partition", "gpu", "partition gpu is closed: its jobs would wait until it opens"),
        ("nodename", "g1", "no node of partition gpu takes a job (down or drained)"),
    ],
)
def test_a_partition_whose_jobs_would_wait_is_named(cluster: Any, tmp_path: Path, what, name, line):
    change = ("state=down",) if what == "partition" else ("state=drain", "reason=tests")
    with cluster.set(what, name, *change):
        done = run(tmp_path)
    assert done.returncode == 1
    assert f"problem {line}" in done.stdout
    # A node that was drained has its GPUs again once it has registered anew.
    again, tries = run(tmp_path), 1
    while again.returncode and tries < 60:
        time.sleep(1)
        again, tries = run(tmp_path), tries + 1
    assert again.returncode == 0, again.stdout


def test_a_time_over_the_limit_is_named_where_sbatch_takes_it(cluster: Any, tmp_path: Path):
    usual = {"slurm_partition": "cpu", "runtime": 121}
    with cluster.configured("EnforcePartLimits=ALL", "EnforcePartLimits=NO"):
        done = run(tmp_path, **{"default-resources": usual})
    assert done.returncode == 1
    line = "a job without a GPU would wait for ever (--partition=cpu --time=121)"
    assert f"problem {line}: its partition ends jobs at 120 minutes" in done.stdout


def test_the_largest_jobs_of_a_study_are_tried(cluster: Any, tmp_path: Path):
    done = run(tmp_path, "study=quickstart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "extract_signals of smollm2-135m" in done.stdout
    for rule in ("measure_heads", "measure_nulls", "judge_claims"):
        assert f"ok      {rule} of " in done.stdout
    # Weights of twelve billion parameters, and nodes of 6 GB.
    done = run(tmp_path, "study=paper")
    assert done.returncode == 1
    (line, *_) = [x for x in done.stdout.splitlines() if x.startswith("problem")]
    assert line.startswith("problem extract_signals of ")
    assert "Requested node configuration is not available" in line


def test_the_largest_training_is_tried(cluster: Any, tmp_path: Path):
    done = run(tmp_path, "study=ladder")
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in ("train_model", "extract_ladder", "measure_ladder", "change_attention"):
        assert f"ok      {rule}" in done.stdout
    # Batches of 64 x 512 tokens, and nodes of 6 GB.
    done = run(tmp_path, "study=ladder_gpu")
    assert done.returncode == 1
    assert "problem train_model of ladder-gpu-rope-768-s" in done.stdout


def test_a_retry_that_no_partition_has_time_for_is_warned_of(cluster: Any, tmp_path: Path):
    done = run(tmp_path, "study=quickstart", retries=9)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning attempt 10 of it fails: judge_claims of all models" in done.stdout


def test_sacct_without_accounting_is_a_problem(cluster: Any, tmp_path: Path):
    with cluster.without_accounting():
        done = run(tmp_path, **{"slurm-status-command": "sacct"})
        usual = run(tmp_path)
    assert done.returncode == 1
    line = "problem jobs are watched with sacct, which fails here: a run would wait for ever"
    assert line in done.stdout
    assert usual.returncode == 0, usual.stdout + usual.stderr


def test_jobs_that_leave_the_queue_too_soon_are_warned_of(cluster: Any, tmp_path: Path):
    with cluster.configured("MinJobAge=3600", "MinJobAge=60"):
        done = run(tmp_path)
    assert "warning finished jobs leave squeue after 60 s" in done.stdout


def test_sacct_is_warned_of(cluster: Any, tmp_path: Path):
    done = run(tmp_path, **{"slurm-status-command": "sacct"})
    assert "warning jobs are watched with sacct, which takes cancelled jobs" in done.stdout


def test_without_slurm_the_check_says_where_to_run_it(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = check_cluster({"executor": "slurm"}, tmp_path, {})
    assert finding.line() == (
        "problem not on PATH: sbatch, squeue, sinfo, scontrol; "
        "run this on a machine of the cluster, or load its SLURM module"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("x", "a: 1"), ("profile.yaml", "["), ("profile.yaml", "- 1")]
)
def test_a_folder_without_a_profile_is_one_line(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "attention_wavelets", "cluster-check", "--profile", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
