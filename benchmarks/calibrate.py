"""Do intervals hold the truth as often as they say, and are p-values uniform? `make calibrate`.

Simulations with a known truth, each with its own random stream; resampling weights are shared by
the simulations of a batch, which leaves every simulation's draws as they should be and makes them
one product of matrices. Nothing depends on the number of processes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import families
import lines
import numpy as np
import yaml
from engine import ALLOWED, BANKS, CLAIMS, VERDICTS, of_bank
from scipy import stats

from attention_wavelets.config.compose import default_conf
from attention_wavelets.config.schema import Recipe
from attention_wavelets.inference.components import satterthwaite_interval
from attention_wavelets.inference.exact import kendall, sign_flip, spearman, two_sample
from attention_wavelets.inference.intervals import Interval, clustered_t
from attention_wavelets.inference.multiple import benjamini_hochberg
from attention_wavelets.inference.pigeonhole import pigeonhole_interval, pigeonhole_means
from attention_wavelets.inference.resample import (
    bootstrap_interval,
    document_weights,
    weighted_means,
)
from attention_wavelets.inference.shapes import change_point

CONFIDENCE, LEVEL = 0.95, 0.05
# Simulations with one set of resampling weights, and resamples.
BATCH, RESAMPLES = 50, 1000
SEED = 20260101

# Sequences in each document.
SIZES = {
    16: (3, 2, 2, 2, 2, 1, 1, 1, 1, 1),
    32: (4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1),
    48: (4,) * 3 + (3,) * 4 + (2,) * 7 + (1,) * 10,
}


@dataclass(frozen=True)
class Design:
    """Sizes of documents, layers, heads, and standard deviations of what varies.

    Half of the variance of sequences, alone and with layers, is their document's.
    """

    documents: tuple[int, ...]
    layers: int
    heads: int
    sequence: float = 0.3
    layer: float = 0.5
    head: float = 0.6
    sequence_layer: float = 0.2
    rest: float = 0.4

    @property
    def labels(self) -> np.ndarray:
        """(sequence,) number of each sequence's document."""
        return np.repeat(np.arange(len(self.documents)), self.documents)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """(sequence, layer, head) values of mean 0."""
        labels = self.labels
        normal = generator.standard_normal
        count, groups = len(labels), len(self.documents)

        def of_text(*more: int) -> np.ndarray:
            document, own = normal((groups, *more)), normal((count, *more))
            return np.sqrt(0.5) * (document[labels] + own)

        return (
            self.sequence * of_text()[:, None, None]
            + self.sequence_layer * of_text(self.layers)[:, :, None]
            + self.layer * normal((1, self.layers, 1))
            + self.head * normal((1, self.layers, self.heads))
            + self.rest * normal((count, self.layers, self.heads))
        )


DESIGNS = {
    "16 x 12 x 12": Design((1,) * 16, 12, 12),
    "48 x 30 x 9": Design(SIZES[48], 30, 9),
    "48 x 6 x 12": Design(SIZES[48], 6, 12),
    "16 x 12 x 12, layers alike": Design((1,) * 16, 12, 12, layer=0.0),
}

Found = Mapping[str, np.ndarray]


def text(sequences: str, streams: Sequence[np.random.SeedSequence], weights: int) -> Found:
    """Means over sequences whose documents are half of the variance: interval by method."""
    labels = np.repeat(np.arange(len(SIZES[int(sequences)])), SIZES[int(sequences)])
    columns = []
    for stream in streams:
        normal = np.random.default_rng(stream).standard_normal
        columns.append(normal(labels[-1] + 1)[labels] + normal(len(labels)))
    x = np.stack(columns, axis=1)
    draws = weighted_means(document_weights(labels, RESAMPLES, weights), x)
    intervals = {
        "clustered t": clustered_t(x, labels, CONFIDENCE, 10),
        "cluster bootstrap": bootstrap_interval(x.mean(axis=0), draws, labels, CONFIDENCE),
        "sequences as independent": clustered_t(x, np.arange(len(labels)), CONFIDENCE, 2),
    }
    return _bounds(intervals)


def heads(design: str, streams: Sequence[np.random.SeedSequence], weights: int) -> Found:
    """Means over sequences, layers and heads: interval by method."""
    known = DESIGNS[design]
    x = np.stack([known.draw(np.random.default_rng(stream)) for stream in streams], axis=-1)
    labels = known.labels
    draws = pigeonhole_means(x, labels, RESAMPLES, weights)
    cells = x.reshape(-1, x.shape[-1])
    intervals = {
        "Satterthwaite t": satterthwaite_interval(x, labels, CONFIDENCE),
        "pigeonhole t": pigeonhole_interval(x, labels, draws, CONFIDENCE, "t"),
        "pigeonhole percentile": pigeonhole_interval(x, labels, draws, CONFIDENCE, "percentile"),
        "heads as independent": clustered_t(
            x.mean(axis=0).reshape(-1, x.shape[-1]),
            np.arange(known.layers * known.heads),
            CONFIDENCE,
            2,
        ),
        "cells as independent": clustered_t(cells, np.arange(len(cells)), CONFIDENCE, 2),
    }
    return _bounds(intervals)


def _bounds(intervals: Mapping[str, Interval]) -> Found:
    """(simulation, 3) mean, low and high by method."""
    return {
        name: np.stack([part.mean, part.low, part.high], axis=1) for name, part in intervals.items()
    }


# Each test of samples without an effect; skewed where the test allows it.
TESTS: dict[str, Callable[[np.random.Generator], float]] = {
    "sign-flip, 10 values": lambda g: sign_flip(g.laplace(size=10)).p,
    "sign-flip, 30 values, random signs": lambda g: (
        sign_flip(g.laplace(size=30), draws=999, seed=int(g.integers(2**32))).p
    ),
    "two samples of 6 and 7": lambda g: two_sample(g.exponential(size=6), g.exponential(size=7)).p,
    "Spearman, 8 pairs": lambda g: spearman(g.exponential(size=8), g.exponential(size=8)).p,
    "Spearman, 20 pairs": lambda g: spearman(g.exponential(size=20), g.exponential(size=20)).p,
    "Kendall, 8 pairs": lambda g: kendall(g.exponential(size=8), g.exponential(size=8)).p,
}


def tests(name: str, streams: Sequence[np.random.SeedSequence], _weights: int) -> Found:
    """p-values of one test where nothing is there."""
    return {"p": np.array([TESTS[name](np.random.default_rng(stream)) for stream in streams])}


# Shared part of the noise of a layer's heads; 30 layers of 9 heads, 54 heads with an effect.
DISCOVERY = {"independent": 0.0, "correlated within layers": 0.3}
LAYERS, HEADS, PLANTED, EFFECT = 30, 9, 54, 3.0


def discovery(name: str, streams: Sequence[np.random.SeedSequence], _weights: int) -> Found:
    """False share of the discoveries, and the share of effects that were found."""
    shared = DISCOVERY[name]
    rows = []
    for stream in streams:
        generator = np.random.default_rng(stream)
        noise = np.sqrt(shared) * generator.standard_normal((LAYERS, 1))
        z = noise + np.sqrt(1 - shared) * generator.standard_normal((LAYERS, HEADS))
        planted = generator.permutation(LAYERS * HEADS).reshape(z.shape) < PLANTED
        found = benjamini_hochberg(stats.norm.sf(z + EFFECT * planted)) <= LEVEL
        false = (found & ~planted).sum() / max(found.sum(), 1)
        rows.append((false, (found & planted).sum() / PLANTED))
    return {"false": np.array(rows)[:, 0], "power": np.array(rows)[:, 1]}


# Growth from 0 to 1, at the steps that the models of study `ladder` keep.
LADDER = Recipe.model_validate(
    yaml.safe_load((default_conf() / "recipe" / "ladder.yaml").read_text(encoding="utf-8"))
)
LAST = LADDER.last_step
KEPT = np.array(LADDER.kept, dtype=np.float64)
GROWTH: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    **{
        f"power {exponent} of the step": lambda g, e=exponent: _noisy((KEPT / LAST) ** float(e), g)
        for exponent in map(Fraction, ("1/2", "4/5", "1", "3/2", "2"))
    },
    **{
        f"saturating after {time} steps": lambda g, t=time: _noisy(1 - np.exp(-KEPT / t), g)
        for time in (10, 50, 200)
    },
    "with the learning rate": lambda g: _noisy(_learned(), g),
    "a step after step 32": lambda g: _noisy((KEPT > 32) * 1.0, g),
    "a step after step 256": lambda g: _noisy((KEPT > 256) * 1.0, g),
    "a small step after step 256": lambda g: _noisy((KEPT > 256) * 0.1, g),
    "nothing but noise": lambda g: _noisy(0 * KEPT, g),
    "random walk": lambda g: np.cumsum(g.standard_normal(len(KEPT))),
}


@cache
def _learned() -> np.ndarray:
    """Sum of the learning rates up to each kept step, as a share of the whole."""
    # Imports torch, which no other simulation needs.
    from attention_wavelets.training.loop import rate_at

    rates = [rate_at(step, LAST, LADDER.optimiser) for step in range(LAST)]
    total = np.cumsum([0, *rates])
    return total[LADDER.kept] / total[-1]


def _noisy(curve: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return curve + 0.02 * generator.standard_normal(len(curve))


def phases(name: str, streams: Sequence[np.random.SeedSequence], _weights: int) -> Found:
    """Whether a curve along training is called a step, beside smooth growth and without it."""
    axis = np.log1p(KEPT)
    curves = [GROWTH[name](np.random.default_rng(stream)) for stream in streams]
    return {
        method: np.array([change_point(axis, y, elapsed=growth).best == "step" for y in curves])
        for method, growth in (("step", np.expm1), ("without", None))
    }


Job = tuple[str, str, list[np.random.SeedSequence], int]
PARTS: dict[str, tuple[Callable[..., Found], tuple[str, ...]]] = {
    "text": (text, tuple(map(str, SIZES))),
    "heads": (heads, tuple(DESIGNS)),
    "tests": (tests, tuple(TESTS)),
    "discovery": (discovery, tuple(DISCOVERY)),
    "phases": (phases, tuple(GROWTH)),
}
# Apart from the others, as one simulation of it takes longer than all of theirs.
ENGINE: dict[str, tuple[Callable[..., Found], tuple[str, ...]]] = {
    "engine": (of_bank, tuple(BANKS)),
}
# Through the verdicts as well; what is slow has fewer simulations.
FEWER = {
    "lines": {
        f"{name}, {n}": case.costly for name, case in lines.CASES.items() for n in lines.DOCUMENTS
    },
    "families": families.CASES,
}
VERDICT: dict[str, tuple[Callable[..., Found], tuple[str, ...]]] = {
    "lines": (lines.of_case, tuple(FEWER["lines"])),
    "families": (families.of_family, tuple(FEWER["families"])),
}


def run(job: Job) -> Found:
    """One batch of simulations of one part."""
    part, name, streams, weights = job
    return (PARTS | ENGINE | VERDICT)[part][0](name, streams, weights)


def jobs(
    simulations: int,
    seed: int,
    parts: Mapping[str, tuple[Callable[..., Found], tuple[str, ...]]] = PARTS,
) -> Iterable[Job]:
    """All batches; a simulation's stream depends on the seed, its case and its number only."""
    case = 0
    for part, (_, names) in parts.items():
        for name in names:
            count = max(1, simulations // FEWER.get(part, {}).get(name, 1))
            streams = np.random.SeedSequence([seed, case]).spawn(count)
            for start in range(0, count, BATCH):
                weights = np.random.SeedSequence([seed, case, start + 1]).generate_state(1)[0]
                yield part, name, streams[start : start + BATCH], int(weights)
            case += 1


def calibration(simulations: int, seed: int = SEED, *, processes: int = 1) -> dict[str, Any]:
    """Coverage of intervals, uniformity of p-values, false discoveries and false steps.

    Parameters
    ----------
    simulations
        Of every case.
    seed
        Root of all streams.
    processes
        How many work at once.

    Returns
    -------
    dict
        "simulations", "seed" and a list of records for each of "text", "heads", "tests",
        "discovery", "phases".
    """
    result: dict[str, Any] = {"simulations": simulations, "seed": seed}
    result |= {part: [] for part in PARTS}
    for (part, name), whole in _done(list(jobs(simulations, seed)), processes).items():
        result[part] += _records(part, name, whole)
    return result


def _done(todo: Sequence[Job], processes: int) -> dict[tuple[str, str], Found]:
    """What every case found, its batches in order."""
    if processes > 1:
        # One thread to a process: they share the processor as it is.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            done = list(pool.map(run, todo))
    else:
        done = [run(job) for job in todo]
    cases: dict[tuple[str, str], list[Found]] = {}
    for (part, name, _, _), found in zip(todo, done, strict=True):
        cases.setdefault((part, name), []).append(found)
    return {
        case: {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
        for case, batches in cases.items()
    }


def claim_engine(simulations: int, seed: int = SEED, *, processes: int = 1) -> dict[str, Any]:
    """Verdicts on models whose truth is known.

    Parameters
    ----------
    simulations
        Models of all banks together.
    seed, processes
        As for `calibration`.

    Returns
    -------
    dict
        "simulations" (of each bank), "seed", "engine": a record for each bank and claim,
        "wrong": of all verdicts where no pass is right, the share that is a controlled `pass`, and
        "wrong_of_literal": the same of those that pass literally, so that nulls must stop them.
    """
    each = max(1, simulations // len(BANKS))
    done = _done(list(jobs(each, seed, ENGINE)), processes)
    records = [
        _engine_record(bank, name, done["engine", bank]) for bank in BANKS for name in CLAIMS
    ]
    false = [record for record in records if not record["right"]]
    passed = float(np.sum([record["passed"] for record in false]))
    literal = float(np.sum([record["literal_pass"] for record in false]))
    return {
        "simulations": each,
        "seed": seed,
        "engine": records,
        "wrong": passed / len(false),
        "wrong_of_literal": passed / literal if literal else float("nan"),
    }


def claims_on_lines(
    simulations: int, seed: int = SEED, *, processes: int = 1, fewest: int = 1
) -> dict[str, Any]:
    """Intervals, p and verdicts where a claim is just not true, and of families of models.

    Parameters
    ----------
    simulations
        Of every case that is not slow.
    seed, processes
        As for `calibration`.
    fewest
        Leave out cases with fewer simulations.

    Returns
    -------
    dict
        "simulations", "seed" and a list of records for each of "lines" and "families".
    """
    result: dict[str, Any] = {"simulations": simulations, "seed": seed, "lines": [], "families": []}
    todo = [
        job
        for job in jobs(simulations, seed, VERDICT)
        if simulations // FEWER[job[0]][job[1]] >= fewest
    ]
    for (part, name), whole in _done(todo, processes).items():
        record = _line_record if part == "lines" else _family_record
        result[part].append(record(name, whole))
    return result


def _line_record(name: str, found: Found) -> dict[str, Any]:
    number, _, documents = name.rpartition(", ")
    return {
        "number": number,
        "documents": documents,
        "simulations": len(found["p"]),
        "coverage": float(found["held"].mean()),
        "p <= 0.05": float((found["p"] <= LEVEL).mean()),
        "p <= 0.025": float((found["p"] <= LEVEL / 2).mean()),
        "wrong_pass": float(found["passed"].mean()),
    }


def _family_record(name: str, found: Found) -> dict[str, Any]:
    family, _, claim = name.rpartition(", ")
    return {
        "family": family,
        "claim": claim,
        "simulations": len(found["passed"]),
        "right": claim in families.TRUE[family],
        "literal_pass": float(found["literal"].mean()),
        "passed": float(found["passed"].mean()),
    }


def _engine_record(bank: str, name: str, found: Found) -> dict[str, Any]:
    literal, controlled = found[name].T

    def share(of: np.ndarray, verdict: str) -> float:
        return float((of == VERDICTS.index(verdict)).mean())

    return {
        "bank": bank,
        "claim": name,
        "right": name in ALLOWED[bank],
        "literal_pass": share(literal, "pass"),
        "passed": share(controlled, "pass"),
        "vacuous": share(controlled, "vacuous"),
        "unclear": share(controlled, "unclear"),
        "fail": share(controlled, "fail"),
    }


def _records(part: str, name: str, whole: Found) -> list[dict[str, Any]]:
    if part == "tests":
        p = whole["p"]
        # Discrete p-values are far from uniform where they are too large, which does no harm.
        return [
            {
                "test": name,
                "distance": float(stats.kstest(p, "uniform").statistic),
                "distance_too_small": float(
                    stats.kstest(p, "uniform", alternative="greater").statistic
                ),
                "rejected": float((p <= LEVEL).mean()),
            }
        ]
    if part == "discovery":
        false = whole["false"]
        return [
            {
                "heads": name,
                "false_discoveries": float(false.mean()),
                "error": float(false.std(ddof=1) / np.sqrt(len(false))),
                "found": float(whole["power"].mean()),
            }
        ]
    if part == "phases":
        return [
            {
                "growth": name,
                "called_a_step": float(whole["step"].mean()),
                "without_smooth_growth": float(whole["without"].mean()),
            }
        ]
    records = []
    for method, bounds in whole.items():
        mean, low, high = bounds.T
        records.append(
            {
                "design": name,
                "method": method,
                "coverage": float(((low <= 0) & (high >= 0)).mean()),
                # Half width over that of a normal interval with the true standard error.
                "width": float((high - low).mean() / 2 / (stats.norm.ppf(0.975) * mean.std())),
            }
        )
    return records


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as a Markdown table."""
    lines = ["| " + " | ".join(key.replace("_", " ") for key in records[0]) + " |"]
    lines.append("|" + "---|" * len(records[0]))
    for record in records:
        words = {True: "may pass", False: "must not"}
        cells = (
            words[v] if isinstance(v, bool) else f"{v:.3f}" if isinstance(v, float) else str(v)
            for v in record.values()
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--engine", type=int, default=500, help="models for the claim engine")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("results/calibration.json"))
    options = parser.parse_args()
    start = time.perf_counter()
    result = calibration(options.simulations, options.seed, processes=options.processes)
    for part in PARTS:
        print(f"{part}\n\n{table(result[part])}\n")
    print(f"{options.simulations} simulations of each in {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    judged = claims_on_lines(options.simulations, options.seed, processes=options.processes)
    for part in VERDICT:
        print(f"\n{part}\n\n{table(judged[part])}")
        result[part] = judged[part]
    print(f"\nverdicts in {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    verdicts = claim_engine(options.engine, options.seed, processes=options.processes)
    print(f"\nengine\n\n{table(verdicts['engine'])}\n")
    print(f"wrong: {verdicts['wrong']:.4f}, of literal: {verdicts['wrong_of_literal']:.4f}\n")
    print(f"{options.engine} models in {time.perf_counter() - start:.0f} s")
    result["engine"] = verdicts
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
