"""Protocol `rigorous`: which measures of a signal, and of two conditions, are taken.

Signals by lag (`lag`) have all of them; rows by position lack those that speak of lags.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.config.schema import RigorousProtocol
from attention_wavelets.measures.arrays import FloatArray, signal_array
from attention_wavelets.measures.dilation import (
    Lags,
    dilation_sensitivity,
    kappa,
    lag_sensitivity,
)
from attention_wavelets.measures.entropy import (
    entropy,
    positional_entropy,
    weighted_window_entropy,
    xlogx,
)
from attention_wavelets.measures.kernel import (
    LAWS,
    fold,
    kernel_divergence,
    kernel_width,
    octave_slope,
)
from attention_wavelets.measures.measured import Draft, Measured, in_chunks
from attention_wavelets.measures.names import ARRANGED, MODES, PACKET, WAVELETS
from attention_wavelets.measures.parts import (
    drops_sink,
    dyadic_part,
    lost_mass,
    nearest_half,
    usable,
)
from attention_wavelets.measures.sparsity import (
    BASES,
    best_packet_entropy,
    centred,
    coefficient_entropy,
    levels,
)
from attention_wavelets.measures.two_sided import (
    SMALLEST_SHARE,
    dc_share,
    half_power_width,
    octave_shares,
    participation_ratio,
    power_entropy,
    spectral_flatness,
    two_sided_power,
    varies,
)
from attention_wavelets.measures.uncertainty import (
    arrangement,
    breitenberger_product,
    draw_permutations,
    excess,
    massar_spindel_slack,
)
from attention_wavelets.measures.wavelet import (
    decompose,
    depth,
    dyadic_entropies,
    haar,
    level_energies,
)
from attention_wavelets.nulls.bounds import excess_upper_bound

__all__ = ["compare_signals", "measure_signals"]


def measure_signals(
    signals: ArrayLike,
    protocol: RigorousProtocol,
    lags: ArrayLike | None = None,
    mass: ArrayLike | None = None,
) -> Measured:
    """All measures of single signals.

    Parameters
    ----------
    signals
        (..., N), non-negative; each is divided by its sum in float64 first.
    protocol
        Settings.
    lags
        (N,) lags of the columns of signals by lag; None for rows by position, of which the first
        is cut off where the protocol says so: all is then measured on N - 1 positions, and what
        halves again and again on the last N / 2.
    mass
        (...), the attention each signal held before it was divided by its sum; None if unknown.

    Returns
    -------
    Measured
        Arrays (...). A row with NaN, a negative entry or no mass is NaN throughout.
    """
    column = None if lags is None else np.asarray(lags)
    array = signal_array(signals)
    measure = partial(_signals, protocol=protocol, lags=column)
    if mass is None:
        return in_chunks(measure, array)
    held = signal_array(np.asarray(mass)[..., None], "mass")
    if held.shape[:-1] != array.shape[:-1]:
        raise ValueError(f"`mass` {held.shape[:-1]} must be {array.shape[:-1]}, one per signal")
    return in_chunks(measure, array, held)


def _signals(
    rows: NDArray[np.generic],
    mass: NDArray[np.generic] | None = None,
    *,
    protocol: RigorousProtocol,
    lags: NDArray[np.generic] | None,
) -> Measured:
    a, bad, sink = usable(rows, drops_sink(protocol.sink, lags is not None))
    draft = Draft(len(a), bad)
    held = None if mass is None else np.asarray(mass[:, 0], dtype=np.float64)
    if held is None and lags is None:
        # A row by position holds what its query, or the mean one, attends to.
        held = np.ones(len(a))
    draft.put_known("lost_mass", None if held is None else lost_mass(held, sink), "unknown")
    power = two_sided_power(a)
    _put_spectrum(draft, a, power, protocol)
    _put_uncertainty(draft, a, power, protocol)
    _put_windows(draft, a, protocol, lags is not None)
    _put_edges(draft, a)
    _put_kernel(draft, a, lags)
    half, dyadic = nearest_half(a, rows.shape[-1]), dyadic_part(a, rows.shape[-1], lags)
    draft.put("cut_mass", half.cut if dyadic is None else dyadic.cut)
    sparse = Draft(len(a), bad, {"mass": half.empty})
    _put_sparsity(sparse, half.rows)
    haars = Draft(len(a), bad, {} if dyadic is None else {"mass": dyadic.empty})
    _put_haar(haars, None if dyadic is None else dyadic.rows, protocol)
    return draft.measured().merge(sparse.measured()).merge(haars.measured())


def _chosen(protocol: RigorousProtocol, *names: str) -> bool:
    """Whether any of these measures is wanted: rearrangements cost more than all the rest."""
    return protocol.measures == ["all"] or any(name in protocol.measures for name in names)


def _put_spectrum(
    draft: Draft, a: FloatArray, power: FloatArray, protocol: RigorousProtocol
) -> None:
    length = a.shape[-1]
    of_a = positional_entropy(a)
    draft.put("participation_ratio", participation_ratio(a))
    draft.put("dc_share", dc_share(power, length))
    draft.put("positional_entropy", of_a)
    share = of_a / math.log(length) if length > 1 else None
    draft.put_known("positional_entropy_share", share, "length")
    beside = power.copy()
    beside[:, 0] = 0.0
    spread = np.where(varies(power, length), power_entropy(beside, length), np.nan)
    share = spread / math.log(length - 1) if length > 2 else None
    draft.put_known("spectral_entropy_share", share, "length" if share is None else "constant")
    draft.put_known("spectral_flatness", spectral_flatness(power, length), "constant")
    draft.put_known("half_power_width", half_power_width(power, length), "width")
    octaves = octave_shares(power, length, protocol.octaves)
    for number in range(protocol.octaves):
        # Frequency 1 / N is the slowest there is.
        fine = length >= 2 ** (number + 1)
        values = octaves[:, number] if fine else None
        draft.put_known(f"octave_share_{number + 1}", values, "constant" if fine else "length")
    draft.put_known("octave_share_rest", octaves[:, -1], "constant")


def _put_uncertainty(
    draft: Draft, a: FloatArray, power: FloatArray, protocol: RigorousProtocol
) -> None:
    length = a.shape[-1]
    above = excess(a, power)
    draft.put("excess_sqrt", above.sqrt)
    draft.put("excess_amp", above.amp)
    draft.put("excess_mix", above.mix)
    most = excess_upper_bound(length)
    draft.put_known("excess_share", above.sqrt / most if most > 0 else None, "length")
    if _chosen(protocol, *ARRANGED):
        order = draw_permutations(length, protocol.permutations.count, protocol.permutations.seed)
        found = arrangement(a, order)
        draft.put_known("arrangement_gain", found.gain, "constant")
        draft.put("arrangement_p", found.p)
    draft.put_known("massar_spindel_slack", massar_spindel_slack(a), "length")
    draft.put_known("breitenberger_product", breitenberger_product(a), "neighbours")


def _put_haar(draft: Draft, a: FloatArray | None, protocol: RigorousProtocol) -> None:
    """Haar and dyadic measures of rows (n, 2^J), J at least 0; of None, where there are none."""
    short = "dyadic" if a is None else "length"
    details = [] if a is None else haar(a)[1:]
    energies = level_energies(details) if details else None
    added = None if a is None else dyadic_entropies(a) / math.log(2)
    if a is None or energies is None or len(details) < 2:
        draft.put("haar_energy_entropy", None, reason=short)
    else:
        draft.put_known("haar_energy_entropy", _energy_entropy(a, energies), "constant")
    for level in range(1, protocol.levels + 1):
        names = [f"{kind}_{level}" for kind in ("haar_share", "haar_entropy", "dyadic_entropy")]
        if a is None or energies is None or added is None or level > len(details):
            for name in names:
                draft.put(name, None, reason=short)
            continue
        part = np.square(details[-level])
        total = np.where(_seen(a, energies), energies.sum(axis=-1), np.nan)
        draft.put_known(names[0], energies[:, -level] / total, "constant")
        here = np.where(energies[:, -level] > _rounding(a), entropy(part), np.nan)
        even = here / math.log(part.shape[-1]) if part.shape[-1] > 1 else None
        draft.put_known(names[1], even, "length" if even is None else "power")
        draft.put(names[2], added[:, level - 1])


def _put_windows(draft: Draft, a: FloatArray, protocol: RigorousProtocol, by_lag: bool) -> None:
    """Entropies within blocks, counted from the query: from lag 0 or from the last position."""
    near = a if by_lag else a[:, ::-1]
    terms = xlogx(near)
    for width in protocol.window_entropy:
        inside = None
        if a.shape[-1] >= width:
            inside = weighted_window_entropy(near, width, terms) / math.log(width)
        draft.put_known(f"window_entropy_{width}", inside, "length" if inside is None else "mass")


def _put_edges(draft: Draft, a: FloatArray) -> None:
    """Energies of db2 coefficients under several boundary rules."""
    length = a.shape[-1]
    for mode in MODES:
        short = depth(length, "db2") == 0
        parts = None if short else level_energies(decompose(a, "db2", mode)).sum(axis=-1)
        ratio = None if parts is None else parts / np.square(a).sum(axis=-1)
        draft.put_known(f"db2_energy_{mode}", ratio, "length")
    fine = None if depth(length, "db2") == 0 else level_energies(decompose(a, "db2", "zero"))[:, 1:]
    several = fine is not None and fine.shape[-1] > 1
    value = _energy_entropy(a, fine) if fine is not None and several else None
    draft.put_known("db2_energy_entropy", value, "constant" if several else "length")


def _rounding(a: FloatArray) -> FloatArray:
    """Energy of details that the rounding of float32 alone can leave."""
    return np.asarray(SMALLEST_SHARE * np.square(a).sum(axis=-1))


def _seen(a: FloatArray, energies: FloatArray) -> NDArray[np.bool_]:
    """Where details are more than rounding."""
    return np.asarray(energies.sum(axis=-1) > _rounding(a))


def _energy_entropy(a: FloatArray, energies: FloatArray) -> FloatArray:
    """Entropy of the energies of two levels or more over the logarithm of their number."""
    share = entropy(energies) / math.log(energies.shape[-1])
    return np.where(_seen(a, energies), share, np.nan)


def _put_sparsity(draft: Draft, a: FloatArray) -> None:
    length = a.shape[-1]
    x = centred(a)
    for basis in BASES:
        short = basis in WAVELETS and levels(length, basis) == 0
        values = None if short else coefficient_entropy(x, basis)
        draft.put_known(f"sparsity_{basis}", values, "length" if short else "constant")
    short = levels(length, PACKET) == 0
    values = None if short else best_packet_entropy(x, PACKET)
    draft.put_known("sparsity_packets", values, "length" if short else "constant")


def _put_kernel(draft: Draft, a: FloatArray, lags: NDArray[np.generic] | None) -> None:
    width = None if lags is None else kernel_width(fold(a, lags)[0])
    draft.put("kernel_width", width, reason="axis")
    slope = None if lags is None else octave_slope(a, lags)
    draft.put_known("lag_octave_slope", slope, "axis" if slope is None else "octaves")
    for law in (*LAWS, "uniform"):
        values = None if lags is None else kernel_divergence(a, lags, law)
        draft.put(f"kernel_kl_{law}", values, reason="axis")


def compare_signals(
    reference: ArrayLike,
    scaled: ArrayLike,
    protocol: RigorousProtocol,
    lags: Lags = None,
) -> Measured:
    """Measures of two conditions.

    Parameters
    ----------
    reference, scaled
        (..., N0) and (..., N1) with the same leading axes, in the same order.
    lags
        Lags of the columns of both, for signals by lag.

    Returns
    -------
    Measured
        Arrays (...); NaN where either signal is no signal.
    """
    first, second = signal_array(reference, "reference"), signal_array(scaled, "scaled")
    if first.shape[:-1] != second.shape[:-1]:
        raise ValueError(
            f"`reference` {first.shape} and `scaled` {second.shape} must agree but for the last "
            "axis"
        )
    return in_chunks(partial(_pairs, protocol=protocol, lags=lags), first, second)


def _pairs(
    reference: NDArray[np.generic],
    scaled: NDArray[np.generic],
    protocol: RigorousProtocol,
    lags: Lags,
) -> Measured:
    drop = drops_sink(protocol.sink, lags is not None)
    a, bad, _ = usable(reference, drop)
    b, bad_too, _ = usable(scaled, drop)
    draft = Draft(len(a), bad, bad_too)
    dilated = dilation_sensitivity(a, b)
    kept, lost = lag_sensitivity(a, b, lags)
    draft.put("scale_dilation", dilated)
    draft.put_known("scale_lag", kept, "mass")
    draft.put("scale_lost_mass", lost)
    sign = kappa(dilated, kept, protocol.smallest_change)
    draft.put_known("scale_kappa", sign, "scale")
    sides = (None, None) if lags is None else lags
    first = dyadic_part(a, reference.shape[-1], sides[0])
    second = dyadic_part(b, scaled.shape[-1], sides[1])
    if first is None or second is None:
        draft.put("scale_level_shift", None, reason="dyadic")
        return draft.measured()
    shifted = Draft(len(a), bad, bad_too, {"mass": first.empty | second.empty})
    shift = _level_shift(first.rows, second.rows)
    shifted.put_known("scale_level_shift", shift, "length" if shift is None else "constant")
    return draft.measured().merge(shifted.measured())


def _level_shift(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """1 - cosine of Haar details, those of the longer signal without its finest levels."""
    longer, shorter = (a, b) if a.shape[-1] >= b.shape[-1] else (b, a)
    count = shorter.shape[-1].bit_length() - 1
    if count == 0:
        return None
    x, y = (np.concatenate(haar(s)[1 : count + 1], axis=-1) for s in (longer, shorter))
    size = [np.square(part).sum(axis=-1) for part in (x, y)]
    usable = (size[0] > _rounding(longer)) & (size[1] > _rounding(shorter))
    product = np.sqrt(np.where(usable, size[0] * size[1], np.nan))
    return np.asarray(1.0 - np.clip((x * y).sum(axis=-1) / product, -1.0, 1.0))
