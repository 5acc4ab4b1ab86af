"""`attention-wavelets cluster-check` on a real SLURM, and where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_wavelets.cluster import check_cluster
from helpers.tiny_study import ROOT

PROFILE = ROOT / "workflow/profiles/slurm"


def run(tmp_path: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    values = yaml.safe_load((PROFILE / "profile.yaml").read_text(encoding="utf-8"))
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({**values, **changes}))
    return subprocess.run(
        [sys.executable, "-m", "attention_wavelets", "cluster-check", "--profile", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_profile_as_it_is_fits_a_cluster_with_its_partitions(cluster: Any, tmp_path: Path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    accepted = "a job of extract_signals would be accepted"
    assert f"{accepted} (--partition=gpu --mem=2000 --time=30 --gpus=1)" in done.stdout
    assert "jobs are watched with squeue" in done.stdout
    assert "problem" not in done.stdout


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"default-resources": {"slurm_partition": "nowhere"}},
            "a job without a GPU would be refused (--partition=nowhere): ",
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


def test_sacct_is_warned_of(cluster: Any, tmp_path: Path):
    done = run(tmp_path, **{"slurm-status-command": "sacct"})
    assert "warning jobs are watched with sacct, which takes cancelled jobs" in done.stdout


def test_without_slurm_the_check_says_where_to_run_it(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = check_cluster({"executor": "slurm"}, tmp_path, tmp_path)
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
