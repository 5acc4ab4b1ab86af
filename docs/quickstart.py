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
        "1 would be noise: SmolLM2 is nearer to it than its fresh twin",
    ),
    ("half_power_width_mean", "full", "cycles per token; kernels are slow filters"),
    ("octave_share_1_mean", "full", "noise would have 0.5 in the finest octave"),
    ("octave_share_2_mean", "full", "and 0.25 in the second: neither model is noise"),
    ("positional_entropy_share_mean", "full", "1: all lags alike, which fresh weights are"),
    ("spectral_entropy_share_mean", "full", "of the frequencies without DC"),
    ("excess_sqrt_mean", "full", "nats above the bound: nearest to it are the fresh weights"),
    ("excess_share_mean", "full", "the same, of the largest there can be"),
    ("arrangement_gain_mean", "full", "of the excess is saved by the order of the lags"),
    ("arrangement_p_mean", "full", "small for trained AND fresh SmolLM2: not a sign of learning"),
    ("massar_spindel_slack_mean", "full", "0: on the bound"),
    ("breitenberger_product_median", "full", "0.25 for a Gaussian; far attention makes it large"),
    ("haar_energy_entropy_mean", "full", "1: every scale has the same energy"),
    ("haar_entropy_4_mean", "full", "blocks of 16 tokens: few of them hold the energy"),
    ("dyadic_entropy_1_mean", "full", "neighbouring tokens share almost evenly ..."),
    ("dyadic_entropy_7_mean", "full", "... the near and the far half do not"),
    (
        "db2_energy_symmetric_mean",
        "full",
        "the default edges of PyWavelets count recency eleven times",
    ),
    ("sparsity_identity_mean", "full", "nats; how many single lags a head needs"),
    ("sparsity_haar_mean", "full", "how many Haar wavelets; fewer, but not by much"),
    ("sparsity_fourier_mean", "full", "how many waves; more"),
    ("kernel_width_median", "full", "tokens (exp of the entropy, divided by e)"),
    ("kernel_kl_exponential_mean", "full", "nats from the best exponential ..."),
    ("kernel_kl_power_mean", "full", "... and from the best power law, which fits better"),
    ("scale_dilation_mean", "half", "0 if attention stretched with the text"),
    ("scale_lag_mean", "half", "0 if it kept its width in tokens"),
    ("scale_kappa_mean", "half", "below 0: it rather keeps its width"),
    ("scale_level_shift_mean", "half", "Haar details moved by a level; 0 if they follow"),
    ("correlation", "full", "almost -1 ..."),
    ("correlation_chance", "full", "... but so are the same heads in random order"),
    ("correlation_adjusted", "full", "what the order of positions adds: next to nothing"),
    ("bank_frame_octaves", "full", "log2 of B/A; 0 if a layer covers all frequencies alike"),
    ("bank_scale_octaves", "full", "octaves between the narrow and the wide heads of a layer"),
    ("model_bank_scale_octaves", "full", "the same over all layers"),
    ("bank_collapse", "full", "0 if heads were one shape at several scales"),
    ("bank_rank", "full", "different kernels among the 9 or 12 heads of a layer"),
    ("bank_octave_coverage", "full", "1: all octaves evenly"),
    ("signed_mean_share", "full", "1: the heads of a layer together are an average"),
    ("signed_cancellation", "full", "of what heads write is undone by others at the same lag"),
    ("signed_own_share", "full", "1 if no head touched the directions of the others"),
    (
        "signed_band_pass_share",
        "full",
        "of what a layer does leaves the mean out: little, but nothing in fresh weights",
    ),
    (
        "rotary_band_ratio",
        "full",
        "1 where base and training length put the band; fresh weights: a draw of lots",
    ),
    ("rotary_excess_mean", "full", "power at the head's own rotary frequencies, beyond others"),
    ("rotary_excess_logits_mean", "full", "the same before the softmax"),
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
