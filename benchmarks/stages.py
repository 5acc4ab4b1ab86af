"""What each stage of the last run took: `make bench` prints it after the other tables.

Snakemake writes seconds and peak memory of every job beside its log. Ratios are of one run only
after a `make run` that started from nothing. Not a test; numbers depend on the machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

# What decides on the claims, and what it must stay below.
CLAIMS, EXTRACTION = ("measure_nulls", "judge_claims"), "extract_signals"


def stages(logs: Path) -> pd.DataFrame:
    """A row per stage: jobs, seconds of all of them, peak memory of one in MiB."""
    rows = [
        {"stage": path.relative_to(logs).parts[0], **pd.read_csv(path, sep="\t").iloc[-1].to_dict()}
        for path in sorted(logs.glob("*/**/*.tsv"))
    ]
    if not rows:
        raise SystemExit(f"error: no times of jobs in {logs}; run `make run` first")
    frame = pd.DataFrame(rows)
    # Jobs of less than Snakemake's sampling interval have no memory.
    frame["max_rss"] = pd.to_numeric(frame["max_rss"], errors="coerce")
    table = frame.groupby("stage").agg(
        jobs=("s", "size"), seconds=("s", "sum"), peak_mib=("max_rss", "max")
    )
    return table.sort_values("seconds", ascending=False).round(0)


def main() -> None:
    """Print the table and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    table = stages(parser.parse_args().results / "logs")
    print(table.to_string())
    if lacking := {*CLAIMS, EXTRACTION} - set(table.index):
        raise SystemExit(f"error: no times of {', '.join(sorted(lacking))}; run `make run` first")
    seconds = table["seconds"]
    for stages_ in (CLAIMS[1:], CLAIMS):
        ratio = seconds[list(stages_)].sum() / seconds[EXTRACTION]
        print(f"{' + '.join(stages_)} / {EXTRACTION}: {ratio:.2f}")


if __name__ == "__main__":
    main()
