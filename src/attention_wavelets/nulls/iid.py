"""The structureless null: weights drawn independently of each other and of position.

Such signals have one free number, the squared coefficient of variation (CV^2) of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.paper import measure_signals

__all__ = ["CURVE_MEASURES", "iid_closed_form", "iid_curve"]

CURVE_MEASURES = ("selectivity", "spectral_entropy", "band_low", "band_mid", "band_high")


def iid_closed_form(cv2: ArrayLike, length: int, nfft: int) -> dict[str, FloatArray]:
    """Expected band shares and selectivity of i.i.d. weights, as ratios of expectations.

    For a periodic Hann window, band edges 0.25 and 0.75 of Nyquist, a one-sided spectrum with DC
    kept. With p = nfft / N and c = CV^2: D = (1.5 p + 1) / 8 + 0.1875 p c,
    band_low = [(1.5 p + 1) / 8 + 0.046875 p c] / D, band_mid = 0.09375 p c / D,
    band_high = band_mid / 2, selectivity = 1 / [(1.5 p - 1) / 2 + 0.75 p c].

    The mean of the weights fills DC and the window's main lobe beside it (the terms without c);
    their variance fills all bins alike (the terms with c). Derived for this project.

    Parameters
    ----------
    cv2
        CV^2 of the weights, non-negative.
    length, nfft
        N and the points of the transform.

    Returns
    -------
    dict
        "band_low", "band_mid", "band_high", "selectivity", each of the shape of `cv2`.
    """
    if nfft < length or length < 1:
        raise ValueError(f"need nfft >= length >= 1, got {nfft} and {length}")
    c = np.asarray(cv2, dtype=np.float64)
    p = nfft / length
    smooth = (1.5 * p + 1) / 8
    whole = smooth + 0.1875 * p * c
    mid = 0.09375 * p * c / whole
    return {
        "band_low": (smooth + 0.046875 * p * c) / whole,
        "band_mid": mid,
        "band_high": mid / 2,
        "selectivity": 1 / ((1.5 * p - 1) / 2 + 0.75 * p * c),
    }


def iid_curve(
    length: int, cv2_grid: Sequence[float], protocol: PaperProtocol, draws: int, seed: int
) -> dict[str, FloatArray]:
    """Mean measures of signals made of i.i.d. gamma weights, by the code that measures heads.

    Each value of CV^2 has its own child of the seed, so a value's result depends on its place in
    the grid only, not on the values around it.

    Parameters
    ----------
    length
        N.
    cv2_grid
        Values of CV^2, each at least 0 (0: uniform weights).
    protocol
        Settings of the measures.
    draws
        Signals per value of CV^2.
    seed
        Root of the random streams.

    Returns
    -------
    dict
        "cv2" and each of `CURVE_MEASURES`, arrays of the length of the grid: means over the
        draws for which the measure is defined, NaN where there is none; and "draws_defined",
        the number of draws in which all of them were.
    """
    if draws < 1 or min(cv2_grid, default=0.0) < 0:
        raise ValueError(f"need draws >= 1 and every CV^2 >= 0, got {draws} and {list(cv2_grid)}")
    streams = np.random.SeedSequence(seed).spawn(len(cv2_grid))
    curve: dict[str, list[float]] = {name: [] for name in (*CURVE_MEASURES, "draws_defined")}
    for cv2, stream in zip(cv2_grid, streams, strict=True):
        measured = measure_signals(_weights(length, cv2, draws, stream), protocol).values
        columns = np.stack([measured[name] for name in CURVE_MEASURES])
        defined = ~np.isnan(columns).any(axis=0)
        curve["draws_defined"].append(float(defined.sum()))
        for name, column in zip(CURVE_MEASURES, columns, strict=True):
            curve[name].append(float(column[defined].mean()) if defined.any() else float("nan"))
    arrays = {name: np.array(values) for name, values in curve.items()}
    return {"cv2": np.array(cv2_grid, dtype=np.float64), **arrays}


def _weights(length: int, cv2: float, draws: int, stream: np.random.SeedSequence) -> FloatArray:
    """(draws, length) gamma weights of mean 1; a gamma of shape k has CV^2 = 1 / k."""
    if cv2 == 0:
        return np.ones((draws, length))
    generator = np.random.default_rng(stream)
    return generator.gamma(1 / cv2, cv2, size=(draws, length))
