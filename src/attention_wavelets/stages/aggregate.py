"""Stage aggregate_study: tables of every model to one table per head and one row per model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.intervals import Interval, clustered_t
from attention_wavelets.store.tables import (
    TableWriter,
    iterate_table,
    read_table,
    table_columns,
    table_writer,
    write_csv,
)

__all__ = ["aggregate_study"]

_KEYS = ("condition", "reference", "probe", "sequence", "document", "layer", "head")
# Columns of heads.parquet: these, then the parts of every measure.
_HEAD_KEYS = (
    *("model", "corpus", "condition", "reference", "probe", "protocol", "layer", "head"),
    *("n_sequences", "n_documents"),
)
_PARTS = ("mean", "se", "low", "high", "n")

# Name of a per-sequence column, name in models.csv. The second is the paper's where it has one.
_HEADLINE = {
    "spectral_entropy_mean": "spectral_entropy_mean",
    "spectral_entropy_std": "spectral_entropy_std",
    "spectral_entropy_iqr": "spectral_entropy_iqr",
    "selectivity_mean": "frequency_selectivity_mean",
    "selectivity_std": "frequency_selectivity_std",
    "selectivity_iqr": "frequency_selectivity_iqr",
    "position_spectrum_correlation": "position_spectrum_correlation",
    "reconstruction_error_mean": "reconstruction_error_mean",
    "positional_entropy_mean": "positional_entropy_mean",
    "band_low_mean": "band_low_mean",
    "band_mid_mean": "band_mid_mean",
    "band_high_mean": "band_high_mean",
    "local_global_ratio_median": "local_global_ratio_median",
}


def aggregate_study(
    config: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    measures: Sequence[Path],
    heads: Path,
    models: Path,
    pairs: Path,
    summary: Path,
) -> None:
    """Write the study's tables.

    Parameters
    ----------
    config
        The slice.
    manifests
        Model name -> manifest.
    measures
        Folder of each cell's tables, in the order of `config["cells"]`.
    heads, models, pairs, summary
        Files to write: Parquet, CSV, Parquet, Parquet.
    """
    if len(measures) != len(config["cells"]):
        raise PipelineError(
            f"{len(measures)} folders of measures for {len(config['cells'])} cells of the study",
            "command line",
            "give one folder for each model, corpus and protocol",
        )
    cells = list(zip(config["cells"], measures, strict=True))
    by_head = [(cell, folder) for cell, folder in cells if cell["by_head"]]
    # Protocols have measures of their own; a row lacks those of the others.
    columns = list(
        dict.fromkeys(name for _, folder in by_head for name in _measured(folder / "heads.parquet"))
    )
    with table_writer(heads) as writer:
        for cell, folder in by_head:
            frames = iterate_table(folder / "heads.parquet")
            writer.append(_cell_rows(cell, frames, config["statistics"], columns))
    with table_writer(pairs) as writer:
        _copy_pairs(by_head, writer)
    with table_writer(summary) as writer:
        for cell, folder in cells:
            frame = read_table(folder / "model.parquet")
            for frame_of_one in _summaries(cell, frame, config["statistics"]):
                writer.append(frame_of_one)
    head = config["headline"]
    rows = [
        _model_row(config, manifests[cell["model"]], read_table(folder / "model.parquet"))
        for cell, folder in cells
        if (cell["corpus"], cell["protocol"]) == (head["corpus"], head["protocol"])
    ]
    write_csv(models, pd.DataFrame(rows))


def _copy_pairs(cells: Sequence[tuple[Any, Path]], writer: TableWriter) -> None:
    for cell, folder in cells:
        for frame in iterate_table(folder / "pairs.parquet"):
            for position, key in enumerate(("model", "corpus", "protocol")):
                frame.insert(position, key, cell[key])
            writer.append(frame)


def _summaries(
    cell: Mapping[str, str], table: pd.DataFrame, statistics: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    """Every statistic over all heads of a model, averaged over sequences, a row each."""
    names = [name for name in table.columns if name not in (*_KEYS, "reason")]
    for key, rows in table.groupby(["condition", "reference", "probe"], sort=False):
        documents = rows["document"].to_numpy()
        interval = _interval(rows[names].to_numpy(dtype=np.float64), documents, statistics)
        yield pd.DataFrame(
            {
                "model": cell["model"],
                "corpus": cell["corpus"],
                **dict(zip(("condition", "reference", "probe"), key, strict=True)),
                "protocol": cell["protocol"],
                "statistic": names,
                "mean": interval.mean,
                "se": interval.standard_error,
                "low": interval.low,
                "high": interval.high,
                "n": interval.n.astype(np.int32),
                "n_documents": np.int32(len(np.unique(documents))),
                "reason": [str(reason) for reason in interval.reason],
            }
        )


def _measured(path: Path) -> list[str]:
    return [name for name in table_columns(path) if name not in (*_KEYS, "reason")]


def _interval(values: np.ndarray, documents: np.ndarray, statistics: Mapping[str, Any]) -> Interval:
    return clustered_t(
        values, documents, statistics["confidence"], min_clusters=statistics["min_documents"]
    )


def _cell_rows(
    cell: Mapping[str, str],
    frames: Iterable[pd.DataFrame],
    statistics: Mapping[str, Any],
    measures: Sequence[str],
) -> pd.DataFrame:
    """The heads of a model, averaged over sequences with clustered intervals.

    Of `measures`, those that this protocol does not have are NaN with n = 0.
    """
    parts = [_layer_rows(frame, statistics) for frame in frames]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    count = len(rows["layer"])
    rows |= {name: np.full(count, cell[name]) for name in ("model", "corpus", "protocol")}
    nothing, none = np.full(count, np.nan), np.zeros(count, dtype=np.int32)
    for name in measures:
        for part in _PARTS:
            rows.setdefault(f"{name}_{part}", none if part == "n" else nothing)
    numbers = [f"{name}_{part}" for name in measures for part in _PARTS]
    return pd.DataFrame({name: rows[name] for name in [*_HEAD_KEYS, *numbers, "reason"]})


def _layer_rows(frame: pd.DataFrame, statistics: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """One layer's heads under one condition and probe."""
    frame = frame.sort_values(["sequence", "head"], kind="stable")
    n_heads = int(frame["head"].max()) + 1
    names = [name for name in frame.columns if name not in (*_KEYS, "reason")]
    values = frame[names].to_numpy().reshape(-1, n_heads, len(names))
    documents = frame["document"].to_numpy()[::n_heads]
    interval = _interval(values, documents, statistics)
    first = frame.iloc[0]
    columns = {
        **{name: np.full(n_heads, first[name]) for name in ("condition", "reference", "probe")},
        "layer": np.full(n_heads, first["layer"], dtype=np.int16),
        "head": np.arange(n_heads, dtype=np.int16),
        "n_sequences": np.full(n_heads, len(values), dtype=np.int32),
        "n_documents": np.full(n_heads, len(np.unique(documents)), dtype=np.int32),
        "reason": np.array([_reason(names, row) for row in interval.reason], dtype=object),
    }
    found = (
        interval.mean,
        interval.standard_error,
        interval.low,
        interval.high,
        interval.n.astype(np.int32),
    )
    for part, numbers in zip(_PARTS, found, strict=True):
        columns |= {f"{name}_{part}": numbers[:, i] for i, name in enumerate(names)}
    return columns


def _reason(names: Sequence[str], reasons: np.ndarray) -> str:
    """Why numbers are missing, as in "undefined: wavelet_entropy_5; documents: selectivity"."""
    groups: dict[str, list[str]] = {}
    for name, reason in zip(names, reasons, strict=True):
        if reason:
            groups.setdefault(str(reason), []).append(name)
    return "; ".join(f"{reason}: {' '.join(found)}" for reason, found in groups.items())


def _model_row(
    config: Mapping[str, Any], manifest: Mapping[str, Any], table: pd.DataFrame
) -> dict[str, Any]:
    """One line of models.csv: facts, then each statistic with its interval."""
    head = config["headline"]
    mine = table[table["probe"] == head["probe"]]
    rows = mine[mine["condition"] == head["condition"]]
    facts = manifest["facts"]
    entry = config["models"][manifest["name"]]
    row = {
        "model": manifest["name"],
        "label": _label(entry["label"], manifest),
        "trained": not entry["of"],
        "of": entry["of"],
        "position_encoding": facts["position_encoding"],
        "causal": facts["causal"],
        "quantisation": manifest["quantisation"],
        "tuning": manifest["tuning"],
        "dtype": manifest["dtype"],
        "parameters": facts["parameters"],
        "layers": facts["layers"],
        "heads_per_layer": facts["heads"],
        "revision": manifest["revision"],
        "locked": manifest["locked"],
        "corpus": head["corpus"],
        "protocol": head["protocol"],
        "condition": head["condition"],
        "probe": head["probe"],
        "tokens": config["tokens"],
        "n_sequences": len(rows),
        "n_documents": rows["document"].nunique(),
    }
    reasons: dict[str, str] = {}
    for name, (values, documents) in _statistics(config, mine, rows):
        interval = _interval(values, documents, config["statistics"])
        reasons[name] = str(interval.reason)
        row[name] = float(interval.mean)
        row[f"{name}_low"] = float(interval.low)
        row[f"{name}_high"] = float(interval.high)
    row["reason"] = _reason(list(reasons), np.array(list(reasons.values())))
    return row


def _label(label: str, manifest: Mapping[str, Any]) -> str:
    """The printed name: quantisation and tuning stand beside every number of a model."""
    weights = [] if manifest["quantisation"] == "none" else [manifest["quantisation"]]
    tuning = [] if manifest["untrained"] else [manifest["tuning"]]
    said = ", ".join([*weights, *tuning])
    return f"{label} ({said})" if said else label


def _statistics(
    config: Mapping[str, Any], mine: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    documents = rows["document"].to_numpy()
    for name, printed in _HEADLINE.items():
        if name in rows:
            yield printed, (rows[name].to_numpy(), documents)
    for name in rows.columns:
        if name.startswith("window_entropy_") and name.endswith("_mean") and "nats" not in name:
            width = name.removeprefix("window_entropy_").removesuffix("_mean")
            yield f"window_entropy_{width}_tokens", (rows[name].to_numpy(), documents)
    for name in rows.columns:
        scale = name.removeprefix("wavelet_entropy_").removesuffix("_mean")
        if name.startswith("wavelet_entropy_") and scale.isdigit():
            yield f"wavelet_entropy_scale_{scale}", (rows[name].to_numpy(), documents)
    seen: set[str] = set()
    for condition, scale in config["scales"].items():
        compared = mine[mine["condition"] == condition]
        fraction = f"{scale['fraction']:g}".replace(".", "_")
        suffix = "" if scale["method"] == "stride" else f"_{scale['method']}"
        if len(compared) and "scale_sensitivity_mean" in compared:
            values = compared["scale_sensitivity_mean"].to_numpy()
            name = f"scale_sensitivity_{fraction}{suffix}"
            # Conditions may share fraction and method and differ in their seed.
            name = f"{name}_{condition}" if name in seen else name
            seen.add(name)
            yield name, (values, compared["document"].to_numpy())
