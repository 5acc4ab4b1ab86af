"""Keep the numbers of protocol `rigorous` that docs/measures.md quotes.

`make run`, then `python docs/quickstart.py`, then `python docs/generate.py`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["MODELS", "TABLE", "WORKED", "main"]

TABLE = Path(__file__).parent / "quickstart_rigorous.csv"
SUMMARY = Path("results/studies/quickstart/summary.parquet")

MODELS = {
    "smollm2-135m": "SmolLM2",
    "smollm2-135m-untrained-s0": "fresh weights",
    "minilm-l6": "MiniLM",
    "minilm-l6-untrained-s0": "fresh weights",
}

# (statistic, condition, what it says here), in the order of the page.
WORKED: tuple[tuple[str, str, str], ...] = (
    (
        "dc_share_mean",
        "full",
        "a third of SmolLM2's power is mean level, nearly all of a fresh one's",
    ),
    (
        "spectral_flatness_mean",
        "full",
        "independent noise has 0.56: fresh MiniLM is near it, SmolLM2 nearer than its twin",
    ),
    ("half_power_width_mean", "full", "cycles per token; kernels are slow filters"),
    ("octave_share_1_mean", "full", "noise would have 0.5 in the finest octave"),
    ("octave_share_2_mean", "full", "and 0.25 in the second: only fresh MiniLM is like noise"),
    ("participation_ratio_mean", "full", "lags out of 128"),
    ("lost_mass_mean", "full", "of the attention lies at the first token or beyond the lags"),
    ("positional_entropy_share_mean", "full", "1: all lags alike, which fresh weights are"),
    ("spectral_entropy_share_mean", "full", "of the frequencies without DC"),
    ("excess_sqrt_mean", "full", "nats above the bound: nearest to it are the fresh weights"),
    ("excess_amp_mean", "full", "the head as a filter"),
    ("excess_mix_mean", "full", "the pair that the paper adds up"),
    ("excess_share_mean", "full", "the same, of the largest there can be"),
    ("arrangement_gain_mean", "full", "of the excess is saved by the order of the lags"),
    ("arrangement_p_mean", "full", "small for trained AND fresh SmolLM2: not a sign of learning"),
    ("massar_spindel_slack_mean", "full", "0: on the bound"),
    ("breitenberger_product_median", "full", "0.25 for a Gaussian; far attention makes it large"),
    ("haar_energy_entropy_mean", "full", "1: every scale has the same energy"),
    ("haar_entropy_4_mean", "full", "blocks of 16 tokens: few of them hold the energy"),
    ("haar_share_1_mean", "full", "of the variation is between neighbouring tokens"),
    ("db2_energy_entropy_mean", "full", "1: every scale of db2 has the same energy"),
    ("window_entropy_16_mean", "full", "within 16 tokens attention is nearly even"),
    ("dyadic_entropy_1_mean", "full", "neighbouring tokens share almost evenly ..."),
    ("dyadic_entropy_7_mean", "full", "... the near and the far half do not"),
    (
        "db2_energy_symmetric_mean",
        "full",
        "the default edges of PyWavelets count recency eleven times",
    ),
    ("db2_energy_zero_mean", "full", "continued by zeros nothing is counted twice"),
    ("db2_energy_periodization_mean", "full", "nor where the row is closed to a circle"),
    ("sparsity_identity_mean", "full", "nats; how many single lags a head needs"),
    ("sparsity_haar_mean", "full", "how many Haar wavelets; fewer, but not by much"),
    ("sparsity_db2_mean", "full", "other wavelets need about as many: db2, ..."),
    ("sparsity_db4_mean", "full", "... db4, ..."),
    ("sparsity_sym4_mean", "full", "... sym4, ..."),
    ("sparsity_coif1_mean", "full", "... and coif1"),
    ("sparsity_packets_mean", "full", "the best Haar packets, chosen for each head"),
    ("sparsity_dct_mean", "full", "how many cosines"),
    ("sparsity_fourier_mean", "full", "how many waves; more"),
    ("kernel_width_median", "full", "tokens (exp of the entropy, divided by e)"),
    ("kernel_kl_exponential_mean", "full", "nats from the best exponential ..."),
    ("kernel_kl_power_mean", "full", "... and from the best power law, which fits better"),
    ("kernel_kl_uniform_mean", "full", "nats from even attention"),
    ("lag_octave_slope_mean", "full", "1: every token the same; 0: every octave"),
    ("scale_dilation_mean", "half", "0 if attention stretched with the text"),
    ("scale_lag_mean", "half", "0 if it kept its width in tokens"),
    ("scale_lost_mass_mean", "half", "of the longer kernel lies beyond the shorter one"),
    ("scale_kappa_mean", "half", "below 0: it rather keeps its width"),
    ("scale_level_shift_mean", "half", "Haar details moved by a level; 0 if they follow"),
    ("correlation", "full", "almost -1 ..."),
    ("correlation_chance", "full", "... but so are the same heads in random order"),
    ("correlation_adjusted", "full", "what the order of positions adds; near -1 there is no room"),
    ("correlation_z", "full", "the same on a scale without an end: order makes it stronger"),
    ("correlation_ranks", "full", "of the heads' order alone"),
    ("correlation_partial", "full", "with the participation ratio held fixed"),
    ("bank_frame_lower", "full", "A, the power of the worst covered frequency"),
    ("bank_frame_upper", "full", "B, of the best"),
    ("bank_frame_ratio", "full", "B/A"),
    ("bank_unit_frame_ratio", "full", "the same with every head at one norm"),
    ("bank_frame_octaves", "full", "log2 of B/A; 0 if a layer covers all frequencies alike"),
    ("bank_scale_octaves", "full", "octaves between the narrow and the wide heads of a layer"),
    ("model_bank_scale_octaves", "full", "the same over all layers"),
    ("bank_collapse", "full", "0 if heads were one shape at several scales"),
    ("bank_rank", "full", "different kernels among the 9 or 12 heads of a layer"),
    ("bank_octave_coverage", "full", "1: all octaves evenly"),
    ("bank_overlap", "full", "cosine of two heads' kernels"),
    ("bank_cross_correlation", "full", "the same at the best shift"),
    ("bank_complementarity", "full", "1: no two heads share an octave"),
    ("signed_mean_share", "full", "1: the heads of a layer together are an average"),
    ("signed_cancellation", "full", "of what heads write is undone by others at the same lag"),
    ("signed_own_share", "full", "1 if no head touched the directions of the others"),
    (
        "signed_band_pass_share",
        "full",
        "of what a layer does leaves the mean out: little, but nothing in fresh weights",
    ),
    ("rotary_band_index", "full", "of 32 pairs, 0 the fastest, the most used one"),
    (
        "rotary_band_ratio",
        "full",
        "1 where base and training length put the band; fresh weights: a draw of lots",
    ),
    ("rotary_excess_mean", "full", "power at the head's own rotary frequencies, beyond others"),
    ("rotary_excess_logits_mean", "full", "the same before the softmax"),
    ("rotary_match_p", "full", "0.5 by chance: the match is clearest in fresh weights"),
    ("rotary_slow_share", "full", "of the norm lies in the slower half of the pairs"),
    ("rotary_peak", "full", "the strongest pair over the mean of all"),
    ("value_peak", "full", "the strongest dimension of the values over their mean"),
)


def main() -> None:
    """Write the table."""
    table = pd.read_parquet(SUMMARY)
    table = table[(table["protocol"] == "rigorous") & table["model"].isin(MODELS)]
    wanted = pd.DataFrame(
        [(name, condition) for name, condition, _ in WORKED], columns=["statistic", "condition"]
    )
    kept = wanted.merge(table, on=["statistic", "condition"], how="left")
    columns = ["statistic", "condition", "model", "mean", "low", "high", "n_documents"]
    kept[columns].round(6).to_csv(TABLE, index=False)


if __name__ == "__main__":
    main()
