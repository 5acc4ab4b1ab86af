"""A GPU of its own for each job of a workstation.

Snakemake counts `gpu` but gives nobody a card: without this, jobs side by side all take the first.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attention_wavelets.errors import PipelineError

__all__ = ["take_cards", "visible_cards"]

_log = logging.getLogger(__name__)
# Seconds between two looks for a free card.
_PAUSE = 1.0
# Locks are held for the life of the process; the list keeps them from being collected.
_held: list[Any] = []


def visible_cards(environment: Mapping[str, str]) -> list[str]:
    """Names of the cards of this machine that a job may use, as CUDA_VISIBLE_DEVICES takes them.

    Those of CUDA_VISIBLE_DEVICES if it is set, else all that `nvidia-smi -L` lists by number; none
    where there is no such program or it fails.
    """
    if (given := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]


def take_cards(
    count: int, locks: Path, *, say: Callable[[str], None] = _log.info, wait: float | None = None
) -> list[str]:
    """Take free cards for the life of this process and hide all others from it.

    Must run before torch is imported. A scheduler gives its jobs cards itself, so that inside SLURM
    nothing is done.

    Parameters
    ----------
    count
        Cards to take; 0 takes none.
    locks
        Folder of the lock files, shared by all jobs of this machine.
    say
        Gets a line on what was taken.
    wait
        Seconds to wait for a free card; None waits as long as it takes.

    Returns
    -------
    list of str
        Names of the cards; empty where there is none or a scheduler has given them.

    Raises
    ------
    PipelineError
        More cards are asked for than the machine has, or none came free in time.
    """
    if count == 0 or "SLURM_JOB_ID" in os.environ:
        return []
    names = visible_cards(os.environ)
    if not names:
        say("no GPU on this machine: the job runs on the processor")
        return []
    if count > len(names):
        raise PipelineError(
            f"{count} GPUs are asked for, this machine has {len(names)}",
            "runtime.gpus",
            f"ask for {len(names)} at most",
        )
    taken = _take(names, count, locks, wait)
    # CUDA counts the fastest card first unless it is told to count as nvidia-smi does.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    say(f"GPU {', '.join(taken)} of {len(names)}")
    return taken


def _take(names: list[str], count: int, locks: Path, wait: float | None) -> list[str]:
    import time

    from filelock import FileLock, Timeout

    locks.mkdir(parents=True, exist_ok=True)
    # One job at a time chooses, or two that want two cards each could hold one each for ever.
    choosing = FileLock(locks / "gpu.lock")
    end = None if wait is None else time.monotonic() + wait
    while True:
        with choosing:
            free = []
            for name in names:
                lock = FileLock(locks / f"gpu-{_file(name)}.lock", timeout=0)
                try:
                    lock.acquire()
                except Timeout:
                    continue
                free.append((name, lock))
                if len(free) == count:
                    _held.extend(lock for _, lock in free)
                    return [name for name, _ in free]
            for _, lock in free:
                lock.release()
        if end is not None and time.monotonic() > end:
            raise PipelineError(
                f"no {count} of {len(names)} GPUs came free",
                str(locks),
                "limit the jobs side by side with --resources gpu=N",
            )
        time.sleep(_PAUSE)


def _file(name: str) -> str:
    """A card's name, a number or a UUID, as part of a file's name."""
    return "".join(c if c.isalnum() or c == "-" else "_" for c in name)
