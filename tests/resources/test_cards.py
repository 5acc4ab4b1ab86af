"""Each job of a workstation gets a card of its own; the jobs are real processes."""

from __future__ import annotations

import json
import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.cards import take_cards, visible_cards

# Takes cards, says which, and holds them until its input is closed.
JOB = """
import json, os, sys
from pathlib import Path
from attention_wavelets.resources.cards import take_cards
taken = take_cards(int(sys.argv[1]), Path(sys.argv[2]), say=lambda text: None)
print(json.dumps([taken, os.environ.get("CUDA_VISIBLE_DEVICES")]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose `nvidia-smi -L` lists three cards; only the listing is made up."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    lines = "".join(f"echo 'GPU {n}: NVIDIA (UUID: GPU-{n})'\n" for n in range(3))
    program.write_text(f"#!/bin/sh\n{lines}")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path / "locks"


class Job:
    """A process that holds cards."""

    def __init__(self, count: int, locks: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(count), str(locks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def cards(self) -> list[str]:
        taken, visible = json.loads(self.process.stdout.readline())
        assert visible == ",".join(taken)
        return taken

    def end(self) -> None:
        self.process.communicate("")


def test_jobs_side_by_side_have_different_cards(machine: Path):
    jobs = [Job(1, machine) for _ in range(3)]
    assert sorted(card for job in jobs for card in job.cards()) == ["0", "1", "2"]
    waiting = Job(1, machine)
    jobs[1].process.kill()
    jobs[1].process.wait()
    # The lock falls with the process, whatever ended it.
    assert len(waiting.cards()) == 1
    for job in (*jobs, waiting):
        job.end()


def test_two_jobs_that_want_two_of_three_cards_do_not_block_each_other(machine: Path):
    first, second = Job(2, machine), Job(2, machine)
    (line,), _, _ = select.select([first.process.stdout, second.process.stdout], [], [], 60)
    ready = first if line is first.process.stdout else second
    assert len(ready.cards()) == 2
    ready.end()
    other = second if ready is first else first
    assert len(other.cards()) == 2
    other.end()


def test_more_cards_than_the_machine_has_are_refused(machine: Path):
    with pytest.raises(PipelineError, match="4 GPUs are asked for, this machine has 3"):
        take_cards(4, machine)


def test_no_card_in_time_is_one_line(machine: Path):
    job = Job(3, machine)
    job.cards()
    with pytest.raises(PipelineError, match="no 1 of 3 GPUs came free"):
        take_cards(1, machine, wait=0)
    job.end()


def test_a_scheduler_has_given_the_cards(machine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert take_cards(4, machine) == []
    assert not machine.exists()


def test_without_a_card_the_job_says_that_it_runs_on_the_processor(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    said: list[str] = []
    assert take_cards(1, tmp_path, say=said.append) == []
    assert said == ["no GPU on this machine: the job runs on the processor"]


@pytest.mark.parametrize(("given", "names"), [("1,3", ["1", "3"]), ("", []), ("-1", [])])
def test_what_the_user_hid_stays_hidden(given: str, names: list[str]):
    assert visible_cards({"CUDA_VISIBLE_DEVICES": given, "PATH": ""}) == names
