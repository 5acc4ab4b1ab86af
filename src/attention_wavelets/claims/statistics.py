"""One number per test kind, from measures averaged over sequences.

Every statistic maps averages (..., layer, head, column) to numbers (...), so that the estimate,
its resamples and the same number of a null come from one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from attention_wavelets.config.claims import ClaimTest
from attention_wavelets.inference.intervals import FloatArray
from attention_wavelets.inference.mixture import two_normals
from attention_wavelets.inference.regression import regress
from attention_wavelets.inference.shapes import change_point, choose_curve
from attention_wavelets.inference.spread import levene_trend, principal_share

__all__ = [
    "KINDS",
    "TestKind",
    "model_points",
    "over_models",
    "placed",
    "points",
    "statistic",
    "trend",
]


@dataclass(frozen=True)
class TestKind:
    """A kind of test as a value.

    Attributes
    ----------
    name
        As YAML names it.
    function
        (averages, test) -> numbers.
    says
        The number in plain words, for docs/claims.md.
    linear
        Whether the number of the averages is the average of the sequences' numbers, so that a
        t-interval over sequences is exact.
    """

    __test__ = False

    name: str
    function: Callable[[FloatArray, ClaimTest], FloatArray]
    says: str
    linear: bool = False


def statistic(averages: FloatArray, test: ClaimTest) -> FloatArray:
    """The number of a test, (...), of averages (..., layer, head, column); NaN if undefined."""
    return KINDS[test.kind].function(np.asarray(averages, dtype=np.float64), test)


def over_models(averages: Sequence[FloatArray], places: FloatArray, test: ClaimTest) -> FloatArray:
    """The same number of a row of models, each (..., layer, head, column), at places (model,)."""
    return trend(model_points(averages), places, test)


def model_points(averages: Sequence[FloatArray]) -> FloatArray:
    """What a trend over models runs through: the mean of each, (..., model)."""
    return np.stack([_over_heads(np.asarray(x, dtype=np.float64))[..., 0] for x in averages], -1)


def points(averages: FloatArray, test: ClaimTest) -> tuple[FloatArray, FloatArray]:
    """What a trend runs through in one model, (..., point), and the places of the points."""
    x = np.asarray(averages, dtype=np.float64)
    if test.kind != "spread":
        return _along(x, test)
    # Levene's trend: the slope of the layers' mean distance from their median (Brown-Forsythe).
    first = x[..., 0]
    heads = np.isfinite(first).sum(axis=-1, keepdims=True)
    # Of a layer without a value the median is anything: the distances from it are NaN all the same.
    middle = np.nanmedian(np.where(heads > 0, first, 0.0), axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(first - middle) / np.sqrt(1 - 1 / heads)
    return _layers(apart[..., None]), _depth(x.shape[-3])


def placed(values: FloatArray, over: str) -> FloatArray:
    """Places of models: steps of training as ln(1 + step), parameters as ln."""
    return np.log1p(values) if over == "step" else np.log(values)


def trend(values: FloatArray, places: FloatArray, test: ClaimTest) -> FloatArray:
    """The number (...) of points (..., point) at places (point,)."""
    return _TRENDS[test.kind](values, places, test)


def _quotient(above: FloatArray, below: NDArray[Any]) -> FloatArray:
    """NaN where the divisor is 0."""
    out = np.full(np.shape(above), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=np.asarray(below) != 0))


def _over_heads(x: FloatArray) -> FloatArray:
    """Mean over layers and heads (..., column), NaN left out."""
    present = np.isfinite(x)
    count = present.sum(axis=(-3, -2))
    total = np.where(present, x, 0.0).sum(axis=(-3, -2))
    return _quotient(total, count)


def _layers(x: FloatArray) -> FloatArray:
    """Mean over the heads of each layer of the first column, (..., layer)."""
    first = x[..., 0]
    present = np.isfinite(first)
    count = present.sum(axis=-1)
    total = np.where(present, first, 0.0).sum(axis=-1)
    return _quotient(total, count)


def _depth(layers: int) -> FloatArray:
    """Relative depth of each layer, 0 to 1."""
    return np.linspace(0.0, 1.0, layers) if layers > 1 else np.zeros(layers)


def _each(function: Callable[[FloatArray], float], values: FloatArray, axes: int) -> FloatArray:
    """Apply a function of the last `axes` axes to every place of the others."""
    lead, inner = values.shape[: values.ndim - axes], values.shape[values.ndim - axes :]
    flat = values.reshape(-1, *inner)
    return np.array([function(part) for part in flat], dtype=np.float64).reshape(lead)


def _mean(x: FloatArray, _: ClaimTest) -> FloatArray:
    return _over_heads(x)[..., 0]


def _difference(x: FloatArray, test: ClaimTest) -> FloatArray:
    """Least (or, if claimed below, largest) mean difference to the first column, head by head."""
    apart = _over_heads(x[..., 1:] - x[..., :1])
    return np.asarray(apart.max(axis=-1) if test.claimed == "below" else apart.min(axis=-1))


def _ratio(x: FloatArray, _: ClaimTest) -> FloatArray:
    both = np.isfinite(x).all(axis=-1, keepdims=True)
    means = _over_heads(np.where(both, x, np.nan))
    return _quotient(means[..., 1], means[..., 0])


def _along(x: FloatArray, test: ClaimTest) -> tuple[FloatArray, FloatArray]:
    """Values (..., point) and their places: layer means over depth, or columns at given places."""
    if test.at:
        return _over_heads(x), np.array(test.at)
    return _layers(x), _depth(x.shape[-3])


def _slope(x: FloatArray, test: ClaimTest) -> FloatArray:
    return _slope_of(*_along(x, test), test)


def _slope_of(y: FloatArray, x: FloatArray, _: ClaimTest) -> FloatArray:
    present = np.isfinite(y)
    count = np.asarray(present.sum(axis=-1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.where(present, x, 0.0).sum(axis=-1, keepdims=True) / count
        run = np.where(present, x - centre, 0.0)
        slope = (run * np.where(present, y, 0.0)).sum(axis=-1) / np.square(run).sum(axis=-1)
    return np.asarray(np.where(count[..., 0] >= 3, slope, np.nan))


def _rank_trend(x: FloatArray, test: ClaimTest) -> FloatArray:
    return _rank_trend_of(*_along(x, test), test)


def _rank_trend_of(y: FloatArray, x: FloatArray, test: ClaimTest) -> FloatArray:
    if test.method == "kendall":
        return _each(lambda row: _kendall(row, x), y, 1)
    if not np.isfinite(y).all():
        return _each(lambda row: _spearman(row, x), y, 1)
    return _spearman_rows(y, x)


def _spearman(row: FloatArray, x: FloatArray) -> float:
    keep = np.isfinite(row)
    return float(_spearman_rows(row[keep], x[keep])) if keep.sum() >= 3 else float("nan")


def _kendall(row: FloatArray, x: FloatArray) -> float:
    keep = np.isfinite(row)
    return float(kendalltau(x[keep], row[keep]).statistic) if keep.sum() >= 3 else float("nan")


def _spearman_rows(y: FloatArray, x: FloatArray) -> FloatArray:
    a = rankdata(y, axis=-1)
    b = rankdata(x)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean()
    norm = np.sqrt(np.square(a).sum(axis=-1) * np.square(b).sum())
    return _quotient((a * b).sum(axis=-1), norm)


def _share(holds: NDArray[np.bool_], known: NDArray[np.bool_]) -> FloatArray:
    """Share of the heads that are known for which something holds, (...)."""
    count = known.sum(axis=(-2, -1))
    total = (holds & known).sum(axis=(-2, -1)).astype(np.float64)
    return _quotient(total, count)


def _known(x: FloatArray) -> NDArray[np.bool_]:
    """Heads of which every column is defined."""
    return np.asarray(np.isfinite(x).all(axis=-1))


def _ordering(x: FloatArray, _: ClaimTest) -> FloatArray:
    with np.errstate(invalid="ignore"):
        holds = np.asarray((np.diff(x, axis=-1) > 0).all(axis=-1))
    return _share(holds, _known(x))


def _share_in_range(x: FloatArray, test: ClaimTest) -> FloatArray:
    low, high = np.array(test.ranges).T
    with np.errstate(invalid="ignore"):
        holds = np.asarray(((x >= low) & (x <= high)).all(axis=-1))
    return _share(holds, _known(x))


def _change_point(x: FloatArray, test: ClaimTest) -> FloatArray:
    return _change_point_of(*_along(x, test), test)


def _change_point_of(y: FloatArray, x: FloatArray, test: ClaimTest) -> FloatArray:
    rising = None if test.direction is None else test.direction == "up"
    between = None
    if test.between is not None:
        low, high = placed(np.array(test.between), test.over)
        between = (float(low), float(high))

    # What grows steadily in steps is no line where steps are placed at their logarithm.
    elapsed = np.expm1 if test.over == "step" else None

    def gain(row: FloatArray) -> float:
        found = change_point(x, row, between=between, rising=rising, elapsed=elapsed)
        rivals = (found.bic_line, found.bic_constant, found.bic_other, found.bic_smooth)
        return min(rivals) - found.bic_step

    return _each(gain, y, 1)


def _curve_choice(x: FloatArray, test: ClaimTest) -> FloatArray:
    return _curve_choice_of(*_along(x, test), test)


def _curve_choice_of(y: FloatArray, x: FloatArray, test: ClaimTest) -> FloatArray:
    # The laws are those of something that is above 0; step 0 of a training is not.
    above = x > 0

    def gain(row: FloatArray) -> float:
        found = choose_curve(x[above], row[above])
        if found.reason or test.curve is None:
            return float("nan")
        rivals = [value for name, value in found.aicc.items() if name != test.curve]
        return min(rivals) - found.aicc[test.curve]

    return _each(gain, y, 1)


def _table(x: FloatArray) -> FloatArray:
    """Heads as rows, (head, column)."""
    return x.reshape(-1, x.shape[-1])


def _regression(x: FloatArray, test: ClaimTest) -> FloatArray:
    """Share explained; negative where the coefficient has the other sign than is claimed."""

    def explained(part: FloatArray) -> float:
        rows = _table(part)
        if test.partial:
            found = regress(rows[:, 0], rows[:, 1], rows[:, 2:])
        else:
            found = regress(rows[:, 0], rows[:, 1:])
        share = found.partial_r2 if test.partial else found.r2
        against = test.effect is not None and (found.coefficients[0] > 0) != (
            test.effect == "positive"
        )
        return -share if against else share

    return _each(explained, x, 3)


def _variance_share(x: FloatArray, _: ClaimTest) -> FloatArray:
    rows = x.reshape(*x.shape[:-3], -1, x.shape[-1])
    if np.isfinite(rows).all() and (np.ptp(rows, axis=-2) > 0).all():
        # The same as below, for all tables at once: eigenvalues of the correlations.
        standard = rows - rows.mean(axis=-2, keepdims=True)
        standard /= np.sqrt(np.square(standard).sum(axis=-2, keepdims=True))
        values = np.linalg.eigvalsh(np.swapaxes(standard, -1, -2) @ standard)
        return np.asarray(values[..., -1] / rows.shape[-1])
    return _each(lambda part: principal_share(_table(part)).share, x, 3)


def _spread(x: FloatArray, test: ClaimTest) -> FloatArray:
    """Trend of the spread over layers, or standard deviation over mean of all heads."""
    if test.over == "heads":
        return _each(lambda part: _variation(part[..., 0]), x, 3)

    def slope(part: FloatArray) -> float:
        depth = np.repeat(_depth(part.shape[0]), part.shape[1])
        return levene_trend(part[..., 0].ravel(), depth).slope

    return _each(slope, x, 3)


def _variation(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    mean = abs(float(known.mean())) if known.size > 1 else 0.0
    return float(known.std(ddof=1)) / mean if mean > 0 else float("nan")


def _two_groups(x: FloatArray, _: ClaimTest) -> FloatArray:
    def gain(part: FloatArray) -> float:
        found = two_normals(part[..., 0])
        return found.bic_one - found.bic_two

    return _each(gain, x, 3)


def _kernel_collapse(x: FloatArray, test: ClaimTest) -> FloatArray:
    """Mean distance of rescaled kernels; 1, the largest, in a layer whose heads have one scale."""
    collapse, diversity = np.moveaxis(x, -1, 0)
    least = test.least_diversity or 0.0
    with np.errstate(invalid="ignore"):
        distance = np.where(diversity < least, 1.0, collapse + 0.0 * diversity)
    return _over_heads(distance[..., None])[..., 0]


_TRENDS: dict[str, Callable[[FloatArray, FloatArray, ClaimTest], FloatArray]] = {
    "slope": _slope_of,
    "rank_trend": _rank_trend_of,
    "change_point": _change_point_of,
    "curve_choice": _curve_choice_of,
    "spread": _slope_of,
}
"""Kinds whose number comes from points in a row."""

_RECORDS: tuple[Any, ...] = (
    ("sign", _mean, "the mean over heads, on one side of a bound", True),
    (
        "difference",
        _difference,
        "the mean over heads of a later column less the first, the least favourable of several",
        False,
    ),
    ("ratio", _ratio, "the mean of the second column over that of the first", False),
    ("slope", _slope, "the slope over relative depth, over columns, or over models", True),
    ("rank_trend", _rank_trend, "the rank correlation with depth, columns, size or step", False),
    ("ordering", _ordering, "the share of heads whose columns increase in the order given", False),
    ("equivalence", _mean, "the mean over heads, inside a range", True),
    (
        "share_in_range",
        _share_in_range,
        "the share of heads that have every column inside its range",
        False,
    ),
    (
        "change_point",
        _change_point,
        "how much better, in BIC, the claimed step fits than a line, a constant or another step, "
        "and over steps of training than smooth growth",
        False,
    ),
    (
        "curve_choice",
        _curve_choice,
        "how much better, in AICc, the claimed law fits than the best of the others",
        False,
    ),
    (
        "regression",
        _regression,
        "the share of the first column's variance over heads that the others explain, negative "
        "where the effect has another sign than is claimed",
        False,
    ),
    (
        "variance_share",
        _variance_share,
        "the share of the first principal component in the variance of the columns over heads",
        False,
    ),
    (
        "spread",
        _spread,
        "how much the spread of a layer's heads grows from first to last, or the standard "
        "deviation of all heads over their mean",
        False,
    ),
    ("two_groups", _two_groups, "how much better, in BIC, two groups fit than one", False),
    ("distance_to_null", _mean, "the mean over heads less that of the named null", True),
    (
        "kernel_collapse",
        _kernel_collapse,
        "the mean distance of the heads' kernels once each is divided by its width; 1 in a layer "
        "whose widths differ by less than the least diversity",
        False,
    ),
)

KINDS: dict[str, TestKind] = {
    name: TestKind(name, function, says, *rest) for name, function, says, *rest in _RECORDS
}
"""Test kind -> its statistic."""
