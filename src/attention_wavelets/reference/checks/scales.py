"""Wavelets and scale: what rounding, boundaries, sinks and masks do to the paper's numbers."""

from __future__ import annotations

import numpy as np
import pywt
from numpy.typing import DTypeLike

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.bank import frame_bounds
from attention_wavelets.measures.scaling import ALIGNMENTS, scale_sensitivity
from attention_wavelets.measures.wavelet import (
    decompose,
    depth,
    reconstruction_error,
    wavelet_entropies,
)
from attention_wavelets.reference import paper_table
from attention_wavelets.reference.checks.finding import Finding, Numbers
from attention_wavelets.reference.checks.rows import RESTS, causal_attention, sink_pairs, softmax
from attention_wavelets.reference.checks.tables import HALF, columns_with

__all__ = ["CHECKS"]

WAVELET = "db2"
ORTHONORMAL, PADDED = "periodization", "symmetric"
LENGTH = 128
PAIRS = 300


def _same_length(first: FloatArray, second: FloatArray, mode: str) -> FloatArray:
    """Scale sensitivity of rows of one length, for which the rules that cut nothing are one."""
    return scale_sensitivity(first, second, "truncated_concat", WAVELET, mode)


def _stored(rows: FloatArray, kind: DTypeLike) -> float:
    """Mean relative error of the round trip with coefficients kept as numbers of one type."""
    kept = [part.astype(kind).astype(np.float64) for part in decompose(rows, WAVELET, PADDED)]
    rebuilt = pywt.waverec(kept, WAVELET, mode=PADDED, axis=-1)[..., : rows.shape[-1]]
    size = np.linalg.norm(rows, axis=-1)
    return float((np.linalg.norm(rebuilt - rows, axis=-1) / size).mean())


def round_trip(random: np.random.Generator) -> Finding:
    """I-02."""
    noise = random.standard_normal((400, 256))
    single = float(reconstruction_error(noise, WAVELET, PADDED).mean())
    half, double = _stored(noise, np.float16), _stored(noise, np.float64)
    first = paper_table(1)["reconstruction_error_mean"]
    later = np.concatenate(
        [paper_table(4)["reconstruction_error_mean"], paper_table(6)["reconstruction_error"]]
    )
    parts = {
        "noise in float32 has Table 1's error within a factor of 2": bool(
            first.max() / 2 < single < first.min() * 2
        ),
        "Tables 4 and 6 are over a hundred times Table 1": later.min() > 100 * first.max(),
        "noise in float16 has the error of Tables 4 and 6 within a factor of 2": bool(
            later.max() / 2 < half < later.min() * 2
        ),
    }
    numbers: dict[str, Numbers] = {
        "float64": double,
        "float32": single,
        "float16": half,
        "Table 1": (float(first.min()), float(first.max())),
        "Tables 4 and 6": (float(later.min()), float(later.max())),
    }
    return Finding(parts, numbers)


def rule_and_sampling(random: np.random.Generator) -> Finding:
    """I-35."""
    rows, _ = sink_pairs(random, PAIRS, LENGTH, 0.5, RESTS["medium"])
    thinned = {"stride": rows[:, ::2], "prefix": rows[:, : LENGTH // 2]}
    mean = {
        f"{rule}, {method}": float(scale_sensitivity(rows, kept, rule, WAVELET, PADDED).mean())
        for rule in ALIGNMENTS
        for method, kept in thinned.items()
    }
    order = sorted(mean, key=lambda name: mean[name])
    apart = mean[order[-1]] - mean[order[0]]
    printed = paper_table(1)[HALF]
    parts = {
        "rules are further apart than the models of Table 1": apart > printed.max() - printed.min()
    }
    return Finding(parts, {name: mean[name] for name in (order[0], order[-1])})


def boundary(random: np.random.Generator) -> Finding:
    """I-36."""
    moved = []
    for sink in (0.4, 0.5, 0.6):
        pair = sink_pairs(random, PAIRS // 3, LENGTH, sink, RESTS["sparse"])
        moved.append(np.abs(_same_length(*pair, ORTHONORMAL) - _same_length(*pair, PADDED)))
    most = float(np.concatenate(moved).max())
    return Finding({"the cosine moves by more than 0.1": most > 0.1}, {"largest": most})


def levels(random: np.random.Generator) -> Finding:
    """I-37."""
    del random
    scales = len(columns_with({7: paper_table(7)}, 7, "wavelet_entropy"))
    found = {n: depth(n, WAVELET) for n in (95, 96, 383 // 4, 384 // 4)}
    parts = {
        "Table 7 has five levels and the approximation": scales == 6,
        "96 positions are the fewest for five": found[95] < 5 <= found[96],
        "384 tokens are the fewest for a quarter": found[383 // 4] < 5 <= found[384 // 4],
    }
    numbers: dict[str, Numbers] = {"levels at 95, 96": (float(found[95]), float(found[96]))}
    return Finding(parts, numbers)


def no_entropy(random: np.random.Generator) -> Finding:
    """I-38."""
    table = paper_table(7)
    largest = float(table[list(columns_with({7: table}, 7, "wavelet_entropy"))].max(axis=None))
    rows, _ = sink_pairs(random, PAIRS, LENGTH, 0.5, RESTS["medium"])
    lowest = {
        mass: float(wavelet_entropies(decompose(mass * rows, WAVELET, ORTHONORMAL))[1].min())
        for mass in (1, 16)
    }
    parts = {
        "it exceeds 1 in Table 7": largest > 1,
        "it can be negative where rows sum to more than 1": lowest[16] < 0,
        "it can be negative where rows sum to 1": lowest[1] < 0,
    }
    numbers: dict[str, Numbers] = {
        "largest of Table 7": largest,
        "lowest, rows that sum to 1": lowest[1],
        "lowest, rows that sum to 16": lowest[16],
    }
    return Finding(parts, numbers)


def frame(random: np.random.Generator) -> Finding:
    """I-42."""
    length, heads = 64, 16
    width = np.exp(random.uniform(np.log(4), np.log(length), (heads, 1)))
    kernels = softmax(-np.arange(length) / width)
    error = reconstruction_error(kernels, WAVELET, PADDED)
    bounds = frame_bounds(kernels)
    ratio = float(bounds.upper / bounds.lower)
    parts = {
        "every head is rebuilt to float32": float(error.max()) < 1e-6,
        "the bank's frame bounds are far apart": ratio > 100,
    }
    return Finding(parts, {"mean error": float(error.mean()), "B / A": ratio})


def inner_products(random: np.random.Generator) -> Finding:
    """I-43."""
    first, second = random.dirichlet(np.full(LENGTH, 0.1), (2, 200))
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    plain = (first * second).sum(axis=-1) / norms
    apart = float(np.abs(1 - _same_length(first, second, ORTHONORMAL) - plain).max())
    return Finding({"the cosines are one": apart < 1e-13}, {"largest difference": apart})


def sink_mass(random: np.random.Generator) -> Finding:
    """I-44."""

    def mean(rest: float, at_end: bool) -> float:
        pair = sink_pairs(random, PAIRS, LENGTH, 0.5, rest, at_end=at_end)
        return float(_same_length(*pair, ORTHONORMAL).mean())

    first = {name: mean(rest, False) for name, rest in RESTS.items()}
    last = {name: mean(rest, True) for name, rest in RESTS.items()}
    printed = paper_table(1)[HALF]
    parts = {
        "Table 1 lies within what a sink of a half gives": bool(
            min(first.values()) < printed.min() and printed.max() < max(first.values())
        ),
        "a sink at the end gives over 0.9": min(last.values()) > 0.9,
    }
    numbers: dict[str, Numbers] = {
        "sink first; rest sparse, medium, dense": tuple(first.values()),
        "sink last": tuple(last.values()),
        "Table 1": (float(printed.min()), float(printed.max())),
    }
    return Finding(parts, numbers)


def _layers(states: FloatArray, weights: FloatArray, causal: bool) -> list[FloatArray]:
    """Attention of each layer; a layer adds what its attention gathers to its input."""
    found = []
    for query, key, value in weights:
        logits = (states @ query) @ (states @ key).T
        attention = causal_attention(logits) if causal else softmax(logits)
        states = states + attention @ states @ value
        found.append(attention)
    return found


def prefix_rows(random: np.random.Generator) -> Finding:
    """I-45."""
    tokens, kept, size = 64, 32, 16
    states = random.standard_normal((tokens, size))
    weights = random.standard_normal((2, 3, size, size)) / size**0.75
    change = {}
    for name, causal in (("causal", True), ("bidirectional", False)):
        whole = _layers(states, weights, causal)
        part = _layers(states[:kept], weights, causal)
        change[name] = max(
            float(np.abs(a[:kept, :kept] - b).max()) for a, b in zip(whole, part, strict=True)
        )
    parts = {
        "causal rows stay to 1e-12": change["causal"] < 1e-12,
        "bidirectional rows change": change["bidirectional"] > 0.01,
    }
    # The change of causal rows is rounding, which depends on the machine.
    return Finding(parts, {"largest change, bidirectional": change["bidirectional"]})


def vanishing_moments(random: np.random.Generator) -> Finding:
    """I-50."""
    del random
    place = np.arange(LENGTH) / LENGTH
    # Away from the edges; relative to the signal.
    details = [
        float(np.abs(decompose(place**power, WAVELET, PADDED)[-1][4:-4]).max())
        for power in (0, 1, 2)
    ]
    taps = np.asarray(pywt.Wavelet(WAVELET).dec_lo)
    norms = (float(np.abs(taps).sum()), float(np.sqrt(np.square(taps).sum())))
    parts = {
        "it removes constants and lines": max(details[:2]) < 1e-10,
        "it keeps parabolas": details[2] > 1e-10,
        "its L2 norm is 1, its L1 norm is not": abs(norms[1] - 1) < 1e-9 < abs(norms[0] - 1),
    }
    numbers: dict[str, Numbers] = {
        "largest detail of a parabola": details[2],
        "L1, L2 norm": norms,
    }
    return Finding(parts, numbers)


CHECKS = {
    "I-02": round_trip,
    "I-35": rule_and_sampling,
    "I-36": boundary,
    "I-37": levels,
    "I-38": no_entropy,
    "I-42": frame,
    "I-43": inner_products,
    "I-44": sink_mass,
    "I-45": prefix_rows,
    "I-50": vanishing_moments,
}
