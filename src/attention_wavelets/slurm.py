"""Questions to SLURM: its partitions, and whether it would take a request. Submits nothing."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Partition", "ask", "flags", "minutes_of", "partitions", "refusal", "with_gpus"]

_TIMEOUT = 60
# States of a node that takes no new job, by their first letters.
_CLOSED = ("down", "drain", "fail", "inval", "maint", "reboot", "unk")
_UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440, "w": 10080}


@dataclass(frozen=True)
class Partition:
    """Whether jobs of a partition start at all, its nodes that take one, and its limit.

    `minutes` is infinite where there is none.
    """

    name: str
    up: bool
    default: bool
    minutes: float
    nodes: int
    closed: int


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of SLURM; one that is not there or does not answer has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def partitions() -> dict[str, Partition]:
    """Every partition that this user sees."""
    found: dict[str, Partition] = {}
    # A line for each state of a partition's nodes.
    for line in ask("sinfo", "--noheader", "--format=%P|%a|%l|%D|%T").stdout.splitlines():
        if line.count("|") != 4:
            continue
        named, state, limit, count, nodes = line.split("|")
        name = named.rstrip("*")
        before = found.get(name)
        closed = int(count) * nodes.startswith(_CLOSED)
        found[name] = Partition(
            name,
            state == "up",
            named.endswith("*"),
            minutes_of(limit) or math.inf,
            int(count) + (before.nodes if before else 0),
            closed + (before.closed if before else 0),
        )
    return found


def refusal(words: Sequence[str]) -> str | None:
    """Why sbatch would refuse a request; None if it would take it."""
    done = ask("sbatch", "--test-only", *words, "--wrap", "true")
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines() or ["no reason is given"]
    return re.sub(r"^(sbatch: error: |allocation failure: )+", "", said[-1])


def flags(resources: Mapping[str, Any], threads: int = 1) -> list[str]:
    """The flags of sbatch that Snakemake's plugin makes of a job's resources."""
    named = {
        "slurm_partition": "--partition",
        "slurm_account": "--account",
        "qos": "--qos",
        "constraint": "--constraint",
    }
    words = [f"{flag}={resources[key]}" for key, flag in named.items() if resources.get(key)]
    if (cores := int(resources.get("cpus_per_task") or threads)) > 1:
        words.append(f"--cpus-per-task={cores}")
    if str(resources.get("mem_mb", "")).isdigit():
        words.append(f"--mem={resources['mem_mb']}")
    if (minutes := minutes_of(resources.get("runtime"))) is not None:
        words.append(f"--time={max(1, math.floor(minutes))}")
    if resources.get("gres"):
        words.append(f"--gres={resources['gres']}")
    if gpus := int(resources.get("gpu") or 0):
        model = resources.get("gpu_model")
        words.append(f"--gpus={model}:{gpus}" if model else f"--gpus={gpus}")
    return words


def with_gpus(usual: Mapping[str, Any], gpus: int) -> dict[str, Any]:
    """Resources in which a job that asks for GPUs differs from others; empty without a GPU.

    Parameters
    ----------
    usual
        `default-resources` of a profile. Its keys `gpu_partition`, `gpu_type` and `gpu_gres` are
        ours; Snakemake and its plugin leave them alone.
    gpus
        How many the job asks for.
    """
    if not gpus:
        return {}
    named = {"slurm_partition": "gpu_partition", "gpu_model": "gpu_type"}
    found = {name: usual[key] for name, key in named.items() if usual.get(key)}
    if gres := usual.get("gpu_gres"):
        # The plugin would send --gpus as well.
        found |= {"gres": f"{gres}:{gpus}", "gpu": 0}
    return found


def minutes_of(text: Any) -> float | None:
    """Minutes of 90, "2h" (Snakemake) or "1-12:00:00" (SLURM); None for anything else."""
    text = str(text).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])\w*", text):
        return float(match[1]) * _UNITS[match[2]]
    if match := re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return 1440 * days + 60 * hours + minutes + seconds / 60
    return None
