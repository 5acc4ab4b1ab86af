"""A tiny random model of every supported architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as tf
from torch import Tensor, nn

__all__ = [
    "BIDIRECTIONAL",
    "FAMILIES",
    "HOOKED",
    "PAD",
    "POSITIONS",
    "VOCABULARY",
    "build",
    "inputs",
    "longrope",
    "sharpen",
]

VOCABULARY, POSITIONS, PAD = 64, 24, 6
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = COMMON | {"num_key_value_heads": 2}
WINDOWED = GROUPED | {"head_dim": 8, "sliding_window": 7}
OLD = {"vocab_size": VOCABULARY, "n_layer": 4, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}

# Name -> configuration of a tiny model.
FAMILIES = {
    "gpt_neox": lambda: tf.GPTNeoXConfig(**COMMON, rotary_pct=0.25),
    "llama": lambda: tf.LlamaConfig(**GROUPED),
    "mistral": lambda: tf.MistralConfig(**GROUPED, sliding_window=7),
    "qwen2": lambda: tf.Qwen2Config(**GROUPED),
    "qwen3": lambda: tf.Qwen3Config(**GROUPED, head_dim=8),
    "gemma2": lambda: tf.Gemma2Config(**WINDOWED, attn_logit_softcapping=5.0),
    "gemma3": lambda: tf.Gemma3TextConfig(
        **WINDOWED, layer_types=["sliding_attention", "full_attention"] * 2
    ),
    "smollm3": lambda: tf.SmolLM3Config(**GROUPED, no_rope_layer_interval=2),
    "olmo2": lambda: tf.Olmo2Config(**GROUPED),
    "phi": lambda: tf.PhiConfig(**COMMON, partial_rotary_factor=0.5),
    "gpt_oss": lambda: tf.GptOssConfig(**WINDOWED, num_local_experts=2, num_experts_per_tok=1),
    "gpt2": lambda: tf.GPT2Config(**OLD, n_embd=32, pad_token_id=0),
    "opt": lambda: tf.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        ffn_dim=48,
        word_embed_proj_dim=32,
        max_position_embeddings=64,
        pad_token_id=0,
    ),
    "bert": lambda: tf.BertConfig(**COMMON),
    "roberta": lambda: tf.RobertaConfig(**COMMON, max_position_embeddings=64),
    "modernbert": lambda: tf.ModernBertConfig(
        **COMMON, local_attention=6, cls_token_id=1, sep_token_id=2
    ),
    "bloom": lambda: tf.BloomConfig(**OLD, hidden_size=32, pad_token_id=0),
    "mpt": lambda: tf.MptConfig(
        vocab_size=VOCABULARY, d_model=32, n_layers=4, n_heads=4, max_seq_len=64
    ),
    "falcon": lambda: tf.FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=4, num_attention_heads=4
    ),
    "falcon_alibi": lambda: tf.FalconConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        alibi=True,
    ),
    "roformer": lambda: tf.RoFormerConfig(**COMMON, embedding_size=32, is_decoder=False),
    "gptj": lambda: tf.GPTJConfig(**OLD, n_embd=32, rotary_dim=4, n_positions=64),
    "gpt_neo": lambda: tf.GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=7,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "codegen": lambda: tf.CodeGenConfig(**OLD, n_embd=32, rotary_dim=4, n_positions=64),
}
# Families outside transformers' attention interface.
HOOKED = {"bloom", "mpt", "falcon", "falcon_alibi", "roformer", "gptj", "gpt_neo", "codegen"}
BIDIRECTIONAL = {"bert", "roberta", "modernbert", "roformer"}


def sharpen(model: nn.Module, seed: int = 0) -> Any:
    """Larger weights than at the start of training, so that attention is far from uniform."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def build(name: str) -> Any:
    torch.manual_seed(0)
    # Falcon chooses its attention once and for all when it is built.
    options = {"attn_implementation": "eager"} if name.startswith("falcon") else {}
    return sharpen(tf.AutoModel.from_config(FAMILIES[name](), **options))


def inputs(padded: bool, count: int = 3) -> dict[str, Tensor]:
    """Sequences; padded: the first one has `PAD` tokens less, on the left."""
    ids = torch.as_tensor(np.random.default_rng(0).integers(3, VOCABULARY, (count, POSITIONS)))
    mask = torch.ones_like(ids)
    if padded:
        ids[0, :PAD], mask[0, :PAD] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def longrope() -> Any:
    """Frequencies that every pass writes anew."""
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    rope["original_max_position_embeddings"] = 64
    config = tf.Phi3Config(**GROUPED, rope_parameters=rope, max_position_embeddings=128)
    torch.manual_seed(0)
    return sharpen(tf.AutoModel.from_config(config))
