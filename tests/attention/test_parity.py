"""Every supported architecture against transformers' own eager attention, left padding included."""

import pytest
import torch
import transformers as tf

from attention_wavelets.attention.capture import attention_path, captured_attention, capturing
from attention_wavelets.errors import PipelineError
from helpers.families import (
    BIDIRECTIONAL,
    FAMILIES,
    HOOKED,
    PAD,
    POSITIONS,
    VOCABULARY,
    build,
    inputs,
    sharpen,
)
from helpers.media import picture_config, sound_config

# SDPA has neither softcap nor learned sinks.
ONLY_EAGER = {"gemma2", "gpt_oss"}


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


def sound(positions):
    """A small encoder of sound that is given 240 samples, and padding in one of three."""
    torch.manual_seed(0)
    mask = torch.ones(3, 240, dtype=torch.long)
    mask[1, 150:] = 0
    model = sharpen(tf.AutoModel.from_config(sound_config(positions)))
    return model, {"input_values": torch.randn(3, 240), "attention_mask": mask}


def pictures(_positions):
    """A small encoder of pictures with rotary positions; its patches build no mask."""
    torch.manual_seed(0)
    model = sharpen(tf.AutoModel.from_config(picture_config()))
    return model, {"pixel_values": torch.randn(3, 3, 32, 48)}


@pytest.mark.parametrize(
    ("make", "positions"),
    [(sound, "rotary"), (sound, "relative"), (sound, None), (pictures, "rotary")],
)
def test_encoders_of_sound_and_pictures_are_captured(make, positions):
    model, arguments = make(positions)
    eager = run(model, "eager", arguments, output_attentions=True)
    output, matrices = captured(model, arguments)
    assert len(matrices) == len(eager.attentions) == 3
    for matrix, expected in zip(matrices.values(), eager.attentions, strict=True):
        assert float((matrix - expected).abs().max()) < 1e-5
        # Far from even attention, and from one another.
        assert float(matrix.std()) > 0.01
    scale = eager.last_hidden_state.abs().max()
    states = output.last_hidden_state
    assert float((states - eager.last_hidden_state).abs().max() / scale) < 1e-5


def test_a_decoder_without_a_mask_is_refused():
    model = build("llama")
    attention = model.layers[0].self_attn
    states = torch.zeros(1, 4, 5, 8)
    with pytest.raises(PipelineError, match="no attention mask reached the capture"):
        captured_attention(attention, states, states, states, None)


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


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_single_padded_sequence_is_that_of_a_batch(name):
    model, arguments = build(name), inputs(True)
    _, several = captured(model, arguments)
    one = {key: value[:1] for key, value in arguments.items()}
    output, alone = captured(model, one)
    assert output.last_hidden_state.isfinite().all()
    for key, matrix in alone.items():
        assert matrix.isfinite().all()
        assert not matrix[:, :, PAD:, :PAD].any()
        difference = (matrix - several[key][:1])[:, :, PAD:].abs().max()
        assert float(difference) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "mistral", "bert"])
def test_half_precision_states_are_multiplied_and_normalised_in_float32(name, dtype):
    model, found = build(name).to(dtype), []

    def compare(rows):
        call = rows.call
        key = call.key.double().repeat_interleave(call.groups, dim=1)
        query = call.query[:, :, rows.start : rows.stop].double()
        logits = torch.matmul(query, key.transpose(2, 3)) * call.scale
        cap = getattr(model.config, "attn_logit_softcapping", None)
        logits = logits if cap is None else torch.tanh(logits / cap) * cap
        allowed = call.mask.rows(rows.start, rows.stop, logits.device)
        logits = logits.masked_fill(~allowed, -torch.inf)
        if name == "gpt_oss":
            sinks = call.module.sinks.double()[None, :, None, None]
            logits = torch.cat([logits, sinks.expand(*logits.shape[:3], 1)], dim=-1)
        expected = logits.softmax(-1)[..., : rows.probabilities.shape[3]]
        assert rows.probabilities.dtype == torch.float32
        found.append(float((rows.probabilities - expected).abs().max()))

    with torch.inference_mode(), capturing(model, compare):
        model(**inputs(False))
    assert len(found) == 4
    # Half-precision probabilities would be off by 1e-3 (bfloat16) or 2e-4 (float16).
    assert max(found) < 2e-6


def test_half_precision_of_a_family_that_rounds_its_attention_is_refused():
    model = build("gpt_neo").to(torch.bfloat16)
    with (
        pytest.raises(PipelineError, match=r"GPTNeoSelfAttention.*rounded to bfloat16.*float32"),
        capturing(model, lambda _rows: None),
    ):
        pass
