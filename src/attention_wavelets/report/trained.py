"""What is followed through models trained here, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = [
    "ENCODINGS",
    "FOLLOWED",
    "OBJECTIVE",
    "REFERENCE",
    "Coincidence",
    "Followed",
    "coincidences",
    "comparable",
    "encoding_words",
    "first_and_last",
    "main_objective",
    "reference_block",
    "reference_runs",
]

ENCODINGS = {
    "rope": "RoPE",
    "rope_quarter": "RoPE, quarter",
    "alibi": "ALiBi",
    "learned": "learned",
    "relative_bias": "relative bias",
    "none": "none",
}
# The encoding that others are compared with, and the objective of those runs where there are some.
REFERENCE, OBJECTIVE = "rope", "causal"


def main_objective(runs: pd.DataFrame) -> str:
    """The objective whose runs decide on size and training: causal, if any run is."""
    found = set(runs["objective"]) if len(runs) else {OBJECTIVE}
    return OBJECTIVE if OBJECTIVE in found else str(min(found))


def reference_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of runs with the encoding that others are compared with, one block, the main objective.

    Sizes are not compared between runs of different blocks.
    """
    rows = runs[(runs["encoding"] == REFERENCE) & (runs["objective"] == main_objective(runs))]
    return rows[rows["block"] == reference_block(rows)]


def reference_block(runs: pd.DataFrame) -> str:
    """The block of most rows with the encoding that others are compared with; "" without one."""
    counts = runs[runs["encoding"] == REFERENCE].groupby("block").size()
    return str(counts.idxmax()) if len(counts) else ""


def first_and_last(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The checkpoint before the first step of every run that has it, and the last of every run."""
    ordered = runs.sort_values("step", kind="stable").groupby("run", sort=False)
    first = ordered.head(1)
    return first[first["step"] == 0], ordered.tail(1)


def comparable(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of each objective with the recipe and sizes at which most encodings were trained.

    Runs of another recipe, depth or width differ in more than the encoding and the block.
    """
    parts = []
    for _, rows in runs.groupby("objective", sort=False):
        alike = rows.groupby(["recipe", "layers", "heads", "hidden_size"])
        parts.append(alike.get_group(alike["encoding"].nunique().idxmax()))
    return pd.concat(parts) if parts else runs


@dataclass(frozen=True)
class Coincidence:
    """Steps of wavelet-like measures beside those of something that training is known to bring.

    Attributes
    ----------
    title
        What training brings.
    near, count
        Steps no more than one kept checkpoint away from its step in the same run; all of them.
    chance
        The share that would be near if steps were as likely between any two kept checkpoints.
    """

    title: str
    near: int
    count: int
    chance: float

    @property
    def share(self) -> float:
        """Of the steps, those that are near."""
        return self.near / self.count


def coincidences(phases: pd.DataFrame, runs: pd.DataFrame) -> list[Coincidence]:
    """For each number that is not wavelet-like and has a step in some of these runs."""
    # Which gap between kept checkpoints a step lies in: a place is known no better.
    kept = {run: np.sort(part["step"]) for run, part in runs.groupby("run")}
    steps = phases[(phases["best"] == "step") & phases["run"].isin(list(kept))]
    gap = [
        int(np.searchsorted(kept[run], step)) - 1
        for run, step in zip(steps["run"], steps["step"], strict=True)
    ]
    steps = steps.assign(gap=gap)
    wavelet = steps["wavelet"].astype(bool)
    found = []
    for title, known in steps[~wavelet].groupby("title", sort=False):
        both = steps[wavelet].merge(known[["run", "gap"]], on="run", suffixes=("", "_known"))
        if both.empty:
            continue
        gaps = both["run"].map({run: len(places) - 1 for run, places in kept.items()})
        within = 1 + (both["gap_known"] > 0) + (both["gap_known"] < gaps - 1)
        found.append(
            Coincidence(
                title=str(title),
                near=int(((both["gap"] - both["gap_known"]).abs() <= 1).sum()),
                count=len(both),
                chance=float((within / gaps).mean()),
            )
        )
    return found


def encoding_words(encoding: str, objective: str = OBJECTIVE) -> str:
    """A position encoding as figures and tables name it."""
    return ENCODINGS.get(encoding, encoding) + ", masked" * (objective != OBJECTIVE)


@dataclass(frozen=True)
class Followed:
    """A number per model that is followed through sizes, encodings and steps.

    Attributes
    ----------
    name, title
        Column of runs.csv, and how the report calls it.
    statistic, kind, condition
        Its row of summary.parquet and the kind of its protocol; or of facts.parquet, where `kind`
        is "fact".
    best
        Of a fact: the head that does it most, not the mean over heads. The best of more heads is
        better by itself, so that models with different numbers of heads are not compared in it.
    wavelet
        Whether the paper takes it, or a measure beside it, for a sign of wavelets; the others say
        what training is known to bring.
    """

    name: str
    title: str
    statistic: str
    kind: str
    condition: str = ""
    best: bool = False
    wavelet: bool = True


FOLLOWED = (
    Followed("spectral_entropy", "spectral entropy (nats)", "spectral_entropy_mean", "paper"),
    Followed("selectivity", "selectivity (ratio)", "selectivity_mean", "paper"),
    Followed("band_low", "low band (share of power)", "band_low_mean", "paper"),
    Followed("band_high", "high band (share of power)", "band_high_mean", "paper"),
    Followed(
        "scale_sensitivity",
        "scale sensitivity at 1/2 (1 − cosine)",
        "scale_sensitivity_mean",
        "paper",
        "half",
    ),
    Followed(
        "position_spectrum",
        "position–spectrum correlation (Pearson)",
        "position_spectrum_correlation",
        "paper",
    ),
    Followed("octave_1", "finest octave (share of power)", "octave_share_1_mean", "rigorous"),
    Followed(
        "complementarity",
        "division of octaves among heads (0 to 1)",
        "bank_complementarity",
        "rigorous",
    ),
    Followed(
        "scale_difference",
        "difference of scales of two heads in octaves (number)",
        "bank_scale_difference",
        "rigorous",
    ),
    Followed(
        "arrangement_gain",
        "gain of the order over chance (ratio)",
        "arrangement_gain_mean",
        "rigorous",
    ),
    Followed(
        "scale_kappa",
        "kappa: +1 stretches, −1 keeps width (number)",
        "scale_kappa_mean",
        "rigorous",
        "half",
    ),
    Followed("kernel_width", "kernel width in tokens (number)", "kernel_width_median", "rigorous"),
    Followed(
        "sink",
        "attention to the first token (0 to 1)",
        "sink_importance",
        "fact",
        wavelet=False,
    ),
    Followed(
        "previous_token",
        "previous token, best head (0 to 1)",
        "previous_token",
        "fact",
        best=True,
        wavelet=False,
    ),
    Followed(
        "induction",
        "induction, best head (0 to 1)",
        "induction",
        "fact",
        best=True,
        wavelet=False,
    ),
)
