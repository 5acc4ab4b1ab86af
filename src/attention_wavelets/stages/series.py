"""Stage compare_series: do heads find scales of the data that are known?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.corpora.series import levels_of
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.inference.series import (
    MIN_OCTAVES,
    apart,
    by_document,
    found_share,
    free_bins,
    mean_known,
    octaves,
    power_shares,
    share_at,
    slope_interval,
    two_samples,
)
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.documents import read_documents
from attention_wavelets.store.sequences import read_sequences
from attention_wavelets.store.tables import write_csv

__all__ = ["compare_series"]

_ANSWERS = (
    *("model", "corpus", "probe", "group", "kind", "truth", "n", "documents", "heads"),
    *("response", "response_low", "response_high", "strongest"),
    *("specific", "specific_low", "specific_high", "found"),
    *("slope", "slope_low", "slope_high", "slope_without", "reason"),
)
_SPECTRA = ("model", "corpus", "probe", "group", "cycles", "excess")


@dataclass(frozen=True)
class _Spectra:
    """Shares of power of some signals, (sequence, head, bin), as they are and shuffled."""

    count: int
    own: np.ndarray
    without: np.ndarray


def compare_series(
    config: Mapping[str, Any],
    documents: Mapping[str, Path],
    sequences: Mapping[tuple[str, str], Path],
    signals: Mapping[tuple[str, str], Path],
    answers: Path,
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
    answers, spectra
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
            of = read["condition"]["document"]
            labels = table.loc[of, "group"].to_numpy()
            samples = _samples(table, read, f"{model} on {corpus}")
            found = {
                (model, probe): _of_attention(signals[model, corpus], probe, config)
                for probe in config["probes"]
            }
            # All models are given the same series.
            if place == 0:
                found["", "data"] = _spectra(samples)
            least = min(part.count for part in found.values())
            for (name, probe), part in found.items():
                keys = {"model": name, "corpus": corpus, "probe": probe}
                rows += [
                    {**keys, **row} for row in _answers(part, labels, of, groups, least, config)
                ]
                if not name or name in config["drawn"]:
                    drawn.append(_mean_spectra(part, labels, groups).assign(**keys))
    write_csv(answers, pd.DataFrame(rows, columns=_ANSWERS))
    write_csv(spectra, pd.concat(drawn, ignore_index=True)[list(_SPECTRA)])


def _of_attention(path: Path, probe: str, config: Mapping[str, Any]) -> _Spectra:
    """Of every head, whatever its layer."""
    found = []
    for key in ("condition", "without"):
        with open_group(path, config[key]) as group:
            if probe not in group:
                raise PipelineError(
                    f"probe '{probe}' was not extracted",
                    str(path),
                    "leave it out of `series` in the study: models that look ahead lack it",
                )
            values = np.asarray(group[probe].values)
        found.append(values.reshape(len(values), -1, values.shape[-1]))
    return _spectra(found)


def _spectra(signals: Sequence[np.ndarray]) -> _Spectra:
    """Of signals (sequence, head, position) as they are, and shuffled."""
    return _Spectra(signals[0].shape[-1], *map(power_shares, signals))


def _samples(
    table: pd.DataFrame, read: Mapping[str, Mapping[str, np.ndarray]], where: str
) -> list[np.ndarray]:
    """What a model was given as it is, and shuffled, as if it were the signal of one head."""
    found = []
    for sequences in read.values():
        rows = []
        for row, (document, start) in enumerate(
            zip(sequences["document"], sequences["start"], strict=True)
        ):
            ordinary = ~sequences["special"][row]
            places = sequences["source_position"][row][ordinary]
            levels = levels_of(table.loc[document, "text"])
            values = levels[start + places - places.min()]
            _refuse_other_tokens(sequences["ids"][row][ordinary], values, where)
            rows.append(values)
        found.append(np.stack(rows)[:, None])
    return found


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
    documents: np.ndarray,
    groups: Mapping[str, Mapping[str, Any]],
    least: int,
    config: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """A row per known period, and per exponent of noise.

    `least` is the shortest signal of a model: which periods it tells apart are the others for every
    probe, so that probes can be compared.
    """
    for group, known in groups.items():
        mine = labels == group
        row = {
            "group": group,
            "kind": known["kind"],
            "n": int(mine.sum()),
            "documents": len(np.unique(documents[mine])),
            "heads": spectra.own.shape[1],
        }
        if known["kind"] == "fractional_noise":
            numbers = _slopes(spectra, mine, documents, config["statistics"])
            yield {**row, "truth": known["hurst"], **numbers}
            continue
        for period in known["periods"]:
            if spectra.count / period < 2:
                reason = f"fewer than two periods in {spectra.count} positions"
                yield {**row, "truth": period, "reason": reason}
                continue
            others = [
                name
                for name, other in groups.items()
                if apart(period, other.get("periods", []), least)
            ]
            # Of all series that are compared: one set of bins, so that shares are comparable.
            compared = chain(known["periods"], *(groups[name]["periods"] for name in others))
            free = free_bins(compared, spectra.count)
            if not free.any():
                reason = f"no frequency of {spectra.count} positions is free of known periods"
                yield {**row, "truth": period, "reason": reason}
                continue
            chosen = (mine, np.isin(labels, others))
            yield {**row, "truth": period, **_at(spectra, period, free, *chosen, documents, config)}


def _at(
    spectra: _Spectra,
    period: float,
    free: np.ndarray,
    mine: np.ndarray,
    others: np.ndarray,
    documents: np.ndarray,
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """What attention does at a period of the data: beside shuffled series, and beside others."""
    rules = config["statistics"]
    least, confidence = rules["min_documents"], rules["confidence"]
    own = share_at(spectra.own, period, spectra.count, free)
    # A sequence and its shuffled one stand in the same row.
    response = own[mine] - share_at(spectra.without[mine], period, spectra.count, free)
    found = clustered_t(
        mean_known(response, axis=1), documents[mine], confidence, min_clusters=least
    )
    heads = mean_known(response)
    numbers = {
        "response": float(found.mean),
        "response_low": float(found.low),
        "response_high": float(found.high),
        "strongest": float(np.max(heads, initial=-np.inf, where=np.isfinite(heads))),
        "reason": str(found.reason),
    }
    if not np.isfinite(numbers["strongest"]):
        numbers["strongest"] = np.nan
    if not others.any():
        return numbers
    ours, theirs = (by_document(own[rows], documents[rows]) for rows in (mine, others))
    means = (mean_known(part, axis=1) for part in (ours, theirs))
    limits = two_samples(*means, confidence, least)
    numbers |= dict(zip(("specific", "specific_low", "specific_high"), limits, strict=True))
    paired = by_document(response, documents[mine])
    numbers["found"] = found_share(ours, theirs, paired, config["false_discoveries"], least)
    return numbers


def _slopes(
    spectra: _Spectra, mine: np.ndarray, documents: np.ndarray, rules: Mapping[str, Any]
) -> dict[str, Any]:
    """Of the spectrum that is the mean over heads and series."""
    own, without = (
        by_document(mean_known(part[mine], axis=1), documents[mine])
        for part in (spectra.own, spectra.without)
    )
    limits = slope_interval(own, rules["confidence"], rules["min_documents"])
    if len(octaves(own.shape[-1])) < MIN_OCTAVES:
        reason = f"fewer than {MIN_OCTAVES} octaves in {spectra.count} positions"
    elif not np.isfinite(limits[0]):
        reason = "undefined"
    else:
        reason = "documents" if np.isnan(limits[1]) else ""
    return {
        **dict(zip(("slope", "slope_low", "slope_high"), limits, strict=True)),
        "slope_without": slope_interval(without, rules["confidence"], 2)[0],
        "reason": reason,
    }


def _mean_spectra(spectra: _Spectra, labels: np.ndarray, groups: Iterable[str]) -> pd.DataFrame:
    """Share of each frequency over that on shuffled series in dB, mean over heads and series."""
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = 10 * (np.log10(spectra.own) - np.log10(spectra.without))
    cycles = np.arange(1, excess.shape[-1] + 1) / spectra.count
    frames = [
        pd.DataFrame(
            {
                "group": group,
                "cycles": cycles,
                "excess": mean_known(excess[labels == group].reshape(-1, excess.shape[-1])),
            }
        )
        for group in groups
    ]
    return pd.concat(frames, ignore_index=True)
