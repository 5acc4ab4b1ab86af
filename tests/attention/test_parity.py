"""Every supported architecture against transformers' own eager attention, left padding included."""

import numpy as np
import pytest
import torch
import transformers as tf

from attention_wavelets.attention.capture import CHUNK_BYTES, attention_path, capturing

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
HOOKED = {"bloom", "mpt", "falcon", "falcon_alibi", "roformer", "gptj", "gpt_neo", "codegen"}
# SDPA has neither softcap nor learned sinks.
ONLY_EAGER = {"gemma2", "gpt_oss"}
BIDIRECTIONAL = {"bert", "roberta", "modernbert", "roformer"}


def sharpen(model, seed=0):
    """Larger weights than at the start of training, so that attention is far from uniform."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def build(name):
    torch.manual_seed(0)
    # Falcon chooses its attention once and for all when it is built.
    options = {"attn_implementation": "eager"} if name.startswith("falcon") else {}
    return sharpen(tf.AutoModel.from_config(FAMILIES[name](), **options))


def inputs(padded):
    """Three sequences; padded: the first one has `PAD` tokens less, on the left."""
    ids = torch.as_tensor(np.random.default_rng(0).integers(3, VOCABULARY, (3, POSITIONS)))
    mask = torch.ones_like(ids)
    if padded:
        ids[0, :PAD], mask[0, :PAD] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def run(model, implementation, arguments, **options):
    model.set_attn_implementation(implementation)
    with torch.inference_mode():
        return model(**arguments, **options)


def captured(model, arguments):
    """Output and, by module name, the whole attention matrix, put together from its chunks."""
    names = {module: name for name, module in model.named_modules()}
    parts = {}

    def keep(rows):
        later = rows.call.keys - rows.probabilities.shape[3]
        whole = torch.nn.functional.pad(rows.probabilities, (0, later))
        parts.setdefault(names[rows.call.module], []).append(whole.clone())

    # Chunks of five rows, so that their borders fall inside the sequence.
    with torch.inference_mode(), capturing(model, keep, chunk_bytes=4 * 3 * 4 * POSITIONS * 5):
        output = model(**arguments)
    return output, {name: torch.cat(chunks, dim=2) for name, chunks in parts.items()}


def real(mask):
    """Which rows belong to real tokens, (batch, position)."""
    return mask.bool()


def assert_same_states(found, expected, mask):
    scale = expected[real(mask)].abs().max()
    difference = (found - expected)[real(mask)].abs().max()
    assert float(difference / scale) < 1e-5


@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded"])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_attention_and_states_are_those_of_eager_attention(name, padded):
    model, arguments = build(name), inputs(padded)
    assert attention_path(type(model), {type(m).__name__ for m in model.modules()}) == (
        "hook" if name in HOOKED else "interface"
    )
    eager = run(model, "eager", arguments, output_attentions=True)
    output, matrices = captured(model, arguments)
    assert len(matrices) == len(eager.attentions) == 4
    for matrix, expected in zip(matrices.values(), eager.attentions, strict=True):
        rows = real(arguments["attention_mask"])[:, None, :, None]
        difference = (matrix - expected).abs().masked_fill(~rows, 0)
        assert float(difference.max()) < 1e-5
        if name not in BIDIRECTIONAL:
            # Eager attention gives queries of padding, which see nothing, all keys alike.
            assert not matrix.triu(1).masked_fill(~rows, 0).any()
    plain = "eager" if name in ONLY_EAGER | HOOKED else "sdpa"
    states = run(model, plain, arguments).last_hidden_state
    assert_same_states(output.last_hidden_state, states, arguments["attention_mask"])


@pytest.mark.parametrize("padded", [False, True], ids=["plain", "padded"])
def test_t5_has_three_kinds_of_attention_keyed_by_name(padded):
    torch.manual_seed(0)
    model = sharpen(
        tf.T5Model(
            tf.T5Config(
                vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4
            )
        )
    )
    arguments = inputs(padded)
    arguments["decoder_input_ids"] = arguments["input_ids"][:, -11:]
    eager = run(model, "eager", arguments, output_attentions=True)
    output, matrices = captured(model, arguments)
    groups = {
        "encoder": [n for n in matrices if n.startswith("encoder")],
        "decoder": [n for n in matrices if n.startswith("decoder") and "EncDec" not in n],
        "cross": [n for n in matrices if "EncDecAttention" in n],
    }
    assert {kind: len(names) for kind, names in groups.items()} == dict.fromkeys(groups, 3)
    for kind, names in groups.items():
        for name, expected in zip(names, getattr(eager, f"{kind}_attentions"), strict=True):
            difference = (matrices[name] - expected).abs()
            if kind == "encoder":
                difference = difference[
                    arguments["attention_mask"].bool()[:, None].expand(-1, 4, -1)
                ]
            assert float(difference.max()) < 1e-5
    states = run(model, "sdpa", arguments).last_hidden_state
    assert_same_states(output.last_hidden_state, states, torch.ones(3, 11))


def test_a_language_model_head_gives_the_same_logits():
    torch.manual_seed(0)
    model = sharpen(tf.AutoModelForCausalLM.from_config(FAMILIES["mistral"]()))
    arguments = inputs(False)
    expected = run(model, "sdpa", arguments).logits
    output, _ = captured(model, arguments)
    assert float((output.logits - expected).abs().max() / expected.abs().max()) < 1e-5


def test_two_placements_of_one_model_give_the_same_attention(tmp_path):
    from accelerate import dispatch_model

    model, arguments = build("llama"), inputs(False)
    _, expected = captured(model, arguments)
    places = {"embed_tokens": "cpu", "norm": "cpu", "rotary_emb": "cpu"}
    places |= {f"layers.{i}": "cpu" if i < 2 else "disk" for i in range(4)}
    dispatch_model(model, places, main_device="cpu", offload_dir=str(tmp_path))
    _, found = captured(model, arguments)
    assert list(found) == list(expected)
    for name, matrix in found.items():
        torch.testing.assert_close(matrix, expected[name], rtol=0, atol=1e-6)


def test_half_precision_weights_give_float32_attention_close_to_that_of_rounded_weights():
    model, arguments = build("llama"), inputs(False)
    half = build("llama").to(torch.bfloat16)
    rounded = model.to(torch.bfloat16).to(torch.float32)
    _, expected = captured(rounded, arguments)
    _, found = captured(half, arguments)
    first = next(iter(found))
    assert found[first].dtype == torch.float32
    # Probabilities are not rounded to bfloat16: their rows sum to 1 as float32 does.
    torch.testing.assert_close(found[first].sum(-1), torch.ones(3, 4, POSITIONS), rtol=0, atol=1e-6)
    assert float((found[first] - expected[first]).abs().max()) < 0.1


def test_every_device_has_a_size_of_chunk():
    assert set(CHUNK_BYTES) == {"cpu", "cuda"}
