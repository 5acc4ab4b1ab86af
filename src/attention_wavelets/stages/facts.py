"""Stage summarise_facts: what each head does besides its signals, averaged over sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.tables import table_writer

__all__ = ["summarise_facts"]


def summarise_facts(config: Mapping[str, Any], signals: Sequence[Path], out: Path) -> None:
    """Write one row per model, condition, number, coordinate, layer and head.

    Parameters
    ----------
    config
        The slice: the cells (model, corpus, conditions and their facts) and the statistics.
    signals
        The store of each cell, in order.
    out
        Parquet file to write.
    """
    if len(signals) != len(config["cells"]):
        raise PipelineError(
            f"{len(signals)} stores for {len(config['cells'])} cells of the study",
            "command line",
            "give one store for each model and corpus with facts",
        )
    with table_writer(out) as writer:
        for cell, store in zip(config["cells"], signals, strict=True):
            for condition, facts in cell["facts"].items():
                for frame in _condition(store, condition, facts, config["statistics"]):
                    for place, key in enumerate(("model", "corpus")):
                        frame.insert(place, key, cell[key])
                    writer.append(frame)


def _condition(
    store: Path, condition: str, facts: Sequence[str], statistics: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    with open_group(store, condition) as group:
        documents = group["document"].values
        for name in sorted(map(str, group.data_vars)):
            if group[name].attrs.get("fact") not in facts:
                continue
            axis = str(group[name].dims[3]) if group[name].ndim == 4 else ""
            coordinates = group[axis].values if axis else np.array([np.nan])
            layers = []
            for layer in range(group.sizes["layer"]):
                values = group[name][:, layer].values.astype(np.float64)
                interval = clustered_t(
                    values.reshape(len(values), -1),
                    documents,
                    statistics["confidence"],
                    min_clusters=statistics["min_documents"],
                )
                heads = values.shape[1]
                layers.append(
                    pd.DataFrame(
                        {
                            "condition": condition,
                            "fact": group[name].attrs["fact"],
                            "number": name,
                            "axis": axis,
                            "coordinate": np.tile(coordinates.astype(np.float64), heads),
                            "layer": np.int16(layer),
                            "head": np.repeat(np.arange(heads, dtype=np.int16), len(coordinates)),
                            "mean": interval.mean,
                            "se": interval.standard_error,
                            "low": interval.low,
                            "high": interval.high,
                            "n": interval.n.astype(np.int32),
                            "reason": interval.reason.astype(object),
                        }
                    )
                )
            yield pd.concat(layers, ignore_index=True)
