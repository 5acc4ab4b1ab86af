"""Stage measure_heads: signals to tables, one layer at a time so that memory stays flat."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from attention_wavelets.config.schema import Protocol
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.correlation import signal_correlation
from attention_wavelets.measures.measured import Measured
from attention_wavelets.measures.protocols import (
    LayerSignals,
    kind_of,
    protocol_measures,
    rows_by_lag,
)
from attention_wavelets.measures.registry import Measure
from attention_wavelets.store.arrays import open_group, read_attributes
from attention_wavelets.store.tables import TableWriter, table_writer

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["layer_signals", "layer_table", "measure_array", "measure_heads", "read_whole"]

# Coordinate of the probe `lag`.
LAG_AXIS = "lags"
# Signals along these axes are by distance: in tokens, or in characters.
_DISTANCES = (LAG_AXIS, "character_lags")

# Signals of `measure_array` in memory at a time.
ROWS_AT_ONCE = 65_536


# Signals of one condition that are read at once instead of layer by layer.
WHOLE_BYTES = 64 * 2**20

# Sequences whose heads, of all layers, are in memory at a time.
SEQUENCES_AT_ONCE = 64

_PROTOCOL: TypeAdapter[Any] = TypeAdapter(Protocol)


def measure_heads(
    config: Mapping[str, Any], signals: Path, heads: Path, layers: Path, model: Path, pairs: Path
) -> None:
    """Write the tables of one model, corpus and protocol.

    Parameters
    ----------
    config
        The slice: conditions, those compared with the reference, probes, protocol.
    signals
        Store of signals.
    heads, layers, model, pairs
        Parquet files to write: a row per (condition, probe, sequence, layer, head), the same
        without head, the same without layer, and per pair of heads of a layer.
    """
    protocol = _PROTOCOL.validate_python(config["protocol"])
    _refuse_empty(signals, config)
    stated = _stated(signals)
    with (
        table_writer(heads) as head_rows,
        table_writer(layers) as layer_rows,
        table_writer(model) as model_rows,
        table_writer(pairs) as pair_rows,
    ):
        writers = (head_rows, layer_rows, model_rows, pair_rows)
        for condition in config["conditions"]:
            reference = protocol.reference if condition in config["scaled"] else ""
            for probe in config["probes"]:
                _measure(signals, condition, reference, probe, protocol, stated, writers)


def _stated(store: Path) -> dict[str, Any]:
    """What the model states of its rotary positions; the longest sequence stands for training."""
    attributes = read_attributes(store)
    names = {"base": "rotary_base", "length": "max_positions"}
    return {name: attributes.get(key) for name, key in names.items()}


def _refuse_empty(store: Path, config: Mapping[str, Any]) -> None:
    """A bidirectional model measured only through probes for causal ones gives no rows at all."""
    with open_group(store, config["conditions"][0]) as group:
        if not set(config["probes"]) & set(group):
            raise PipelineError(
                f"holds no signals of the probes {', '.join(config['probes'])}",
                str(store),
                "the model is bidirectional; add the probe `received` to the study",
            )


def _measure(
    store: Path,
    condition: str,
    reference: str,
    probe: str,
    protocol: Any,
    stated: Mapping[str, Any],
    writers: tuple[TableWriter, TableWriter, TableWriter, TableWriter],
) -> None:
    head_rows, layer_rows, model_rows, pair_rows = writers
    with open_group(store, condition) as group, open_group(store, reference or condition) as full:
        if probe not in group:
            # A probe for causal models has no signal in a bidirectional one.
            return
        for part in (group, full) if reference else (group,):
            read_whole(part, {probe, *protocol.also_read})
        # A mean signal stands in the row of the first of its sequences.
        documents = _mean_signals(group["document"].values, protocol)
        where = {"condition": condition, "reference": reference, "probe": probe}
        measures = protocol_measures(protocol)
        summary = _Summary(len(documents), measures)
        compared = full if reference else None
        for layer, part in enumerate(layer_signals(group, compared, probe, protocol, stated)):
            frame, whole = layer_table(part, protocol)
            count, n_heads = part.signals.shape[:2]
            sequence = np.repeat(np.arange(count), n_heads)
            keys = pd.DataFrame(
                {
                    **where,
                    "sequence": sequence.astype(np.int32),
                    "document": documents[sequence],
                    "layer": np.int16(layer),
                    "head": np.tile(np.arange(n_heads, dtype=np.int16), count),
                }
            )
            head_rows.append(pd.concat([keys, frame], axis=1))
            layer_rows.append(_layer_rows(where, documents, layer, whole))
            pair_rows.append(_pair_rows(where, layer, part.kernels))
            summary.add(frame, whole)
        names = {measure.name for measure in measures if measure.level == "model"}
        if names:
            summary.add_model([whole.only(names) for whole in _models(group, probe, protocol)])
        model_rows.append(summary.rows(where, documents))


def read_whole(group: xr.Dataset, names: Collection[str]) -> None:
    """Read the signals of all layers at once where they are small: one by one takes longer."""
    wanted = [group[f"{name}{end}"] for name in names if name in group for end in ("", "_mass")]
    if sum(variable.nbytes for variable in wanted) <= WHOLE_BYTES:
        for variable in wanted:
            variable.load()


def layer_signals(
    group: xr.Dataset,
    full: xr.Dataset | None,
    probe: str,
    protocol: Any,
    stated: Mapping[str, Any],
) -> Iterator[LayerSignals]:
    """What is measured of each layer, in order.

    `full` holds the reference condition, `stated` what the model says of its rotary positions.
    """
    near = [name for name in protocol.also_read if name in group]
    for layer in range(group.sizes["layer"]):
        mine = np.s_[:, layer]
        signals, lags, held = _signals(group, probe, mine)
        reference, reference_lags = None, None
        if full is not None:
            reference, reference_lags, _ = _signals(full, probe, mine)
        local = None
        if near:
            mass = group[f"{near[0]}_mass"][mine].values
            local = (
                _mean_signals(_signals(group, near[0], mine)[0], protocol),
                _mean_signals(mass, protocol),
                group[LAG_AXIS].values,
            )
        signals, held = (_mean_signals(values, protocol) for values in (signals, held))
        reference = None if reference is None else _mean_signals(reference, protocol)
        facts = _facts(group, probe, layer)
        yield LayerSignals(
            signals, lags, reference, reference_lags, local, mass=held, **facts, **stated
        )


def _signals(
    group: xr.Dataset, probe: str, where: tuple[slice, Any]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Signals (sequence, ..., head, N), the lags of their columns, None for positions, and mass.

    Zeros, which the measures know as `mass`, where no mass was seen. Whole rows come by lag, with
    the mass that they hold there.
    """
    variable = group[probe]
    mass = group[f"{probe}_mass"][where].values
    signals = np.where(mass[..., None] == 0, np.float32(0), variable[where].values)
    if "row" in variable.dims:
        lags = np.arange(group.sizes["position"] // 2)
        near = rows_by_lag(signals, group["row"].values, len(lags))
        return near, lags, mass * near.sum(axis=-1, dtype=np.float64)
    axis = variable.dims[-1]
    return signals, group[axis].values if axis in _DISTANCES else None, mass


def _mean_signals(values: np.ndarray, protocol: Any) -> np.ndarray:
    """Values (sequence, ...) averaged over as many sequences as the protocol says, or as they are.

    Sequences that do not fill the last average are left out. Names are those of the first.
    """
    together = protocol.average_sequences
    if together == 1:
        return values
    count = len(values) // together
    if count == 0:
        raise PipelineError(
            f"average_sequences is {together}, but there are {len(values)} sequences",
            "protocol",
            "average fewer, or take more sequences",
        )
    grouped = values[: count * together].reshape(count, together, *values.shape[1:])
    if values.dtype.kind != "f":
        return np.asarray(grouped[:, 0])
    return np.asarray(grouped.mean(axis=1, dtype=np.float64))


def _facts(group: xr.Dataset, probe: str, layer: int) -> dict[str, np.ndarray]:
    """What was extracted of logits, rotary pairs and weights; of signals by lag only."""
    if group[probe].dims[-1] != LAG_AXIS:
        return {}
    found: dict[str, np.ndarray] = {}
    if "logit_spectrum" in group:
        found["logits"] = group["logit_spectrum"][:, layer].values
    if "rotary_frequency" in group:
        # The last component holds the dimensions that do not turn.
        norms = (group[name][:, layer, :, :-1].values for name in ("query_norm", "key_norm"))
        found["usage"] = np.prod(list(norms), axis=0)
        found["frequency"] = group["rotary_frequency"][0, layer, 0, :-1].values
    if "coupling" in group:
        found["coupling"] = group["coupling"][:, layer].values
    if "value_norm" in group:
        found["value"] = group["value_norm"][:, layer].values
    return found


def _models(group: xr.Dataset, probe: str, protocol: Any) -> Iterator[Measured]:
    """Measures of all heads of a model together, some sequences at a time."""
    measure = kind_of(protocol).model
    if measure is None:
        return
    for start in range(0, group.sizes["sequence"], SEQUENCES_AT_ONCE):
        some = slice(start, start + SEQUENCES_AT_ONCE)
        signals, lags, _ = _signals(group, probe, (some, slice(None)))
        # (sequence, layer, head, [row,] N): all heads of a model side by side.
        kernels = signals if signals.ndim == 4 else signals.mean(axis=3)
        yield measure(kernels.reshape(len(kernels), -1, kernels.shape[-1]), lags, protocol)


def measure_array(
    signals: Path, protocol: Any, out: Path, *, by_lag: bool = False, where: str = "protocol"
) -> int:
    """Measure the rows of any `.npy` array; one table row per signal, in order.

    Parameters
    ----------
    signals
        File of a real array (..., position), or (..., lag); rows need not sum to 1.
    protocol, out
        Conventions, Parquet file to write.
    by_lag
        Whether column j is lag j; else it is a position, and what speaks of lags is NaN.
    where
        The protocol's file, for messages.

    Returns
    -------
    int
        The number of signals.
    """
    rows = _load_array(signals)
    rows = rows.reshape(-1, rows.shape[-1])
    names = {m.name for m in protocol_measures(protocol, where) if m.level == "head"}
    if not names:
        raise PipelineError(
            "none of its `measures` is one of single signals", where, "choose others"
        )
    lags = np.arange(rows.shape[-1]) if by_lag else None
    with table_writer(out) as writer:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = np.asarray(rows[start : start + ROWS_AT_ONCE])
            measured = kind_of(protocol).signals(some, lags, protocol)
            measured = measured.only(names)
            table = pd.DataFrame(dict(measured.values))
            table["reason"] = measured.reasons()
            writer.append(table)
    return len(rows)


def _load_array(path: Path) -> np.ndarray:
    prefix = np.lib.format.MAGIC_PREFIX
    try:
        with path.open("rb") as file:
            start = file.read(len(prefix))
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "give a .npy file") from None
    if start != prefix:
        raise PipelineError("is no .npy file", str(path), "save the array with np.save")
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        # NumPy's own words advise to unpickle, which runs whatever code the file holds.
        if "object" in str(error).lower():
            raise PipelineError(
                "holds Python objects", str(path), "save one array of numbers: rows of one length"
            ) from None
        raise PipelineError(
            f"damaged .npy file ({error})", str(path), "save the array again"
        ) from None
    if rows.dtype.kind not in "biuf":
        raise PipelineError(
            f"holds values of type {rows.dtype}, not real numbers",
            str(path),
            "save an array of integers or floats",
        )
    if rows.ndim == 0:
        raise PipelineError(
            "holds a single number",
            str(path),
            "save an array (..., N), the last axis being position",
        )
    if rows.size == 0:
        raise PipelineError(f"holds no signals (shape {rows.shape})", str(path))
    return rows


def layer_table(layer: LayerSignals, protocol: Any) -> tuple[pd.DataFrame, Measured]:
    """Measures of one layer.

    Returns
    -------
    frame
        One row per sequence and head, head fastest, a column per measure and `reason`.
    layer
        Measures of the whole layer, per sequence.
    """
    kind = kind_of(protocol)
    everything = kind.heads(layer, protocol)
    measures = protocol_measures(protocol)
    names = {measure.name for measure in measures}
    measured = everything.only(names)
    rows = np.prod(layer.signals.shape[:2], dtype=int)
    frame = pd.DataFrame(
        {name: values.ravel() for name, values in measured.values.items()}, index=range(rows)
    )
    reasons = np.broadcast_to(measured.reasons().ravel(), rows)
    compared = [m.name for m in measures if m.level == "pair_of_conditions"]
    if layer.reference is None and compared:
        frame[compared] = np.nan
        gap = np.where(reasons == "", "", "; ").astype(object)
        reasons = reasons + gap + f"reference: {' '.join(compared)}"
    frame = frame[[m.name for m in measures if m.name in frame]]
    frame = frame.assign(reason=reasons)
    return frame, kind.layer(layer, everything, protocol).only(names)


def _layer_rows(
    where: Mapping[str, str], documents: np.ndarray, layer: int, measured: Measured
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **where,
            "sequence": np.arange(len(documents), dtype=np.int32),
            "document": documents,
            "layer": np.int16(layer),
            **measured.values,
            "reason": measured.reasons() if measured.values else "",
        }
    )


def _pair_rows(where: Mapping[str, str], layer: int, signals: np.ndarray) -> pd.DataFrame:
    """Mean over sequences of the correlation between two heads' signals over positions."""
    heads = signals.shape[1]
    total, count = np.zeros((heads, heads)), np.zeros((heads, heads))
    for start in range(0, len(signals), 32):
        part = signal_correlation(signals[start : start + 32])
        total += np.nansum(part, axis=0)
        count += np.isfinite(part).sum(axis=0)
    head, other = np.triu_indices(heads, k=1)
    with np.errstate(invalid="ignore"):
        mean = (total / count)[head, other]
    return pd.DataFrame(
        {
            **where,
            "layer": np.full(len(head), layer, dtype=np.int16),
            "head": head.astype(np.int16),
            "other": other.astype(np.int16),
            "signal_correlation": mean,
        }
    )


class _Summary:
    """Per-sequence statistics over all heads of a model, gathered layer by layer."""

    def __init__(self, sequences: int, measures: Sequence[Measure]) -> None:
        self.sequences = sequences
        self.kinds = {m.name: m.over_heads for m in measures}
        self.totals: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}
        self.spread: dict[str, list[np.ndarray]] = {
            name: [] for name, kind in self.kinds.items() if kind != "mean"
        }
        self.whole: list[Measured] = []
        self.layers: dict[str, list[np.ndarray]] = {}
        self.heads = 0
        self.depth = 0

    def add(self, frame: pd.DataFrame, whole: Measured) -> None:
        self.heads += len(frame) // self.sequences
        self.depth += 1
        for name in frame.columns.drop("reason"):
            values = frame[name].to_numpy().reshape(self.sequences, -1)
            self.totals[name] = self.totals.get(name, 0) + np.nansum(values, axis=1)
            self.counts[name] = self.counts.get(name, 0) + np.isfinite(values).sum(axis=1)
            if name in self.spread:
                self.spread[name].append(values)
        for name, values in whole.values.items():
            self.layers.setdefault(name, []).append(values)

    def add_model(self, whole: list[Measured]) -> None:
        """Measures of all heads together, block of sequences by block."""
        self.whole = whole

    def rows(self, where: Mapping[str, str], documents: np.ndarray) -> pd.DataFrame:
        if not self.heads:
            raise PipelineError("the store holds no layers", "signals", "extract them again")
        columns: dict[str, np.ndarray] = {}
        lost: dict[str, np.ndarray] = {}
        lost_layers: dict[str, np.ndarray] = {}
        for name, total in self.totals.items():
            with np.errstate(invalid="ignore"):
                columns[f"{name}_mean"] = total / self.counts[name]
            lost[name] = self.heads - self.counts[name]
        for name, parts in self.spread.items():
            if not parts:
                continue
            values = np.concatenate(parts, axis=1)
            if self.kinds[name] == "median":
                columns[f"{name}_median"] = _over_heads(np.nanmedian, values)
                continue
            columns[f"{name}_std"] = _over_heads(np.nanstd, values)
            columns[f"{name}_iqr"] = _over_heads(_iqr, values)
        for name, parts in self.layers.items():
            values = np.stack(parts, axis=1)
            columns[name] = _over_heads(np.nanmean, values)
            lost_layers[name] = np.isnan(values).sum(axis=1)
        together = [part.reasons() for part in self.whole]
        for name in self.whole[0].values if self.whole else ():
            columns[name] = np.concatenate([part.values[name] for part in self.whole])
        said = np.concatenate(together) if together else np.full(self.sequences, "", dtype=object)
        return pd.DataFrame(
            {
                **where,
                "sequence": np.arange(self.sequences, dtype=np.int32),
                "document": documents,
                **columns,
                "reason": [
                    "; ".join(
                        [
                            *filter(None, [said[row]]),
                            *_missing(lost, row, f"of {self.heads} heads"),
                            *_missing(lost_layers, row, f"of {self.depth} layers"),
                        ]
                    )
                    for row in range(self.sequences)
                ],
            }
        )


def _missing(lost: Mapping[str, np.ndarray], row: int, of: str) -> list[str]:
    """Which measures lack how many heads or layers, as in "3 of 72 heads: selectivity"."""
    groups: dict[int, list[str]] = {}
    for name, count in lost.items():
        if count[row]:
            groups.setdefault(int(count[row]), []).append(name)
    return [f"{n} {of}: {' '.join(names)}" for n, names in groups.items()]


def _iqr(values: np.ndarray, axis: int) -> np.ndarray:
    low, high = np.nanquantile(values, [0.25, 0.75], axis=axis)
    return np.asarray(high - low)


def _over_heads(statistic: Any, values: np.ndarray) -> np.ndarray:
    """A NaN-aware statistic along axis 1; NaN, without a warning, where nothing is finite."""
    result = np.full(len(values), np.nan)
    some = np.isfinite(values).any(axis=1)
    if some.any():
        result[some] = statistic(values[some], axis=1)
    return result
