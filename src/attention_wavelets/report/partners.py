"""Which rigorous measures stand beside each of the paper's, and what they can show."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARTNERS", "Partner"]


@dataclass(frozen=True)
class Partner:
    """One measure of protocol `paper` and its partners.

    Attributes
    ----------
    paper, title
        Column of model.parquet, and its name in words with unit.
    partners
        Column of a rigorous model.parquet -> its name in words with unit.
    why
        Plain language: what the first cannot show and the others can.
    compared
        Whether these are numbers of the condition `half` against `full`.
    """

    paper: str
    title: str
    partners: dict[str, str]
    why: str
    compared: bool = False


PARTNERS = (
    Partner(
        "positional_entropy_mean",
        "positional entropy (nats)",
        {"positional_entropy_share_mean": "share of its maximum"},
        "The maximum grows with the length, so lengths cannot be compared; the share can.",
    ),
    Partner(
        "selectivity_mean",
        "selectivity (ratio)",
        {
            "dc_share_mean": "DC share (participation ratio / N)",
            "half_power_width_mean": "half-power width (cycles per token)",
        },
        "The strongest frequency of attention is always 0, so selectivity is concentration in "
        "other units: that is what the DC share says exactly. How fine a detail the head resolves "
        "is its half-power width.",
    ),
    Partner(
        "spectral_entropy_mean",
        "spectral entropy (nats)",
        {
            "spectral_entropy_share_mean": "without DC, share of its maximum",
            "spectral_flatness_mean": "flatness (random numbers: 0.56)",
        },
        "With DC in it, spectral entropy repeats concentration. Without it, it says how many "
        "frequencies a head varies at.",
    ),
    Partner(
        "band_low_mean",
        "low band (share)",
        {
            "octave_share_3_mean": "third octave (noise: 0.12)",
            "octave_share_4_mean": "fourth octave (noise: 0.06)",
            "octave_share_rest_mean": "all that is slower than six octaves (noise: 0.02)",
        },
        "The low band holds the mean level, which any weights have. The octaves leave it out, and "
        "a dyadic transform has exactly these bands: all from the third down lie in the low band.",
    ),
    Partner(
        "band_mid_mean",
        "middle band (share)",
        {
            "octave_share_2_mean": "second octave (noise: 0.25)",
        },
        "The edges of the band are those of no transform, and its share falls where the mean level "
        "rises. The second octave and the lower half of the finest make it up.",
    ),
    Partner(
        "band_high_mean",
        "high band (share)",
        {
            "octave_share_1_mean": "finest octave (noise: 0.50)",
            "bank_octave_coverage": "evenness of the octaves over a layer's heads (1: all alike)",
            "bank_complementarity": "division of octaves among heads (1: no two share one)",
        },
        "The upper half of the finest octave. Whether heads divide the bands among them is asked "
        "of the heads together: do they fill all octaves, and does each have its own?",
    ),
    Partner(
        "window_entropy_16_mean",
        "window entropy, 16 tokens (1: even)",
        {
            "window_entropy_16_mean": "the same, blocks counted by their mass",
            "window_entropy_32_mean": "in blocks of 32",
            "window_entropy_64_mean": "in blocks of 64",
        },
        "The paper's mean counts a block with almost no attention as much as the one that holds "
        "nearly all. By mass it is what is left of a head's entropy once the block is known.",
    ),
    Partner(
        "wavelet_entropy_0_mean",
        "wavelet entropy of the approximation (nats)",
        {
            "bank_frame_octaves": "a layer's coverage of frequencies, log2(B / A); 0: even",
            "bank_scale_octaves": "diversity of scales within a layer (octaves)",
            "model_bank_scale_octaves": "the same over the whole model (octaves)",
            "bank_collapse": "difference of shape beside scale; wavelets: 0",
        },
        "A row of attention sums to 1, so it always has an approximation and is never a wavelet. "
        "What can be like wavelets is a family: whether the heads of a layer TOGETHER cover the "
        "frequencies, at many scales, with one shape.",
    ),
    Partner(
        "wavelet_entropy_1_mean",
        "wavelet entropy of the coarsest details (nats)",
        {
            "haar_energy_entropy_mean": "spread of energy over scales (1: all alike)",
            "dyadic_entropy_1_mean": "dyadic entropy, finest scale (1: uniform)",
            "sparsity_identity_mean": "sparsity of the signal itself (nats)",
            "sparsity_haar_mean": "sparsity in Haar wavelets (nats)",
        },
        "An entropy within one level does not say how much is there. Energy over levels does; and "
        "wavelets describe a head well only if it needs fewer of them than of single positions.",
    ),
    Partner(
        "wavelet_entropy_raw_1_mean",
        "the same as printed, W² not normalised",
        {
            "haar_share_4_mean": "energy in blocks of 16 tokens (share)",
            "haar_entropy_4_mean": "its evenness over the text (1: everywhere)",
        },
        "The printed formula mixes how much energy a scale has with how evenly it is spread. Here "
        "they are two numbers.",
    ),
    Partner(
        "spectral_entropy_sqrt_mean",
        "spectral entropy of the square root (nats)",
        {
            "excess_sqrt_mean": "excess over the uncertainty bound (nats)",
            "excess_share_mean": "the same, share of the largest possible",
            "arrangement_gain_mean": "gain of the order over chance",
        },
        "Points, combs and uniform attention all lie on the bound, so nearness alone shows "
        "nothing. The gain says what the ORDER of a head's numbers brings against the same numbers "
        "shuffled.",
    ),
    Partner(
        "scale_sensitivity_mean",
        "scale sensitivity at 1/2 (1 − cosine)",
        {
            "scale_dilation_mean": "S_dil: 0 if attention stretches with the text",
            "scale_lag_mean": "S_lag: 0 if its width in tokens stays",
            "scale_kappa_mean": "kappa: +1 stretches, −1 keeps its width",
        },
        "One small number cannot tell a head that stretches from one that keeps its width. Two "
        "can.",
        compared=True,
    ),
    Partner(
        "scale_correlation_mean",
        "scale correlation at 1/2 (cosine)",
        {
            "scale_level_shift_mean": "1 − cosine of Haar details moved by a level (0: follow)",
            "scale_lost_mass_mean": "attention farther than the shorter text reaches (share)",
        },
        "One minus the number above: it holds nothing else. Without the mean level, which all "
        "signals share, the details of a head that stretches move by one level of Haar.",
        compared=True,
    ),
    Partner(
        "position_spectrum_correlation",
        "position–spectrum correlation",
        {
            "correlation": "the same, two-sided",
            "correlation_chance": "of the same heads in random order",
            "correlation_adjusted": "difference: what the order adds",
        },
        "The uncertainty theorem makes it negative for any rows, so it must be compared with "
        "chance.",
    ),
    Partner(
        "local_global_ratio_median",
        "local / global ratio (median head)",
        {
            "kernel_width_median": "width of the kernel (tokens, median head)",
            "kernel_kl_exponential_mean": "distance from an exponential kernel (nats)",
            "kernel_kl_power_mean": "distance from a power law (nats)",
        },
        "A ratio depends on where local ends. A width in tokens does not, and the laws say of "
        "which shape the decay is.",
    ),
    Partner(
        "reconstruction_error_mean",
        "reconstruction error (numerical precision)",
        {"db2_energy_zero_mean": "energy of the coefficients over the signal's (isometry: 1)"},
        "It has no partner: any invertible transform gives back what is put in, up to the rounding "
        "of 32-bit numbers, and none of it is a property of attention. The ratio beside it says "
        "the same of energy.",
    ),
)
