"""The columns of the headline table: one source for report, profile and terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

__all__ = ["COLUMNS", "HeadlineColumn", "number", "with_interval"]


@dataclass(frozen=True)
class HeadlineColumn:
    """One statistic of models.csv.

    Attributes
    ----------
    statistic
        Column of models.csv; its interval is in `<statistic>_low` and `<statistic>_high`.
    short
        Heading in the terminal, at most 6 characters.
    title
        Heading in the report, with unit.
    meaning
        Plain language: what a reader may take from the number.
    """

    statistic: str
    short: str
    title: str
    meaning: str


COLUMNS = (
    HeadlineColumn(
        "spectral_entropy_mean",
        "entr.",
        "spectral entropy (nats)",
        "How evenly a head's attention profile spreads over frequencies. Low: nearly flat profile "
        "or slow variation; high: spiky or noisy profile.",
    ),
    HeadlineColumn(
        "frequency_selectivity_mean",
        "select",
        "selectivity (ratio)",
        "Power of the strongest frequency over all others. For attention the strongest is always "
        "the mean level, so this mostly says how flat the profile is.",
    ),
    HeadlineColumn(
        "band_low_mean",
        "low",
        "low band (share of power)",
        "Slow variation along the positions, mean level included.",
    ),
    HeadlineColumn("band_mid_mean", "mid", "mid band (share of power)", "Middle frequencies."),
    HeadlineColumn(
        "band_high_mean",
        "high",
        "high band (share of power)",
        "Variation from token to token. The three bands sum to 1.",
    ),
    HeadlineColumn(
        "scale_sensitivity_0_5",
        "S 1/2",
        "scale sensitivity at 1/2 (1 − cosine)",
        "Change of a head's wavelet coefficients when every second token is dropped; 0 = none.",
    ),
    HeadlineColumn(
        "scale_sensitivity_0_25",
        "S 1/4",
        "scale sensitivity at 1/4 (1 − cosine)",
        "The same with every fourth token kept.",
    ),
    HeadlineColumn(
        "position_spectrum_correlation",
        "rho",
        "rho: position–spectrum correlation (Pearson)",
        "Over the heads of a layer: does a head that spreads over positions concentrate in "
        "frequency? Random profiles without any structure give clearly negative values too.",
    ),
)


def number(value: object) -> str:
    """Three decimals, an exponent where those would show nothing, an en dash where undefined."""
    try:
        real = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "–"
    if not math.isfinite(real):
        return "–"
    if real and abs(real) < 0.0005:
        return f"{real:.1e}"
    return f"{real:.3f}"


def with_interval(row: Mapping[Any, Any], value: str, low: str, high: str) -> Markup:
    """A number of a row and, in brackets, the limits that stand in two other columns."""
    shown, least, most = (number(row.get(key)) for key in (value, low, high))
    if shown == "–":
        return Markup("–")
    return Markup('{} <span class="interval">[{}, {}]</span>').format(shown, least, most)
