"""Architecture facts of a model, from its config and a copy without storage (meta device)."""

from __future__ import annotations

import math
from typing import Any

from attention_wavelets.errors import PipelineError
from attention_wavelets.models.modality import input_of
from attention_wavelets.models.quiet import quiet, translated

__all__ = [
    "architecture_facts",
    "builder_of",
    "check_config_fields",
    "rotary_layers",
    "special_tokens",
    "uses_alibi",
]

# Names under which families write the three sizes that nothing else in a file gives away.
_SIZES = {
    "num_hidden_layers": {"num_hidden_layers", "n_layer", "n_layers", "num_layers"},
    "num_attention_heads": {"num_attention_heads", "n_head", "n_heads", "num_heads"},
    "hidden_size": {"hidden_size", "n_embd", "n_embed", "d_model", "dim"},
}
# Families without the `is_causal` attribute on their attention modules.
_CAUSAL = frozenset({"bloom", "mpt", "codegen", "gptj", "gpt_neo", "falcon", "xglm"})
# Families that rotate queries and keys without an `inv_freq` buffer; base 10000 in all of them.
_SINUSOIDAL_ROTARY = frozenset({"gptj", "codegen", "roformer"})
# Families that rotate in layers with a sliding window only, if they have such layers.
_ROTARY_WHERE_SLIDING = frozenset(
    {"exaone4", "exaone4_5", "exaone4_5_text", "exaone_moe", "kolibri1"}
)
_RELATIVE = frozenset({"deberta", "deberta-v2", "mpnet", "xlnet", "t5", "mt5", "umt5"})
# Encoders of sound whose positions come from one convolution over frames.
_CONVOLUTIONAL = frozenset({"wav2vec2", "hubert"})


def check_config_fields(raw: dict[str, Any], where: str, part: str | None = None) -> None:
    """Refuse a config.json that leaves out a size transformers would fill in by itself.

    The number of heads, for one, changes no weight's shape, so a wrong default would go unnoticed.
    """
    if not raw.get("model_type"):
        raise PipelineError(
            "config.json has no `model_type`", where, "use a model saved by transformers"
        )
    if raw.get("is_encoder_decoder") and part is None:
        raise PipelineError(
            f"encoder-decoder models (model_type '{raw['model_type']}') are not supported whole",
            where,
            "write `part: encoder` in the model YAML, or choose a decoder or an encoder",
        )
    text = raw.get("text_config")
    keys = set(raw) | (set(text) if isinstance(text, dict) else set())
    missing = [name for name, names in _SIZES.items() if not names & keys]
    if missing:
        raise PipelineError(
            f"config.json lacks {', '.join(missing)}", where, "complete or replace config.json"
        )


def builder_of(part: str | None) -> Any:
    """The transformers class that builds and loads a whole base model, or one part of it."""
    from transformers import AutoModel, AutoModelForTextEncoding

    return AutoModel if part is None else AutoModelForTextEncoding


def architecture_facts(config: Any, where: str, part: str | None = None) -> dict[str, Any]:
    """Sizes, position encoding, attention windows and direction of an architecture.

    Parameters
    ----------
    config
        A transformers config.
    where
        How an error names the model.
    part
        "encoder" for the encoder of an encoder-decoder alone; None for the whole model.

    Returns
    -------
    dict
        `parameters` counts the base model (no language-model head; a pooler counts if the class
        has one); `non_embedding_parameters` leaves out token, position and segment embeddings.
        `rotary_fraction` is the rotated part of a head; `rotary_frequencies` the number of rotated
        2-D pairs; `rotary_base` the base of full-attention layers;
        `rotary_layers[l]` whether layer l rotates at all (None of these where the encoding is not
        rotary). `position_encoding` is rotary, rotary_axial (rows and columns of a picture, so that
        no frequency belongs to a step along the sequence), learned_absolute, sinusoidal_absolute,
        alibi, relative_bias, convolutional or none. `attention_window[l]` is the
        number of keys a query of layer l sees (None = all), counting both sides where the model is
        bidirectional. `max_positions` is None where nothing limits the length, `vocabulary_size`
        where no tokens are read. `input` is as in `models.modality.input_of`.
    """
    import torch

    if getattr(config, "is_encoder_decoder", False):
        raw = {"model_type": config.model_type, "is_encoder_decoder": True}
        check_config_fields(raw | dict.fromkeys(_SIZES), where, part)
    builder = builder_of(part)
    todo = "check config.json; models whose code is not part of transformers are not run"
    with (
        quiet(),
        torch.device("meta"),
        translated(f"cannot build model_type '{config.model_type}'", where, todo),
    ):
        model = builder.from_config(config, trust_remote_code=False)
    text = config.get_text_config()
    with translated("the config gives no single number of heads, layers or head size", where, todo):
        heads, layers = int(text.num_attention_heads), int(text.num_hidden_layers)
        hidden = int(text.hidden_size)
        head_size = int(getattr(text, "head_dim", None) or hidden // heads)
    given = input_of(model, config, where)
    read = given["kind"]
    encoding, rotary = (
        _positions(model, text, head_size) if read == "tokens" else _elsewhere(model, config)
    )
    causal = _causal(model, text, where)
    return {
        **_counts(model),
        "layers": layers,
        "heads": heads,
        "key_value_heads": _key_value_heads(text, heads),
        "head_size": head_size,
        "hidden_size": hidden,
        "position_encoding": encoding,
        **rotary,
        "rotary_layers": rotary_layers(text, layers) if encoding == "rotary" else None,
        "attention_window": _windows(text, layers, causal),
        "causal": causal,
        "max_positions": _max_positions(model, text, encoding),
        "vocabulary_size": int(text.vocab_size) if read == "tokens" else None,
        "model_type": str(text.model_type),
        "architecture": type(model).__name__,
        "input": given,
    }


def special_tokens(tokenizer: Any) -> dict[str, Any]:
    """BOS, CLS and SEP of a tokenizer, and what it adds around a text unasked.

    `adds` lists the added tokens in order, such as `["[CLS]", "[SEP]"]`; empty if none.
    """
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = list(tokenizer("a")["input_ids"])
    for token in plain:
        if token in full:
            full.remove(token)
    return {
        "bos": tokenizer.bos_token,
        "cls": tokenizer.cls_token,
        "sep": tokenizer.sep_token,
        "adds": list(tokenizer.convert_ids_to_tokens(full)),
    }


def _counts(model: Any) -> dict[str, int]:
    from torch import nn

    tables = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding)
    }
    # `parameters()` names a shared tensor once, and so does the dictionary of tables.
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": total, "non_embedding_parameters": total - sum(tables.values())}


def _key_value_heads(text: Any, heads: int) -> int:
    if text.model_type == "falcon" and not text.new_decoder_architecture:
        return 1 if text.multi_query else heads
    if text.model_type == "falcon":
        return int(text.num_kv_heads)
    if getattr(text, "multi_query", False):
        return 1
    return int(getattr(text, "num_key_value_heads", None) or heads)


_NOT_ROTARY = {"rotary_fraction": None, "rotary_frequencies": None, "rotary_base": None}


def _positions(model: Any, text: Any, head_size: int) -> tuple[str, dict[str, Any]]:
    """Name of the position encoding and, for rotary ones, fraction, frequencies and base."""
    none = _NOT_ROTARY
    if uses_alibi(text):
        return "alibi", none
    pairs, base = _rotary(model, text, head_size)
    # A model may have the table of frequencies and no layer that reads it.
    if pairs and any(rotary_layers(text, int(text.num_hidden_layers))):
        facts = {
            "rotary_fraction": 2 * pairs / head_size,
            "rotary_frequencies": pairs,
            "rotary_base": base,
        }
        return "rotary", facts
    if text.model_type in _RELATIVE:
        return "relative_bias", none
    if _position_table(model) is not None:
        return "learned_absolute", none
    if any("Sinusoidal" in type(module).__name__ for module in model.modules()):
        return "sinusoidal_absolute", none
    return "none", none


def _elsewhere(model: Any, config: Any) -> tuple[str, dict[str, Any]]:
    """The same of the encoders of sound and pictures that `models.modality` lets through."""
    kind = getattr(config, "position_embeddings_type", None)
    if config.model_type == "wav2vec2-conformer" and kind == "rotary":
        pairs = int(config.hidden_size // config.num_attention_heads) // 2
        base = float(config.rotary_embedding_base)
        return "rotary", {
            "rotary_fraction": 1.0,
            "rotary_frequencies": pairs,
            "rotary_base": base,
        }
    if config.model_type == "wav2vec2-conformer":
        return "relative_bias" if kind == "relative" else "none", _NOT_ROTARY
    if config.model_type in _CONVOLUTIONAL:
        return "convolutional", _NOT_ROTARY
    axial = any(name.endswith("inv_freq") for name, _ in model.named_buffers())
    return "rotary_axial" if axial else "learned_absolute", _NOT_ROTARY


def _rotary(model: Any, text: Any, head_size: int) -> tuple[int, float | None]:
    if text.model_type in _SINUSOIDAL_ROTARY:
        return int(getattr(text, "rotary_dim", None) or head_size) // 2, 10000.0
    # Gemma 3 and ModernBERT keep one table per layer type; full attention stands for the model.
    tables = {
        name.rsplit(".", 1)[-1]: int(buffer.numel())
        for name, buffer in model.named_buffers()
        if name.endswith("inv_freq") and "original" not in name
    }
    if not tables:
        return 0, None
    pairs = tables.get("full_attention_inv_freq", next(iter(tables.values())))
    rules = getattr(text, "rope_parameters", None) or {}
    rules = rules.get("full_attention", rules)
    base = rules.get("rope_theta", getattr(text, "rope_theta", None))
    return pairs, None if base is None else float(base)


def uses_alibi(text: Any) -> bool:
    """Whether a text config asks for ALiBi; Falcon builds its rotary table even then."""
    attention = getattr(text, "attn_config", None)
    switches = (getattr(attention, "alibi", False), getattr(text, "alibi", False))
    return text.model_type == "bloom" or any(switches)


def rotary_layers(text: Any, layers: int) -> list[bool]:
    """Which layers of a rotary model rotate: some families leave every few without positions."""
    if getattr(text, "no_rope_layers", None):
        # Despite the name, 1 marks a layer that does rotate.
        return [bool(flag) for flag in text.no_rope_layers]
    mixed = text.model_type == "cohere2"
    if text.model_type in _ROTARY_WHERE_SLIDING:
        # Without any window these rotate in every layer.
        mixed = text.sliding_window is not None
    if mixed:
        return [kind == "sliding_attention" for kind in text.layer_types]
    return [True] * layers


def _position_table(model: Any) -> Any | None:
    """The embedding of absolute positions, known by its name in every family that has one."""
    from torch import nn

    names = ("position_embeddings", "wpe", "embed_positions", "position_embedding")
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in names:
            return module
    return None


def _causal(model: Any, text: Any, where: str) -> bool:
    flags = {
        bool(module.is_causal)
        for module in model.modules()
        if isinstance(getattr(module, "is_causal", None), bool)
    }
    if len(flags) == 1:
        return flags.pop()
    if text.model_type in _CAUSAL:
        return True
    if text.model_type == "roformer":
        return bool(text.is_decoder)
    raise PipelineError(
        f"cannot tell whether model_type '{text.model_type}' is causal or bidirectional",
        where,
        "this architecture is not supported",
    )


def _windows(text: Any, layers: int, causal: bool) -> list[int | None]:
    """Keys seen per query and layer; the config's number means one side for ModernBERT."""
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    if text.model_type == "gpt_neo":
        return [int(text.window_size) if k == "local" else None for k in text.attention_layers]
    if kinds is None:
        everywhere = window if getattr(text, "use_sliding_window", True) else None
        return [everywhere] * layers
    chunk = getattr(text, "attention_chunk_size", None)
    reach = {"sliding_attention": window, "chunked_attention": chunk}
    if not causal and window is not None:
        reach["sliding_attention"] = 2 * int(window) + 1
    return [reach.get(kind) for kind in kinds]


def _max_positions(model: Any, text: Any, encoding: str) -> int | None:
    if encoding == "alibi":
        return None
    stated = getattr(text, "max_position_embeddings", None)
    table = _position_table(model) if encoding == "learned_absolute" else None
    # RoBERTa counts positions from padding_idx + 1, so its table is longer than its limit.
    if table is not None and table.padding_idx is not None:
        return int(table.num_embeddings - table.padding_idx - 1)
    if stated is None or stated <= 0 or math.isinf(stated):
        return None
    return int(stated)
