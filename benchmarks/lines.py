"""Claims whose true number lies exactly on their line: what passes is wrong.

The heads of a panel are given and its text is a sample, as in a study. Noise of sequences has mean
0, so the average over infinitely many is the planted table, and its number the truth: the truth is
known in closed form, for numbers of averages too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from attention_wavelets.claims.judge import Judged, NullDraws, Rules, judge
from attention_wavelets.claims.panel import Panel, Subject
from attention_wavelets.claims.statistics import statistic
from attention_wavelets.claims.verdict import edge, one_sided_p
from attention_wavelets.config.claims import Claim

__all__ = ["CASES", "DOCUMENTS", "Case", "judged", "of_case"]

LAYERS, HEADS = 6, 12
# Documents -> sequences in each.
DOCUMENTS = {
    12: (3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1),
    36: (3,) * 6 + (2,) * 12 + (1,) * 18,
}
# Standard deviation of a sequence about its head's mean, in standard deviations between heads, and
# the part of that variance that all heads share: about what trained models show.
NOISE, SHARED = 0.5, 0.15

Maker = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A claim and the tables for which it is just not true.

    Attributes
    ----------
    claim
        With the line.
    table
        Generator -> (layer, head, column) whose number is the line.
    noise
        Of a sequence, in units of the table.
    skewed
        Whether what all heads share is exponential instead of normal.
    truth
        Of the number, where it is not the line.
    null
        Noise of a null with the same number; then the difference to it is tested.
    costly
        One simulation in so many of the others.
    """

    claim: Claim
    table: Maker
    noise: float = NOISE
    skewed: bool = False
    truth: float | None = None
    null: float | None = None
    costly: int = 1


def _claim(kind: str, columns: int, line: float, claimed: str = "above", **settings: Any) -> Claim:
    test = {"kind": kind, "of": list("abcdefgh"[:columns]), "smallest_effect": 0.0}
    return Claim.model_validate(
        {
            "statement": "A number lies on its line.",
            "source": "planted",
            "test": test | {"claimed": claimed, "bound": line} | settings,
            "protocol": "paper",
            "probe": "received",
            "controls": ["untrained"],
        }
    )


def _normal(generator: np.random.Generator, columns: int) -> np.ndarray:
    return generator.standard_normal((LAYERS, HEADS, columns))


def _whitened(generator: np.random.Generator, columns: int) -> np.ndarray:
    """Columns of mean 0 and variance 1 without any correlation."""
    rows = _normal(generator, columns).reshape(-1, columns)
    left, _, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return np.asarray((left @ right * np.sqrt(len(rows))).reshape(LAYERS, HEADS, columns))


def _means(*means: float) -> Maker:
    """Columns with exactly these means over heads."""

    def made(generator: np.random.Generator) -> np.ndarray:
        return _whitened(generator, len(means)) + np.array(means)

    return made


def _half_inside(generator: np.random.Generator) -> np.ndarray:
    """Half of the heads, the nearest to the middle, between -1 and 1."""
    x = _normal(generator, 1)
    inner, outer = np.sort(np.abs(x).ravel())[[x.size // 2 - 1, x.size // 2]]
    return np.asarray(x / ((inner + outer) / 2))


def _explained(share: float) -> Maker:
    """First column of which the second explains exactly this share."""

    def made(generator: np.random.Generator) -> np.ndarray:
        x, rest = np.moveaxis(_whitened(generator, 2), -1, 0)
        return np.stack([np.sqrt(share) * x + np.sqrt(1 - share) * rest, x], axis=-1)

    return made


def _solved(
    mixed: Callable[[np.random.Generator], Callable[[float], np.ndarray]],
    claim: Claim,
    low: float,
    high: float,
) -> Maker:
    """Tables with a setting that is chosen so that the number is the line."""

    def made(generator: np.random.Generator) -> np.ndarray:
        of = mixed(generator)
        line = edge(claim.test, claim.test.bound)
        return of(brentq(lambda s: float(statistic(of(s), claim.test)) - line, low, high))

    return made


def _common(columns: int) -> Callable[[np.random.Generator], Callable[[float], np.ndarray]]:
    def mixed(generator: np.random.Generator) -> Callable[[float], np.ndarray]:
        x = _whitened(generator, columns + 1)
        return lambda share: np.sqrt(share) * x[..., :1] + np.sqrt(1 - share) * x[..., 1:]

    return mixed


def _widening(line: float, claim: Claim) -> Maker:
    """Layers whose heads spread more and more; the number scales with the table."""

    def made(generator: np.random.Generator) -> np.ndarray:
        widths = np.linspace(0.6, 1.4, LAYERS)[:, None, None]
        x = _normal(generator, 1)
        x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True) * widths
        return np.asarray(x * line / statistic(x, claim.test))

    return made


def _sloping(slope: float, scatter: float) -> Maker:
    """Layer means on a line, but for a scatter that leaves the slope as it is."""

    def made(generator: np.random.Generator) -> np.ndarray:
        depth = np.linspace(0, 1, LAYERS)
        off = generator.standard_normal(LAYERS)
        off -= np.polyval(np.polyfit(depth, off, 1), depth)
        x = _normal(generator, 1)
        x -= x.mean(axis=1, keepdims=True)
        return np.asarray(x + (slope * depth + scatter * off / off.std())[:, None, None])

    return made


_SHARE = _claim("variance_share", 6, 0.8, "below")
_WIDER = _claim("spread", 1, 0.6)


def _ranks(line: float) -> Claim:
    at = {"over": "columns", "at": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    return _claim("rank_trend", 6, line, **at)


def _columns(*order: float) -> Maker:
    """Columns a tenth of the spread of heads apart, about two standard errors of 12 documents."""
    return _means(*(0.1 * place for place in order))


CASES: dict[str, Case] = {
    "sign": Case(_claim("sign", 1, 0.3), _means(0.3)),
    "sign, below, skewed": Case(_claim("sign", 1, 0.3, "below"), _means(0.3), skewed=True),
    "difference, one on the line": Case(
        _claim("difference", 3, 0.3), _means(0.0, 0.3, 0.8), costly=4
    ),
    "difference, both on the line": Case(
        _claim("difference", 3, 0.3), _means(0.0, 0.3, 0.3), costly=4
    ),
    "ratio": Case(_claim("ratio", 2, 2.0), _means(3.0, 6.0)),
    "share_in_range": Case(
        _claim("share_in_range", 1, 0.5, ranges=[[-1.0, 1.0]]), _half_inside, 0.7
    ),
    "regression": Case(_claim("regression", 2, 0.5), _explained(0.5), costly=20),
    "regression, less a noisier null": Case(
        _claim("regression", 2, 0.0), _explained(0.5), null=1.5, costly=10
    ),
    "variance_share": Case(_SHARE, _solved(_common(6), _SHARE, 0.3, 0.99), costly=2),
    "rank_trend, weak": Case(_ranks(11 / 35), _columns(1, 5, 2, 6, 4, 3), costly=4),
    "rank_trend, strong": Case(_ranks(31 / 35), _columns(2, 1, 3, 5, 4, 6), costly=4),
    "rank_trend, columns alike": Case(_ranks(0.3), _columns(0, 0, 0, 0, 0, 0), truth=0.0, costly=4),
    "slope": Case(_claim("slope", 1, -1.0, "below"), _sloping(-1.0, 0.1)),
    "spread": Case(_WIDER, _widening(0.6, _WIDER), costly=20),
}


def judged(case: Case, documents: int, stream: np.random.SeedSequence) -> Judged:
    """The verdict on one panel, made as a study makes it; of a null there is one draw."""
    generator = np.random.default_rng(stream)
    rules = Rules(seed=int(generator.integers(2**32)))
    observed = _panel(case, case.table(generator), documents, case.noise, generator)
    nulls = []
    if case.null is not None:
        other = _panel(case, case.table(generator), documents, case.null, generator)
        nulls.append(NullDraws("untrained", "untrained", (Subject((other,)),), shared=True))
    return judge(case.claim, Subject((observed,)), nulls, rules)


def _panel(
    case: Case, table: np.ndarray, documents: int, noise: float, generator: np.random.Generator
) -> Panel:
    labels = np.repeat(np.arange(documents), DOCUMENTS[documents])

    def of_text(shape: tuple[int, ...], *, skewed: bool = False) -> np.ndarray:
        """Of variance 1, half of it the document's."""
        sizes = (documents, *shape), (len(labels), *shape)
        parts = [
            generator.exponential(size=size) - 1 if skewed else generator.standard_normal(size)
            for size in sizes
        ]
        return np.asarray(np.sqrt(0.5) * (parts[0][labels] + parts[1]))

    shared = of_text((1, 1, table.shape[-1]), skewed=case.skewed)
    own = of_text(table.shape)
    return Panel(table + noise * (np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own), labels)


def of_case(
    name: str, streams: Sequence[np.random.SeedSequence], _weights: int
) -> dict[str, np.ndarray]:
    """Whether the interval holds the truth, p, and whether the verdict is a wrong `pass`."""
    title, _, documents = name.rpartition(", ")
    case = CASES[title]
    rows = []
    for stream in streams:
        found = judged(case, int(documents), stream)
        test = case.claim.test
        line = edge(test, test.bound)
        estimate, verdict = found.estimate, found.literal
        if found.nulls:
            estimate, verdict = found.nulls[0].difference, found.nulls[0].verdict
        truth = line if case.truth is None else case.truth
        # As the stage does: the larger of both doubts.
        p = np.fmax(one_sided_p(estimate, test), found.chance)
        rows.append((estimate.low <= truth <= estimate.high, p, verdict == "pass"))
    return dict(zip(("held", "p", "passed"), np.array(rows, dtype=np.float64).T, strict=True))
