"""Stage measure_nulls: null signals of one model, corpus and protocol, measured like the real ones.

All nulls are made in one pass over the store. A draw depends on its name alone (model, null,
condition, probe, layer, sequence, number), not on what else is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from attention_wavelets.config.schema import Protocol
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.measured import Measured
from attention_wavelets.measures.protocols import LayerSignals, protocol_measures
from attention_wavelets.nulls.registry import get_null
from attention_wavelets.nulls.seeds import child
from attention_wavelets.nulls.surrogates import Axis, Surrogates
from attention_wavelets.stages.measure import layer_signals, layer_table, read_whole
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.tables import TableWriter, table_writer

__all__ = ["measure_nulls"]

_PROTOCOL: TypeAdapter[Any] = TypeAdapter(Protocol)
HEAD_SETS = "head_sets"
# Settings of a null that are no options of its function.
_NO_OPTIONS = ("kind", "says", "seed")
_KEYS = ("null", "draw", "condition", "reference", "probe")


def measure_nulls(config: Mapping[str, Any], signals: Path, heads: Path, layers: Path) -> None:
    """Write the tables of all signal-level nulls of one model, corpus and protocol.

    Parameters
    ----------
    config
        The slice: model, conditions, those compared with the reference, probes, protocol with the
        measures that claims read, nulls, draws.
    signals
        Store of signals.
    heads, layers
        Parquet files to write: a row per null, draw, condition, probe, sequence, layer (and head).
        `unmatched` is 1 (of a layer: the share of heads) where the null has no signal like this
        one; its measures are then NaN.
    """
    protocol = _PROTOCOL.validate_python(config["protocol"])
    with table_writer(heads) as head_rows, table_writer(layers) as layer_rows:
        made = 0
        for condition in config["conditions"]:
            reference = protocol.reference if condition in config["scaled"] else ""
            for probe in config["probes"]:
                made += _measure(
                    config, signals, (condition, reference, probe), protocol, head_rows, layer_rows
                )
        if not made:
            # Columns without a row: a table all the same, in which the claims find no draw.
            _append_nothing(head_rows, layer_rows, protocol)


def _measure(
    config: Mapping[str, Any],
    store: Path,
    where: tuple[str, str, str],
    protocol: Any,
    head_rows: TableWriter,
    layer_rows: TableWriter,
) -> int:
    """Write the rows of one condition and probe, and return how many tables of a layer it took."""
    condition, reference, probe = where
    made = 0
    with ExitStack() as opened:
        group = opened.enter_context(open_group(store, condition))
        full = opened.enter_context(open_group(store, reference)) if reference else None
        if probe not in group:
            # A probe for causal models has no signal in a bidirectional one.
            return 0
        for part in (group, full):
            if part is not None:
                read_whole(part, {probe})
        kind = str(config["probes"][probe]["kind"])
        axis = Axis(kind, bool(group.attrs["causal"]))
        layers = layer_signals(group, full, probe, protocol, {})
        # Sets of heads are dealt out from all layers; every other null needs one at a time.
        dealt = any(null["kind"] == HEAD_SETS for null in config["nulls"].values())
        everything = list(layers) if dealt else []
        # A mean signal stands in the row of the first of its sequences.
        first = group["document"].values[:: protocol.average_sequences]
        for number, layer in enumerate(everything or layers):
            documents = first[: len(layer.signals)]
            for name, null in config["nulls"].items():
                for draw, surrogate, unmatched in _draws(
                    config, name, null, where, number, layer, everything, axis
                ):
                    made += 1
                    frame, whole = layer_table(surrogate, protocol)
                    named = (name, np.int16(draw), condition, reference, probe)
                    keys = dict(zip(_KEYS, named, strict=True))
                    _append(head_rows, layer_rows, keys, documents, number, frame, whole, unmatched)
    return made


def _draws(
    config: Mapping[str, Any],
    name: str,
    null: Mapping[str, Any],
    where: tuple[str, str, str],
    number: int,
    layer: LayerSignals,
    layers: Sequence[LayerSignals],
    axis: Axis,
) -> Iterator[tuple[int, LayerSignals, np.ndarray]]:
    """Each draw of one null of one layer, and which heads of which sequences it did not match.

    `layers` are all of the model, for sets of heads alone.
    """
    if null["kind"] == HEAD_SETS:
        for draw in range(config["draws"]):
            yield draw, _head_set(config["model"], name, null, draw, number, layers), _none(layer)
        return
    spec = get_null(null["kind"])
    options = {key: value for key, value in null.items() if key not in _NO_OPTIONS}
    if layer.lags is not None and (not spec.by_lag or options.get("sink") == "keep"):
        # Signals by lag hold no first token.
        return
    if axis.probe == "received" and not spec.averaged:
        # The mean of many queries' kernels is no kernel of one distance.
        return
    for draw in range(config["draws"] if spec.random else 1):
        made: list[Surrogates | None] = []
        for condition, rows, lags in (
            (where[0], layer.signals, layer.lags),
            (where[1], layer.reference, layer.reference_lags),
        ):
            if rows is None:
                made.append(None)
                continue
            names = (config["model"], name, condition, where[2], number)
            streams = [child(null.get("seed", 0), *names, s, draw) for s in range(len(rows))]
            made.append(
                spec.function(
                    rows, streams if spec.random else None, replace(axis, lags=lags), **options
                )
            )
        signal, reference = made
        if signal is None:
            raise PipelineError("a layer has no signals", "signals", "extract them again")
        surrogate = LayerSignals(
            signal.signals,
            layer.lags,
            None if reference is None else reference.signals,
            layer.reference_lags,
        )
        lost = signal.unmatched if reference is None else signal.unmatched | reference.unmatched
        yield draw, surrogate, lost if lost.ndim == 2 else lost.any(axis=2)


def _none(layer: LayerSignals) -> np.ndarray:
    return np.zeros(layer.signals.shape[:2], dtype=bool)


def _head_set(
    model: str,
    name: str,
    null: Mapping[str, Any],
    draw: int,
    number: int,
    layers: Sequence[LayerSignals],
) -> LayerSignals:
    """The layer's place filled with heads dealt out from all layers, the same in every sequence."""
    heads = layers[0].signals.shape[1]
    stream = child(null.get("seed", 0), model, name, draw)
    dealt = np.random.default_rng(stream).permutation(len(layers) * heads)
    mine = dealt[number * heads : (number + 1) * heads]
    places = [divmod(int(place), heads) for place in mine]

    def gathered(part: str) -> np.ndarray | None:
        if getattr(layers[0], part) is None:
            return None
        return np.stack([getattr(layers[i], part)[:, j] for i, j in places], axis=1)

    signals = gathered("signals")
    assert signals is not None, "every layer has signals"
    layer = layers[number]
    return LayerSignals(signals, layer.lags, gathered("reference"), layer.reference_lags)


def _append_nothing(head_rows: TableWriter, layer_rows: TableWriter, protocol: Any) -> None:
    measures = protocol_measures(protocol)
    for rows, levels in ((head_rows, ("head", "pair_of_conditions")), (layer_rows, ("layer",))):
        head = ["head"] if rows is head_rows else []
        keys = [*_KEYS, "layer", "sequence", "document", *head, "unmatched"]
        rows.append(pd.DataFrame(columns=[*keys, *(m.name for m in measures if m.level in levels)]))


def _append(
    head_rows: TableWriter,
    layer_rows: TableWriter,
    keys: Mapping[str, Any],
    documents: np.ndarray,
    layer: int,
    frame: pd.DataFrame,
    whole: Measured,
    unmatched: np.ndarray,
) -> None:
    count, n_heads = unmatched.shape
    sequence = np.arange(count, dtype=np.int32)
    common = {**keys, "layer": np.int16(layer)}
    measured = frame.drop(columns="reason").astype(np.float32)
    head_rows.append(
        pd.DataFrame(
            {
                **common,
                "sequence": np.repeat(sequence, n_heads),
                "document": np.repeat(documents, n_heads),
                "head": np.tile(np.arange(n_heads, dtype=np.int16), count),
                "unmatched": unmatched.ravel().astype(np.float32),
                **{str(name): measured[name].to_numpy() for name in measured.columns},
            }
        )
    )
    layer_rows.append(
        pd.DataFrame(
            {
                **common,
                "sequence": sequence,
                "document": documents,
                "unmatched": unmatched.mean(axis=1).astype(np.float32),
                **{name: values.astype(np.float32) for name, values in whole.values.items()},
            }
        )
    )
