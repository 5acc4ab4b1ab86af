"""Measures of protocol `rigorous` that set a layer's signals beside facts of its model."""

from __future__ import annotations

import math

from attention_wavelets.measures.registry import Measure

__all__ = ["band_measures"]

_INF = math.inf


def band_measures() -> list[Measure]:
    """The rotary pair that is used most, and the predicted one."""
    lost = (
        "the layer does not rotate, or the signal is not by lag, or the fact `rotary_usage` is not "
        "there (rotary)"
    )
    return [
        Measure(
            "rotary_band_index",
            "pairs",
            (0, _INF),
            "queries and keys are strong in slower rotary pairs",
            "argmax over pairs c of the mean over heads of |q_c| |k_c| / sum |q_c| |k_c|; c = 0 is "
            "the fastest, and of equal pairs the fastest counts",
            "after Oka et al. 2026 (band of high norm); norms are means over tokens, every head "
            "counts alike: ours",
            lost,
            "Which rotary pair a layer uses most.",
            "layer",
        ),
        Measure(
            "rotary_band_ratio",
            "ratio",
            (0, _INF),
            "the band lies at slower pairs than predicted",
            "rotary_band_index / j*, j* = pairs log_base(L / 3.657210)",
            "Oka et al. 2026, who find 1.0 to 1.1; L is the longest sequence the model states, "
            "which need not be the length it was trained on; windows are left aside: ours",
            f"{lost}; base or L is not stated, or the frequencies differ by more than 1 % from "
            "base^(-c / pairs), as with scaled tables (band)",
            "Whether base and training length say where the band is.",
            "layer",
        ),
    ]
