"""Measures of protocol `rigorous` that set a layer's signals beside facts of its model."""

from __future__ import annotations

import math

from attention_wavelets.measures.registry import Measure

__all__ = ["band_measures", "signed_measures"]

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
        Measure(
            "rotary_slow_share",
            "share",
            (0, 1),
            "queries and keys are strong in the slower half of the pairs",
            "mean over heads of the share of |q_c| |k_c| in pairs c >= pairs / 2",
            "after Barbero et al. 2025; every head counts alike: ours",
            lost,
            "How much heads rely on rotary pairs that hardly turn.",
            "layer",
        ),
        Measure(
            "rotary_peak",
            "ratio",
            (1, _INF),
            "one rotary pair stands out more",
            "mean over heads of max |q_c| |k_c| over its mean",
            "after Jin et al. 2025, who call entries above 5 massive",
            lost,
            "How far the strongest pair of queries and keys stands out.",
            "layer",
        ),
        Measure(
            "value_peak",
            "ratio",
            (1, _INF),
            "one dimension of the values stands out more",
            "mean over heads of the largest root mean square of a dimension of v over their mean",
            "after Jin et al. 2025, who find none in values",
            "the fact `value_norm` is not there (weights)",
            "The same of the values, which no position encoding turns.",
            "layer",
        ),
    ]


def signed_measures() -> list[Measure]:
    """What the heads of a layer do together, with the sign of what they write."""
    kernel = "kappa_r(tau) = sum_h c_hr k_h(tau)"
    lost = (
        "the fact `value_output` is not there, or the weights of this family are not known "
        "(weights); the signal is not by lag (axis)"
    )
    none = f"{lost}; the heads cancel at every lag (power)"
    described: list[tuple[str, str, tuple[float, float], str, str, str, str, str]] = [
        (
            "mean_share",
            "share",
            (0, 1),
            "the layer averages more; 0: it sums to zero, as a wavelet must",
            f"sum_r |sum_tau kappa_r| / sum_r sum_tau |kappa_r|, {kernel}, c_hr = u_r' W_O^h "
            "W_V^h v_r, k_h = attention by lag (its mass counts)",
            "ours; r: the two leading singular pairs (u, v) of each head's W_O^h W_V^h; norm "
            "layers are left aside",
            none,
            "1 for a layer that is low-pass like a single head.",
        ),
        (
            "cancellation",
            "share",
            (0, 1),
            "heads cancel one another more",
            "1 - sum_r sum_tau |kappa_r| / sum_r sum_h |c_hr| sum_tau k_h",
            "ours",
            f"{lost}; no head has mass or weight (power)",
            "How much of what heads write is undone by others at the same lag.",
        ),
        (
            "own_share",
            "share",
            (0, 1),
            "a direction is one head's own business",
            "sum_r |c_h(r)r| sum_tau k_h(r) / sum_r sum_h |c_hr| sum_tau k_h, h(r) the head whose "
            "pair r is",
            "ours",
            f"{lost}; no head has mass or weight (power)",
            "Near 1 heads write side by side, and signed kernels are those of single heads.",
        ),
        (
            "band_pass_share",
            "share",
            (0, 1),
            "more of the layer is band-pass",
            "share of directions, weighted by sum_tau |kappa_r|, whose power at frequency 0 is "
            "below half of its peak",
            "ours; 8 points per lag; half power (3 dB) is the usual edge of a band",
            none,
            "How much of the layer passes a band that leaves out the mean.",
        ),
        (
            "peak_frequency",
            "cycles/token",
            (0, 0.5),
            "the layer passes faster variation best",
            "argmax of |K_r|^2, mean over directions weighted by sum_tau |kappa_r|",
            "ours; the lowest of equal peaks",
            none,
            "0 where every direction is low-pass.",
        ),
    ]
    return [
        Measure(f"signed_{name}", unit, bounds, larger, formula, source, undefined, words, "layer")
        for name, unit, bounds, larger, formula, source, undefined, words in described
    ]
