"""What the capture sees is what eager attention computes, in every kind of architecture."""

import numpy as np
import pytest
import torch
import transformers as tf

from attention_wavelets.attention import capture
from attention_wavelets.attention.capture import BACKEND, attention_path, capturing
from attention_wavelets.attention.extract import run_batch, split
from attention_wavelets.attention.mask import build_mask
from attention_wavelets.attention.probes import PROBES as ALL_PROBES
from attention_wavelets.attention.probes import ProbeSpec, get_probe
from attention_wavelets.attention.start_up import _difference, check_capture
from attention_wavelets.errors import PipelineError

PROBES = {name: get_probe(name) for name in ALL_PROBES if name != "query_rows"}
PROBES["query_rows"] = get_probe("query_rows", rows=5)
SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = SMALL | {"intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0}

# Name -> (configuration, causal, path).
FAMILIES = {
    "llama": (lambda: tf.LlamaConfig(**GROUPED), True, "interface"),
    "mistral_window": (lambda: tf.MistralConfig(**GROUPED, sliding_window=7), True, "interface"),
    "gpt_neox_partial": (
        lambda: tf.GPTNeoXConfig(**SMALL, intermediate_size=48, rotary_pct=0.25),
        True,
        "interface",
    ),
    "gemma2_softcap": (
        lambda: tf.Gemma2Config(
            **GROUPED, head_dim=8, sliding_window=7, attn_logit_softcapping=5.0
        ),
        True,
        "interface",
    ),
    "gpt2": (
        lambda: tf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4),
        True,
        "interface",
    ),
    "bert": (lambda: tf.BertConfig(**SMALL, intermediate_size=48), False, "interface"),
    "bloom_hook": (
        lambda: tf.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4),
        True,
        "hook",
    ),
    "gpt_neo_hook": (
        lambda: tf.GPTNeoConfig(
            vocab_size=64,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=7,
        ),
        True,
        "hook",
    ),
}


def build(name, seed=0):
    config, causal, path = FAMILIES[name]
    torch.manual_seed(seed)
    model = tf.AutoModel.from_config(config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger weights than at the start of training, so that attention is far from uniform.
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, causal, path


def tokens(count=3, positions=24):
    return np.random.default_rng(0).integers(1, 64, (count, positions))


def eager(model, ids):
    """All attention probabilities (sequence, layer, head, query, key), float64."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        output = model(input_ids=torch.as_tensor(ids), output_attentions=True)
    model.set_attn_implementation(before)
    return torch.stack(output.attentions, dim=1).double().numpy()


def full(rows):
    """A chunk with all its keys, those after its last query included."""
    missing = rows.call.keys - rows.probabilities.shape[3]
    return torch.nn.functional.pad(rows.probabilities, (0, missing))


@pytest.fixture(params=sorted(FAMILIES))
def family(request):
    return build(request.param)


def test_signals_equal_those_of_eager_attention(family):
    model, causal, _path = family
    ids = tokens()
    probes = {name: spec for name, spec in PROBES.items() if causal or not spec.causal_only}
    batch = run_batch(model, ids, probes, causal)
    attention = eager(model, ids)
    np.testing.assert_allclose(batch.signals["received"], attention.mean(axis=-2), atol=1e-5)
    if causal:
        np.testing.assert_allclose(batch.signals["last_query"], attention[..., -1, :], atol=1e-5)
    np.testing.assert_allclose(batch.mass["received"], 1, atol=1e-5)


def test_every_probability_equals_that_of_eager_attention(family, monkeypatch):
    model, _causal, path = family
    # Few rows at a time, so that chunk borders fall inside the sequence.
    monkeypatch.setitem(capture.CHUNK_BYTES, "cpu", 4 * 3 * 4 * 24 * 5)
    ids = tokens()
    rows = {}
    with (
        torch.inference_mode(),
        capturing(model, lambda r: rows.setdefault(r.call.module, []).append((r.start, full(r)))),
    ):
        model(input_ids=torch.as_tensor(ids))
    assert len(rows) == 2
    if path == "interface":
        assert all([start for start, _ in parts] == [0, 5, 10, 15, 20] for parts in rows.values())
    found = torch.stack([torch.cat([p for _, p in parts], dim=2) for parts in rows.values()], dim=1)
    np.testing.assert_allclose(found, eager(model, ids), atol=1e-5)


def test_the_model_computes_what_it_always_computes(family):
    model, causal, path = family
    assert check_capture(model, tokens(), causal, 2) == path
    ids = torch.as_tensor(tokens())
    with torch.inference_mode():
        plain = model(input_ids=ids).last_hidden_state
        with capturing(model, lambda _rows: None):
            captured = model(input_ids=ids).last_hidden_state
    scale = float(plain.abs().max())
    np.testing.assert_allclose(captured, plain, atol=1e-5 * scale)


def test_rows_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    model, causal, _ = build("llama")
    whole = run_batch(model, tokens(), PROBES, causal)
    monkeypatch.setitem(capture.CHUNK_BYTES, "cpu", 1)
    single = run_batch(model, tokens(), PROBES, causal)
    for name in PROBES:
        np.testing.assert_allclose(single.signals[name], whole.signals[name], atol=1e-6)


def test_left_padded_sequence_sees_only_its_own_tokens():
    model, _causal, _ = build("llama")
    ids = torch.as_tensor(tokens(1, 12))
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(16) >= 4).long()[None]
    rows = []
    with torch.inference_mode(), capturing(model, lambda r: rows.append(full(r))):
        model(input_ids=ids)
        model(input_ids=padded, attention_mask=mask)
    plain, shifted = rows[0], rows[2]
    assert float(shifted[:, :, 4:, :4].abs().max()) == 0.0
    np.testing.assert_allclose(shifted[:, :, 4:, 4:], plain, atol=1e-5)


def test_own_implementation_is_restored_also_after_an_error():
    model, _causal, _ = build("llama")
    before = model.config._attn_implementation

    def stop(*_):
        assert model.config._attn_implementation == BACKEND
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run_batch(model, tokens(), {"stop": ProbeSpec("stop", stop, ("position",), stop)}, True)
    assert model.config._attn_implementation == before
    assert capture._capture is None


def test_a_capture_inside_another_leaves_the_outer_one_as_it_was():
    model, _causal, _ = build("llama")
    ids = {"input_ids": torch.as_tensor(tokens(1))}
    outer, inner = [], []
    with torch.inference_mode(), capturing(model, outer.append):
        with capturing(model, inner.append):
            model(**ids)
        assert not outer
        model(**ids)
    assert len(outer) == len(inner) == 2


def test_gradients_are_refused_while_attention_is_captured():
    model, _causal, _ = build("llama")
    with (
        pytest.raises(PipelineError, match="without gradients"),
        capturing(model, lambda _rows: None),
    ):
        model(input_ids=torch.as_tensor(tokens(1)))


def test_products_are_exact_float32_whatever_the_caller_allows():
    model, _causal, _ = build("llama")
    torch.set_float32_matmul_precision("medium")
    try:
        seen = []
        with torch.inference_mode(), capturing(model, lambda _rows: seen.append(1)):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_in_half_precision_one_token_of_another_expert_is_no_error():
    expected = torch.randn(1, 32, 8)
    found = expected.clone()
    found[0, 5] += 1
    assert _difference(found, expected, torch.bfloat16) == 0
    assert _difference(found, expected, torch.float32) > 0.1
    assert _difference(expected + 1, expected, torch.bfloat16) > 0.1


def test_a_missing_mask_stops_the_job():
    query = torch.randn(1, 2, 4, 8)
    with pytest.raises(PipelineError, match="no attention mask reached the capture"):
        capture.captured_attention(torch.nn.Identity(), query, query, query, None)


def test_a_lost_layer_is_an_error_that_names_what_was_seen():
    model, causal, _ = build("llama")
    with pytest.raises(PipelineError, match=r"2 of 3 layers.*layers\.0\.self_attn"):
        check_capture(model, tokens(), causal, 3)


def test_a_model_that_looks_ahead_is_refused_as_causal():
    model, _causal, _ = build("bert")
    with pytest.raises(PipelineError, match="attends to later tokens"):
        check_capture(model, tokens(), True, 2)


def test_attention_that_is_not_finite_names_the_layer():
    model, causal, _ = build("llama")
    with torch.no_grad():
        model.layers[1].self_attn.q_proj.weight.fill_(float("nan"))
    with pytest.raises(PipelineError, match=r"layers\.1\.self_attn.*not finite"):
        check_capture(model, tokens(), causal, 2)
    with pytest.raises(PipelineError, match=r"layers\.1\.self_attn.*head 0, sequence 0"):
        run_batch(model, tokens(), PROBES, causal)


def test_an_architecture_without_attention_is_refused_by_name():
    with pytest.raises(PipelineError, match="attention of Linear cannot be captured"):
        attention_path(torch.nn.Linear, {"Linear"})


def test_sliding_window_ends_where_it_should():
    model, _causal, _ = build("mistral_window")
    rows = []
    with torch.inference_mode(), capturing(model, lambda r: rows.append(full(r))):
        model(input_ids=torch.as_tensor(tokens(1)))
    for query in range(7, 24):
        assert float(rows[0][..., query, query - 7].abs().max()) == 0.0
        assert float(rows[0][..., query, query - 6].min()) > 0.0


def test_plain_masks_are_recognised_and_padding_is_not_plain():
    assert build_mask(2, 5, 5).plain == "causal"
    assert build_mask(2, 5, 5, attention_mask=torch.ones(2, 5)).plain == "causal"
    assert build_mask(2, 1, 5, q_offset=4).plain == ""
    padded = build_mask(1, 3, 3, attention_mask=torch.tensor([[0, 1, 1]]))
    assert padded.plain == ""
    expected = [[[False] * 3, [False, True, False], [False, True, True]]]
    assert padded.rows(0, 3, torch.device("cpu"))[0].tolist() == expected


def test_split_covers_every_sequence_once_and_never_stands_still():
    assert list(split(10, 96, 400)) == [(0, 4), (4, 8), (8, 10)]
    assert list(split(2, 5000, 100)) == [(0, 1), (1, 2)]


def test_attention_that_is_not_finite_names_model_and_sequence():
    model, causal, _ = build("llama")
    with torch.no_grad():
        # A token whose embedding is too large for float32 once it is squared.
        model.embed_tokens.weight[63] = float("inf")
    ids = tokens()
    ids[ids == 63] = 1
    ids[2, 5] = 63
    with pytest.raises(PipelineError, match=r"tiny, layer layers\.0\.self_attn.*sequence 12"):
        run_batch(model, ids, PROBES, causal, label="tiny", first=10)
