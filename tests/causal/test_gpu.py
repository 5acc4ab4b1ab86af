"""Changed attention on a GPU and on a processor. Skipped where there is no GPU."""

import numpy as np
import pytest
import torch

from attention_wavelets.causal.losses import band_edit, head_edit, head_outputs, sequence_losses
from helpers.families import VOCABULARY, build

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: GPU and processor are not compared"
)
IDS = np.random.default_rng(0).integers(8, VOCABULARY, (3, 24))
HEADS = {"layers.1.self_attn": [0, 2]}


@needs_gpu
def test_losses_of_a_gpu_are_those_of_a_processor():
    here, there = build("llama"), build("llama").to("cuda")
    for method in ("band", "band_part", "random_band", "random_phase"):
        found = [sequence_losses(m, IDS, rows=band_edit(0.2, 0.8, method)) for m in (here, there)]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    for replacement in ("mean", "resample", "zero"):
        found = [
            sequence_losses(
                m, IDS, outputs=head_edit(m, HEADS, head_outputs(m, IDS[::-1]), replacement)
            )
            for m in (here, there)
        ]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


@needs_gpu
def test_an_empty_band_changes_nothing_on_a_gpu():
    model = build("llama").to("cuda")
    plain = sequence_losses(model, IDS)
    np.testing.assert_array_equal(
        sequence_losses(model, IDS, rows=band_edit(0.5, 0.5, "band")), plain
    )
