"""From sequences to signals and facts: batches of equal length through a model, no padding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attention_wavelets.attention.capture import capturing
from attention_wavelets.attention.facts import FactSpec, needs_products
from attention_wavelets.attention.inputs import TOKENS, model_inputs
from attention_wavelets.attention.probes import ProbeSpec, Received
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rotary import Rotary, rotary_of
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.errors import PipelineError

__all__ = ["Batch", "OfWeights", "reduce_attention", "run_batch", "split"]

# (fact, name of an attention module) -> its numbers, (head, ...).
OfWeights = dict[tuple[str, str], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Batch:
    """Signals and facts of some sequences under one condition.

    signals
        Probe -> float32 (sequence, layer, head, ...), non-negative, sums to 1 along the last axis.
    mass
        Probe -> the sum before normalisation, float32, without the last axis.
    facts
        Name of a number -> float32 (sequence, layer, head, ...).
    """

    signals: dict[str, np.ndarray]
    mass: dict[str, np.ndarray]
    facts: dict[str, np.ndarray] = field(default_factory=dict)


def split(count: int, positions: int, batch_tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of sequences whose tokens fit in one forward pass; at least one sequence each."""
    step = max(1, batch_tokens // positions)
    return ((start, min(start + step, count)) for start in range(0, count, step))


def reduce_attention(
    model: nn.Module,
    inputs: Mapping[str, Any],
    make: Callable[[str, Call], Mapping[str, Any]],
    *,
    products: bool = False,
    chunk_bytes: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Run a model once and reduce the attention of every layer on the way.

    Parameters
    ----------
    model
        A transformers model in evaluation mode; of an encoder-decoder all three kinds of attention
        are seen.
    inputs
        Keyword arguments of its `forward`.
    make
        `make(name, call)` returns the reducers of one attention module, at its first rows.
    products, chunk_bytes
        As for `capturing`.

    Returns
    -------
    dict
        Qualified name of each attention module, in order of call -> what `make` returned.
    """
    names = {module: name for name, module in model.named_modules()}
    reducers: dict[str, dict[str, Any]] = {}

    def reduce(rows: Rows) -> None:
        name = names[rows.call.module]
        if name not in reducers:
            reducers[name] = dict(make(name, rows.call))
        for reducer in reducers[name].values():
            reducer.update(rows)

    with (
        torch.inference_mode(),
        capturing(model, reduce, products=products, chunk_bytes=chunk_bytes),
    ):
        model(**inputs)
    return reducers


def run_batch(
    model: nn.Module,
    numbers: np.ndarray,
    probes: Mapping[str, ProbeSpec],
    causal: bool,
    facts: Mapping[str, FactSpec] | None = None,
    *,
    given: Mapping[str, Any] = TOKENS,
    repeats: tuple[int, int] = (0, 0),
    places: np.ndarray | None = None,
    chunk_bytes: int | None = None,
    label: str = "model",
    first: int = 0,
    known: OfWeights | None = None,
) -> Batch:
    """Run sequences of equal length and reduce every layer's attention on the way.

    Parameters
    ----------
    model
        A base model in evaluation mode.
    numbers, given
        Token ids (sequence, position), or what other models are given; see `model_inputs`.
    probes, facts
        Name -> probe, name -> fact.
    causal
        Whether keys end at the query.
    repeats
        Of sequences whose tokens come twice: the period and the first query of the second copy.
    places
        (sequence, position), where in the text each token begins; see `Shape`.
    chunk_bytes
        As for `capturing`.
    label, first
        Name of the model and number of the first sequence, for errors.
    known
        Facts of weights by (fact, layer); those that are missing are added. One dictionary for all
        batches of a model, so that each is computed once.

    Raises
    ------
    PipelineError
        Attention is not finite; the message names model, layer, head and sequence.
    """
    facts = facts or {}
    positions = numbers.shape[1]
    begins = None if places is None else torch.as_tensor(places, dtype=torch.long)
    skip = given.get("special", 0)
    shape = Shape(positions, positions, causal, *repeats, skip=skip, places=begins)
    known = {} if known is None else known
    rotary: dict[str, Rotary] = {}
    heads: dict[str, int] = {}

    def make(name: str, call: Call) -> dict[str, Any]:
        if name not in rotary:
            size = 0 if call.query is None else call.query.shape[-1]
            rotary.update(rotary_of(model, {name: call.module}, size))
        heads[name] = call.heads
        return {
            **{("probe", key): spec.reducer(shape) for key, spec in probes.items()},
            **{
                ("fact", key): spec.make(shape, rotary[name])
                for key, spec in facts.items()
                if spec.make is not None
            },
            "finite": Received(shape),
        }

    found = reduce_attention(
        model,
        model_inputs(model, numbers, given),
        make,
        products=needs_products(facts.values()),
        chunk_bytes=chunk_bytes,
    )
    for name, made in found.items():
        _refuse_not_finite(made["finite"].finalize(), f"{label}, layer {name}", first)
    signals: dict[str, np.ndarray] = {}
    mass: dict[str, np.ndarray] = {}
    for key in probes:
        totals = _stack(made["probe", key].finalize() for made in found.values())
        signals[key], mass[key] = _normalised(totals)
    values: dict[str, np.ndarray] = {}
    for key, spec in facts.items():
        if spec.weights is None:
            layers = [made["fact", key].finalize() for made in found.values()]
        else:
            for name in found:
                if (key, name) not in known:
                    known[key, name] = spec.weights(model, name, heads[name])
            layers = [_for_each_sequence(known[key, name], len(numbers)) for name in found]
        for number in spec.variables:
            values[number] = _stack(layer[number] for layer in layers).astype(np.float32)
    return Batch(signals, mass, values)


def _for_each_sequence(numbers: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """(head, ...) to (sequence, head, ...)."""
    return {number: values.expand(count, *values.shape) for number, values in numbers.items()}


def _stack(layers: Iterable[Tensor]) -> np.ndarray:
    """(batch, head, ...) of each layer to (batch, layer, head, ...)."""
    return np.stack([layer.cpu().numpy() for layer in layers], axis=1)


def _normalised(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight = raw.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A head without any mass here (all of it on a learned sink) has no signal: NaN.
        signals = (raw / weight[..., None]).astype(np.float32)
    return signals, weight.astype(np.float32)


def _refuse_not_finite(total: Tensor, where: str, first: int) -> None:
    finite = total.isfinite().all(-1)
    if not bool(finite.all()):
        sequence, head = (~finite).nonzero()[0].tolist()
        raise PipelineError(
            f"attention is not finite (head {head}, sequence {first + sequence})",
            where,
            "check the weights, or load them as float32",
        )
