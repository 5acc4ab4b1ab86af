"""What breaks on a cluster, through the project's profile: limits, cancelled jobs, nodes, restarts.

The jobs only sleep (small.smk): what is tested is the profile and SLURM, not the pipeline.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_study import ROOT

PROFILE = ROOT / "workflow/profiles/slurm"
# Look sooner than a site would like.
FAST = ("--slurm-init-seconds-before-status-checks=2", "--max-status-checks-per-second=1")
FAST += ("--latency-wait=10",)


def profile(folder: Path) -> Path:
    """The project's profile without what names its rules."""
    import yaml

    values = yaml.safe_load((PROFILE / "profile.yaml").read_text(encoding="utf-8"))
    left_out = ("quiet", "set-resources", "set-threads")
    values = {key: value for key, value in values.items() if key not in left_out}
    path = folder / "profile/profile.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path.parent


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake in the background, on a copy of small.smk."""
    if not (folder / "Snakefile").exists():
        shutil.copy(Path(__file__).parent / "small.smk", folder / "Snakefile")
    command = [sys.executable, "-m", "snakemake", f"--profile={folder / 'profile'}", *FAST]
    log = (folder / "said.txt").open("a", encoding="utf-8")
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
        preexec_fn=_end_with_the_tests,
    )


def _end_with_the_tests() -> None:
    """Tests that fail or are killed leave no Snakemake that waits for a cluster which is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def said(folder: Path) -> str:
    return (folder / "said.txt").read_text(encoding="utf-8")


def wait(
    what: str,
    ready: Callable[[], bool],
    running: subprocess.Popen[str] | None = None,
    seconds: float = 120,
) -> None:
    """Until it is so; a run that ended before is no use waiting for."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"no {what}"
        assert running is None or running.poll() is None, f"no {what}, and the run has ended"
        time.sleep(0.3)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def troubled(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run: a job is over its time, one is cancelled, a node and the controller go down."""
    folder = tmp_path_factory.mktemp("troubled")
    profile(folder)
    running = start(folder, "--jobs=8")
    for name in ("slow", "cancelled", "moved"):
        wait(name, lambda name=name: len(lines(folder / f"{name}.starts")) == 1, running, 60)
    # One after the other: what ends while the controller is away SLURM may take for unkillable.
    cluster.controller_down()
    time.sleep(12)
    cluster.controller_up()
    wait("idle controller", lambda: "unknown" not in cluster.states().values(), running)
    (job,) = cluster.queued("rule_cancelled")
    subprocess.run(["scancel", job], check=True)
    node = lines(folder / "moved.starts")[0]
    cluster.node_down(node)
    try:
        wait("end of the run", lambda: running.poll() is not None, seconds=360)
        assert running.returncode == 0, said(folder)
    finally:
        running.kill()
        cluster.node_up(node)
    return folder


def test_a_job_over_its_time_succeeds_on_the_retry_with_more(troubled: Path, cluster: Any):
    first, second = cluster.jobs("rule_slow")
    assert (first["State"], second["State"]) == ("TIMEOUT", "COMPLETED")
    assert (first["Timelimit"], second["Timelimit"]) == ("00:01:00", "00:04:00")
    assert len(lines(troubled / "slow.starts")) == 2


def test_a_cancelled_job_is_run_again(troubled: Path, cluster: Any):
    first, second = cluster.jobs("rule_cancelled")
    assert first["State"].startswith("CANCELLED")
    assert second["State"] == "COMPLETED"
    assert len(lines(troubled / "cancelled.starts")) == 2


def test_a_job_of_a_node_that_went_down_is_run_on_another(troubled: Path):
    first, second = lines(troubled / "moved.starts")
    assert first != second


def test_a_job_with_a_gpu_has_one_of_the_gpu_node(troubled: Path, cluster: Any):
    given = dict(line.split("=", 1) for line in lines(troubled / "gpu.txt"))
    assert given["SLURMD_NODENAME"] == "g1"
    assert given["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    (job,) = cluster.jobs("rule_gpu")
    assert "gres/gpu=1" in job["AllocTRES"]


def test_a_restart_of_the_controller_loses_no_job(troubled: Path):
    names = ("gpu", "slow", "cancelled", "moved")
    assert all((troubled / f"{name}.txt").exists() for name in names)
    assert "Traceback" not in said(troubled)


def test_what_failed_reaches_the_user(cluster: Any, tmp_path: Path):
    profile(tmp_path)
    running = start(tmp_path, "broken", "--retries=0")
    assert running.wait(120) != 0
    assert "error: the weights are damaged" in said(tmp_path)
    assert "broken.log" in said(tmp_path)


def test_more_gpus_than_a_node_has_are_refused_at_once(cluster: Any, tmp_path: Path):
    profile(tmp_path)
    running = start(tmp_path, "many_gpus", "--retries=0")
    assert running.wait(120) != 0
    assert "Requested node configuration is not available" in said(tmp_path)


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attention_wavelets", "cluster-check", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_jobs_of_a_killed_run_are_found_and_not_run_twice(cluster: Any, tmp_path: Path):
    profile(tmp_path)
    killed = start(tmp_path, "orphan")
    wait("orphan", lambda: len(lines(tmp_path / "orphan.starts")) == 1)
    # While the run goes on its jobs are no orphans, and nobody is told to cancel them.
    going_on = check(tmp_path, "--orphans").stderr
    assert f"a run goes on here (process {killed.pid}), with 1 jobs" in going_on
    assert "scancel" not in going_on
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    found = check(tmp_path, "--orphans")
    (job,) = cluster.queued("rule_orphan")
    assert found.returncode == 1
    assert "1 jobs of a killed run still work here (rule_orphan" in found.stderr
    assert f"scancel {job}" in found.stderr
    # The pipeline's own Snakefile asks the same before it submits anything.
    with (tmp_path / "Snakefile").open("a") as handle:
        handle.write(_onstart())
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--unlock", "orphan"], cwd=tmp_path, check=True
    )
    refused = start(tmp_path, "orphan")
    assert refused.wait(60) != 0
    assert f"scancel {job}" in said(tmp_path)
    assert len(lines(tmp_path / "orphan.starts")) == 1
    wait("end of the orphan", lambda: check(tmp_path, "--orphans").returncode == 0)
    again = start(tmp_path, "orphan", "--rerun-incomplete")
    assert again.wait(120) == 0, said(tmp_path)
    assert (tmp_path / "orphan.txt").exists()


def _onstart() -> str:
    """The lines of the project's Snakefile that look for jobs of a killed run.

    Of common.smk, which composes a study, only the function that they call comes with them.
    """
    names = "import signal\nfrom attention_wavelets.interrupts import handle_in_a_thread\n"
    common = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    name = "def look_for_work_at_ends_of_jobs():"
    function = name + common.split(name)[1].split("\n\n\n")[0]
    text = (ROOT / "Snakefile").read_text(encoding="utf-8")
    block = text[text.index("onstart:") :].replace("python -m", f"{sys.executable} -m")
    return f"\n\n{names}\n\n{function}\n\n\n{block}"
