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
            "octave_share_1_mean": "finest octave (noise: 0.50)",
            "octave_share_2_mean": "second octave (noise: 0.25)",
            "octave_share_3_mean": "third octave (noise: 0.12)",
        },
        "The low band holds the mean level, which any weights have. The octaves leave it out, and "
        "a dyadic transform has exactly these bands.",
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
        {
            "bank_frame_octaves": "a layer's coverage of frequencies, log2(B / A); 0: even",
            "bank_scale_octaves": "diversity of scales within a layer (octaves)",
            "model_bank_scale_octaves": "the same over the whole model (octaves)",
            "bank_collapse": "difference of shape beside scale; wavelets: 0",
        },
        "Any transform can be undone, whatever is put in. Whether the heads of a layer TOGETHER "
        "work like a filter bank is asked of their kernels.",
    ),
)
