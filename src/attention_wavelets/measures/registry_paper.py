"""The measures of protocol `paper`, as records."""

from __future__ import annotations

import math
from collections.abc import Callable

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.measures.registry import Measure, by_name

__all__ = ["paper_measures"]

_INF = math.inf

# What is done with the mean, in the words of the tables.
_MEAN = {"keep": "DC kept", "drop_bin": "DC bin dropped", "subtract_mean": "mean subtracted"}


def _shape_measures(protocol: PaperProtocol) -> list[Measure]:
    low, high = protocol.spectrum.band_edges
    window = protocol.spectrum.window
    mean = _MEAN[protocol.spectrum.dc]
    no_power = "the windowed signal is zero (power)"
    bands = [
        ("band_low", f"nu < {low:g}", "slow"),
        ("band_mid", f"{low:g} <= nu < {high:g}", "middle"),
        ("band_high", f"nu >= {high:g}", "fast"),
    ]
    return [
        Measure(
            "positional_entropy",
            "nats",
            (0, _INF),
            "attention is spread over more positions",
            "H(a) = -sum_t a_t ln a_t, at most ln N",
            "stated in the paper; natural logarithm is our choice",
            "never, for a signal with mass",
            "How many positions a head attends to; exp of it is an effective number.",
        ),
        Measure(
            "first_share",
            "share",
            (0, 1),
            "more attention falls on the first position",
            "a_0; for signals by lag the share of the first lag",
            "ours: what an attention sink holds (Xiao et al. 2024)",
            "never, for a signal with mass",
            "How much of a head's attention the first token draws.",
        ),
        Measure(
            "spectral_entropy",
            "nats",
            (0, _INF),
            "power is spread over more frequencies",
            f"-sum_k p_k ln p_k, p = P / sum P, P = |rfft(w a)|^2, w = {window}",
            f"Hann window and zero padding stated in the paper; one-sided, {mean}, periodic "
            "window and padding length are our choice",
            no_power,
            "How many frequencies the signal uses; depends on length and padding.",
            over_heads="spread",
        ),
        Measure(
            "spectral_entropy_sqrt",
            "nats",
            (0, _INF),
            "power is spread over more frequencies",
            "H(|F sqrt a|^2), F the unitary N-point transform; no window, no padding",
            "ours: the partner of H(a) in the entropic uncertainty theorem, "
            "H(a) + H(|F sqrt a|^2) >= ln N (Maassen and Uffink 1988)",
            "never, for a signal with mass",
            "The spectral entropy for which the uncertainty bound is a theorem.",
        ),
        Measure(
            "selectivity",
            "ratio",
            (0, _INF),
            "more power in the largest bin"
            + (", which is always DC" if protocol.spectrum.dc == "keep" else ""),
            "max P / (sum P - max P)",
            "stated in the paper with an integral; the sum over bins is our reading",
            no_power,
            "Power of the largest bin over all the others; it measures concentration only.",
            over_heads="spread",
        ),
        *(
            Measure(
                name,
                "share",
                (0, 1),
                f"more of the power is {speed}",
                f"sum of P over {where}, divided by sum P; nu = 1 at Nyquist",
                f"edges stated in the paper; lower edge included and {mean} are our choice",
                no_power,
                f"Share of the power at {speed} frequencies.",
            )
            for name, where, speed in bands
        ),
    ]


def _window_measures(protocol: PaperProtocol) -> list[Measure]:
    rows = []
    for width in protocol.window_entropy:
        common = (
            "attention within a block is more even",
            "stated in the paper: blocks of 16, 32 and 64 tokens; renormalising, equal weights "
            "and dropping a partial block are our choice",
            f"fewer than {width} positions (length), or no whole block has mass (mass)",
        )
        for name, unit, top, formula in (
            (f"window_entropy_{width}", "1", 1.0, f"mean over blocks of H(block) / ln {width}"),
            (f"window_entropy_{width}_nats", "nats", math.log(width), "mean over blocks of H"),
        ):
            rows.append(
                Measure(
                    name,
                    unit,
                    (0, top),
                    common[0],
                    formula,
                    common[1],
                    common[2],
                    f"How evenly attention is spread within {width} consecutive positions.",
                )
            )
    return rows


def _wavelet_measures(protocol: PaperProtocol) -> list[Measure]:
    wavelet = protocol.wavelet
    short = "the signal is too short for this scale (length)"
    rows = []
    for raw in (False, True):
        for scale in range(wavelet.scales):
            which = "the approximation" if scale == 0 else f"detail level {scale} from the coarsest"
            rows.append(
                Measure(
                    f"wavelet_entropy_{'raw_' if raw else ''}{scale}",
                    "1" if raw else "nats",
                    (-_INF, _INF) if raw else (0, _INF),
                    "no simple reading: mixes energy and spread"
                    if raw
                    else "the coefficients of this scale are more even",
                    f"-sum W^2 ln W^2 over {which}"
                    if raw
                    else f"-sum p ln p, p = W^2 / sum W^2 over {which}",
                    f"{wavelet.name} stated in the paper; mode {wavelet.mode}, full depth and the "
                    "order of scales are our choice"
                    + ("; printed without normalisation" if raw else "; p is our choice"),
                    short if raw else f"{short}, or the level has no energy (power)",
                    "The paper's printed formula, which is not an entropy."
                    if raw
                    else "How evenly the wavelet coefficients of one scale are filled.",
                )
            )
    rows.append(
        Measure(
            "reconstruction_error",
            "ratio",
            (0, _INF),
            "nothing about attention: numerical precision",
            "|waverec(wavedec(a)) - a| / |a| in float32",
            "a column of the paper's tables; float32 is our reading of its size",
            "the signal is too short for one level (length)",
            "Numerical precision of the transform; about 1e-7 for any signal.",
        )
    )
    return rows


def _pair_measures(protocol: PaperProtocol) -> list[Measure]:
    rule, reference = protocol.scale.alignment, protocol.scale.reference
    undefined = "a signal is too short for the transform (length), or a vector is zero (power)"
    return [
        Measure(
            "scale_sensitivity",
            "1",
            (0, 2),
            "the signal changes more when the sequence is subsampled",
            f"1 - cosine of the wavelet coefficients, aligned by {rule}",
            f"1 - cosine against '{reference}' stated in the paper; the alignment is our choice",
            undefined,
            "How much a head's signal changes on a shorter version of the sequence.",
            "pair_of_conditions",
            "spread",
        ),
        Measure(
            "scale_correlation",
            "1",
            (-1, 1),
            "the signal changes less when the sequence is subsampled",
            "1 - scale_sensitivity",
            "stated in the paper; the alignment is our choice",
            undefined,
            "The cosine itself: 1 means the coefficients have the same proportions.",
            "pair_of_conditions",
        ),
        *(
            Measure(
                f"scale_aligned_{family}",
                "1",
                (0, 2),
                "the signal changes more when the sequence is subsampled",
                f"1 - cosine of the coefficients of {family}, the longer signal first resampled to "
                "the length of the shorter",
                "ours: aligned alike for every wavelet, so that only the wavelet differs",
                undefined,
                f"Scale sensitivity with {family}, where places correspond.",
                "pair_of_conditions",
            )
            for family in protocol.scale.families
        ),
    ]


def _locality_measures(protocol: PaperProtocol) -> list[Measure]:
    rows = []
    for name, distance in _ratio_names(protocol):
        rows.append(
            Measure(
                name,
                "ratio",
                (0, _INF),
                "attention is more local",
                f"near / (1 - near), near = attention at |query - key| <= {distance} tokens",
                "the paper gives no window: distances are our choice",
                f"the lags do not reach {distance} tokens (length), or nothing is left beyond "
                "(rest)",
                f"Attention within {distance} tokens of the query over all other attention.",
                over_heads="median" if name == "local_global_ratio" else "mean",
            )
        )
    return rows


def _ratio_names(protocol: PaperProtocol) -> list[tuple[str, int]]:
    local = protocol.local_global
    return [
        ("local_global_ratio", local.headline),
        *((f"local_global_ratio_{distance}", distance) for distance in local.distances),
    ]


def _layer_measures(_: PaperProtocol) -> list[Measure]:
    return [
        Measure(
            "position_spectrum_correlation",
            "1",
            (-1, 1),
            "heads spread over more positions also use more frequencies; below 0 they use fewer",
            "Pearson's r over the heads of a layer of (positional_entropy, spectral_entropy)",
            "stated in the paper; per sequence and layer, then averaged, is our choice",
            "fewer than three heads with both values (heads), or one does not vary (variance)",
            "Whether heads trade position against frequency; random rows are negative too.",
            "layer",
        )
    ]


def paper_measures(protocol: PaperProtocol) -> tuple[Measure, ...]:
    """The measures of protocol `paper`, in the order of the columns.

    Raises ValueError if the settings give a name twice, such as a width listed twice.
    """
    families: tuple[Callable[[PaperProtocol], list[Measure]], ...] = (
        _shape_measures,
        _window_measures,
        _wavelet_measures,
        _locality_measures,
        _pair_measures,
        _layer_measures,
    )
    return tuple(by_name(row for family in families for row in family(protocol)).values())
