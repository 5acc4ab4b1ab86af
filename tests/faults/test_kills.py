"""kill -9 at seeded moments: after a plain rerun every table is that of an undisturbed run.

What a user types after the main process was killed: `snakemake --unlock`, then the same command
with `--rerun-incomplete`, which both profiles have set.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.tiny_study import MODELS, Project, make_project

# Which file of a run, counted as they appear, is the last before the kill.
MOMENTS = sorted(random.Random(20261125).sample(range(2, 40), 2))
TABLES = [
    *(
        f"measures/{model}/tiny/paper/{table}.parquet"
        for model in MODELS
        for table in ("heads", "layers", "model", "pairs")
    ),
    *(f"nulls/{model}/tiny/paper/heads.parquet" for model in MODELS),
    *(f"studies/tiny/{table}.parquet" for table in ("heads", "facts", "summary")),
    *(f"studies/tiny/{table}.csv" for table in ("models", "claims", "claims_by_model", "nearest")),
]


def same_tables(project: Project, undisturbed: Project) -> None:
    for table in TABLES:
        read = pd.read_parquet if table.endswith("parquet") else pd.read_csv
        found, expected = (read(p.results / table) for p in (project, undisturbed))
        pd.testing.assert_frame_equal(
            found, expected, check_exact=False, rtol=1e-12, atol=1e-12, obj=table
        )


def outputs(project: Project) -> set[str]:
    """Finished files of a run: no logs, nothing hidden, nothing partial."""
    found = set()
    for folder, inside, names in os.walk(project.results):
        # Folders that are gone while they are looked at are no error of `walk`.
        inside[:] = [name for name in inside if name != "logs" and not name.startswith(".")]
        found |= {os.path.join(folder, name) for name in names if not name.startswith(".")}
    return found


def fresh(finished: Project, folder: Path) -> Project:
    source = yaml.safe_load(finished.yaml("model/tiny-llama").read_text(encoding="utf-8"))["source"]
    return make_project(folder / "project", Path(source["path"]).parent)


def started(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "study=tiny"],
        cwd=project.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_files(project: Project, count: int, running: subprocess.Popen[bytes]) -> None:
    while len(outputs(project)) < count and running.poll() is None:
        time.sleep(0.02)
    assert running.poll() is None, "the run ended before the moment came"


def rerun(project: Project) -> str:
    done = project.snakemake("--rerun-incomplete")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_the_whole_run_was_killed_only_lost_work_is_done_again(
    finished: Project, tmp_path: Path, moment: int
):
    project = fresh(finished, tmp_path)
    running = started(project)
    wait_for_files(project, moment, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = outputs(project)
    # Snakemake says which of the two it needs, by what the kill has left.
    refused = project.snakemake()
    said = refused.stdout + refused.stderr
    assert refused.returncode == 0 or "--unlock" in said or "--rerun-incomplete" in said
    assert project.snakemake("--unlock").returncode == 0
    kept = {path: os.stat(path).st_mtime_ns for path in before & outputs(project)}
    rerun(project)
    same_tables(project, finished)
    again = [path for path, when in kept.items() if os.stat(path).st_mtime_ns != when]
    # Two jobs ran side by side, and one may have ended as the kill came.
    rules = {os.path.dirname(path) for path in again}
    assert len(rules) <= 3, again
    assert not list(project.results.rglob("*.part*"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_nothing_half_written(
    finished: Project, tmp_path: Path, how: signal.Signals
):
    project = fresh(finished, tmp_path)
    running = started(project)
    wait_for_files(project, 12, running)
    os.killpg(running.pid, how)
    running.wait(180)
    assert running.returncode != 0
    assert not list(project.results.rglob("*.part*"))
    rerun(project)
    same_tables(project, finished)


def test_two_runs_at_once_are_told_apart(finished: Project, tmp_path: Path):
    project = fresh(finished, tmp_path)
    running = started(project)
    wait_for_files(project, 3, running)
    second = project.snakemake()
    assert second.returncode != 0
    assert "LockException" in second.stdout + second.stderr
    assert running.wait(240) == 0
    same_tables(project, finished)
