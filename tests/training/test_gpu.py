"""Training on a GPU and on a processor. Skipped where there is no GPU."""

import pytest
import torch

from attention_wavelets.training.architectures import build
from attention_wavelets.training.loop import train
from helpers.recipes import source
from helpers.training_task import CONTEXT, STEPS, VOCABULARY, task

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: GPU and processor are not compared"
)


@needs_gpu
@pytest.mark.parametrize("made", [source(), source("bloom", "alibi", inner=64)])
def test_a_gpu_learns_as_much_as_a_processor(made, tmp_path):
    """Passes of a GPU are rounded to bfloat16: losses agree to a hundredth, weights do not."""
    ends = []
    for device in ("cpu", "cuda"):
        model = build(made, 0, VOCABULARY, CONTEXT)
        log = train(model, task(), tmp_path / device, lambda step, m: None, device=device)
        assert log[-1]["step"] == STEPS
        ends.append(log[-1]["held_out_loss"])
    assert ends[1] == pytest.approx(ends[0], rel=0.05)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
