"""Protocol `rigorous` over the heads of a layer or model: correlation, bank, rotary frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from attention_wavelets.config.schema import RigorousProtocol
from attention_wavelets.measures import bank
from attention_wavelets.measures.arrays import FloatArray, normalise, signal_array
from attention_wavelets.measures.correlation import (
    MIN_HEADS,
    fisher_z,
    position_spectrum_correlation,
)
from attention_wavelets.measures.entropy import positional_entropy
from attention_wavelets.measures.kernel import fold
from attention_wavelets.measures.measured import Draft, Measured, reshaped
from attention_wavelets.measures.names import QUANTILES
from attention_wavelets.measures.parts import drops_sink, usable
from attention_wavelets.measures.rotary_power import RotaryExcess, rotary_excess
from attention_wavelets.measures.two_sided import participation_ratio, two_sided_power, varies
from attention_wavelets.measures.uncertainty import draw_permutations, permuted_entropy

__all__ = ["measure_bank", "measure_correlation", "measure_rotary", "measure_rotary_match"]


def measure_correlation(signals: ArrayLike, protocol: RigorousProtocol, by_lag: bool) -> Measured:
    """Position against spectrum over the heads of a layer, beside what chance order gives.

    Over heads, H(a) and H(|F sqrt a|^2) are tied by the theorem alone, so their correlation is
    negative for any rows. Rearranging each head's positions keeps the first and gives the second
    its chance value: what is left is what the arrangement adds.

    Parameters
    ----------
    signals
        (..., head, N).

    Returns
    -------
    Measured
        Arrays (...), without the heads.
    """
    array = signal_array(signals)
    batch, heads, length = array.shape[:-2], array.shape[-2], array.shape[-1]
    a, bad, _ = usable(array.reshape(-1, length), drops_sink(protocol.sink, by_lag))
    length = a.shape[-1]
    unusable = np.logical_or.reduce(list(bad.values()))
    drawn = protocol.permutations
    order = draw_permutations(length, drawn.correlation, drawn.seed)
    at_home = np.arange(length)[None]
    spectral = np.concatenate([permuted_entropy(a, at_home), _in_blocks(a, order)], axis=-1)
    spectral[unusable] = np.nan
    x = np.where(unusable, np.nan, positional_entropy(a)).reshape(-1, heads)
    ratio = np.log(participation_ratio(a)).reshape(-1, heads)
    y = spectral.reshape(-1, heads, len(order) + 1)
    found = position_spectrum_correlation(x, y[..., 0])
    each = np.stack(
        [position_spectrum_correlation(x, y[..., i + 1]) for i in range(len(order))], axis=-1
    )
    chance = each.mean(axis=-1)
    few = {"heads": np.asarray(np.isfinite(x).sum(axis=-1) < MIN_HEADS)}
    draft = Draft(len(x), few)
    draft.put_known("correlation", found, "variance")
    draft.put_known("correlation_chance", chance, "variance")
    draft.put_known("correlation_adjusted", found - chance, "variance")
    apart = fisher_z(found) - fisher_z(each).mean(axis=-1)
    # Heads on a line have a correlation, but no z.
    on_line = np.isnan(apart) & np.isfinite(found - chance)
    z = Draft(len(x), few, {"power": on_line})
    z.put_known("correlation_z", apart, "variance")
    draft.put_known("correlation_partial", _partial(x, y[..., 0], ratio), "variance")
    ranks = position_spectrum_correlation(_ranks(x), _ranks(y[..., 0]))
    draft.put_known("correlation_ranks", ranks, "variance")
    return reshaped(draft.measured().merge(z.measured()), batch)


def _in_blocks(a: FloatArray, order: NDArray[np.intp]) -> FloatArray:
    size = max(1, 2**17 // order.size)
    parts = [permuted_entropy(a[i : i + size], order) for i in range(0, len(a), size)]
    return np.concatenate(parts) if parts else np.empty((0, len(order)))


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks along the last axis, ties shared; NaN stays."""
    return np.asarray(rankdata(values, axis=-1, nan_policy="omit"), dtype=np.float64)


def _partial(x: FloatArray, y: FloatArray, given: FloatArray) -> FloatArray:
    """Correlation of x and y over the last axis with a third variable held fixed."""
    xy, xz, yz = (position_spectrum_correlation(p, q) for p, q in ((x, y), (x, given), (y, given)))
    rest = (1.0 - np.square(xz)) * (1.0 - np.square(yz))
    out = np.full(rest.shape, np.nan)
    # Where the third variable says everything, the quotient is one of rounding errors.
    usable = rest > 1e-12
    return np.asarray(np.divide(xy - xz * yz, np.sqrt(np.abs(rest)), out=out, where=usable))


def measure_bank(
    kernels: ArrayLike, lags: ArrayLike | None, protocol: RigorousProtocol, prefix: str = "bank"
) -> Measured:
    """Measures of the heads of a layer or model as a bank of kernels.

    Parameters
    ----------
    kernels
        (..., head, N), from `lag`.
    lags
        (N,); None for signals by position, which are no kernels: all is NaN then.
    prefix
        "bank" for a layer, "model_bank" for a whole model.

    Returns
    -------
    Measured
        Arrays (...), without the heads. A bank with a head that is no signal is NaN.
    """
    array = signal_array(kernels)
    batch, heads, length = array.shape[:-2], array.shape[-2], array.shape[-1]
    whole, bad = normalise(array.reshape(-1, length))
    k = whole.reshape(-1, heads, length)
    broken = {n: np.asarray(rows.reshape(-1, heads).any(axis=-1)) for n, rows in bad.items()}
    draft = Draft(len(k), broken)
    octaves = protocol.octaves

    def put(name: str, values: FloatArray | None) -> None:
        draft.put_known(f"{prefix}_{name}", values, "axis" if lags is None else "bank")

    for kind, unit in (("frame", False), ("unit_frame", True)):
        bounds = None if lags is None else bank.frame_bounds(k, unit=unit)
        put(f"{kind}_lower", None if bounds is None else bounds.lower)
        put(f"{kind}_upper", None if bounds is None else bounds.upper)
        put(f"{kind}_ratio", None if bounds is None else bounds.ratio)
        put(f"{kind}_octaves", None if bounds is None else bounds.octaves)
    near = None if lags is None else fold(k, lags)[0]
    scales = None if near is None else bank.scale_quantiles(near, tuple(QUANTILES.values()))
    for number, name in enumerate(QUANTILES):
        put(f"scale_{name}", None if scales is None else scales[number])
    put("scale_octaves", None if scales is None else scales[-1] - scales[0])
    put("scale_difference", None if near is None else bank.scale_difference(near))
    put("octave_coverage", None if lags is None else bank.octave_coverage(k, octaves))
    distance = None if lags is None else np.abs(np.asarray(lags))
    put("collapse", None if distance is None else bank.self_similar_collapse(k, distance))
    put("rank", None if lags is None else bank.effective_rank(k))
    put("overlap", None if lags is None else bank.overlap(k))
    if prefix == "bank":
        # Of a whole model every pair would cost minutes.
        put("cross_correlation", None if lags is None else bank.cross_correlation(k))
    put("complementarity", None if lags is None else bank.band_complementarity(k, octaves))
    return reshaped(draft.measured(), batch)


def measure_rotary(
    signals: ArrayLike,
    logits: ArrayLike | None,
    frequency: ArrayLike | None,
    usage: ArrayLike | None,
    protocol: RigorousProtocol,
) -> Measured:
    """Power at the rotary frequencies a head uses, of attention by lag and of logits by lag.

    Parameters
    ----------
    signals
        (sequence, head, lag).
    logits
        (sequence, head, frequency), power of logits along the same lags; None if not extracted.
    frequency, usage
        (pair,) cycles per token, and (sequence, head, pair); None if not extracted or not rotary.

    Returns
    -------
    Measured
        Arrays (sequence, head).
    """
    array = signal_array(signals)
    _, bad = normalise(array.reshape(-1, array.shape[-1]))
    draft = Draft(array[..., 0].size, bad)
    for name, found in _rotary(array, logits, frequency, usage, protocol).items():
        draft.put_known(name, None if found is None else found.excess.ravel(), "rotary")
        draft.put_known(f"{name}_p", None if found is None else found.p.ravel(), "rotary")
    return reshaped(draft.measured(), array.shape[:-1])


def measure_rotary_match(
    signals: ArrayLike,
    logits: ArrayLike | None,
    frequency: ArrayLike | None,
    usage: ArrayLike | None,
    protocol: RigorousProtocol,
) -> Measured:
    """Whether the heads of a layer together vary at the frequencies each of them uses.

    Parameters are those of `measure_rotary`.

    Returns
    -------
    Measured
        Arrays (sequence,).
    """
    array = signal_array(signals)
    draft = Draft(len(array))
    for name, found in _rotary(array, logits, frequency, usage, protocol).items():
        p = None if found is None else found.layer_p
        draft.put_known(f"{name.replace('excess', 'match')}_p", p, "rotary")
    return draft.measured()


def _rotary(
    array: NDArray[np.generic],
    logits: ArrayLike | None,
    frequency: ArrayLike | None,
    usage: ArrayLike | None,
    protocol: RigorousProtocol,
) -> dict[str, RotaryExcess | None]:
    """`rotary_excess` of signals and of logits; None where something is not there."""
    length = array.shape[-1]
    rows, bad = normalise(array.reshape(-1, length))
    unusable = np.logical_or.reduce(list(bad.values())).reshape(array.shape[:-1])
    power = two_sided_power(rows)
    spectra = {"rotary_excess": power.reshape(*array.shape[:-1], power.shape[-1])}
    if logits is not None:
        spectra["rotary_excess_logits"] = np.asarray(logits, dtype=np.float64)
    found: dict[str, RotaryExcess | None] = {}
    for name in ("rotary_excess", "rotary_excess_logits"):
        spectrum = spectra.get(name)
        if spectrum is None or frequency is None or usage is None:
            found[name] = None
            continue
        # The spectrum of a signal that does not vary is that of rounding.
        silent = unusable | ~varies(spectrum, 2 * (spectrum.shape[-1] - 1))
        heard = np.where(silent[..., None], np.nan, spectrum)
        drawn = protocol.permutations
        found[name] = rotary_excess(heard, 1 / length, frequency, usage, drawn.count, drawn.seed)
    return found
