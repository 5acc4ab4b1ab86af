"""kill -9 at seeded moments: after a plain rerun every table is that of an undisturbed run.

What a user types after the main process was killed: `snakemake --unlock`, then the same command
with `--rerun-incomplete`, which both profiles have set.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from helpers.tiny_study import MODELS, Project, make_project

# Which file of a run, counted as they appear, is the last before a kill: 20 moments, in two runs
# that are killed and taken up again ten times each. A whole run makes 66 files, the last 19
# at once.
MOMENTS = [sorted(random.Random(20261125 + run).sample(range(2, 48), 10)) for run in range(2)]
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


def started(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--config", "study=tiny"],
        cwd=project.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # Tests in the background of a shell ignore SIGINT, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_files(project: Project, count: int, running: subprocess.Popen[bytes]) -> None:
    while len(outputs(project)) < count and running.poll() is None:
        time.sleep(0.02)
    assert running.poll() is None, "the run ended before the moment came"


def made_at(path: str) -> int:
    """When a file was made; 0 for one that is gone, so that it counts as made again."""
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def rerun(project: Project) -> str:
    done = project.snakemake("--rerun-incomplete")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def kill(running: subprocess.Popen[bytes], what: str) -> None:
    """kill -9 of the whole run, of Snakemake alone, or of one of its jobs."""
    if what == "run":
        os.killpg(running.pid, signal.SIGKILL)
    elif what == "main":
        running.kill()
    else:
        while running.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                jobs = [
                    process
                    for process in psutil.Process(running.pid).children(recursive=True)
                    if "attention_wavelets" in process.cmdline()
                ]
                if jobs:
                    jobs[-1].kill()
                    break
            time.sleep(0.005)
    running.wait(120)


@pytest.mark.parametrize("run", range(len(MOMENTS)))
def test_a_run_that_is_killed_again_and_again_does_only_lost_work_again(
    finished: Project, tmp_path: Path, run: int
):
    project = fresh(finished, tmp_path)
    kept: dict[str, int] = {}
    for number, moment in enumerate(MOMENTS[run]):
        running = started(project, "--rerun-incomplete")
        wait_for_files(project, moment, running)
        done_again = [path for path, when in kept.items() if made_at(path) != when]
        # Two jobs ran side by side, and one may have ended as the kill came.
        assert len({os.path.dirname(path) for path in done_again}) <= 3, done_again
        what = ("run", "job", "main")[number % 3]
        kill(running, what)
        if what != "job":
            # Snakemake says which of the two it needs, by what the kill has left.
            refused = project.snakemake("-n")
            said = refused.stdout + refused.stderr
            assert refused.returncode == 0 or "--unlock" in said or "--rerun-incomplete" in said
            assert project.snakemake("--unlock").returncode == 0
        # Jobs that outlive their Snakemake go on, and what they write is no loss.
        kept = {} if what == "main" else {path: made_at(path) for path in outputs(project)}
    rerun(project)
    same_tables(project, finished)
    assert not list(project.results.rglob("*.part*"))


def test_a_run_that_is_stopped_leaves_nothing_half_written(finished: Project, tmp_path: Path):
    project = fresh(finished, tmp_path)
    # After a few files jobs are being chosen, which lasts longest while many are ready.
    for how, moment in ((signal.SIGTERM, 3), (signal.SIGTERM, 12), (signal.SIGINT, 24)):
        running = started(project, "--rerun-incomplete")
        wait_for_files(project, moment, running)
        os.killpg(running.pid, how)
        running.wait(180)
        assert running.returncode != 0
    # Snakemake kills the jobs of a stopped run, so that what they were writing goes only now.
    rerun(project)
    same_tables(project, finished)
    assert not list(project.results.rglob("*.part*"))


def test_two_runs_at_once_are_told_apart(finished: Project, tmp_path: Path):
    project = fresh(finished, tmp_path)
    running = started(project)
    wait_for_files(project, 3, running)
    # As both profiles have it; without it Snakemake may name the first run's files before its lock.
    second = project.snakemake("--rerun-incomplete")
    assert second.returncode != 0
    assert "LockException" in second.stdout + second.stderr
    assert running.wait(240) == 0
    same_tables(project, finished)
