"""What a change of attention costs beside the plain pass, as ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import bench
import numpy as np
import torch

from attention_wavelets.causal.losses import (
    band_edit,
    head_edit,
    head_outputs,
    rotary_zeroed,
    sequence_losses,
)
from attention_wavelets.config.compose import compose
from attention_wavelets.training.architectures import build
from training import best

# Tokens of a pass, of a sequence, and of a long one; share of the heads that are knocked out.
PASS, TOKENS, LONG, SHARE = 1024, 256, 1024, 0.1
BAND = (0.25, 0.75)


def main() -> None:
    built = models()
    torch.set_num_threads(1)
    print("model, condition, seconds of a pass / of the plain pass")
    for name, (model, tokens) in built.items():
        ids = np.random.default_rng(0).integers(3, 1000, (PASS // tokens, tokens))
        conditions = {"plain": partial(sequence_losses, model, ids), **changes(model, ids)}
        seconds = dict(zip(conditions, best(*conditions.values()), strict=True))
        for condition, found in seconds.items():
            print(f"{name}, {condition}, {found / seconds['plain']:.2f}", flush=True)


def models() -> dict[str, tuple[Any, int]]:
    """The largest of the ladder, and the sizes of SmolLM2-135M, with tokens of a sequence.

    The weights do not matter here.
    """
    experiment = compose(["study=ladder"])
    source = next(m.source for n, m in experiment.model.items() if n.startswith("ladder-rope-128"))
    large = bench.build()
    return {
        "ladder-rope-128": (build(source, 0, 1024, TOKENS).eval(), TOKENS),
        "sizes of smollm2-135m": (large, TOKENS),
        f"sizes of smollm2-135m, {LONG} tokens": (large, LONG),
    }


def changes(model: Any, ids: np.ndarray) -> Mapping[str, Callable[[], Any]]:
    """A pass of every kind that `change_attention` has."""
    known = head_outputs(model, ids)
    heads = {name: range(max(1, round(SHARE * known[name].shape[1]))) for name in known}
    return {
        **{
            f"heads, {how}": partial(
                sequence_losses, model, ids, outputs=head_edit(model, heads, known, how)
            )
            for how in ("zero", "mean", "resample")
        },
        "rotary pairs of a band": partial(_at_rest, model, ids),
        # What it costs to have rows at all, which the plain pass does not make.
        "rows, as they are": partial(sequence_losses, model, ids, rows=lambda r: r.probabilities),
        **{
            f"rows, {method}": partial(sequence_losses, model, ids, rows=band_edit(*BAND, method))
            for method in ("band", "band_part", "random_band", "random_phase")
        },
    }


def _at_rest(model: Any, ids: np.ndarray) -> None:
    low, high = BAND
    with rotary_zeroed(model, lambda _, f: (2 * f >= low) & (2 * f < high)):
        sequence_losses(model, ids)


if __name__ == "__main__":
    main()
