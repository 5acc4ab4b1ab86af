"""What would hang or be refused on a SLURM cluster, named before anything is submitted."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.largest import Request
from attention_wavelets.slurm import ask, flags, minutes_of, partitions, refusal, with_gpus

__all__ = [
    "Finding",
    "check_cluster",
    "orphans",
    "read_profile",
    "run_in",
    "threads_of",
]

Level = Literal["ok", "warning", "problem"]

# Rules that ask for a GPU, beside those of each training run.
_GPU_RULES = ("extract_signals", "extract_shard", "train_model", "change_attention")
# Seconds a finished job must stay in squeue's sight for the plugin to see it.
_MIN_JOB_AGE = 120
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


def threads_of(profile: Mapping[str, Any], rule: str, usual: int = 1) -> int:
    """Cores that a profile gives to a job of a rule; `usual` where it says nothing."""
    return int(_resources(profile.get("set-threads")).get(rule, usual))


def check_cluster(
    profile: Mapping[str, Any],
    here: Path,
    folders: Mapping[str, Path],
    requests: Sequence[Request] = (),
) -> list[Finding]:
    """Look at everything that can be looked at without submitting a job.

    Parameters
    ----------
    profile
        What `read_profile` returned.
    here
        Folder that Snakemake is started in.
    folders
        Others that the nodes must see, by what they are.
    requests
        The largest of a study's jobs; without them, a job of each kind as the profile has it.
    """
    lost = [name for name in ("sbatch", "squeue", "sinfo", "scontrol") if not shutil.which(name)]
    if lost:
        todo = "run this on a machine of the cluster, or load its SLURM module"
        return [Finding("problem", f"not on PATH: {', '.join(lost)}", todo)]
    if " UP" not in ask("scontrol", "ping").stdout:
        return [Finding("problem", "the cluster does not answer (scontrol ping)", "ask its admins")]
    found = [Finding("ok", "SLURM answers")]
    found += _executor(profile)
    found += _status_command(profile)
    found += _partitions(profile)
    found += _requests(profile, requests)
    found += _job_age(profile)
    python = Path(sys.executable)
    seen = {"working folder": here, f"interpreter {python}": python.parent, **folders}
    for what, folder in seen.items():
        found += _shared(folder, what)
    found += _left_over(here)
    return found


def orphans(here: Path) -> list[tuple[str, str]]:
    """Id and comment of jobs in the queue that a Snakemake in this folder submitted.

    While a run goes on they are its own; once it was killed nobody waits for them, and a new run
    would do their work beside them.
    """
    done = ask("squeue", "--noheader", "--me", "--format=%A|%Z|%k")
    rows = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return [
        (job, comment)
        for job, folder, comment in rows
        if comment.startswith("rule_") and Path(folder).resolve() == here.resolve()
    ]


def run_in(here: Path) -> int | None:
    """Process of a Snakemake at work in this folder on this machine; None if there is none.

    Neither one that started this process nor one inside a job counts.
    """
    parents, pid = set(), os.getpid()
    while pid > 1:
        parents.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            folder = (process / "cwd").readlink()
        except OSError:
            continue
        started = any(Path(os.fsdecode(word)).name == "snakemake" for word in words[:4])
        # A job's own Snakemake is told which jobs it is for.
        inside = b"--target-jobs" in words
        if started and not inside and folder == here.resolve() and int(process.name) not in parents:
            return int(process.name)
    return None


def _left_over(here: Path) -> Iterator[Finding]:
    jobs = orphans(here)
    if jobs and (process := run_in(here)):
        yield Finding(
            "ok", f"a run goes on here (process {process}), {len(jobs)} jobs in the queue"
        )
        return
    for job, comment in jobs:
        text = f"job {job} of a killed run still works here ({comment})"
        todo = f"wait for it, or: scancel {job} (unless its run goes on, on another machine)"
        yield Finding("problem", text, todo)


def _executor(profile: Mapping[str, Any]) -> Iterator[Finding]:
    if profile.get("executor") != "slurm":
        yield Finding("problem", "the profile does not submit to SLURM", "set executor: slurm")


def _status_command(profile: Mapping[str, Any]) -> Iterator[Finding]:
    """With sacct and without accounting the plugin forgets its jobs and waits for ever."""
    chosen = profile.get("slurm-status-command", "sacct")
    accounting = shutil.which("sacct") and ask("sacct", "-X", "-n").returncode == 0
    if chosen == "squeue":
        yield Finding("ok", "jobs are watched with squeue")
    elif not accounting:
        text = "jobs are watched with sacct, which fails here: a run would wait for ever"
        yield Finding("problem", text, "set slurm-status-command: squeue")
    else:
        text = "jobs are watched with sacct, which takes cancelled jobs for running ones"
        yield Finding("warning", text, "set slurm-status-command: squeue")


def _partitions(profile: Mapping[str, Any]) -> Iterator[Finding]:
    """Partitions whose jobs would wait: sbatch takes requests for those that are down."""
    known = partitions()
    usual = _resources(profile.get("default-resources"))
    own = _resources(profile.get("set-resources"))
    asked = [usual.get("slurm_partition"), usual.get("gpu_partition")]
    asked += [_resources(values).get("slurm_partition") for values in own.values()]
    # SLURM takes a list of partitions as "any of them".
    names = [name for one in asked if one for name in str(one).split(",")]
    if not usual.get("slurm_partition"):
        names += [name for name, partition in known.items() if partition.default]
    for name in dict.fromkeys(names):
        if name not in known:
            todo = f"write one of {', '.join(known)} into the profile"
            yield Finding("problem", f"there is no partition {name}", todo)
        elif not known[name].up:
            text = f"partition {name} is closed: its jobs would wait until it opens"
            yield Finding("problem", text, f"ask its admins (sinfo -p {name}), or take another")
        elif known[name].closed == known[name].nodes:
            text = f"no node of partition {name} takes a job (down or drained)"
            yield Finding("problem", text, f"see why: sinfo -R -p {name}")
        else:
            count = known[name].nodes - known[name].closed
            yield Finding("ok", f"partition {name} is up, with nodes that take jobs: {count}")


def _requests(profile: Mapping[str, Any], requests: Sequence[Request]) -> Iterator[Finding]:
    """Jobs as the profile would send them; sbatch tests them and submits nothing."""
    usual = _resources(profile.get("default-resources"))
    of_rules = _resources(profile.get("set-resources"))
    if not requests:
        yield from _test("a job without a GPU", usual, 1)
        for rule in _GPU_RULES:
            resources = {"gpu": 1, **usual, **with_gpus(usual, 1), **_resources(of_rules.get(rule))}
            yield from _test(f"a job of {rule}", resources, threads_of(profile, rule))
    for request in requests:
        own = with_gpus(usual, request.need.gpu) | _resources(of_rules.get(request.rule))
        what = f"{request.rule} of {request.of}"
        found = list(_test(what, {**usual, **vars(request.need), **own}, request.threads))
        yield from found
        if found[0].level != "ok":
            continue
        last = 1 + int(profile.get("retries", 0))
        more = {**usual, **vars(request.need.grown(last)), **own}
        for finding in _test(what, more, request.threads):
            if finding.level == "problem":
                text = f"attempt {last} of it fails: {finding.text}"
                yield Finding("warning", text, "only if those before run out of memory or time")


def _resources(given: Any) -> dict[str, Any]:
    """A profile's resources, written as a mapping or as a list of key=value."""
    if isinstance(given, Mapping):
        return dict(given)
    pairs = (str(item).partition("=") for item in given or ())
    return {key: value.strip("\"'") for key, _, value in pairs}


def _test(what: str, resources: Mapping[str, Any], threads: int) -> Iterator[Finding]:
    words = flags(resources, threads)
    asked = " ".join(words)
    todo = "change the profile; `sinfo -o '%P %a %l %G'` has partitions, limits and GPUs"
    if (reason := refusal(words)) is not None:
        yield Finding("problem", f"{what} would be refused ({asked}): {reason}", todo)
        return
    # Sites that do not enforce the limits of partitions take the job and never start it.
    known = partitions()
    named = str(resources.get("slurm_partition") or "").split(",")
    limits = [p.minutes for p in known.values() if p.name in named or (named == [""] and p.default)]
    minutes = minutes_of(resources.get("runtime")) or 0
    if limits and minutes > max(limits):
        text = f"{what} would wait for ever ({asked}): its partition ends jobs at {max(limits):g}"
        yield Finding("problem", f"{text} minutes", todo)
    else:
        yield Finding("ok", f"{what} would be accepted ({asked})")


def _job_age(_profile: Mapping[str, Any]) -> Iterator[Finding]:
    match = re.search(r"MinJobAge\s*=\s*(\d+)", ask("scontrol", "show", "config").stdout)
    if match and int(match[1]) < _MIN_JOB_AGE:
        text = f"finished jobs leave squeue after {match[1]} s, sooner than they are looked for"
        todo = "set slurm-init-seconds-before-status-checks to a third of that"
        yield Finding("warning", text, todo)


def _shared(folder: Path, what: str) -> Iterator[Finding]:
    """Whether other machines see a folder, as far as the type of its file system tells."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    kind = ask("stat", "--file-system", "--format=%T", str(folder)).stdout.strip()
    if any(kind.startswith(name) for name in _NETWORK):
        yield Finding("ok", f"{what}: on a network file system ({kind})")
    elif kind in ("tmpfs", "ramfs"):
        yield Finding("problem", f"{what}: in the memory of this machine ({folder})", "move it")
    else:
        text = f"{what}: whether the nodes see it cannot be told from here ({kind or 'unknown'})"
        yield Finding("warning", text, f"srun ls {folder}")
