"""Stage compare_runs: what size, position encoding and training change in models trained here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attention_wavelets.config.training import block
from attention_wavelets.inference.designs import Contrast, along, between, paired, undefined
from attention_wavelets.inference.multiple import holm
from attention_wavelets.inference.shapes import change_point
from attention_wavelets.report.trained import (
    FOLLOWED,
    REFERENCE,
    Followed,
    comparable,
    first_and_last,
    main_objective,
    reference_block,
    reference_runs,
)
from attention_wavelets.store.tables import iterate_table, read_table, write_csv

__all__ = ["compare_runs"]


def compare_runs(
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    heads: Path,
    summary: Path,
    facts: Path | None,
    runs: Path,
    changes: Path,
    phases: Path,
) -> None:
    """Write a row per checkpoint, a row per comparison, and where in training each measure steps.

    Parameters
    ----------
    config
        The slice: runs with their models, the kind of each protocol, corpus and statistics.
    manifests
        Model -> manifest with its block `training`.
    heads, summary, facts
        What aggregate_study and summarise_facts wrote.
    runs, changes, phases
        CSV files to write.
    """
    columns = ("model", "corpus", "condition", "number", "mean")
    known = pd.DataFrame(columns=columns) if facts is None else read_table(facts, columns)
    table = _runs(config, manifests, read_table(summary), known)
    write_csv(runs, table)
    confidence = config["statistics"]["confidence"]
    rows = [
        *_training(table, confidence),
        *_sizes(table, confidence),
        *_encodings(table, confidence),
        *_remains(table, heads, config, confidence),
    ]
    frame = pd.DataFrame(rows, columns=_CHANGES)
    # Each factor is a question of its own, and what is said of it holds for all its rows together.
    frame["p_holm"] = frame.groupby("factor", sort=False)["p"].transform(
        lambda p: holm(p.to_numpy(dtype=np.float64))
    )
    write_csv(changes, frame)
    write_csv(phases, pd.DataFrame(_phases(table), columns=_PHASES))


_CHANGES = (
    *("measure", "title", "wavelet", "factor", "level", "reference", "block", "reference_block"),
    *("value", "low", "high", "p", "size", "share", "n", "reason"),
)
_PHASES = (
    *("measure", "title", "wavelet", "run", "seed"),
    *("step", "before", "after", "best", "reason"),
)


def _runs(
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    summary: pd.DataFrame,
    facts: pd.DataFrame,
) -> pd.DataFrame:
    """A row per checkpoint: what it is, its losses, and every followed number."""
    found = {f.name: _numbers(f, config, summary, facts) for f in FOLLOWED}
    rows = []
    for run, models in config["runs"].items():
        for model in models:
            manifest = manifests[model]
            training, source = manifest["training"], manifest["source"]
            sizes = manifest["facts"]
            rows.append(
                {
                    "model": model,
                    "run": run,
                    "recipe": source["recipe"],
                    "architecture": source["architecture"],
                    "block": block(source["architecture"]),
                    **{
                        key: training[key]
                        for key in ("encoding", "objective", "seed", "step", "tokens")
                    },
                    "parameters": sizes["non_embedding_parameters"],
                    **{key: sizes[key] for key in ("layers", "heads", "hidden_size")},
                    **{key: training[key] for key in ("loss", "held_out_loss", "bits_per_byte")},
                    **{name: values.get(model, math.nan) for name, values in found.items()},
                }
            )
    return pd.DataFrame(rows)


def _numbers(
    followed: Followed, config: Mapping[str, Any], summary: pd.DataFrame, facts: pd.DataFrame
) -> dict[str, float]:
    """Model -> value; the first measurement of the study that has it counts."""
    if followed.kind == "fact":
        return _of_facts(followed, facts, config["corpus"], config["condition"])
    condition = followed.condition or config["condition"]
    names = [name for name, kind in config["protocols"].items() if kind == followed.kind]
    rows = summary[
        (summary["statistic"] == followed.statistic)
        & (summary["condition"] == condition)
        & summary["protocol"].isin(names)
        & (summary["corpus"] == config["corpus"])
    ]
    first = rows.drop_duplicates("model")
    return dict(zip(first["model"], first["mean"].astype(float), strict=True))


def _of_facts(
    followed: Followed, facts: pd.DataFrame, corpus: str, condition: str
) -> dict[str, float]:
    """Model -> over all heads: under the condition, or under the one that has the number."""
    rows = facts[(facts["number"] == followed.statistic) & (facts["corpus"] == corpus)]
    if (rows["condition"] == condition).any():
        rows = rows[rows["condition"] == condition]
    means = rows.groupby("model", sort=False)["mean"]
    found = means.max() if followed.best else means.mean()
    return {str(model): float(value) for model, value in found.dropna().items()}


def _ends(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """First and last checkpoint of every run that has both, in the same order."""
    first, last = (part.set_index("run") for part in first_and_last(table))
    both = first.index[last["step"].reindex(first.index) > 0]
    return first.loc[both], last.loc[both]


def _without_seed(table: pd.DataFrame) -> list[str]:
    """What runs were trained as, apart from the seed: the model YAML of each, indexed by run."""
    return [
        str(run).removesuffix(f"-s{seed}")
        for run, seed in zip(table.index, table["seed"], strict=True)
    ]


def _row(
    followed: Followed,
    factor: str,
    names: tuple[str, str],
    blocks: tuple[str, str],
    found: Contrast,
    share: float = math.nan,
) -> tuple[Any, ...]:
    """Names and blocks of what is compared, and of what it is compared with."""
    numbers = (found.value, found.low, found.high, found.p, found.size, share)
    about = (followed.name, followed.title, followed.wavelet, factor, *names, *blocks)
    return (*about, *numbers, found.n, found.reason)


def _training(table: pd.DataFrame, confidence: float) -> Iterator[tuple[Any, ...]]:
    """Last minus first checkpoint, over seeds of the runs with the reference encoding."""
    runs = reference_runs(table)
    first, last = _ends(runs)
    blocks = (reference_block(runs),) * 2
    for followed in FOLLOWED:
        found = paired(
            *(first[followed.name], last[followed.name]),
            *(last["seed"], _without_seed(last)),
            confidence=confidence,
        )
        yield _row(followed, "training", ("last step", "step 0"), blocks, found)


def _sizes(table: pd.DataFrame, confidence: float) -> Iterator[tuple[Any, ...]]:
    """Along the logarithm of the parameters, at the last checkpoint, with the same encoding."""
    runs = reference_runs(table)
    _, last = _ends(runs)
    sizes = sorted(last["parameters"].unique())
    level, reference = (f"{int(sizes[at]):,}" if sizes else "" for at in (-1, 0))
    blocks = (reference_block(runs),) * 2
    more_heads = len({*(last["layers"] * last["heads"])}) > 1
    for followed in FOLLOWED:
        places = np.log10(last["parameters"].to_numpy(dtype=np.float64))
        if followed.best and more_heads:
            found = undefined(len(last), "best")
        else:
            found = along(last[followed.name], places, confidence=confidence)
        yield _row(followed, "size", (level, reference), blocks, found)


def _encodings(table: pd.DataFrame, confidence: float) -> Iterator[tuple[Any, ...]]:
    """Every other encoding against the reference, at the recipe and sizes that they share.

    A block comes with its encodings. Where one of them is the reference, the others of this block
    are compared with it, and it with the reference of most rows: what the block alone does.
    """
    _, last = _ends(table)
    main = main_objective(table)
    for objective, shared in comparable(last).groupby("objective", sort=False):
        levels = list(zip(shared["encoding"], shared["block"], strict=True))
        if len({*levels}) < 2:
            continue
        references = _references({*levels}, reference_block(last[last["objective"] == objective]))
        about = "" if objective == main else f", {objective}"
        for followed in FOLLOWED:
            found = between(
                shared[followed.name],
                [" in ".join(level) for level in levels],
                shared["seed"],
                {" in ".join(level): " in ".join(other) for level, other in references.items()},
                confidence=confidence,
            )
            for level, other in references.items():
                encodings, blocks = zip(level, other, strict=True)
                contrast = found.contrasts[" in ".join(level)]
                alone = encodings[0] == encodings[1]
                factor, share = ("block", math.nan) if alone else ("encoding", found.share)
                yield _row(followed, factor + about, encodings, blocks, contrast, share)


def _references(levels: set[tuple[str, str]], home: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Encoding and block -> the reference encoding, in the same block or else in the one given."""
    found = {}
    for level in sorted(levels - {(REFERENCE, home)}):
        own = (REFERENCE, level[1])
        found[level] = own if own in levels and own != level else (REFERENCE, home)
    return found


def _remains(
    table: pd.DataFrame, heads: Path, config: Mapping[str, Any], confidence: float
) -> Iterator[tuple[Any, ...]]:
    """Rank correlation over heads between first and last checkpoint, averaged over seeds."""
    runs = reference_runs(table)
    first, last = _ends(runs)
    names, blocks = ("rank correlation over heads", "0"), (reference_block(runs),) * 2
    wanted = {f.statistic.removesuffix("_mean").removesuffix("_median"): f for f in FOLLOWED}
    models = {*first["model"], *last["model"]}
    values: dict[tuple[str, str], np.ndarray] = {}
    for frame in iterate_table(heads):
        rows = frame[frame["model"].isin(models) & (frame["corpus"] == config["corpus"])]
        # Of several probes the first counts, as in `_numbers`.
        for (model, protocol, condition, _), part in rows.groupby(
            ["model", "protocol", "condition", "probe"], sort=False
        ):
            kind = config["protocols"].get(protocol)
            for measure, followed in wanted.items():
                if (
                    followed.kind == kind
                    and condition == (followed.condition or config["condition"])
                    and f"{measure}_mean" in part
                    and (model, followed.name) not in values
                ):
                    values[model, followed.name] = part[f"{measure}_mean"].to_numpy(dtype=float)
    for followed in FOLLOWED:
        pairs = [
            [values.get((model, followed.name)) for model in ends]
            for ends in zip(first["model"], last["model"], strict=True)
        ]
        if any(start is not None and end is not None for start, end in pairs):
            found = paired(
                *(np.zeros(len(pairs)), [_rank(*pair) for pair in pairs]),
                *(last["seed"], _without_seed(last)),
                confidence=confidence,
            )
            # Of a mean of correlations; with few seeds t goes beyond what one can be.
            low, high = np.clip([found.low, found.high], -1, 1)
            found = replace(found, low=float(low), high=float(high))
            yield _row(followed, "remains", names, blocks, found)


def _rank(start: np.ndarray | None, end: np.ndarray | None) -> float:
    if start is None or end is None:
        return math.nan
    keep = ~(np.isnan(start) | np.isnan(end))
    if keep.sum() < 3 or np.ptp(start[keep]) == 0 or np.ptp(end[keep]) == 0:
        return math.nan
    return float(stats.spearmanr(start[keep], end[keep]).statistic)


def _phases(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Where each followed number of each run steps, on the axis ln(1 + step).

    Smooth growth in the number of steps, and so of tokens, competes with a step.
    """
    for run, rows in table.groupby("run", sort=False):
        ordered = rows.sort_values("step")
        axis = np.log1p(ordered["step"].to_numpy(dtype=np.float64))
        for followed in FOLLOWED:
            values = ordered[followed.name].to_numpy(dtype=np.float64)
            found = change_point(axis, values, elapsed=np.expm1)
            yield (
                *(followed.name, followed.title, followed.wavelet),
                *(run, int(ordered["seed"].iloc[0])),
                *(float(np.expm1(found.location)), found.before, found.after),
                *(found.best, found.reason),
            )
