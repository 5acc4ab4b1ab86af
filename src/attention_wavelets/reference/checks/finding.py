"""What a check found: which parts of a statement hold, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

__all__ = ["Finding", "Numbers", "Tables", "printed"]

Tables = Mapping[int, pd.DataFrame]
Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Finding:
    """Outcome of one check.

    Attributes
    ----------
    parts
        Part of the statement, in plain words -> whether it holds.
    numbers
        What they are -> one number or several.
    """

    parts: Mapping[str, bool]
    numbers: Mapping[str, Numbers]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a finding needs at least one part")

    @property
    def outcome(self) -> str:
        """`confirmed`, `not confirmed`, or `confirmed in part` where some parts hold."""
        held = [bool(part) for part in self.parts.values()]
        if all(held):
            return "confirmed"
        return "confirmed in part" if any(held) else "not confirmed"

    @property
    def failed(self) -> tuple[str, ...]:
        """Parts that do not hold."""
        return tuple(name for name, held in self.parts.items() if not held)


# Below this a number is rounding of float64, of which no digit is worth printing.
_ROUNDING = 1e-13


def printed(value: Numbers) -> str:
    """One number or several with three digits; rounding errors as a bound."""
    if isinstance(value, tuple):
        return ", ".join(map(printed, value))
    if value and abs(value) < _ROUNDING:
        return f"< {_ROUNDING:.0e}"
    if value and abs(value) < 1e-3:
        # Errors of float32 and float16: further digits depend on the machine.
        return f"{value:.2g}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
