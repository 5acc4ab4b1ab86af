"""Spectra and entropies: what chance and the open conventions do to the paper's numbers."""

from __future__ import annotations

import numpy as np

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.correlation import position_spectrum_correlation
from attention_wavelets.measures.entropy import positional_entropy
from attention_wavelets.measures.spectrum import (
    band_shares,
    fft_length,
    power_spectrum,
    selectivity,
    spectral_entropy,
    window_values,
)
from attention_wavelets.measures.uncertainty import excess
from attention_wavelets.reference import paper_table
from attention_wavelets.reference.checks.finding import Finding, Numbers
from attention_wavelets.reference.checks.rows import (
    causal_attention,
    recency_rows,
    softmax,
    softmax_rows,
)
from attention_wavelets.reference.checks.tables import RHO

__all__ = ["CHECKS"]

HANN = "hann_periodic"
EDGES = (0.25, 0.75)
LENGTH = 128
ROWS = 400


def _entropy(rows: FloatArray) -> FloatArray:
    """Spectral entropy as in protocol `paper`."""
    nfft = fft_length("next_power_of_two", rows.shape[-1])
    return spectral_entropy(power_spectrum(rows, HANN, nfft))


def _spread() -> float:
    """Standard deviation between the models of Table 3."""
    return float(paper_table(3)["spectral_entropy_mean"].std(ddof=0))


def which_vector(random: np.random.Generator) -> Finding:
    """I-31."""
    half = LENGTH // 2
    lag = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    # Content beside a slow preference for near keys, so that no reading is flat.
    matrices = causal_attention(2 * random.standard_normal((64, LENGTH, LENGTH)) - lag / 32)
    by_lag = np.stack(
        [matrices[:, range(half, LENGTH), range(half - n, LENGTH - n)] for n in range(half)]
    ).mean(axis=-1)
    readings = {
        "last query": matrices[:, -1],
        "mean over queries": matrices.mean(axis=1),
        "by lag": by_lag.T / by_lag.T.sum(axis=-1, keepdims=True),
    }
    found = {name: float(_entropy(rows).mean()) for name, rows in readings.items()}
    apart = max(found.values()) - min(found.values())
    numbers: dict[str, Numbers] = {**found, "spread between models of T3": _spread()}
    return Finding({"readings are further apart than models": apart > _spread()}, numbers)


def length_matters(random: np.random.Generator) -> Finding:
    """I-32."""
    found = {n: float(_entropy(random.exponential(size=(ROWS, n))).mean()) for n in (64, 1024)}
    numbers: dict[str, Numbers] = {f"{n} positions": value for n, value in found.items()}
    numbers["spread between models of T3"] = _spread()
    return Finding({"length moves it further": found[1024] - found[64] > _spread()}, numbers)


def mean_decides(random: np.random.Generator) -> Finding:
    """I-33."""
    rows = softmax_rows(random, ROWS, LENGTH)
    low = {
        rule: float(band_shares(power_spectrum(rows, HANN, LENGTH, rule), EDGES)[..., 0].mean())
        for rule in ("keep", "drop_bin", "subtract_mean")
    }
    parts = {
        "with the mean it is inside 60 to 80 %": 0.6 <= low["keep"] <= 0.8,
        "without the mean, taken off either way, it is below": max(
            low["drop_bin"], low["subtract_mean"]
        )
        < 0.6,
    }
    return Finding(parts, dict(low))


def padding_sets_selectivity(random: np.random.Generator) -> Finding:
    """I-34."""
    del random
    flat = np.full(LENGTH, 1 / LENGTH)
    factors = (1, 2, 3, 4)
    found = tuple(float(selectivity(power_spectrum(flat, HANN, p * LENGTH))) for p in factors)
    expected = tuple(1 / (0.75 * p - 0.5) for p in factors)
    parts = {
        "selectivity is the formula's": bool(np.allclose(found, expected, rtol=1e-10, atol=0)),
        "the window is 0 at the first position": float(window_values(HANN, LENGTH)[0]) == 0.0,
    }
    return Finding(parts, {"p = 1, 2, 3, 4": found})


def which_samples(random: np.random.Generator) -> Finding:
    """I-39."""
    layers, heads = 12, 16
    depth = np.geomspace(0.1, 6, layers)[:, None, None]
    rows = softmax(
        depth
        * random.uniform(0.8, 1.25, (layers, heads, 1))
        * random.standard_normal((layers, heads, LENGTH))
    )
    x, y = positional_entropy(rows), _entropy(rows)
    within = float(position_spectrum_correlation(x, y).mean())
    pooled = float(position_spectrum_correlation(x.ravel(), y.ravel()))
    numbers: dict[str, Numbers] = {"mean within layers": within, "all heads": pooled}
    return Finding(
        {"they differ by more than Table 6 from Table 1": abs(within - pooled) > 0.01}, numbers
    )


def bound_and_correlation(random: np.random.Generator) -> Finding:
    """I-41."""
    rules = [(window, dc) for window in (HANN, "none") for dc in ("keep", "drop_bin")]
    laws = {"random softmax": softmax_rows, "recency": recency_rows}
    rho: dict[str, list[float]] = {name: [] for name in laws}
    above = []
    for name, law in laws.items():
        for length in (64, 256, 512):
            rows = law(random, ROWS, length)
            above.append(float(excess(rows).sqrt.min()))
            for window, dc in rules:
                spectral = spectral_entropy(power_spectrum(rows, window, length, dc))
                value = position_spectrum_correlation(positional_entropy(rows), spectral)
                rho[name].append(float(value))
    published = np.concatenate([paper_table(n)[RHO].to_numpy() for n in (1, 4, 6)])
    parts = {
        "no vector is below the bound": min(above) > -1e-12,
        "every null is negative": max(max(values) for values in rho.values()) < 0,
        "recency is stronger than every printed value": max(rho["recency"]) < published.min(),
    }
    numbers: dict[str, Numbers] = {name: (max(v), min(v)) for name, v in rho.items()}
    numbers["printed"] = (float(published.max()), float(published.min()))
    numbers["printed values that random softmax reaches, of"] = (
        float((published >= min(rho["random softmax"])).sum()),
        float(len(published)),
    )
    return Finding(parts, numbers)


def rotary_frequencies(random: np.random.Generator) -> Finding:
    """I-47."""
    del random
    size, base = 64, 10000.0
    # Radians per token of pair k (Su et al. 2021).
    angle = base ** (-2 * np.arange(size // 2) / size)
    alike = np.cos(angle * np.arange(2, 4097)[:, None]).mean(axis=-1)
    steps = np.diff(np.log(angle))
    parts = {
        "half as many frequencies as dimensions": len(set(angle)) == size // 2,
        "geometrically spaced": bool(np.allclose(steps, steps[0], rtol=1e-10, atol=0)),
        "no distance from 2 to 4096 looks like none": bool(alike.max() < 1),
    }
    numbers: dict[str, Numbers] = {
        "frequencies": float(len(set(angle))),
        "fastest over slowest": float(angle[0] / angle[-1]),
        "largest mean cosine beyond one token": float(alike.max()),
    }
    return Finding(parts, numbers)


def mask_alone(random: np.random.Generator) -> Finding:
    """I-49."""
    del random
    start = paper_table(5).iloc[0]
    share = start["low_frequency_power_percent"] / 100
    expected = np.array([start["frequency_selectivity"], start["spectral_entropy"], share])
    found = {}
    for length in range(24, 73):
        row = causal_attention(np.zeros((length, length))).mean(axis=0)
        power = power_spectrum(row, "none", length, "drop_bin")
        low = band_shares(power, EDGES, length)[..., 0]
        found[length] = np.array([selectivity(power), spectral_entropy(power), low])
    off = {length: np.abs(values / expected - 1) for length, values in found.items()}
    best = min(off, key=lambda length: float(off[length].max()))
    numbers: dict[str, Numbers] = {
        "N": float(best),
        "selectivity, entropy, low band there": tuple(map(float, found[best])),
        "printed at step 0": tuple(map(float, expected)),
    }
    return Finding({"all three within 10 % of step 0": float(off[best].max()) < 0.1}, numbers)


CHECKS = {
    "I-31": which_vector,
    "I-32": length_matters,
    "I-33": mean_decides,
    "I-34": padding_sets_selectivity,
    "I-39": which_samples,
    "I-41": bound_and_correlation,
    "I-47": rotary_frequencies,
    "I-49": mask_alone,
}
