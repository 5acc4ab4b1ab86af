"""Architecture facts of families whose configs say the same thing in different words."""

from __future__ import annotations

import pytest

from attention_wavelets.errors import PipelineError
from attention_wavelets.models.facts import architecture_facts
from attention_wavelets.models.files import choose_files, layout

_SIZES = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 50}


def _facts(family: str, **fields: object) -> dict:
    import transformers

    config = getattr(transformers, f"{family}Config")(**{**_SIZES, **fields})
    return architecture_facts(config, family)


@pytest.mark.parametrize(
    ("family", "fields", "expected"),
    [
        ("GPTNeoX", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                         "partial_rotary_factor": 0.25}},
         ("rotary", 0.25, 2, 10000.0, True)),
        ("GPTJ", {"rotary_dim": 8}, ("rotary", 0.5, 4, 10000.0, True)),
        ("GPT2", {}, ("learned_absolute", None, None, None, True)),
        ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 64},
         ("learned_absolute", None, None, None, True)),
        ("Bloom", {}, ("alibi", None, None, None, True)),
        ("Mpt", {}, ("alibi", None, None, None, True)),
        ("Falcon", {"alibi": True}, ("alibi", None, None, None, True)),
        ("Falcon", {"alibi": False}, ("rotary", 1.0, 8, 10000.0, True)),
        ("RoFormer", {}, ("rotary", 1.0, 8, 10000.0, False)),
        ("XGLM", {"ffn_dim": 64}, ("sinusoidal_absolute", None, None, None, True)),
        ("Roberta", {}, ("learned_absolute", None, None, None, False)),
        ("ModernBert", {"pad_token_id": 0}, ("rotary", 1.0, 8, 160000.0, False)),
    ],
)  # fmt: skip
def test_position_encoding_and_direction(family, fields, expected):
    facts = _facts(family, **fields)
    got = [facts[key] for key in ("position_encoding", "rotary_fraction", "rotary_frequencies")]
    assert (*got, facts["rotary_base"], facts["causal"]) == expected


def test_windows_are_per_layer_and_count_both_sides_where_bidirectional():
    mistral = _facts("Mistral", sliding_window=16)
    assert mistral["attention_window"] == [16] * 4
    gemma = _facts("Gemma2", sliding_window=16, head_dim=16)
    assert gemma["attention_window"] == [16, None, 16, None]
    # Qwen2 configs hold a window that is switched off.
    qwen = _facts("Qwen2", sliding_window=16, use_sliding_window=False)
    assert qwen["attention_window"] == [None] * 4
    modern = _facts("ModernBert", local_attention=16, pad_token_id=0)
    assert set(modern["attention_window"]) == {None, 17}


def test_layers_without_positions_are_told_apart():
    assert _facts("SmolLM3", pad_token_id=0)["rotary_layers"] == [True, True, True, False]
    cohere = _facts("Cohere2", sliding_window=16)
    assert cohere["rotary_layers"] == [window is not None for window in cohere["attention_window"]]
    assert _facts("GPT2")["rotary_layers"] is None
    nowhere = _facts("SmolLM3", pad_token_id=0, no_rope_layers=[0] * 4)
    assert nowhere["position_encoding"] == "none"
    assert nowhere["rotary_layers"] is None
    assert nowhere["rotary_frequencies"] is None


def test_key_value_heads_of_shared_and_own_keys():
    assert _facts("Falcon", multi_query=True)["key_value_heads"] == 1
    assert _facts("Llama", num_key_value_heads=2)["key_value_heads"] == 2
    assert _facts("GPT2")["key_value_heads"] == 4


def test_limit_of_positions_leaves_out_the_padding_offset():
    roberta = _facts("Roberta", max_position_embeddings=66, pad_token_id=1)
    assert roberta["max_positions"] == 64
    assert _facts("Bloom")["max_positions"] is None


def test_encoder_decoders_are_refused():
    import transformers

    with pytest.raises(PipelineError, match="encoder-decoder"):
        architecture_facts(transformers.T5Config(), "t5")


def test_chosen_files_are_config_tokenizer_and_one_set_of_safe_weights():
    names = ["README.md", "config.json", "model.safetensors", "onnx/model.onnx", "evil.py",
             "pytorch_model.bin", "tokenizer.json", "model-00001-of-00002.safetensors"]  # fmt: skip
    chosen = choose_files(names, "here")
    assert sorted(chosen) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert choose_files(names, "here", weights=False) == ["config.json", "tokenizer.json"]


def test_shards_come_with_their_index():
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    names = ["config.json", "model.safetensors.index.json", "consolidated.safetensors", *shards]
    assert set(choose_files(names, "here")) == set(names) - {"consolidated.safetensors"}


def test_files_of_a_folder_inside_a_wheel_are_found():
    names = [
        "pkg/model/config.json",
        "pkg/model/model.safetensors",
        "pkg/model/1_Pooling/config.json",
    ]
    assert choose_files(names, "here") == names[:2]
    assert layout(names[:2]) == ("pkg/model", None)
    assert layout(["pkg/x.gguf"]) == ("pkg", "x.gguf")


def test_an_unclear_choice_of_gguf_files_is_an_error_that_lists_them():
    names = ["a.Q4.gguf", "a.Q8.gguf"]
    with pytest.raises(PipelineError, match=r"a\.Q4\.gguf, a\.Q8\.gguf"):
        choose_files(names, "here")
    with pytest.raises(PipelineError, match=r"did you mean 'a\.Q8\.gguf'"):
        choose_files(names, "here", gguf="a.q8.gguf")
    assert choose_files(names, "here", gguf="a.Q8.gguf") == ["a.Q8.gguf"]
