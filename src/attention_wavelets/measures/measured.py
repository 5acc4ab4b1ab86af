"""Values of measures together with why some of them are undefined."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.measures.arrays import CodeArray, FloatArray

__all__ = ["REASONS", "Draft", "Measured", "averaged", "in_chunks", "reshaped"]

REASONS: dict[str, str] = {
    "not_finite": "the signal holds NaN or infinity, or its sum overflows",
    "negative": "the signal has a negative entry",
    "mass": "there is no mass to divide by",
    "length": "the signal is too short",
    "power": "what is divided by is zero up to rounding",
    "rest": "no attention is left beyond the distance",
    "heads": "fewer than three heads have a value",
    "variance": "the values do not vary over the heads",
    "constant": "the signal does not vary",
    "dyadic": "the number of positions is no power of two",
    "width": "the spectrum has no frequency beside 0",
    "axis": "the signal is not by lag",
    "octaves": "fewer than three octaves of lags, or one of them has no mass",
    "neighbours": "no two neighbouring positions have mass",
    "scale": "the signal changes too little to tell how",
    "rotary": "the layer does not rotate, has too few rotary frequencies in range or too few "
    "heads, or its facts are missing",
    "band": "base or training length is not stated, or the frequencies do not follow the base",
    "weights": "the weights of values and outputs are not known, or their fact is missing",
    "unknown": "the signal's sum before it was divided by it is not known",
    "bank": "the bank has no power at some frequency, or too few heads",
}
"""Reason of an undefined value -> what it means."""

# Code 0 means "defined".
_CODES: dict[str, int] = {name: code for code, name in enumerate(REASONS, start=1)}
_NAMES: dict[int, str] = {code: name for name, code in _CODES.items()}

# Numbers measured at once: 1 MiB as float64. Larger chunks leave the processor's cache between two
# measures, smaller ones cost more in calls.
CHUNK = 2**17


@dataclass(frozen=True)
class Measured:
    """Measures of a batch of signals.

    Attributes
    ----------
    values
        Name -> float64 array; all arrays have the batch's shape. NaN means undefined.
    codes
        Name -> array of the same shape saying why a value is NaN (0: it is defined). A name that
        is absent is defined everywhere. Read it through `reasons`.

    Raises
    ------
    ValueError
        If shapes differ, or a value is NaN without a reason or has a reason without being NaN.
    """

    values: dict[str, FloatArray]
    codes: dict[str, CodeArray]

    def __post_init__(self) -> None:
        if len({value.shape for value in self.values.values()}) > 1:
            shapes = {name: value.shape for name, value in self.values.items()}
            raise ValueError(f"measures of one batch must have one shape, got {shapes}")
        for name, value in self.values.items():
            undefined = np.isnan(value)
            explained = self.codes.get(name, np.zeros(value.shape, dtype=np.uint8)) != 0
            if not np.array_equal(undefined, explained):
                raise ValueError(
                    f"{name} must be NaN exactly where it has a reason, got "
                    f"{int(undefined.sum())} NaN and {int(explained.sum())} reasons"
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return next(iter(self.values.values())).shape if self.values else ()

    def reasons(self) -> NDArray[np.object_]:
        """For each signal why measures are undefined: '' or 'length: m1 m2; power: m3'.

        The codes are the keys of `REASONS`, in that order; the names keep the order of `values`.
        """
        names = [name for name in self.values if name in self.codes]
        if not names:
            return np.full(self.shape, "", dtype=object)
        stacked = np.stack([self.codes[name].ravel() for name in names], axis=-1)
        result = np.full(len(stacked), "", dtype=object)
        rows = np.flatnonzero(stacked.any(axis=-1))
        # Few combinations occur, so each text is made once.
        unique, inverse = np.unique(stacked[rows], axis=0, return_inverse=True)
        texts = np.array([_reason_text(names, row) for row in unique], dtype=object)
        result[rows] = texts[inverse.ravel()]
        return result.reshape(self.shape)

    def only(self, names: Collection[str]) -> Measured:
        """The measures of these names, those of them that there are."""
        return Measured(
            {name: value for name, value in self.values.items() if name in names},
            {name: code for name, code in self.codes.items() if name in names},
        )

    def merge(self, other: Measured) -> Measured:
        """Both sets of measures of the same batch; neither input changes.

        Raises ValueError if the shapes differ or a measure occurs in both.
        """
        twice = sorted(self.values.keys() & other.values.keys())
        if twice:
            raise ValueError(f"measures given twice: {', '.join(twice)}")
        return Measured({**self.values, **other.values}, {**self.codes, **other.codes})


def _reason_text(names: list[str], codes: CodeArray) -> str:
    parts = []
    for code in sorted(set(codes.tolist()) - {0}):
        with_code = [name for name, mine in zip(names, codes, strict=True) if mine == code]
        parts.append(f"{_NAMES[code]}: {' '.join(with_code)}")
    return "; ".join(parts)


class Draft:
    """Collects the measures of n rows, then becomes a `Measured`.

    Parameters
    ----------
    n
        Number of rows.
    bad
        Each maps a reason to the rows (n,) for which every measure is undefined, as
        `arrays.normalise` gives it; where several apply to a row, the first counts.
    """

    def __init__(self, n: int, *bad: dict[str, NDArray[np.bool_]]) -> None:
        self._n = n
        self._rows = np.zeros(n, dtype=np.uint8)
        for reasons in bad:
            for reason, rows in reasons.items():
                self._rows[rows & (self._rows == 0)] = _CODES[reason]
        self._values: dict[str, FloatArray] = {}
        self._codes: dict[str, CodeArray] = {}

    def put(
        self,
        name: str,
        values: FloatArray | None,
        undefined: NDArray[np.bool_] | None = None,
        reason: str = "power",
    ) -> None:
        """Add one measure.

        `undefined` names the rows left out for `reason`; `values=None` leaves all of them out.
        A name put twice raises ValueError.
        """
        if name in self._values:
            raise ValueError(f"measure given twice: {name}")
        codes = self._rows.copy()
        if values is None:
            codes[codes == 0] = _CODES[reason]
            column = np.full(self._n, np.nan)
        else:
            column = np.array(values, dtype=np.float64)
            if undefined is not None:
                codes[undefined & (codes == 0)] = _CODES[reason]
            column[codes != 0] = np.nan
        self._values[name] = column
        if codes.any():
            self._codes[name] = codes

    def put_known(self, name: str, values: FloatArray | None, reason: str) -> None:
        """Add a measure whose NaN all have one reason; `values=None` is NaN throughout."""
        self.put(name, values, None if values is None else np.isnan(values), reason)

    def measured(self) -> Measured:
        """What was collected."""
        return Measured(dict(self._values), dict(self._codes))


def in_chunks(
    measure: Callable[..., Measured], *arrays: NDArray[np.generic], size: int | None = None
) -> Measured:
    """Apply a measure of (n, ...) arrays to (*batch, ...) arrays, a chunk of rows at a time.

    Memory beyond inputs and outputs depends neither on the number nor on the length of signals.

    Parameters
    ----------
    measure
        Takes arrays (n, N_i) and returns a `Measured` of shape (n,).
    arrays
        (*batch, N_i): the batch is the same, the last axis may differ.
    size
        Rows in a chunk; as many as make about 130,000 numbers unless told.
    """
    batch = arrays[0].shape[:-1]
    rows = [array.reshape(-1, array.shape[-1]) for array in arrays]
    n = len(rows[0])
    size = size or max(1, CHUNK // max(row.shape[-1] for row in rows))
    if n == 0:
        # The names of the columns come from one row that is then dropped.
        one = measure(*(np.ones((1, row.shape[-1])) for row in rows))
        return Measured({name: np.empty(batch) for name in one.values}, {})
    parts = [measure(*(row[start : start + size] for row in rows)) for start in range(0, n, size)]
    defective = {name: True for part in parts for name in part.codes}
    values = {
        name: np.concatenate([part.values[name] for part in parts]).reshape(batch)
        for name in parts[0].values
    }
    codes = {
        name: np.concatenate(
            [part.codes.get(name, np.zeros(part.shape, dtype=np.uint8)) for part in parts]
        ).reshape(batch)
        for name in defective
    }
    return Measured(values, codes)


def reshaped(measured: Measured, shape: tuple[int, ...]) -> Measured:
    """The same measures of a batch of another shape and the same size."""
    return Measured(
        {name: value.reshape(shape) for name, value in measured.values.items()},
        {name: code.reshape(shape) for name, code in measured.codes.items()},
    )


def averaged(measured: Measured) -> Measured:
    """The mean over the last axis of the batch; undefined where every part is.

    The reason is then that of the first part.
    """
    values, codes = {}, {}
    for name, value in measured.values.items():
        known = np.isfinite(value)
        number = known.sum(axis=-1)
        total = np.where(known, value, 0.0).sum(axis=-1)
        out = np.full(number.shape, np.nan)
        values[name] = np.divide(total, number, out=out, where=number > 0)
        if name in measured.codes:
            codes[name] = np.where(number > 0, 0, measured.codes[name][..., 0]).astype(np.uint8)
    return Measured(values, codes)
