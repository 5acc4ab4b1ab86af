"""Uncertainty relations that are theorems on N points, and the test of a signal's arrangement.

With F the unitary N-point transform, x of unit length and H the Shannon entropy,
H(|x|^2) + H(|F x|^2) >= ln N (Maassen and Uffink 1988; Dembo, Cover and Thomas 1991, theorem 23).
Equality holds for a point, a comb and the uniform signal (Przebinda, DeBrunner and Ozaydin 2001).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attention_wavelets.measures.arrays import FloatArray
from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.spectrum import conjugate_entropy
from attention_wavelets.measures.two_sided import power_entropy, two_sided_power

__all__ = [
    "Arrangement",
    "Excess",
    "arrangement",
    "breitenberger_product",
    "draw_permutations",
    "excess",
    "massar_spindel_slack",
    "permuted_entropy",
]


_SMALLEST = float(np.finfo(np.float64).tiny)


class Excess(NamedTuple):
    """Nats above the bound ln N; see `excess`."""

    sqrt: FloatArray
    amp: FloatArray
    mix: FloatArray


def excess(a: ArrayLike, power: FloatArray | None = None) -> Excess:
    """How far a signal's entropies are above the bound, in nats; each (...).

    sqrt
        H(a) + H(|F sqrt a|^2) - ln N, in [0, U(N)]: the attention itself is the position law.
    amp
        H(a^2 / sum a^2) + H(|F a|^2 / sum a^2) - ln N, in [0, U(N)]: the head's own transfer
        function.
    mix
        H(a) + H(|F a|^2 / sum a^2) - ln N, at least `amp`: the pair the paper adds up, two-sided
        and without window. H(a) >= H(a^2 / sum a^2), as raising a law to a power b takes entropy
        away at the rate b Var(ln a).

    A wide Gaussian has 1 - ln 2, a wide exponential 1, two adjacent tokens 2 ln 2 - 1.

    Parameters
    ----------
    a
        (..., N), each summing to 1.
    power
        `two_sided_power(a)` if it is known.
    """
    values = np.asarray(a, dtype=np.float64)
    length = values.shape[-1]
    least = math.log(length)
    of_a = entropy(values)
    of_root = conjugate_entropy(values)
    of_power = power_entropy(two_sided_power(values) if power is None else power, length)
    return Excess(
        of_a + of_root - least,
        entropy(np.square(values)) + of_power - least,
        of_a + of_power - least,
    )


def massar_spindel_slack(a: ArrayLike) -> FloatArray:
    """(1 + 2A) dU dV + A^2 (dU + dV) - A^2 >= 0, A = tan(pi / N) (Massar and Spindel 2008).

    dU = 1 - |sum_n a_n e^(2 pi i n / N)|^2 is the spread of positions on the circle,
    dV = 1 - |sum_k q_k e^(2 pi i k / N)|^2, q = |F sqrt a|^2, that of frequencies. It takes the
    first and the last position for neighbours. 0 for a point and for the uniform signal.

    Parameters
    ----------
    a
        (..., N), each summing to 1.
    """
    values = np.asarray(a, dtype=np.float64)
    length = values.shape[-1]
    turn = np.exp(2j * np.pi * np.arange(length) / length)
    spread = 1.0 - np.abs(values @ turn) ** 2
    # The Fourier transform of q is the circular autocorrelation of sqrt a, here at lag 1.
    root = np.sqrt(values)
    other = 1.0 - np.square((root * np.roll(root, 1, axis=-1)).sum(axis=-1))
    tangent = math.tan(math.pi / length) if length > 2 else math.inf
    if math.isinf(tangent):
        return np.full(values.shape[:-1], np.nan)
    square = tangent**2
    return np.asarray((1 + 2 * tangent) * spread * other + square * (spread + other) - square)


def breitenberger_product(a: ArrayLike) -> FloatArray:
    """Var(n) (1 - tau^2) / tau^2 > 1/4, tau = sum sqrt(a[n] a[n+1]) (after Breitenberger 1985).

    Position is linear and frequency circular, which suits causal rows. A wide Gaussian comes near
    1/4; a sink far from everything else makes it thousands. NaN where no two neighbours have mass,
    or so little that the quotient overflows.

    Parameters
    ----------
    a
        (..., N), each summing to 1.
    """
    values = np.asarray(a, dtype=np.float64)
    place = np.arange(values.shape[-1])
    mean = values @ place
    variance = (values * np.square(place - mean[..., None])).sum(axis=-1)
    root = np.sqrt(values)
    overlap = np.square((root[..., 1:] * root[..., :-1]).sum(axis=-1))
    product = variance * (1.0 - overlap)
    out = np.full(overlap.shape, np.nan)
    return np.asarray(np.divide(product, overlap, out=out, where=overlap > _SMALLEST * variance))


def draw_permutations(length: int, count: int, seed: int) -> NDArray[np.intp]:
    """`count` permutations of N positions, (count, N), decided by seed and length alone.

    All signals of a length meet the same ones, so results do not depend on order or chunks.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, length]))
    order = np.tile(np.arange(length), (count, 1))
    return np.asarray(generator.permuted(order, axis=-1))


def permuted_entropy(a: ArrayLike, permutations: NDArray[np.intp]) -> FloatArray:
    """H(|F sqrt a|^2) of every rearrangement of signals (..., N): (..., permutations), nats."""
    root = np.sqrt(np.asarray(a, dtype=np.float64))
    return power_entropy(two_sided_power(root[..., permutations]), root.shape[-1])


class Arrangement(NamedTuple):
    """Against the same numbers in random order; see `arrangement`."""

    gain: FloatArray
    p: FloatArray


def arrangement(a: ArrayLike, permutations: NDArray[np.intp]) -> Arrangement:
    """Whether the ORDER of a signal's numbers brings it nearer to the bound than chance.

    Rearranging keeps H(a) and the DC share, so only the arrangement is tested.

    gain
        (mean excess of rearranged signals - excess) / that mean, at most 1; negative where the
        order is worse than chance. NaN where every order has the bound (a point, the uniform
        signal).
    p
        (1 + number of rearrangements at least as near to the bound) / (1 + their number). Small
        nearly always, as neighbouring tokens get similar attention: the gain is the effect size.

    Parameters
    ----------
    a
        (..., N), each summing to 1.
    permutations
        (count, N), from `draw_permutations`.
    """
    values = np.asarray(a, dtype=np.float64)
    length = values.shape[-1]
    here = conjugate_entropy(values)
    others = permuted_entropy(values, permutations)
    least = math.log(length) - entropy(values)
    mean = others.mean(axis=-1) - least
    # Sums of N terms: below this, excess and differences are rounding.
    rounding = 1e-12 * max(1.0, math.log(length))
    out = np.full(mean.shape, np.nan)
    gain = np.divide(mean - (here - least), mean, out=out, where=mean > rounding)
    near = (others <= here[..., None] + rounding).sum(axis=-1)
    return Arrangement(np.asarray(gain), np.asarray((1.0 + near) / (1.0 + others.shape[-1])))
