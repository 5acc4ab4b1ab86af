"""Models on which a claim holds or fails, made from its test and the ranges of its measures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats

from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.verdict import edge
from attention_wavelets.config.claims import Claim, ClaimTest
from attention_wavelets.config.compose import load_member
from attention_wavelets.measures.offered import OFFERED
from attention_wavelets.measures.registry import Measure

__all__ = ["CONF", "DOCUMENTS", "STEPS", "made_for", "nothing_for", "texts"]

CONF = Path(__file__).parents[2] / "conf"
# Two sequences of each document; layers and heads of a model.
DOCUMENTS = np.repeat(np.arange(12), 2)
LAYERS, HEADS = 12, 4
# Early checkpoints lie close together, as those that are published do.
STEPS = np.array([0.0, *10.0 ** np.arange(12)])
Range = tuple[float, float]


def texts(base: np.ndarray, generator: np.random.Generator, noise: float | np.ndarray) -> Panel:
    """(layer, head, column) as each sequence shows it; half of the variance is the document's."""
    document = generator.standard_normal((DOCUMENTS[-1] + 1, *base.shape))[DOCUMENTS]
    own = generator.standard_normal((len(DOCUMENTS), *base.shape))
    return Panel(base + noise * np.sqrt(0.5) * (document + own), DOCUMENTS)


def made_for(claim: Claim, holds: bool, seed: int) -> Subject:
    """A model, or as few as the claim needs, whose number is far on the side asked for.

    Raises
    ------
    ValueError
        If no number that the measures can have lies there.
    """
    drawn = _Drawn(claim, holds)
    if not claim.together:
        return Subject((drawn.seen(_TABLES[claim.test.kind](drawn), seed),))
    places, values = drawn.points()
    bases = [np.full((LAYERS, drawn.heads, 1), value) for value in values]
    panels = [drawn.seen(base, 100 * seed + i) for i, base in enumerate(bases)]
    return Subject(tuple(panels), places)


def nothing_for(claim: Claim, seed: int) -> Subject:
    """What a claim of a distance is far from in `made_for`."""
    drawn = _Drawn(claim, True)
    return Subject((drawn.seen(drawn.table(np.array([drawn.pair()[0]])), seed),))


@lru_cache
def _offered(protocol: str) -> dict[str, Measure]:
    member = load_member("protocol", protocol, CONF, {})
    return {measure.name: measure for measure in OFFERED[member.kind](member)}


@dataclass(frozen=True)
class _Drawn:
    """A claim and whether it shall hold, with what its measures can be."""

    claim: Claim
    holds: bool

    @property
    def test(self) -> ClaimTest:
        return self.claim.test

    @property
    def measures(self) -> list[Measure]:
        offered = _offered(self.claim.protocol)
        return [offered[column.measure] for column in self.claim.columns()]

    @property
    def ranges(self) -> list[Range]:
        return [measure.range for measure in self.measures]

    @property
    def heads(self) -> int:
        return 1 if self.measures[0].level == "layer" else HEADS

    @property
    def count(self) -> int:
        return LAYERS * self.heads

    def seen(self, base: np.ndarray, seed: int) -> Panel:
        """Averages as sequences see them, within 1 % of them or so."""
        generator = np.random.default_rng(np.random.SeedSequence(seed))
        panel = texts(base, generator, 0.01 * np.abs(base))
        low, high = np.array(self.ranges).T
        if ((panel.values < low) | (panel.values > high)).any():
            raise ValueError(f"values outside {self.ranges}")
        return panel

    def number(self, low: float, high: float) -> float:
        """A number in [low, high], on the claimed side of the line or on the other."""
        test = self.test
        if test.range is not None:
            line = test.range[1]
            found = sum(test.range) / 2 if self.holds else _past(line, high)
        else:
            line = edge(test, test.bound)
            found = _past(line, high if (test.claimed == "above") == self.holds else low)
        if not (low < line < high and low <= found <= high):
            raise ValueError(f"nothing on both sides of {line} in [{low}, {high}]")
        return found

    def pair(self) -> tuple[float, float]:
        """Two values of the first measure whose difference is the number."""
        low, high = self.ranges[0]
        half = (high - low) / 2
        middle = (low + high) / 2 if math.isfinite(half) else low + 1
        return middle, middle + self.number(-half, half)

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the points of a trend, and their values."""
        test = self.test
        if test.over == "parameters":
            places = np.log(3.0) * np.arange(len(self.claim.models.needs))
        elif test.over == "step":
            places = STEPS[: self.claim.models.at_least]
        else:
            places = np.array(test.at) if test.at else np.linspace(0, 1, LAYERS)
        return places, _SHAPES[test.kind](self, places)

    def spread(self) -> list[tuple[float, float]]:
        """The middle of each measure, and how far values may lie from it."""
        inner = [_inner(part) for part in self.ranges]
        return [((low + high) / 2, (high - low) / 2) for low, high in inner]

    def shares(self, holding: np.ndarray, lacking: np.ndarray) -> np.ndarray:
        """A table in which the share of heads that hold is the number, in quarters."""
        holds = np.arange(self.count) % 4 < round(4 * self.number(0.0, 1.0))
        return self.table(np.where(holds[:, None], holding, lacking))

    def table(self, heads: np.ndarray) -> np.ndarray:
        """(head, column) or (column,) as (layer, head, column)."""
        columns = len(self.test.of)
        whole = np.broadcast_to(heads, (self.count, columns))
        return whole.reshape(LAYERS, self.heads, columns)

    def around(self, standard: np.ndarray) -> np.ndarray:
        """A table of numbers of mean 0 and variance 1, brought into the ranges of the measures."""
        middle, width = np.array(self.spread()).T
        return self.table(middle + width * standard / 4)


def _past(line: float, end: float) -> float:
    """A number beyond a line: half way to the end of what is possible, or as far again."""
    if math.isfinite(end):
        return (line + end) / 2
    return line + math.copysign(abs(line) or 1.0, end)


def _inner(possible: Range) -> Range:
    """Two values well inside a range."""
    low, high = possible
    if math.isfinite(high):
        return low + 0.2 * (high - low), high - 0.2 * (high - low)
    return (low + 1.0, low + 2.0) if math.isfinite(low) else (-0.5, 0.5)


def _line(drawn: _Drawn, places: np.ndarray) -> np.ndarray:
    low, high = drawn.ranges[0]
    length = float(np.ptp(places))
    rise = drawn.number((low - high) / length, (high - low) / length) * length
    middle = (low + high) / 2 if math.isfinite(high - low) else low + 1.5 * abs(rise)
    return np.asarray(middle + rise * ((places - places.min()) / length - 0.5))


def _monotone(drawn: _Drawn, places: np.ndarray) -> np.ndarray:
    low, high = _inner(drawn.ranges[0])
    part = (places - places.min()) / np.ptp(places)
    upwards = (drawn.test.claimed == "above") == drawn.holds
    return np.asarray(low + (high - low) * (part if upwards else 1 - part))


def _step(drawn: _Drawn, places: np.ndarray) -> np.ndarray:
    low, high = _inner(drawn.ranges[0])
    step = np.arange(len(places)) >= len(places) // 2
    line = (places - places.min()) / np.ptp(places)
    return np.asarray(low + (high - low) * (step if drawn.holds else line))


def _law(drawn: _Drawn, places: np.ndarray) -> np.ndarray:
    laws = {
        "power": places**0.5,
        "logarithmic": 1 + np.log(places / places.min()),
        "saturating": places / (places + np.median(places)),
    }
    claimed = laws.pop(str(drawn.test.curve))
    law = claimed if drawn.holds else next(iter(laws.values()))
    return np.asarray(_inner(drawn.ranges[0])[1] * law / law.max())


_SHAPES: dict[str, Callable[[_Drawn, np.ndarray], np.ndarray]] = {
    "slope": _line,
    "rank_trend": _monotone,
    "change_point": _step,
    "curve_choice": _law,
}


def _of_points(drawn: _Drawn) -> np.ndarray:
    _, values = drawn.points()
    layered = np.repeat(values, drawn.heads)[:, None]
    return drawn.table(values if drawn.test.at else layered)


def _level(drawn: _Drawn) -> np.ndarray:
    return drawn.table(np.array([drawn.number(*drawn.ranges[0])]))


def _difference(drawn: _Drawn) -> np.ndarray:
    """Where the claim fails it does for the last column alone."""
    _, other = _Drawn(drawn.claim, True).pair()
    first, last = drawn.pair()
    return drawn.table(np.array([first, *[other] * (len(drawn.test.of) - 2), last]))


def _ratio(drawn: _Drawn) -> np.ndarray:
    number = drawn.number(0.0, math.inf)
    (low, high), (_, most) = drawn.ranges
    first = 0.9 * min(high, most / number) if math.isfinite(high) else low + 1
    return drawn.table(np.array([first, first * number]))


def _ordering(drawn: _Drawn) -> np.ndarray:
    order = np.linspace(*_inner(drawn.ranges[0]), len(drawn.test.of))
    return drawn.shares(order, order[::-1])


def _share_in_range(drawn: _Drawn) -> np.ndarray:
    inside = np.mean(drawn.test.ranges, axis=1)
    outside = np.array([_past(drawn.test.ranges[0][1], drawn.ranges[0][1]), *inside[1:]])
    return drawn.shares(inside, outside)


def _unrelated(count: int, heads: int) -> np.ndarray:
    """(head, column) of mean 0 and variance 1, every correlation 0."""
    values = np.random.default_rng(0).standard_normal((heads, count))
    return np.asarray(np.linalg.qr(values - values.mean(axis=0))[0] * np.sqrt(heads))


def _mixed(share: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(math.sqrt(share) * first + math.sqrt(1 - share) * second)


def _regression(drawn: _Drawn) -> np.ndarray:
    z = _unrelated(len(drawn.test.of), drawn.count)
    y = _mixed(drawn.number(0.0, 1.0), z[:, 1], z[:, 0])
    return drawn.around(np.column_stack([y, z[:, 1:]]))


def _variance_share(drawn: _Drawn) -> np.ndarray:
    """Columns that all correlate alike: the first component has (1 + (columns - 1) r) / columns."""
    columns = len(drawn.test.of)
    z = _unrelated(columns + 1, drawn.count)
    correlation = (columns * drawn.number(1 / columns, 1.0) - 1) / (columns - 1)
    return drawn.around(_mixed(correlation, z[:, :1], z[:, 1:]))


def _quantiles(drawn: _Drawn) -> np.ndarray:
    return np.asarray((np.arange(drawn.count) + 0.5) / drawn.count)


def _spread(drawn: _Drawn) -> np.ndarray:
    if drawn.test.over == "heads":
        shape = drawn.number(0.0, math.inf) ** -2
        return drawn.table(stats.gamma.ppf(_quantiles(drawn), shape)[:, None])
    growth = drawn.number(-math.inf, math.inf)
    apart = 1 + growth * (np.linspace(0, 1, LAYERS) - (growth < 0))
    side = np.where(np.arange(drawn.heads) % 2, 1.0, -1.0) * math.sqrt(1 - 1 / drawn.heads)
    return np.asarray(3 * apart.max() + apart[:, None, None] * side[:, None])


def _two_groups(drawn: _Drawn) -> np.ndarray:
    # One group with long tails: two normals fit it better, by less than their parameters cost.
    one = stats.laplace.ppf(_quantiles(drawn))
    return drawn.table((20 + one + 20 * drawn.holds * (np.arange(drawn.count) % 2))[:, None])


def _kernel_collapse(drawn: _Drawn) -> np.ndarray:
    collapse = drawn.number(*drawn.ranges[0])
    return drawn.table(np.array([collapse, 2 * (drawn.test.least_diversity or 0.0)]))


_TABLES: dict[str, Callable[[_Drawn], np.ndarray]] = {
    "sign": _level,
    "equivalence": _level,
    "distance_to_null": lambda drawn: drawn.table(np.array([drawn.pair()[1]])),
    "difference": _difference,
    "ratio": _ratio,
    **dict.fromkeys(_SHAPES, _of_points),
    "ordering": _ordering,
    "share_in_range": _share_in_range,
    "regression": _regression,
    "variance_share": _variance_share,
    "spread": _spread,
    "two_groups": _two_groups,
    "kernel_collapse": _kernel_collapse,
}
