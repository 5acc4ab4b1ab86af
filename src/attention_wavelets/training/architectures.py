"""A fresh base model of transformers for what a model YAML asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attention_wavelets.config.schema import TrainedSource
from attention_wavelets.config.training import FAMILIES
from attention_wavelets.models.facts import builder_of
from attention_wavelets.training.tokens import BOS, PAD

__all__ = ["DEVIATION", "build", "token_table"]

# Standard deviation of fresh matrices.
DEVIATION = 0.02
# Families whose own rule is far from that of the others: T5 draws by the width of each layer,
# ModernBERT cuts its draws off and has smaller output matrices. The masked ladder compares the two.
_REDRAWN = ("modernbert", "t5")
# Keeps the stream of weights apart from that of the order of data.
_WEIGHTS_STREAM = 0x57454947
_BASE = 10000.0


def build(source: TrainedSource, seed: int, vocabulary: int, context: int) -> Any:
    """The base model with fresh weights, in float32 and training mode; nothing drops out.

    Parameters
    ----------
    source
        Checked by `config.training.check_source`.
    seed
        Decides the weights.
    vocabulary, context
        Tokens there are, and tokens of a sequence.
    """
    import torch

    builder = builder_of(FAMILIES[source.architecture].part)
    config = _CONFIGS[source.architecture](source, vocabulary, context)
    sequence = np.random.SeedSequence([seed, _WEIGHTS_STREAM])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
        model = builder.from_config(config, dtype=torch.float32)
        if source.architecture in _REDRAWN:
            _draw_like_others(model)
    return model.train()


def token_table(model: Any) -> Any:
    """The table of token embeddings, (token, channel): also the output layer, as in GPT-2."""
    return model.get_input_embeddings().weight


def _draw_like_others(model: Any) -> None:
    """Fresh matrices by the rule of the other families: normal, of one standard deviation.

    T5 does not divide products of queries and keys by the root of the head size; its queries are
    drawn that much smaller.
    """
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                queries = name.endswith("SelfAttention.q.weight")
                small = float(model.config.d_kv) ** -0.5 if queries else 1.0
                torch.nn.init.normal_(weight, std=DEVIATION * small)


def _common(source: TrainedSource, vocabulary: int, context: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": source.hidden_size,
        "num_hidden_layers": source.layers,
        "num_attention_heads": source.heads,
        "intermediate_size": source.intermediate_size,
        "max_position_embeddings": context,
        "initializer_range": DEVIATION,
        "tie_word_embeddings": True,
        **_SPECIAL,
    }


_SPECIAL = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": BOS}


_ROPE = {"rope_type": "default", "rope_theta": _BASE}


def _llama(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(**_common(source, vocabulary, context), rope_parameters=_ROPE)


def _smollm3(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import SmolLM3Config

    # Despite the name, 1 marks a layer that does rotate.
    rotates = [int(source.encoding == "rope")] * source.layers
    return SmolLM3Config(
        **_common(source, vocabulary, context),
        rope_parameters=_ROPE,
        num_key_value_heads=source.heads,
        no_rope_layers=rotates,
        use_sliding_window=False,
    )


def _gpt_neox(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import GPTNeoXConfig

    part = 0.25 if source.encoding == "rope_quarter" else 1.0
    rules = _ROPE | {"partial_rotary_factor": part}
    return GPTNeoXConfig(**_common(source, vocabulary, context), rope_parameters=rules)


def _gpt2(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=vocabulary,
        n_embd=source.hidden_size,
        n_layer=source.layers,
        n_head=source.heads,
        n_inner=source.intermediate_size,
        n_positions=context,
        initializer_range=DEVIATION,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        **_SPECIAL,
    )


def _opt(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=vocabulary,
        hidden_size=source.hidden_size,
        word_embed_proj_dim=source.hidden_size,
        num_hidden_layers=source.layers,
        num_attention_heads=source.heads,
        ffn_dim=source.intermediate_size,
        max_position_embeddings=context,
        init_std=DEVIATION,
        dropout=0.0,
        **_SPECIAL,
    )


def _bloom(source: TrainedSource, vocabulary: int, _context: int) -> Any:
    from transformers import BloomConfig

    return BloomConfig(
        vocab_size=vocabulary,
        hidden_size=source.hidden_size,
        n_layer=source.layers,
        n_head=source.heads,
        initializer_range=DEVIATION,
        **_SPECIAL,
    )


def _modernbert(source: TrainedSource, vocabulary: int, context: int) -> Any:
    from transformers import ModernBertConfig

    return ModernBertConfig(
        **_common(source, vocabulary, context),
        # Every layer sees the whole sequence.
        layer_types=["full_attention"] * source.layers,
        rope_parameters={"full_attention": _ROPE, "sliding_attention": _ROPE},
        cls_token_id=BOS,
        sep_token_id=BOS,
    )


def _t5(source: TrainedSource, vocabulary: int, _context: int) -> Any:
    from transformers import T5Config

    return T5Config(
        vocab_size=vocabulary,
        d_model=source.hidden_size,
        d_kv=source.hidden_size // source.heads,
        d_ff=source.intermediate_size,
        num_layers=source.layers,
        num_heads=source.heads,
        dropout_rate=0.0,
        pad_token_id=PAD,
        eos_token_id=BOS,
    )


_CONFIGS: dict[str, Callable[[TrainedSource, int, int], Any]] = {
    "llama": _llama,
    "smollm3": _smollm3,
    "gpt_neox": _gpt_neox,
    "gpt2": _gpt2,
    "opt": _opt,
    "bloom": _bloom,
    "modernbert": _modernbert,
    "t5": _t5,
}
