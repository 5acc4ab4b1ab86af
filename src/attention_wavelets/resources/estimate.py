"""What a study will take, model by model, before anything is fetched."""

from __future__ import annotations

import os
import time
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.config.checkpoints import runs_of
from attention_wavelets.errors import unknown_name
from attention_wavelets.resources.disk import download_bytes, signal_bytes, table_bytes
from attention_wavelets.resources.jobs import Needs, sizes_of
from attention_wavelets.resources.memory import MIB
from attention_wavelets.resources.sizes import Sizes
from attention_wavelets.resources.work import START_MINUTES, extraction_minutes

__all__ = ["Card", "cards", "estimate", "estimate_text", "measured_rate"]

_GIB = 2**30
# Numbers in `measured_rate`'s square matrices, and seconds it measures.
_SIDE, _SECONDS = 1024, 0.5


@dataclass(frozen=True)
class Card:
    """A GPU as its maker describes it: GiB, and operations per second."""

    label: str
    memory: float
    half: float
    float32: float


@cache
def cards() -> dict[str, Card]:
    """The GPUs that an estimate can name."""
    text = files("attention_wavelets.resources").joinpath("gpus.toml").read_text(encoding="utf-8")
    return {
        name: Card(card["label"], card["memory"], card["half"] * 1e12, card["float32"] * 1e12)
        for name, card in tomllib.loads(text).items()
    }


def measured_rate(seconds: float = _SECONDS) -> float:
    """Operations per second of this machine in a product of two float32 matrices."""
    matrix = np.random.default_rng(0).standard_normal((_SIDE, _SIDE), dtype=np.float32)
    matrix @ matrix
    began, times = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        matrix @ matrix
        times += 1
    return 2.0 * _SIDE**3 * times / (time.perf_counter() - began)


def estimate(needs: Needs, card: str, rate: float) -> pd.DataFrame:
    """A row per model of a study, or per training run with all its checkpoints.

    Parameters
    ----------
    needs
        Requests of the experiment.
    card
        Name of a GPU in `cards()`.
    rate
        Operations per second of this machine, as `measured_rate` gives.

    Returns
    -------
    DataFrame
        `download_gib` (weights, no texts), `disk_gib` (signals and tables of all corpora, weights
        that are trained here), `memory_gib` and `gpu_gib` of the larger of extraction and training,
        `fits` (whether the card has that much), `minutes_here` and `minutes_gpu` of both. NaN, with
        a `reason`, where the model's sizes are not known.
    """
    if card not in cards():
        raise unknown_name("GPU", card, cards(), "--gpu")
    rows = []
    runs = {run: list(models.values()) for run, models in runs_of(needs.experiment).items()}
    trained = {model for models in runs.values() for model in models}
    for name in needs.experiment.study.models:
        if name in trained:
            continue
        sizes = sizes_of(needs.experiment, name, needs.facts)
        row: dict[str, Any] = {"model": name, "reason": ""}
        if sizes is None:
            row["reason"] = "no `architecture` in its YAML, and not fetched yet"
        else:
            row |= _row(needs, name, sizes, cards()[card], rate)
        rows.append(row)
    for run, models in runs.items():
        found = _run_row(needs, models[-1], len(models), cards()[card], rate)
        rows.append({"model": f"{run} ({len(models)} checkpoints)", "reason": "", **found})
    columns = ["model", *_COLUMNS, "fits", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


_COLUMNS = ("download_gib", "disk_gib", "memory_gib", "gpu_gib", "minutes_here", "minutes_gpu")


def _row(needs: Needs, name: str, sizes: Sizes, card: Card, rate: float) -> dict[str, Any]:
    model = needs.experiment.model[name]
    corpora = [corpus for one, corpus in needs.extractions() if one == name]
    half = model.dtype != "float32"
    fetched = 0 if model.source.kind in ("untrained", "local", "trained") else download_bytes(sizes)
    on_card = max(needs.card_memory(name, corpus, sizes) for corpus in corpora) * MIB / _GIB

    def minutes(speed: float) -> float:
        return sum(extraction_minutes(sizes, needs.passes(corpus), speed) for corpus in corpora)

    return {
        "download_gib": fetched / _GIB,
        "disk_gib": sum(
            signal_bytes(sizes, needs.numbers(corpus)) + table_bytes(sizes, needs.signals(corpus))
            for corpus in corpora
        )
        / _GIB,
        "memory_gib": max(needs.memory(name, corpus, sizes) for corpus in corpora) * MIB / _GIB,
        "gpu_gib": on_card,
        "fits": _fits(on_card, card),
        "minutes_here": minutes(rate),
        "minutes_gpu": minutes(card.half if half else card.float32),
    }


def _run_row(needs: Needs, name: str, count: int, card: Card, rate: float) -> dict[str, Any]:
    """A training run with all its checkpoints: they have one size."""
    sizes = sizes_of(needs.experiment, name, needs.facts)
    assert sizes is not None, "told from the YAML"
    row = _row(needs, name, sizes, card, rate)
    # Training is bfloat16 on a card, whatever the type of the passes that are measured.
    for key, speed in (("minutes_here", rate), ("minutes_gpu", card.half)):
        # One process extracts from all of them.
        passes = count * (row[key] - START_MINUTES) + START_MINUTES
        row[key] = passes + needs.training_minutes(name, speed)
    weights = count * sizes.parameters * sizes.stored / _GIB
    on_card = max(row["gpu_gib"], needs.training_card_memory(name) * MIB / _GIB)
    return row | {
        "disk_gib": count * row["disk_gib"] + weights,
        "memory_gib": max(row["memory_gib"], needs.training_memory(name) * MIB / _GIB),
        "gpu_gib": on_card,
        "fits": _fits(on_card, card),
    }


def _fits(on_card: float, card: Card) -> str:
    return "yes" if on_card <= card.memory else "no"


def estimate_text(table: pd.DataFrame, card: str, rate: float) -> str:
    """The table for a terminal, with its totals and what the numbers are."""
    shown = table.copy()
    for column in _COLUMNS:
        shown[column] = [
            "unknown" if np.isnan(value) else f"{value:.1f}" for value in table[column]
        ]
    lines = [shown.drop(columns="reason").fillna("unknown").to_string(index=False)]
    total = table[["download_gib", "disk_gib", "minutes_here", "minutes_gpu"]].sum()
    lines.append(
        f"all together: {total['download_gib']:.1f} GiB of weights to fetch, "
        f"{total['disk_gib']:.1f} GiB of results, {total['minutes_here'] / 60:.1f} hours here or "
        f"{total['minutes_gpu'] / 60:.1f} hours on one {cards()[card].label}"
    )
    lines.append(
        f"this machine: {os.cpu_count()} cores, {rate / 1e9:.0f} GFLOP/s in a product of float32 "
        "matrices, measured just now; half precision is often slower"
    )
    for name, reason in table.loc[table["reason"] != "", ["model", "reason"]].itertuples(
        index=False
    ):
        lines.append(f"{name}: unknown, {reason}")
    lines.append("download_gib counts weights; texts that are fetched come on top")
    lines.append(
        "extraction and training only; a forecast from sizes (GPU: the maker's rate), within a "
        "factor of a few"
    )
    return "\n".join(lines)
