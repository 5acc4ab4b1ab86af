"""What planning costs: parse and dry run of three studies, a job's overhead, bytes on disk.

`make bench` prints it. Every dry run is a process of its own, as a user's is; the best of some
rounds counts. Where SLURM answers, its jobs are measured too. Not a test; numbers depend on the
machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
# Seconds on two cores and MiB that a plan may take.
TARGETS = {"quickstart": 5.0, "paper": 8.0, "many": 15.0}
MEMORY = 500
# A study of many models: every checkpoint of one family, and other models beside them.
FAMILY, BESIDE = "pythia-6.9b-steps", 48
JOBS = 20


def project(folder: Path) -> Path:
    """A copy of the workflow with a study `many` in it, apart from the user's results."""
    for name in ("conf", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    study = yaml.safe_load((ROOT / "conf/study/paper.yaml").read_text(encoding="utf-8"))
    family = yaml.safe_load((ROOT / f"conf/model/{FAMILY}.yaml").read_text(encoding="utf-8"))
    family["checkpoints"] = "all"
    names = ["many-steps", *(f"many-{i}" for i in range(BESIDE))]
    other = {"label": "m", "licence": "MIT", "source": {"kind": "hub", "repository": "a/b"}}
    for name, model in zip(names, [family, *[other] * BESIDE], strict=True):
        text = yaml.safe_dump({**model, "label": name})
        (folder / f"conf/model/{name}.yaml").write_text(text, encoding="utf-8")
    # Two steps hold the weights of another, and a study says what becomes of such.
    study |= {"models": names, "title": "Many", "bad_checkpoints": "skip"}
    (folder / "conf/study/many.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder


def plan(folder: Path, study: str) -> dict[str, float]:
    """Seconds, peak MiB and jobs of one dry run."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules"]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--config", f"study={study}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"error: study {study} cannot be planned\n{said}")
    jobs = int(re.findall(r"^total\s+(\d+)", said, re.MULTILINE)[-1])
    # Kilobytes on Linux, bytes on macOS.
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"jobs": jobs, "seconds": seconds, "peak_mib": peak}


def plans(folder: Path, rounds: int) -> pd.DataFrame:
    """A row per study: the fastest of some dry runs beside what it may take."""
    rows = []
    for study, target in TARGETS.items():
        found = min((plan(folder, study) for _ in range(rounds)), key=lambda row: row["seconds"])
        rows.append({"study": study, **found, "target_s": target, "target_mib": MEMORY})
    return pd.DataFrame(rows).round(1)


def waits(folder: Path, *options: str) -> tuple[float, float]:
    """Seconds until one job that does nothing is done, and those that each of many more adds."""
    rule = "rule all:\n    input: expand('{i}.txt', i=range(N))\n"
    rule += "rule one:\n    output: '{i}.txt'\n    log: '{i}.log'\n"
    rule += "    resources: mem_mb=500, runtime=2\n    shell: 'touch {output}'\n"
    folder.mkdir()
    (folder / "Snakefile").write_text("N = int(config['jobs'])\n" + rule, encoding="utf-8")

    def run(jobs: int) -> float:
        began = time.perf_counter()
        command = [sys.executable, "-m", "snakemake", "--quiet", "all", *options]
        subprocess.run([*command, "--config", f"jobs={jobs}"], cwd=folder, check=True)
        return time.perf_counter() - began

    first = run(1)
    # The second run finds the first one's job done.
    return first, (run(1 + JOBS) - first) / (JOBS - 1)


def slurm_options() -> list[str]:
    """How the project's profile submits and asks; empty where no SLURM answers."""
    found = shutil.which("squeue")
    if found is None or subprocess.run([found, "-h"], capture_output=True, check=False).returncode:
        return []
    own = yaml.safe_load((ROOT / "workflow/profiles/slurm/profile.yaml").read_text("utf-8"))
    keys = ["executor", "jobs", "slurm-status-command", "max-status-checks-per-second"]
    options = [word for key in keys for word in (f"--{key}", str(own[key]))]
    partition = own["default-resources"]["slurm_partition"]
    return [*options, "--default-resources", f"slurm_partition={partition}"]


def disk(results: Path) -> pd.DataFrame:
    """MiB of a run by model (rows) and stage (columns)."""
    rows = [
        {
            "model": path.relative_to(results).parts[1],
            "stage": path.relative_to(results).parts[0],
            "mib": path.stat().st_size / 2**20,
        }
        for stage in ("models", "sequences", "signals", "measures", "nulls")
        for path in (results / stage).rglob("*")
        # The work folder's store is a second name of the same bytes.
        if path.is_file() and not any(part.endswith(".work") for part in path.parts)
    ]
    if not rows:
        raise SystemExit(f"error: nothing in {results}; run `make run` first")
    return pd.DataFrame(rows).pivot_table(
        index="model", columns="stage", values="mib", aggfunc="sum", fill_value=0
    )


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(plans(project(folder), arguments.rounds).to_string(index=False))
        places = {"this machine": ["--cores", "2"], "SLURM": slurm_options()}
        for place, options in places.items():
            if options:
                first, more = waits(folder / place.replace(" ", "-"), *options)
                print(f"\n{place}: {first:.1f} s for one job, {more:.2f} s more for each of {JOBS}")
    print("\nMiB on disk")
    print(disk(arguments.results).round(1).to_string())


if __name__ == "__main__":
    main()
