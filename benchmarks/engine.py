"""Models whose truth is known, as signals through the real measures, nulls and verdicts.

A bank is what the heads of a made-up model attend to. Every claim that signals alone can decide is
judged for it; where the claim is false, or true of any signals, a controlled `pass` is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from attention_wavelets.claims.judge import NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.config.claims import SHARED_NULLS, SIGNAL_NULLS, Claim, null_family
from attention_wavelets.config.compose import load_member
from attention_wavelets.measures.measured import Measured
from attention_wavelets.measures.protocols import LayerSignals, kind_of
from attention_wavelets.nulls.registry import get_null
from attention_wavelets.nulls.surrogates import Axis

__all__ = ["ALLOWED", "BANKS", "CLAIMS", "VERDICTS", "verdicts"]

CONF = Path(__file__).parents[1] / "conf"
# Sequences in each document; layers, heads, positions.
DOCUMENTS = np.repeat(np.arange(12), (3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1))
LAYERS, HEADS, LENGTH = 6, 6, 64
# Draws of each random null, and resamples.
DRAWS, RULES = 2, Rules(resamples=200)
VERDICTS = ("pass", "fail", "unclear", "vacuous")

CLAIMS = ("H01", "H03", "H09", "H11", "H22", "R06", "R13", "R14")

ALLOWED: dict[str, tuple[str, ...]] = {
    # Each layer has a shape of its own, its heads are that shape at several scales.
    "multi-resolution": ("H01", "H03", "H11", "H22", "R06", "R13", "R14"),
    # One shape at several scales as well. H11 speaks of numbers that no null of it has to share;
    # what keeps its width in tokens may change little (H03).
    "exponential": ("H03", "H11", "R14"),
    # The same with a law of which no width is a scale.
    "power law": ("H03", "H11", "R06"),
    "iid": (),
    "sink": (),
}
"""Bank -> claims that may pass for it; not that they must."""


@dataclass(frozen=True)
class Signals:
    """What the heads of a model see: by position, of half the sequence, and by lag.

    full, half, lag
        (sequence, layer, head, N), each summing to 1.
    """

    full: np.ndarray
    half: np.ndarray
    lag: np.ndarray


def _texts(generator: np.random.Generator, spread: float) -> np.ndarray:
    """(sequence, layer, head) factors near 1, half of whose variance is the document's."""
    shape = (LAYERS, HEADS)
    document = generator.standard_normal((DOCUMENTS[-1] + 1, *shape))
    own = generator.standard_normal((len(DOCUMENTS), *shape))
    return np.exp(spread * np.sqrt(0.5) * (document[DOCUMENTS] + own))


def _noisy(kernels: np.ndarray, generator: np.random.Generator, shape: float = 20.0) -> np.ndarray:
    """Kernels with gamma noise at every position, each summing to 1."""
    weights = kernels * generator.gamma(shape, size=kernels.shape)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


# Functions of the distance in widths.
MOTHERS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda u: np.exp(-(u**2) / 2),
    lambda u: (u < 1.5) + 1e-3,
    lambda u: np.maximum(1 - u / 2, 0) + 1e-3,
    lambda u: u**2 * np.exp(-u) + 1e-3,
    lambda u: 1 / (1 + u**2) ** 2,
    lambda u: np.exp(-((u - 1.5) ** 2) * 2) + 1e-3,
)


def _multi_resolution(generator: np.random.Generator) -> Signals:
    """Mother functions at scales of 1/2, 1, ... octaves; by position in relative terms."""
    octave = generator.permuted(np.tile(np.linspace(0, 3, HEADS), (LAYERS, 1)), axis=1)
    width = 2.0**octave * _texts(generator, 0.1)
    centre = generator.uniform(0.2, 0.8, (LAYERS, HEADS, 1))
    mothers = generator.permutation(len(MOTHERS))[:LAYERS]

    def made(distance: np.ndarray) -> np.ndarray:
        layers = [MOTHERS[mother](distance[:, layer]) for layer, mother in enumerate(mothers)]
        return _noisy(np.stack(layers, axis=1), generator)

    def placed(length: int) -> np.ndarray:
        place = (np.arange(length) + 0.5) / length
        return made(np.abs(place - centre) * LENGTH / (2 * width[..., None]))

    return Signals(placed(LENGTH), placed(LENGTH // 2), made(np.arange(LENGTH) / width[..., None]))


def _exponential(generator: np.random.Generator) -> Signals:
    """exp(-distance / width), the same width in tokens whatever the length."""
    octave = generator.uniform(0, 4.5, (LAYERS, HEADS))
    width = (2.0**octave * _texts(generator, 0.1))[..., None]
    return _of_distance(lambda distance: np.exp(-distance / width), generator)


def _power_law(generator: np.random.Generator) -> Signals:
    """(1 + distance)^-rate."""
    rate = (generator.uniform(0.7, 2.5, (LAYERS, HEADS)) * _texts(generator, 0.05))[..., None]
    return _of_distance(lambda distance: (1.0 + distance) ** -rate, generator)


def _of_distance(
    law: Callable[[np.ndarray], np.ndarray], generator: np.random.Generator
) -> Signals:
    """The same law of the distance in tokens from the last position, and by lag."""
    distances = np.arange(LENGTH)[::-1], np.arange(LENGTH // 2)[::-1], np.arange(LENGTH)
    return Signals(*(_noisy(law(distance), generator) for distance in distances))


def _independent(
    generator: np.random.Generator, low: float, high: float, length: int
) -> np.ndarray:
    """Gamma weights of each head's own shape, drawn anew at every position."""
    shape = np.exp(generator.uniform(np.log(low), np.log(high), (LAYERS, HEADS, 1)))
    weights = generator.gamma(shape, size=(len(DOCUMENTS), LAYERS, HEADS, length)) + 1e-12
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _iid(generator: np.random.Generator) -> Signals:
    """No structure but the unevenness of each head."""
    return Signals(*(_independent(generator, 0.3, 5.0, n) for n in (LENGTH, LENGTH // 2, LENGTH)))


def _sink(generator: np.random.Generator) -> Signals:
    """Most of the mass at position 0, the rest structureless; by lag nothing but noise."""
    mass = generator.uniform(0.3, 0.9, (LAYERS, HEADS))
    share = np.clip(mass * _texts(generator, 0.05), 0.05, 0.95)[..., None]

    def made(length: int) -> np.ndarray:
        rest = _independent(generator, 0.5, 5.0, length - 1)
        return np.concatenate([share, (1 - share) * rest], axis=-1)

    return Signals(made(LENGTH), made(LENGTH // 2), _independent(generator, 3.0, 20.0, LENGTH))


BANKS: dict[str, Callable[[np.random.Generator], Signals]] = {
    "multi-resolution": _multi_resolution,
    "exponential": _exponential,
    "power law": _power_law,
    "iid": _iid,
    "sink": _sink,
}


@lru_cache
def _claims() -> tuple[dict[str, Claim], dict[str, Any], dict[str, Any]]:
    """Claims with their nulls made of signals, these nulls, and protocols with what claims read."""
    claims, nulls = {}, {}
    for name in CLAIMS:
        claim = load_member("claim", name, CONF, {})
        wanted = claim.nulls()
        found = {n: load_member("null", n, CONF, {}) for n in wanted}
        found = {n: null for n, null in found.items() if null.kind in SIGNAL_NULLS}
        # Without twins and other input the fewest things can stop a claim: the harder trial.
        claims[name] = claim.model_copy(
            update={
                "controls": [n for n in claim.controls if n in found],
                "rivals": [n for n in claim.rivals if n in found],
            }
        )
        nulls |= found
    protocols = {}
    for name in {claim.protocol for claim in claims.values()}:
        read = {c.measure for claim in claims.values() for c in claim.columns()}
        protocol = load_member("protocol", name, CONF, {})
        changes: dict[str, Any] = {"measures": sorted(read)}
        if protocol.kind == "paper":
            # Columns that no claim here reads, and that cost most of the time.
            scale = protocol.scale.model_copy(update={"families": []})
            changes |= {"scale": scale, "window_entropy": [16]}
        protocols[name] = protocol.model_copy(update=changes)
    return claims, nulls, protocols


Columns = dict[tuple[str, str], np.ndarray]


def _measured(
    signals: Mapping[str, np.ndarray], protocol: Any, wanted: set[tuple[str, str]]
) -> Columns:
    """(condition, measure) -> (sequence, layer, head), of layers one head; what is wanted."""
    found: Columns = {}
    kind = kind_of(protocol)
    levels = {measure.name: measure.level for measure in kind.measures(protocol)}
    for condition, rows in signals.items():
        named = "full" if condition == "lag" else condition
        read = {levels[measure] for where, measure in wanted if where == named}
        if not read:
            continue
        # Layers of all sequences side by side: to the measures they are so many sequences.
        whole = rows.reshape(-1, HEADS, rows.shape[-1])
        reference = signals["full"].reshape(-1, HEADS, LENGTH) if condition == "half" else None
        layer = LayerSignals(whole, np.arange(LENGTH) if condition == "lag" else None, reference)
        # Layers of protocol `rigorous` are measured from signals, not from measures of heads.
        heads = Measured({}, {})
        if read != {"layer"} or protocol.kind == "paper":
            heads = kind.heads(layer, protocol)
        values = dict(heads.values)
        if "layer" in read:
            values |= kind.layer(layer, heads, protocol).values
        for where, measure in wanted:
            if where == named:
                found[where, measure] = values[measure].reshape(len(rows), LAYERS, -1)
    return found


def _null(
    null: Any, signals: Mapping[str, np.ndarray], stream: np.random.SeedSequence
) -> tuple[dict[str, np.ndarray], float]:
    """Null signals of one draw, and the share that was not matched."""
    if null.kind == "head_sets":
        dealt = np.random.default_rng(stream).permutation(LAYERS * HEADS)
        return {
            condition: rows.reshape(len(rows), -1, rows.shape[-1])[:, dealt].reshape(rows.shape)
            for condition, rows in signals.items()
        }, 0.0
    spec = get_null(null.kind)
    options = null.model_dump(exclude={"kind", "says", "seed"})
    made, lost = {}, [0.0]
    for condition, rows in signals.items():
        flat = rows.reshape(-1, HEADS, rows.shape[-1])
        streams = stream.spawn(len(flat)) if spec.random else None
        lags = np.arange(LENGTH) if condition == "lag" else None
        axis = Axis("lag" if condition == "lag" else "received", True, lags)
        surrogates = spec.function(flat, streams, axis, **options)
        made[condition] = surrogates.signals.reshape(rows.shape)
        lost.append(float(surrogates.unmatched.mean()))
    return made, max(lost)


def verdicts(bank: str, stream: np.random.SeedSequence) -> dict[str, tuple[str, str]]:
    """Claim -> literal and controlled verdict on one model of a bank."""
    claims, nulls, protocols = _claims()
    drawn, *streams = stream.spawn(1 + len(nulls))
    signals = BANKS[bank](np.random.default_rng(drawn))
    parts = {
        "received": {"full": signals.full, "half": signals.half},
        "lag": {"lag": signals.lag},
    }
    observed = {p: _measured(parts[_probe(p)], protocols[p], _wanted(p)) for p in protocols}
    tables: dict[tuple[str, str], list[tuple[Columns, float]]] = {}
    for (name, null), own in zip(nulls.items(), streams, strict=True):
        draws = DRAWS if null.kind == "head_sets" or get_null(null.kind).random else 1
        for p in sorted({c.protocol for c in claims.values() if name in _names(c)}):
            for draw in own.spawn(draws):
                made, lost = _null(null, parts[_probe(p)], draw)
                columns = _measured(made, protocols[p], _wanted(p, name))
                tables.setdefault((p, name), []).append((columns, lost))
    found = {}
    for name, claim in claims.items():
        draws_of = [
            NullDraws(
                null,
                nulls[null].kind,
                [_subject(claim, *table) for table in tables[claim.protocol, null]],
                family=null_family(nulls[null].kind, getattr(nulls[null], "sink", "")),
                shared=nulls[null].kind in SHARED_NULLS,
            )
            for null in _names(claim)
        ]
        judged = judge(claim, _subject(claim, observed[claim.protocol]), draws_of, RULES)
        found[name] = (judged.literal, judged.controlled)
    return found


@lru_cache
def _wanted(protocol: str, null: str = "") -> set[tuple[str, str]]:
    """(condition, measure) that claims read of a protocol, or of one of its nulls."""
    claims, _, _ = _claims()
    return {
        (column.condition, column.measure)
        for claim in claims.values()
        if claim.protocol == protocol and (not null or null in _names(claim))
        for column in claim.columns()
    }


def _names(claim: Claim) -> list[str]:
    return claim.nulls()


def _probe(protocol: str) -> str:
    return "lag" if protocol == "rigorous" else "received"


def _subject(claim: Claim, columns: Columns, unmatched: float = 0.0) -> Subject:
    values = np.stack([columns[c.condition, c.measure] for c in claim.columns()], axis=-1)
    return Subject((Panel(values, DOCUMENTS, unmatched),))


def of_bank(
    bank: str, streams: Sequence[np.random.SeedSequence], _weights: int
) -> dict[str, np.ndarray]:
    """Claim -> (simulation, 2) numbers of the literal and the controlled verdict in `VERDICTS`."""
    rows = [verdicts(bank, stream) for stream in streams]
    return {
        name: np.array([[VERDICTS.index(v) for v in row[name]] for row in rows]) for name in CLAIMS
    }
