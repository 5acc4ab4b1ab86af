"""Stage find_scales: do heads find scales of the data that are known?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.corpora.series import levels_of
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.inference.known_scales import (
    apart,
    found_share,
    power_shares,
    share_at,
    slope,
    two_samples,
)
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.documents import read_documents
from attention_wavelets.store.sequences import read_sequences
from attention_wavelets.store.tables import write_csv

__all__ = ["find_scales"]

_SCALES = (
    *("model", "corpus", "probe", "group", "kind", "truth", "n", "heads"),
    *("response", "response_low", "response_high"),
    *("specific", "specific_low", "specific_high", "found", "strongest"),
    *("slope", "slope_low", "slope_high", "slope_without", "reason"),
)
_SPECTRA = ("model", "corpus", "probe", "group", "cycles", "excess")


@dataclass(frozen=True)
class _Spectra:
    """Shares of power of some signals, (sequence, head, bin), as they are and without scales."""

    count: int
    own: np.ndarray
    without: np.ndarray


def find_scales(
    config: Mapping[str, Any],
    documents: Mapping[str, Path],
    sequences: Mapping[tuple[str, str], Path],
    signals: Mapping[tuple[str, str], Path],
    scales: Path,
    spectra: Path,
) -> None:
    """Write how attention of every model answers to each known scale, and mean spectra.

    Parameters
    ----------
    config
        The slice.
    documents
        Corpus -> what build_corpus wrote.
    sequences, signals
        (model, corpus) -> what encode_sequences and extract_signals wrote.
    scales, spectra
        CSV files to write. Rows without a model are of the series themselves.

    Raises
    ------
    PipelineError
        A model whose tokens are not the samples of a series.
    """
    rows: list[dict[str, Any]] = []
    drawn: list[pd.DataFrame] = []
    for corpus, groups in config["corpora"].items():
        table = read_documents(documents[corpus]).set_index("document")
        for place, model in enumerate(config["models"]):
            read = {
                key: read_sequences(sequences[model, corpus], config[key])
                for key in ("condition", "without")
            }
            labels = table.loc[read["condition"]["document"], "group"].to_numpy()
            data = _of_series(table, read, f"{model} on {corpus}")
            found = {} if place else {("", "data"): data}
            for probe in config["probes"]:
                found[model, probe] = _of_attention(signals[model, corpus], probe, config)
            for (name, probe), part in found.items():
                keys = {"model": name, "corpus": corpus, "probe": probe}
                rows += [
                    {**keys, **row}
                    for row in _answers(part, labels, read["condition"], groups, config)
                ]
                if not name or name in config["drawn"]:
                    drawn.append(_mean_spectra(part, labels, groups).assign(**keys))
    write_csv(scales, pd.DataFrame(rows, columns=_SCALES))
    write_csv(spectra, pd.concat(drawn, ignore_index=True)[list(_SPECTRA)])


def _of_attention(path: Path, probe: str, config: Mapping[str, Any]) -> _Spectra:
    """Of every head, whatever its layer."""
    found = []
    for key in ("condition", "without"):
        with open_group(path, config[key]) as group:
            values = np.asarray(group[probe].values)
        found.append(values.reshape(len(values), -1, values.shape[-1]))
    return _Spectra(found[0].shape[-1], *map(power_shares, found))


def _of_series(
    table: pd.DataFrame, read: Mapping[str, Mapping[str, np.ndarray]], where: str
) -> _Spectra:
    """Of the samples that a model was given, as if they were one head."""
    found = []
    for sequences in read.values():
        rows = []
        for row, (document, start) in enumerate(
            zip(sequences["document"], sequences["start"], strict=True)
        ):
            ordinary = ~sequences["special"][row]
            places = sequences["source_position"][row][ordinary]
            levels = levels_of(table.loc[document, "text"])
            values = levels[start + places - places.min()] if len(places) else levels[:0]
            _refuse_other_tokens(sequences["ids"][row][ordinary], values, where)
            rows.append(values)
        found.append(np.stack(rows)[:, None])
    return _Spectra(found[0].shape[-1], *map(power_shares, found))


def _refuse_other_tokens(ids: np.ndarray, values: np.ndarray, where: str) -> None:
    """A token that stands for several samples, or for others in another place, is no sample."""
    pairs = len(set(zip(ids.tolist(), values.tolist(), strict=True)))
    if pairs != len(np.unique(ids)) or pairs != len(np.unique(values)):
        raise PipelineError(
            "its tokens are not the samples of the series",
            where,
            "take models whose recipe has `merges: 0` (conf/recipe/series.yaml)",
        )


def _answers(
    spectra: _Spectra,
    labels: np.ndarray,
    sequences: Mapping[str, np.ndarray],
    groups: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """A row per known period, and per exponent of noise."""
    rules = config["statistics"]
    for group, known in groups.items():
        mine = labels == group
        row = {"group": group, "kind": known["kind"], "n": int(mine.sum())}
        row["heads"] = spectra.own.shape[1]
        documents = sequences["document"][mine]
        if known["kind"] == "fractional_noise":
            slopes = slope(spectra.own[mine])
            numbers = _interval("slope", slopes, documents, rules)
            without = float(_mean(slope(spectra.without[mine])))
            yield {**row, "truth": known["hurst"], **numbers, "slope_without": without}
            continue
        for period in known["periods"]:
            if spectra.count / period < 2:
                reason = f"fewer than two periods in {spectra.count} positions"
                yield {**row, "truth": period, "reason": reason}
                continue
            own = share_at(spectra.own, period, spectra.count)
            response = own[mine] - share_at(spectra.without[mine], period, spectra.count)
            others = [
                name
                for name, other in groups.items()
                if apart(period, other.get("periods", []), spectra.count)
            ]
            apart_rows = own[np.isin(labels, others)] if others else None
            numbers = _interval("response", response, documents, rules)
            if apart_rows is not None:
                mean = two_samples(_of_heads(own[mine]), _of_heads(apart_rows), rules["confidence"])
                names = ("specific", "specific_low", "specific_high")
                numbers |= dict(zip(names, mean, strict=True))
            tested = response if apart_rows is None else own[mine]
            numbers["found"] = found_share(tested, apart_rows, config["false_discoveries"])
            numbers["strongest"] = float(np.max(_mean(response, axis=0)))
            yield {**row, "truth": period, **numbers}


def _interval(
    name: str, values: np.ndarray, documents: np.ndarray, rules: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean over heads, with an interval over series; values (sequence, head)."""
    found = clustered_t(
        _of_heads(values), documents, rules["confidence"], min_clusters=rules["min_documents"]
    )
    limits = {f"{name}_low": float(found.low), f"{name}_high": float(found.high)}
    return {name: float(found.mean), **limits, "reason": str(found.reason)}


def _of_heads(values: np.ndarray) -> np.ndarray:
    return _mean(values, axis=1)


def _mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Mean of what is known; NaN of nothing."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean_spectra(spectra: _Spectra, labels: np.ndarray, groups: Sequence[str]) -> pd.DataFrame:
    """Power of each group over that without scales in dB, mean over heads and series."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = 10 * (np.log10(spectra.own) - np.log10(spectra.without))
    cycles = np.arange(1, excess.shape[-1] + 1) / spectra.count
    frames = [
        pd.DataFrame(
            {
                "group": group,
                "cycles": cycles,
                "excess": _mean(excess[labels == group].reshape(-1, excess.shape[-1]), axis=0),
            }
        )
        for group in groups
    ]
    return pd.concat(frames, ignore_index=True)
