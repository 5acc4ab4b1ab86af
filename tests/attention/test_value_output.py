"""Weights of values and outputs against what the attention modules really put out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as tf

from attention_wavelets.attention.extract import reduce_attention, run_batch
from attention_wavelets.attention.facts import FACTS
from attention_wavelets.attention.inputs import token_inputs
from attention_wavelets.attention.value_output import (
    DIRECTIONS,
    LAYOUTS,
    couplings,
    value_output,
)
from helpers.families import COMMON, FAMILIES, GROUPED, OLD, build, sharpen

IDS = np.random.default_rng(1).integers(3, 64, (2, 23))
COUPLING = {"value_output": FACTS["value_output"]}
# Where the output leaves before the family adds or normalises something, below the module's parent.
BEFORE_MORE = {
    "bert": "output.dense",
    "roberta": "output.dense",
    "roformer": "output.dense",
    "bloom": "self_attention.dense",
}
# Architectures beside those of the parity tests.
FALCON = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MORE = {
    "gemma": lambda: tf.GemmaConfig(**GROUPED, head_dim=8),
    "olmo": lambda: tf.OlmoConfig(**GROUPED),
    "cohere": lambda: tf.CohereConfig(**GROUPED),
    "granite": lambda: tf.GraniteConfig(**GROUPED),
    "stablelm": lambda: tf.StableLmConfig(**GROUPED),
    "starcoder2": lambda: tf.Starcoder2Config(**GROUPED),
    "phi3": lambda: tf.Phi3Config(**GROUPED),
    "falcon_new": lambda: tf.FalconConfig(**FALCON, new_decoder_architecture=True, num_kv_heads=2),
    "falcon_single": lambda: tf.FalconConfig(**FALCON, multi_query=False),
}


def model_of(name):
    if name in FAMILIES:
        return build(name)
    torch.manual_seed(0)
    options = {"attn_implementation": "eager"} if name.startswith("falcon") else {}
    return sharpen(tf.AutoModel.from_config(MORE[name](), **options))


def attention_modules(model):
    """Names of the attention modules in order of call."""
    return list(reduce_attention(model, token_inputs(model, IDS), lambda _name, _call: {}))


def seen(model, name, names):
    """Input and output of each attention module, and its probabilities."""
    inputs, outputs, handles = {}, {}, []
    for path in names:
        module = model.get_submodule(path)
        above = model.get_submodule(path.rpartition(".")[0])
        last = above.get_submodule(BEFORE_MORE[name]) if name in BEFORE_MORE else module

        def before(_module, given, named, path=path):
            inputs[path] = named["hidden_states"] if "hidden_states" in named else given[0]

        def after(_module, _given, output, path=path):
            outputs[path] = output[0] if isinstance(output, tuple) else output

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(last.register_forward_hook(after))
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        attention = model(**token_inputs(model, IDS), output_attentions=True).attentions
    for handle in handles:
        handle.remove()
    return [(inputs[p], outputs[p], a) for p, a in zip(names, attention, strict=True)]


@pytest.mark.parametrize("name", sorted([*FAMILIES, *MORE]))
def test_heads_add_up_to_the_output_of_the_module(name):
    model = model_of(name)
    if name == "gpt_oss":
        # Beside a learned sink rows do not sum to 1, so a bias of values is no constant.
        for module in model.modules():
            if hasattr(module, "v_proj"):
                torch.nn.init.zeros_(module.v_proj.bias)
    names = attention_modules(model)
    for path, (x, out, attention) in zip(names, seen(model, name, names), strict=True):
        weights = value_output(model, path, 4)
        assert weights is not None
        value = weights.value.repeat_interleave(4 // len(weights.value), dim=0)
        heads = torch.einsum("bhqk,bki,hsi,hos->bhqo", attention, x, value, weights.output)
        # Biases add the same to every position.
        rest = out - heads.sum(dim=1)
        spread = (rest - rest.mean(dim=(0, 1))).abs().max()
        assert spread <= 1e-4 * max(1.0, float(out.abs().max()))
        # Each head has its place: without one, or with two exchanged, the rest is no constant.
        for wrong in (heads[:, 1:].sum(dim=1), heads.sum(dim=1) - 2 * heads[:, 2]):
            rest = out - wrong
            assert (rest - rest.mean(dim=(0, 1))).abs().max() > 100 * spread


def test_every_layout_is_that_of_a_tested_family():
    classes = set()
    for make in [*FAMILIES.values(), *MORE.values()]:
        with torch.device("meta"):
            model = tf.AutoModel.from_config(make())
        classes |= {type(module).__name__ for module in model.modules()}
    assert set(LAYOUTS) <= classes


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "gpt2", "bert", "falcon"])
def test_couplings_are_those_of_the_whole_products(name):
    model = model_of(name)
    path = attention_modules(model)[1]
    weights = value_output(model, path, 4)
    value = weights.value.double().repeat_interleave(4 // len(weights.value), dim=0)
    whole = torch.matmul(weights.output.double(), value)
    found = couplings(model, path, 4)
    assert found.shape == (4, 4 * DIRECTIONS)
    for head in range(4):
        u, size, v = torch.linalg.svd(whole[head])
        for number in range(DIRECTIONS):
            column = found[:, head * DIRECTIONS + number]
            expected = torch.einsum("o,hoi,i->h", u[:, number], whole, v[number])
            np.testing.assert_allclose(column, expected, rtol=1e-8, atol=1e-10)
            assert float(column[head]) == pytest.approx(float(size[number]))


def test_the_same_for_every_sequence_and_read_once(monkeypatch):
    from attention_wavelets.attention import facts

    calls = []

    def counting(model, name, heads):
        calls.append(name)
        return couplings(model, name, heads)

    monkeypatch.setattr(facts, "couplings", counting)
    model, known = build("llama"), {}
    first = run_batch(model, IDS, {}, True, COUPLING, known=known).facts["coupling"]
    again = run_batch(model, IDS[:1], {}, True, COUPLING, known=known).facts["coupling"]
    assert calls == attention_modules(model)
    assert first.shape == (2, 4, 4, 4 * DIRECTIONS)
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(again[0], first[0])
    np.testing.assert_allclose(first[0, 2], couplings(model, calls[2], 4), rtol=1e-6)


class Adapted(torch.nn.Linear):
    """Stands for layers that do more than their weight says."""


@pytest.mark.parametrize("case", ["unknown", "adapted", "clamped", "turned", "clipped", "away"])
def test_what_is_not_known_is_nan_and_never_a_guess(case):
    if case == "clamped":
        sizes = {"vocab_size": 64, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}
        config = tf.MptConfig(**sizes, attn_config={"clip_qkv": 1.0})
    elif case == "turned":
        config = tf.RoFormerConfig(**COMMON, embedding_size=32, rotary_value=True)
    elif case == "clipped":
        config = tf.OlmoConfig(**GROUPED, clip_qkv=1.0)
    elif case == "unknown":
        # It has a `v_proj` and an `o_proj`, but takes differences of heads.
        config = tf.DiffLlamaConfig(**GROUPED)
    else:
        config = tf.LlamaConfig(**GROUPED)
    torch.manual_seed(0)
    model = tf.AutoModel.from_config(config).eval()
    path = next(n for n, m in model.named_modules() if "Attention" in type(m).__name__)
    if case == "turned":
        path += ".self"
    if case == "adapted":
        model.get_submodule(path).v_proj = Adapted(32, 16)
    if case == "away":
        model.get_submodule(path).o_proj.to("meta")
    assert value_output(model, path, 4) is None
    found = couplings(model, path, 4)
    assert found.shape == (4, 4 * DIRECTIONS)
    assert found.isnan().all()


def test_cross_attention_of_gpt2_is_not_taken_for_its_own():
    model = tf.AutoModel.from_config(tf.GPT2Config(**OLD, n_embd=32, add_cross_attention=True))
    assert value_output(model, "h.0.attn", 4) is not None
    assert value_output(model, "h.0.crossattention", 4) is None
