"""What would hang or be refused on a SLURM cluster, named before anything is submitted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from attention_wavelets.errors import PipelineError

__all__ = ["Finding", "check_cluster", "orphans", "read_profile"]

Level = Literal["ok", "warning", "problem"]

# Rules that ask for a GPU.
_GPU_RULES = ("extract_signals", "extract_shard")
# Seconds a finished job must stay in squeue's sight for the plugin to see it.
_MIN_JOB_AGE = 120
_TIMEOUT = 60
# File systems that other machines see; of others that cannot be told.
_NETWORK = ("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "afs", "fuse", "orangefs", "panfs")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    level: Level
    text: str
    todo: str = ""

    def line(self) -> str:
        """As the terminal shows it."""
        return f"{self.level:8}{self.text}" + (f"; {self.todo}" if self.todo else "")


def read_profile(folder: Path) -> dict[str, Any]:
    """A Snakemake profile as plain values."""
    for name in ("profile.yaml", "config.yaml"):
        path = folder / name
        if path.is_file():
            try:
                values = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError):
                raise PipelineError("not valid YAML", str(path), "mend it") from None
            if isinstance(values, dict):
                return values
            raise PipelineError("not a mapping", str(path), "mend it")
    raise PipelineError("no profile.yaml here", str(folder), "give the folder of a profile")


def check_cluster(profile: Mapping[str, Any], here: Path, cache: Path) -> list[Finding]:
    """Look at everything that can be looked at without submitting a job.

    Parameters
    ----------
    profile
        What `read_profile` returned.
    here, cache
        Folder that Snakemake is started in, and that of downloads.
    """
    lost = [name for name in ("sbatch", "squeue", "sinfo", "scontrol") if not shutil.which(name)]
    if lost:
        todo = "run this on a machine of the cluster, or load its SLURM module"
        return [Finding("problem", f"not on PATH: {', '.join(lost)}", todo)]
    if not _answers():
        return [Finding("problem", "the cluster does not answer (scontrol ping)", "ask its admins")]
    found = [Finding("ok", "SLURM answers")]
    for check in (_executor, _status_command, _requests, _job_age, _interpreter):
        found += check(profile)
    found += _shared(here, "working folder")
    found += _shared(cache, "cache of downloads")
    found += [
        Finding(
            "problem",
            f"job {job} of a killed run still works here ({comment})",
            f"wait for it, or: scancel {job}",
        )
        for job, comment in orphans(here)
    ]
    return found


def orphans(here: Path) -> list[tuple[str, str]]:
    """Id and comment of jobs in the queue that a Snakemake in this folder submitted.

    While a run goes on they are its own; once it was killed nobody waits for them, and a new run
    would do their work beside them.
    """
    done = _run("squeue", "--noheader", "--me", "--format=%A|%Z|%k")
    rows = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return [
        (job, comment)
        for job, folder, comment in rows
        if comment.startswith("rule_") and Path(folder).resolve() == here.resolve()
    ]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _answers() -> bool:
    return " UP" in _run("scontrol", "ping").stdout


def _executor(profile: Mapping[str, Any]) -> Iterator[Finding]:
    if profile.get("executor") != "slurm":
        yield Finding("problem", "the profile does not submit to SLURM", "set executor: slurm")


def _status_command(profile: Mapping[str, Any]) -> Iterator[Finding]:
    """With sacct and without accounting the plugin forgets its jobs and waits for ever."""
    chosen = profile.get("slurm-status-command", "sacct")
    accounting = shutil.which("sacct") and _run("sacct", "-X", "-n").returncode == 0
    if chosen == "squeue":
        yield Finding("ok", "jobs are watched with squeue")
    elif not accounting:
        text = "jobs are watched with sacct, which fails here: a run would wait for ever"
        yield Finding("problem", text, "set slurm-status-command: squeue")
    else:
        text = "jobs are watched with sacct, which takes cancelled jobs for running ones"
        yield Finding("warning", text, "set slurm-status-command: squeue")


def _requests(profile: Mapping[str, Any]) -> Iterator[Finding]:
    """A job of each kind as the profile would send it; sbatch tests it and submits nothing."""
    usual = _resources(profile.get("default-resources", {}))
    yield from _test("a job without a GPU", usual)
    of_rules = profile.get("set-resources", {}) or {}
    for rule in _GPU_RULES:
        own = _resources(of_rules.get(rule, {})) if isinstance(of_rules, Mapping) else {}
        yield from _test(f"a job of {rule}", {"gpu": 1, **usual, **own})


def _resources(given: Any) -> dict[str, Any]:
    """A profile's resources, written as a mapping or as a list of key=value."""
    if isinstance(given, Mapping):
        return dict(given)
    pairs = (str(item).partition("=") for item in given or ())
    return {key: value.strip("\"'") for key, _, value in pairs}


def _test(what: str, resources: Mapping[str, Any]) -> Iterator[Finding]:
    words = _request(resources)
    done = _run("sbatch", "--test-only", *words, "--wrap", "true")
    asked = " ".join(words)
    if done.returncode == 0:
        yield Finding("ok", f"{what} would be accepted ({asked})")
        return
    said = (done.stderr or done.stdout).strip().splitlines() or ["no reason is given"]
    reason = re.sub(r"^(sbatch: error: |allocation failure: )+", "", said[-1])
    todo = "change the profile; `sinfo -o '%P %a %l %G'` has partitions, limits and GPUs"
    yield Finding("problem", f"{what} would be refused ({asked}): {reason}", todo)


def _request(resources: Mapping[str, Any]) -> list[str]:
    """The flags of sbatch that the plugin makes of resources."""
    words = []
    flags = {"slurm_partition": "--partition", "slurm_account": "--account", "qos": "--qos"}
    words += [f"{flag}={resources[key]}" for key, flag in flags.items() if resources.get(key)]
    if str(resources.get("mem_mb", "")).isdigit():
        words.append(f"--mem={resources['mem_mb']}")
    if str(resources.get("runtime", "")).isdigit():
        words.append(f"--time={resources['runtime']}")
    if resources.get("gres"):
        words.append(f"--gres={resources['gres']}")
    if gpus := int(resources.get("gpu") or 0):
        model = resources.get("gpu_model")
        words.append(f"--gpus={model}:{gpus}" if model else f"--gpus={gpus}")
    return words


def _job_age(_profile: Mapping[str, Any]) -> Iterator[Finding]:
    match = re.search(r"MinJobAge\s*=\s*(\d+)", _run("scontrol", "show", "config").stdout)
    if match and int(match[1]) < _MIN_JOB_AGE:
        text = f"finished jobs leave squeue after {match[1]} s, sooner than they are looked for"
        todo = "set slurm-init-seconds-before-status-checks to a third of that"
        yield Finding("warning", text, todo)


def _interpreter(_profile: Mapping[str, Any]) -> Iterator[Finding]:
    python = Path(sys.executable)
    yield from _shared(python.parent, f"interpreter {python}")


def _shared(folder: Path, what: str) -> Iterator[Finding]:
    """Whether other machines see a folder, as far as the type of its file system tells."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    kind = _run("stat", "--file-system", "--format=%T", str(folder)).stdout.strip()
    if any(kind.startswith(name) for name in _NETWORK):
        yield Finding("ok", f"{what}: on a network file system ({kind})")
    elif kind in ("tmpfs", "ramfs"):
        yield Finding("problem", f"{what}: in the memory of this machine ({folder})", "move it")
    else:
        text = f"{what}: whether the nodes see it cannot be told from here ({kind or 'unknown'})"
        yield Finding("warning", text, f"srun ls {folder}")
