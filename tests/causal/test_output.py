"""Models whose logits are not their table of tokens alone are refused, whatever makes the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as tf
from torch.nn import functional

from attention_wavelets.causal.losses import sequence_losses
from attention_wavelets.causal.output import refuse_other_output
from attention_wavelets.errors import PipelineError
from helpers.families import COMMON, GROUPED, OLD, VOCABULARY, WINDOWED, sharpen

IDS = np.random.default_rng(0).integers(8, VOCABULARY, (3, 24))
TIED = {"tie_word_embeddings": True}
SAME = {
    "llama": lambda: tf.LlamaConfig(**GROUPED, **TIED),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**COMMON, **TIED),
    "gpt2": lambda: tf.GPT2Config(**OLD, n_embd=32),
    "mistral": lambda: tf.MistralConfig(**GROUPED, **TIED, sliding_window=7),
    "gemma3": lambda: tf.Gemma3TextConfig(**WINDOWED, **TIED),
    "cohere, 1": lambda: tf.CohereConfig(**GROUPED, logit_scale=1.0),
    "granite, 1": lambda: tf.GraniteConfig(**GROUPED, **TIED, logits_scaling=1.0),
}
OTHER = {
    "cohere": lambda: tf.CohereConfig(**GROUPED),
    "granite": lambda: tf.GraniteConfig(**GROUPED, **TIED, logits_scaling=8.0),
    "granite, nearly 1": lambda: tf.GraniteConfig(**GROUPED, **TIED, logits_scaling=1.02),
    "gemma2": lambda: tf.Gemma2Config(**WINDOWED, final_logit_softcapping=30.0),
    "phi, bias": lambda: tf.PhiConfig(**COMMON, **TIED),
    "untied": lambda: tf.LlamaConfig(**GROUPED),
}


def whole(config: tf.PretrainedConfig) -> tf.PreTrainedModel:
    torch.manual_seed(0)
    return sharpen(tf.AutoModelForCausalLM.from_config(config))


def own_losses(model: tf.PreTrainedModel) -> np.ndarray:
    """What the family's own class gives."""
    ids = torch.as_tensor(IDS)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
    pairs = zip(logits, ids, strict=True)
    return np.array([float(functional.cross_entropy(x[:-1], y[1:])) for x, y in pairs])


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_whose_table_is_all_is_let_through_and_has_its_own_loss(name, dtype):
    model = whole(SAME[name]()).to(dtype)
    base = model.base_model
    refuse_other_output(base, IDS, name)
    if dtype == torch.float32:
        np.testing.assert_allclose(sequence_losses(base, IDS), own_losses(model), rtol=2e-5)


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_with_more_after_its_table_is_one_line(name, dtype):
    model = whole(OTHER[name]()).to(dtype)
    with pytest.raises(PipelineError, match=r"study\.causal\.models") as raised:
        refuse_other_output(model.base_model, IDS, "some-model")
    assert "\n" not in str(raised.value)
    # Its own loss is another one, or is made by another layer.
    assert np.abs(sequence_losses(model.base_model, IDS) - own_losses(model)).max() > 1e-4
