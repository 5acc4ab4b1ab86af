"""Shapes of a curve: a step, a line or smooth growth, and by which law it grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from attention_wavelets.inference.intervals import FloatArray

__all__ = ["ChangePoint", "CurveChoice", "change_point", "choose_curve"]


@dataclass(frozen=True)
class ChangePoint:
    """A step and what competes with it, fitted to the same points.

    Attributes
    ----------
    location
        Where the best step is: between the two x beside it, half way.
    before, after
        Means on its two sides.
    bic_step, bic_line, bic_constant, bic_other, bic_smooth
        n ln(RSS / n) + k ln n with k = 3, 2, 1, 3, 3 (Schwarz 1978); the smallest fits best.
        `bic_other` is that of the best step elsewhere or the other way, infinite where every step
        counts; `bic_smooth` that of the best smooth growth, infinite where none was asked for.
    best
        "step", "line", "constant", "other" or "smooth"; "" where undefined. Of equals it is not
        the step.
    n
        Points that entered.
    reason
        "" where defined, else a key of `REASONS`; then all numbers are NaN.
    """

    location: float
    before: float
    after: float
    bic_step: float
    bic_line: float
    bic_constant: float
    bic_other: float
    bic_smooth: float
    best: str
    n: int
    reason: str


def change_point(
    x: ArrayLike,
    y: ArrayLike,
    *,
    min_side: int = 2,
    between: tuple[float, float] | None = None,
    rising: bool | None = None,
    elapsed: Callable[[FloatArray], FloatArray] | None = None,
) -> ChangePoint:
    """One step by least squares, compared with a line, a constant and other curves by BIC.

    With x = ln(1 + t) what grows steadily in t is no line, and one step fits it better than a line
    does. With `elapsed` smooth growth competes too, u = t / max(t): a + b u^g, and
    a + b (1 - exp(-u / s)), each with g or s from a fixed grid as a third parameter.

    The step's location counts as one parameter, which is lenient: a search over many places fits
    noise better than one number would (Hinkley 1970; Zhang and Siegmund 2007).

    Parameters
    ----------
    x, y
        (n,). Points with NaN are left out; several y may share an x.
    min_side
        Points that each side of a step must have.
    between
        The step looked for lies between these x; None for anywhere.
    rising
        Whether it goes up; None for either way. What `between` and `rising` leave out competes
        with the step as `bic_other`.
    elapsed
        From x, (n,), to the quantity t in which smooth growth is tried, (n,), at least 0 and not 0
        everywhere: `np.expm1` where x is ln(1 + t). None tries none.

    Returns
    -------
    ChangePoint
        Reasons: "few" (fewer than 5 points, or no place for a step), "constant" (y does not vary).

    Raises
    ------
    ValueError
        If shapes do not agree, a point is infinite, or `elapsed` gives what it may not.
    """
    place, value = _points(x, y)
    n = len(place)
    # After sorting a step can only be where x changes.
    cuts = np.flatnonzero(np.diff(place) > 0) + 1
    cuts = cuts[(cuts >= min_side) & (n - cuts >= min_side)]
    reason = "few" if n < 5 or not len(cuts) else "constant" if np.ptp(value) == 0 else ""
    if reason:
        none = math.nan
        return ChangePoint(none, none, none, none, none, none, none, none, "", n, reason)
    centred = value - value.mean()
    total = float(centred @ centred)
    # RSS of a step = total - between: with centred y, between = S^2 (1 / c + 1 / (n - c)).
    sums = np.cumsum(centred)[cuts - 1]
    gained = np.square(sums) * (1 / cuts + 1 / (n - cuts))
    wanted = np.ones(len(cuts), dtype=bool)
    if between is not None:
        middle = (place[cuts - 1] + place[cuts]) / 2
        wanted &= (middle >= between[0]) & (middle <= between[1])
    if rising is not None:
        # What lies below the mean before a step rises at it.
        wanted &= (sums < 0) == rising
    step, other = (
        _step(value, int(cuts[chosen][np.argmax(gained[chosen])])) if chosen.any() else None
        for chosen in (wanted, ~wanted)
    )
    # Without a place for the step there is none: it explains nothing.
    rss_step, before, after, cut = step or (total, math.nan, math.nan, 0)
    run = place - place.mean()
    line = total - float(run @ centred) ** 2 / float(run @ run)
    left = {"constant": (total, 1), "line": (line, 2)}
    if elapsed is not None:
        left["smooth"] = (_smooth(elapsed(place), centred), 3)
    left["step"] = (rss_step, 3)
    if other:
        left["other"] = (other[0], 3)
    bic = {
        name: n * math.log(_floored(rss, total) / n) + k * math.log(n)
        for name, (rss, k) in left.items()
    }
    return ChangePoint(
        location=float(place[cut - 1] + place[cut]) / 2 if step else math.nan,
        before=before,
        after=after,
        bic_step=bic["step"],
        bic_line=bic["line"],
        bic_constant=bic["constant"],
        bic_other=bic.get("other", math.inf),
        bic_smooth=bic.get("smooth", math.inf),
        best=min(bic, key=lambda name: bic[name]),
        n=n,
        reason="",
    )


def _step(value: FloatArray, cut: int) -> tuple[float, float, float, int]:
    """RSS and the two means of a step before the point `cut` of sorted points."""
    before, after = float(value[:cut].mean()), float(value[cut:].mean())
    rss = np.square(value[:cut] - before).sum() + np.square(value[cut:] - after).sum()
    return float(rss), before, after, cut


# Exponents of growth: from nearly a logarithm to a rise at the very end. Times of saturation as
# shares of the whole: from one step of 16,000 to nearly steady growth.
_EXPONENTS = 2.0 ** np.arange(-4, 4.25, 0.25)
_TIMES = 2.0 ** np.arange(-14, 1.5, 0.5)


def _smooth(elapsed: FloatArray, centred: FloatArray) -> float:
    """RSS of the best smooth growth, of values with mean 0."""
    t = np.asarray(elapsed, dtype=np.float64)
    if t.shape != centred.shape or not (t >= 0).all() or not 0 < t.max() < math.inf:
        raise ValueError("`elapsed` must give as many numbers, none below 0, not all 0")
    u = t / t.max()
    curves = np.concatenate([u ** _EXPONENTS[:, None], -np.expm1(-u / _TIMES[:, None])])
    # A curve that does not vary at these places has no slope.
    curves = curves[np.ptp(curves, axis=1) > 1e-9]
    curves -= curves.mean(axis=1, keepdims=True)
    slopes = curves @ centred / np.square(curves).sum(axis=1)
    return float(np.square(centred - slopes[:, None] * curves).sum(axis=1).min(initial=math.inf))


@dataclass(frozen=True)
class CurveChoice:
    """Laws fitted to the same points.

    Attributes
    ----------
    best
        Name of the law with the smallest AICc; "" where undefined.
    aicc, weights
        Law -> its AICc, and its Akaike weight (the weights sum to 1).
    parameters
        Law -> (a, b).
    n
        Points that entered.
    reason
        "" where defined, else a key of `REASONS`; then the dictionaries are empty.
    """

    best: str
    aicc: dict[str, float]
    weights: dict[str, float]
    parameters: dict[str, tuple[float, float]]
    n: int
    reason: str


def choose_curve(x: ArrayLike, y: ArrayLike) -> CurveChoice:
    """Compare laws of growth by AICc, all by least squares in y (errors of one variance).

    constant: y = a. logarithmic: y = a + b ln x. power: y = a x^b. saturating: y = a x / (x + b)
    with b > 0, which starts at 0 and ends at a. For the last two a is linear, and b is found on a
    grid and refined. AICc = n ln(RSS / n) + 2 k + 2 k (k + 1) / (n - k - 1), where k counts the
    variance too (Burnham and Anderson 2002).

    Parameters
    ----------
    x
        (n,), above 0.
    y
        (n,). Points with NaN are left out.

    Returns
    -------
    CurveChoice
        Reasons: "few" (fewer than 5 points or 3 different x), "constant" (y does not vary).
    """
    place, value = _points(x, y)
    if (place <= 0).any():
        raise ValueError("`x` must be above 0")
    n = len(place)
    reason = ""
    if n < 5 or len(np.unique(place)) < 3:
        reason = "few"
    elif np.ptp(value) == 0:
        reason = "constant"
    if reason:
        return CurveChoice("", {}, {}, {}, n, reason)
    # In units of a typical x every b has one range, and a power of x does not overflow.
    unit = float(np.exp(np.log(place).mean()))
    u = place / unit
    log = np.log(u)
    slope = float(log @ (value - value.mean()) / np.square(log).sum())
    level = float(value.mean())
    power, a_power, rss_power = _scaled(lambda b: np.exp(b * log), value, -8.0, 8.0)
    half, a_half, rss_half = _scaled(lambda b: u / (u + math.exp(b)), value, -12.0, 12.0)
    fits = {
        "constant": (float(np.square(value - level).sum()), 2, (level, math.nan)),
        "logarithmic": (
            float(np.square(value - level - slope * log).sum()),
            3,
            (level - slope * math.log(unit), slope),
        ),
        "power": (rss_power, 3, (a_power * unit**-power, power)),
        "saturating": (rss_half, 3, (a_half, math.exp(half) * unit)),
    }
    total = float(np.square(value).sum())
    aicc = {
        name: n * math.log(_floored(rss, total) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
        for name, (rss, k, _) in fits.items()
    }
    best = min(aicc, key=lambda name: aicc[name])
    relative = {name: math.exp((aicc[best] - value) / 2) for name, value in aicc.items()}
    weights = {name: part / sum(relative.values()) for name, part in relative.items()}
    parameters = {name: found for name, (_, _, found) in fits.items()}
    return CurveChoice(best, aicc, weights, parameters, n, "")


def _scaled(
    shape: Callable[[float], FloatArray], y: FloatArray, low: float, high: float
) -> tuple[float, float, float]:
    """b, a and RSS of the least squares fit y = a * shape(b) for b in [low, high]."""

    def fitted(b: float) -> tuple[float, float]:
        curve = shape(b)
        a = float(curve @ y / (curve @ curve))
        return a, float(np.square(y - a * curve).sum())

    grid = np.linspace(low, high, 241)
    nearest = int(np.argmin([fitted(b)[1] for b in grid]))
    bounds = (grid[max(nearest - 1, 0)], grid[min(nearest + 1, len(grid) - 1)])
    found = optimize.minimize_scalar(
        lambda b: fitted(b)[1], bounds=bounds, method="bounded", options={"xatol": 1e-10}
    )
    b = float(found.x)
    return (b, *fitted(b))


def _points(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Points without NaN, by x and then y, so that the order of rows does not matter."""
    place, value = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if place.ndim != 1 or place.shape != value.shape:
        raise ValueError(f"need as many x as y, got {place.shape} and {value.shape}")
    if np.isinf(place).any() or np.isinf(value).any():
        raise ValueError("a point is infinite; an undefined value must be NaN")
    both = ~np.isnan(place) & ~np.isnan(value)
    place, value = place[both], value[both]
    order = np.lexsort((value, place))
    return place[order], value[order]


def _floored(rss: float, total: float) -> float:
    """RSS, at least what rounding leaves: a perfect fit has no logarithm."""
    return max(rss, total * 1e-24)
