"""How far measured numbers lie from a published table, in units of its own spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.reference import paper_table

__all__ = [
    "READINGS",
    "Number",
    "condition_of",
    "methods_of",
    "parts_of",
    "published_models",
    "published_name",
    "published_rows",
    "row_label",
    "table_distance",
    "table_distances",
]


@dataclass(frozen=True)
class Number:
    """Which of our statistics a printed column is compared with.

    statistic
        Name in `summary.parquet`.
    fraction
        Of the tokens kept, where the number is one of a subsampled sequence.
    factor
        What ours is multiplied by, as for a column in per cent.
    """

    statistic: str
    fraction: float | None = None
    factor: float = 1.0

    @property
    def parts(self) -> tuple[str, ...]:
        """As of `parts_of`."""
        return parts_of(self.statistic)


_PARTS: dict[str, tuple[str, ...]] = {
    "scale_": ("wavelet", "scale"),
    "wavelet_entropy": ("wavelet",),
    "window_entropy": (),
    "positional_entropy": (),
    "local_global": (),
    "reconstruction_error": ("wavelet",),
}


def parts_of(statistic: str) -> tuple[str, ...]:
    """Settings of a protocol of kind `paper` on which a statistic depends beside the shared ones.

    Out of `spectrum`, `wavelet` and `scale`; no statistic depends on the first and on one of the
    others, so a spectral number and one of wavelets can be read from two protocols.
    """
    found = (parts for start, parts in _PARTS.items() if statistic.startswith(start))
    return next(found, ("spectrum",))


_SPECTRAL = {"spectral_entropy": "spectral_entropy", "frequency_selectivity": "selectivity"}
_RHO = {"position_spectrum_correlation": Number("position_spectrum_correlation")}


def _spread(*statistics: str) -> dict[str, Number]:
    return {
        f"{printed}_{statistic}": Number(f"{ours}_{statistic}")
        for printed, ours in _SPECTRAL.items()
        for statistic in statistics
    }


def _scale(suffix: str = "", statistic: str = "mean") -> dict[str, Number]:
    return {
        f"scale_sensitivity_{printed}{suffix}": Number(f"scale_sensitivity_{statistic}", fraction)
        for printed, fraction in (("0_5", 0.5), ("0_25", 0.25))
    }


_MEANS = {printed: Number(f"{ours}_mean") for printed, ours in _SPECTRAL.items()}

# The column of the reconstruction error is left out: it is the precision of the numbers used.
READINGS: dict[int, dict[str, dict[str, Number]]] = {
    1: {"as stated": {**_scale(), **_RHO}},
    2: {
        f"entropy {name}": {
            f"window_entropy_{width}_tokens": Number(f"window_entropy_{width}{suffix}_mean")
            for width in (16, 32, 64)
        }
        for name, suffix in (("divided by ln W", ""), ("in nats", "_nats"))
    },
    3: {"as stated": _spread("mean", "std", "iqr")},
    4: {
        "as stated": {
            **_spread("mean", "std"),
            **_scale("_mean"),
            **_scale("_std", "std"),
            **_RHO,
        }
    },
    5: {
        "as stated": {
            **_MEANS,
            "low_frequency_power_percent": Number("band_low_mean", factor=100.0),
            **_scale(),
        }
    },
    6: {"as stated": {**_MEANS, **_scale(), **_RHO}},
    7: {
        name: {
            f"wavelet_entropy_scale_{scale}": Number(f"wavelet_entropy_{infix}{scale}_mean")
            for scale in range(6)
        }
        for name, infix in (("normalised", ""), ("as printed, not normalised", "raw_"))
    },
}
"""Number of a table -> ways to read its columns -> printed column -> our statistic."""

_REPOSITORIES = {
    "Qwen/Qwen2.5-0.5B": "Qwen 2.5 (0.5B)",
    "meta-llama/Llama-3.2-1B": "LLaMA 3.2 (1B)",
    "meta-llama/Llama-3.1-8B": "LLaMA 3.1 (8B)",
    "meta-llama/Llama-3.2-3B": "Llama-3.2-3B",
    "google/gemma-2-2b": "Gemma 2 (2B)",
    "mistralai/Mistral-7B-v0.1": "Mistral (7B)",
    "google/flan-t5-base": "flan-t5-base",
    "google-bert/bert-base-uncased": "bert-base",
    "openai-community/gpt2": "gpt2",
    **{
        f"EleutherAI/pythia-{size.lower()}": f"Pythia ({size})"
        for size in ("14M", "70M", "160M", "410M", "1.4B", "2.8B", "6.9B", "12B")
    },
}


def published_name(repository: str | None) -> str | None:
    """The paper's name of a repository's weights; None where it does not have them."""
    return _REPOSITORIES.get(repository or "")


def methods_of(scales: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Ways of subsampling that a study has, in order."""
    return list(dict.fromkeys(str(scale["method"]) for scale in scales.values()))


def condition_of(
    number: Number, condition: str, method: str, scales: Mapping[str, Mapping[str, Any]]
) -> str | None:
    """The condition in whose row a number stands; None where the study does not have it.

    Parameters
    ----------
    number
        What is looked for.
    condition
        Of the cell: where numbers stand that compare nothing.
    method
        Way of subsampling.
    scales
        Subsampled condition -> fraction and method. Of conditions that differ in their seed alone,
        the first counts.
    """
    if number.fraction is None:
        return condition
    wanted = {"fraction": number.fraction, "method": method}
    return next((name for name, scale in scales.items() if scale == wanted), None)


def row_label(row: pd.Series) -> str:
    """A published row's name: the model and, of checkpoints, the step."""
    step = f", step {row['training_step']}" if "training_step" in row else ""
    return f"{row['model']}{step}"


def published_models(number: int, repository: str | None) -> list[str]:
    """Rows of a table a model is compared with: its own where it has one, else all of them."""
    names = [str(name) for name in dict.fromkeys(paper_table(number)["model"])]
    own = published_name(repository)
    return [own] if own in names else names


@cache
def _spreads(number: int, columns: tuple[str, ...]) -> np.ndarray:
    return np.asarray(paper_table(number)[list(columns)].std(ddof=0).to_numpy(dtype=np.float64))


def table_distance(
    values: Mapping[str, float], number: int, repository: str | None = None
) -> tuple[float, str]:
    """Root mean square, over the columns, of (ours - printed) / spread of the printed column.

    Parameters
    ----------
    values
        Printed column -> our number; every column of one reading of the table.
    number
        1 to 7.
    repository
        Where the model comes from on the hub; a model of the paper is compared with its own row.

    Returns
    -------
    distance
        To the nearest row; 0: equal, 1: as far off as the published models are from their mean.
        NaN where one of the values is.
    row
        That row.
    """
    columns = tuple(values)
    ours = np.array([[values[column] for column in columns]], dtype=np.float64)
    distance, best = table_distances(ours, columns, number, repository)
    if np.isnan(distance[0]):
        return float("nan"), ""
    return float(distance[0]), row_label(published_rows(number, repository).iloc[best[0]])


def published_rows(number: int, repository: str | None) -> pd.DataFrame:
    """The rows of a table that a model is compared with."""
    table: pd.DataFrame = paper_table(number)
    return table[table["model"].isin(published_models(number, repository))]


def table_distances(
    ours: np.ndarray, columns: tuple[str, ...], number: int, repository: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`table_distance` of many cells at once.

    Parameters
    ----------
    ours
        (n, columns) our numbers.
    columns
        Printed columns.
    number, repository
        As above.

    Returns
    -------
    distance
        (n,); NaN where one of the numbers is.
    row
        (n,) place in `published_rows` of the nearest; 0 where there is none.
    """
    printed = published_rows(number, repository)[list(columns)].to_numpy(dtype=np.float64)
    offset = (printed - ours[:, None]) / _spreads(number, columns)
    distance = np.sqrt(np.square(offset).mean(axis=-1))
    best = distance.argmin(axis=-1)
    return distance[np.arange(len(ours)), best], best
