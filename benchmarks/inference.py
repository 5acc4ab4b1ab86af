"""Cost of the pigeonhole bootstrap against the matrix product it amounts to.

`PYTHONPATH=benchmarks python benchmarks/inference.py [--size full] [--missing 0.05]` prints the
ratio and the peak memory, each arm in a process of its own. Not a test; numbers depend on the
machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from attention_wavelets.inference.pigeonhole import pigeonhole_means
from attention_wavelets.inference.resample import BLOCK

# Resamples, sequences, layers, heads, measures.
SIZES = {"small": (1000, 100, 12, 12, 10), "full": (10000, 500, 48, 30, 20)}
SEED = 0


def values(size: str, missing: float) -> np.ndarray:
    """(sequence, layer, head, measure) of noise."""
    generator = np.random.default_rng(SEED)
    made = generator.normal(size=SIZES[size][1:])
    if missing:
        made[generator.random(made.shape) < missing] = np.nan
    return made


def bare(table: np.ndarray, resamples: int) -> None:
    """Weights (resample, sequence) times values (sequence, cell), a block at a time."""
    weights = np.random.default_rng(SEED).random((BLOCK, len(table)))
    cells = table.reshape(len(table), -1)
    for start in range(0, resamples, BLOCK):
        weights[: min(BLOCK, resamples - start)] @ cells


def arm(name: str, size: str, missing: float) -> dict[str, float]:
    """Seconds and peak memory of this process; the best of three rounds of the small size."""
    resamples, sequences = SIZES[size][:2]
    table = values(size, 0.0 if name == "bare" else missing)
    seconds = []
    for _ in range(1 if size == "full" else 3):
        start = time.perf_counter()
        if name == "bare":
            bare(table, resamples)
        else:
            pigeonhole_means(table, np.arange(sequences) // 2, resamples, SEED)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"seconds": min(seconds), "peak_mib": peak, "values_mib": table.nbytes / 2**20}


def compare(size: str, missing: float) -> dict[str, dict[str, float]]:
    """Both arms, each in a process of its own, so that its peak memory is its own."""
    found = {}
    for name in ("bare", "pigeonhole"):
        command = [sys.executable, __file__, "--arm", name, "--size", size]
        command += ["--missing", str(missing)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the ratio and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--missing", type=float, default=0.0, help="share of missing cells")
    parser.add_argument("--arm", choices=("bare", "pigeonhole"))
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(arm(options.arm, options.size, options.missing)))
        return
    found = compare(options.size, options.missing)
    print(f"resamples, sequences, layers, heads, measures: {SIZES[options.size]}")
    for name, part in found.items():
        print(f"{name}: {part['seconds']:.2f} s, peak {part['peak_mib']:.0f} MiB")
    ratio = found["pigeonhole"]["seconds"] / found["bare"]["seconds"]
    print(f"ratio: {ratio:.2f}; the values alone are {found['bare']['values_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
