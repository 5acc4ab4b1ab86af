"""What a protocol does, by its kind: a new kind of protocol is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.errors import unknown_name
from attention_wavelets.measures import paper, rigorous, rigorous_layers
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.measured import Measured, averaged
from attention_wavelets.measures.offered import OFFERED, protocol_measures
from attention_wavelets.measures.registry import Measure
from attention_wavelets.measures.rotary_band import measure_band
from attention_wavelets.measures.signed import measure_signed

__all__ = ["KINDS", "Kind", "LayerSignals", "kind_of", "protocol_measures", "rows_by_lag"]

Array = NDArray[np.generic]


@dataclass(frozen=True)
class LayerSignals:
    """Signals of one layer under one condition, with what their measures refer to.

    signals
        (sequence, head, N), or (sequence, head, row, N) where several rows were taken.
    lags
        (N,) of signals by lag, else None.
    reference, reference_lags
        The same heads under the reference condition, or None.
    near
        Signal, mass and lags of the probe that local mass is read from, or None.
    logits, frequency, usage
        Facts of the layer, or None: power of logits by lag (sequence, head, frequency), cycles
        per token (pair,), strength of each rotary pair (sequence, head, pair).
    mass
        What each signal held before it was divided by its sum, (sequence, head[, row]), or None.
    coupling, value
        The facts `value_output` (sequence, head, direction) and `value_norm` (sequence, head,
        dimension), or None.
    base, length
        Rotary base and longest sequence that the model states, or None.
    """

    signals: Array
    lags: Array | None = None
    reference: Array | None = None
    reference_lags: Array | None = None
    near: tuple[Array, Array, Array] | None = None
    logits: Array | None = None
    frequency: Array | None = None
    usage: Array | None = None
    mass: Array | None = None
    coupling: Array | None = None
    value: Array | None = None
    base: float | None = None
    length: int | None = None

    @property
    def kernels(self) -> Array:
        """One signal per head, (sequence, head, N): the mean of its rows."""
        return self.signals if self.signals.ndim == 3 else self.signals.mean(axis=2)

    @property
    def pair_of_lags(self) -> tuple[Array, Array] | None:
        """Lags of reference and signals, for signals by lag."""
        if self.lags is None or self.reference_lags is None:
            return None
        return self.reference_lags, self.lags


@dataclass(frozen=True)
class Kind:
    """One kind of protocol.

    measures
        protocol -> its measures, in the order of the columns.
    signals
        (signals, lags of its columns or None, protocol) -> measures of any array of signals.
    heads, layer
        (layer, protocol) -> measures per (sequence, head); (layer, those measures, protocol) ->
        measures per sequence.
    model
        (kernels of all heads of a model, lags, protocol) -> measures per sequence, or None.
    """

    measures: Callable[[Any], tuple[Measure, ...]]
    signals: Callable[[Array, Array | None, Any], Measured]
    heads: Callable[[LayerSignals, Any], Measured]
    layer: Callable[[LayerSignals, Measured, Any], Measured]
    model: Callable[[Array, Array | None, Any], Measured] | None = None


def _paper_heads(layer: LayerSignals, protocol: Any) -> Measured:
    measured = paper.measure_signals(layer.signals, protocol)
    if layer.reference is not None:
        compared = paper.compare_signals(
            layer.reference, layer.signals, protocol, layer.pair_of_lags
        )
        measured = measured.merge(compared)
    if layer.signals.ndim == 4:
        measured = averaged(measured)
    if layer.near is not None:
        measured = measured.merge(paper.measure_locality(*layer.near, protocol))
    return measured


def _rigorous_heads(layer: LayerSignals, protocol: Any) -> Measured:
    measured = rigorous.measure_signals(layer.signals, protocol, layer.lags, layer.mass)
    if layer.reference is not None:
        compared = rigorous.compare_signals(
            layer.reference, layer.signals, protocol, layer.pair_of_lags
        )
        measured = measured.merge(compared)
    if layer.signals.ndim == 4:
        measured = averaged(measured)
    return measured.merge(
        rigorous_layers.measure_rotary(
            layer.kernels,
            layer.logits,
            None if layer.lags is None else layer.frequency,
            layer.usage,
            protocol,
        )
    )


def _rigorous_layer(layer: LayerSignals, _: Measured, protocol: Any) -> Measured:
    by_lag = layer.lags is not None
    measured = rigorous_layers.measure_correlation(layer.kernels, protocol, by_lag)
    frequency = layer.frequency if by_lag else None
    measured = measured.merge(
        rigorous_layers.measure_rotary_match(
            layer.kernels, layer.logits, frequency, layer.usage, protocol
        )
    )
    measured = measured.merge(rigorous_layers.measure_bank(layer.kernels, layer.lags, protocol))
    measured = measured.merge(measure_signed(layer.kernels, layer.mass, layer.coupling, by_lag))
    usage = layer.usage if by_lag else None
    count = len(layer.signals)
    stated = (layer.frequency, layer.base, layer.length)
    return measured.merge(measure_band(usage, *stated, count, layer.value if by_lag else None))


def _rigorous_model(kernels: Array, lags: Array | None, protocol: Any) -> Measured:
    return rigorous_layers.measure_bank(kernels, lags, protocol, "model_bank")


KINDS: dict[str, Kind] = {
    "paper": Kind(
        OFFERED["paper"],
        # The paper's measures of single signals are the same by position and by lag.
        lambda signals, _, protocol: paper.measure_signals(signals, protocol),
        _paper_heads,
        lambda _, heads, protocol: paper.measure_layers(heads.values, protocol),
    ),
    "rigorous": Kind(
        OFFERED["rigorous"],
        lambda signals, lags, protocol: rigorous.measure_signals(signals, protocol, lags),
        _rigorous_heads,
        _rigorous_layer,
        _rigorous_model,
    ),
}
"""Kind of a protocol -> what it does."""


def kind_of(protocol: Any) -> Kind:
    """What this protocol does. Raises PipelineError for an unknown kind."""
    if protocol.kind not in KINDS:
        raise unknown_name("protocol", protocol.kind, KINDS)
    return KINDS[protocol.kind]


def rows_by_lag(rows: FloatArray, queries: Array, count: int) -> FloatArray:
    """Whole rows (..., row, position) as signals by lag 0 ... count - 1: (..., row, count).

    Every query must lie at `count` - 1 or later.
    """
    columns = np.asarray(queries, dtype=np.intp)[:, None] - np.arange(count)
    return np.asarray(rows[..., np.arange(len(columns))[:, None], columns])
