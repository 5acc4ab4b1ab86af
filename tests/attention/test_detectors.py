"""Detectors and facts give known answers on attention whose structure is known."""

import itertools
import math

import numpy as np
import pytest
import torch
import transformers as tf

from attention_wavelets.attention.detectors import SINK_THRESHOLD, WINDOWS
from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.facts import FACTS, axis_values, get_fact
from attention_wavelets.attention.probes import lag_axis, lag_queries
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rotary import Rotary, rotary_of
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.errors import PipelineError

NO_ROTATION = Rotary(np.zeros(0, dtype=np.int64), np.empty(0))
N = 20


def later(start, stop, end):
    """What a causal mask hides of the last keys of a chunk."""
    return torch.arange(start, end)[None, :] > torch.arange(start, stop)[:, None]


def measured(name, matrix, causal=True, cuts=(), shape=None):
    """A fact of synthetic attention (queries, keys), its rows fed in pieces."""
    matrix = torch.as_tensor(matrix, dtype=torch.float32)[None, None]
    queries, keys = matrix.shape[2:]
    shape = shape or Shape(queries, keys, causal)
    call = Call(torch.nn.Identity(), 1, 1, queries, keys, causal)
    reducer = FACTS[name].make(shape, NO_ROTATION)
    for start, stop in itertools.pairwise([0, *cuts, queries]):
        end = stop if causal else keys
        part = matrix[:, :, start:stop, :end].contiguous()
        hidden = later(start, stop, end)[None, None] if causal else None
        reducer.update(Rows(call, start, part, hidden=hidden))
    return {key: value[0, 0].numpy() for key, value in reducer.finalize().items()}


def random_attention(n=N, causal=True, seed=0):
    logits = 2 * torch.randn(n, n, generator=torch.Generator().manual_seed(seed))
    if causal:
        logits = logits.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf)
    return torch.softmax(logits, -1).numpy()


def previous_token(n=N):
    matrix = np.eye(n, k=-1)
    matrix[0, 0] = 1
    return matrix


def test_previous_token_head():
    found = measured("locality", previous_token())
    assert found["previous_token"] == 1
    assert found["effective_span"] == 1
    # Only the first query attends to itself.
    np.testing.assert_allclose(found["local_mass"], [1 / N, 1, 1, 1, 1])


def test_current_token_head():
    found = measured("locality", np.eye(N))
    assert found["previous_token"] == 0
    assert found["effective_span"] == 0
    np.testing.assert_array_equal(found["local_mass"], np.ones(len(WINDOWS)))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("cuts", [(), (1, 2, 9), (13,)])
def test_locality_equals_a_loop_over_queries_and_keys(causal, cuts):
    matrix = random_attention(causal=causal)
    found = measured("locality", matrix, causal, cuts)
    query, key = np.indices(matrix.shape)
    distance = abs(query - key)
    expected = [matrix[distance < w].sum() / N for w in WINDOWS]
    np.testing.assert_allclose(found["local_mass"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["previous_token"], matrix[query - key == 1].mean(), rtol=1e-6)
    reach = [matrix[distance <= d].sum() / matrix.sum() for d in range(N)]
    assert found["effective_span"] == int(np.argmax(np.array(reach) >= 0.9))


def test_effective_span_of_uniform_bidirectional_attention():
    n = 100
    found = measured("locality", np.full((n, n), 1 / n), causal=False)
    # The share within d is 1 - (n-1-d)(n-d)/n^2.
    expected = next(d for d in range(n) if 1 - (n - 1 - d) * (n - d) / n**2 >= 0.9)
    assert found["effective_span"] == expected


def test_sink_head():
    matrix = np.zeros((N, N))
    matrix[:, 0] = 0.6
    matrix += 0.4 * np.eye(N)
    found = measured("sink", matrix)
    np.testing.assert_allclose(found["sink_importance"], 0.6 + 0.4 / N, rtol=1e-6)
    assert found["sink_rate"] == found["sink_rate_anywhere"] == 1


def test_sink_at_another_place_is_no_sink_of_the_first_token():
    matrix = np.eye(N)
    matrix[3:] = 0
    matrix[3:, 3] = 1
    found = measured("sink", matrix)
    assert found["sink_rate"] == 0
    assert found["sink_rate_anywhere"] == 1


def test_uniform_causal_attention_has_no_sink_over_long_texts():
    n = 64
    found = measured("sink", np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None])
    np.testing.assert_allclose(
        found["sink_importance"], sum(1 / i for i in range(1, n + 1)) / n, rtol=1e-6
    )
    assert found["sink_importance"] < SINK_THRESHOLD
    assert found["sink_rate"] == 0


def test_sinks_of_a_window_count_the_queries_that_see_the_key():
    window = 5
    matrix = np.tril(np.ones((N, N))) - np.tril(np.ones((N, N)), -window)
    matrix /= matrix.sum(1, keepdims=True)
    shape = Shape.square(N, True)
    reducer = FACTS["sink"].make(shape, NO_ROTATION)
    seen = torch.as_tensor(matrix > 0)[None, None]
    call = Call(torch.nn.Identity(), 1, 1, N, N, True)
    for start, stop in ((0, 3), (3, N)):
        part = torch.as_tensor(matrix[start:stop], dtype=torch.float32)[None, None]
        reducer.update(Rows(call, start, part, hidden=~seen[:, :, start:stop]))
    found = {key: float(value[0, 0]) for key, value in reducer.finalize().items()}
    # The five queries that see the first key see 1, 2, 3, 4 and 5 keys.
    assert found["sink_importance"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5)
    assert found["sink_rate"] == found["sink_rate_anywhere"] == 1


@pytest.mark.parametrize("name", ["locality", "sink", "row_entropy"])
def test_what_is_not_finite_stays_unknown(name):
    matrix = random_attention()
    matrix[-1, 0] = np.nan
    found = measured(name, matrix)
    for number in ("effective_span", "sink_rate", "sink_rate_anywhere", "row_entropy"):
        assert number not in found or np.isnan(found[number])


def test_row_entropy_of_a_row_with_a_learned_sink_is_that_of_the_rest():
    matrix = 0.25 * np.tril(np.ones((N, N))) / np.arange(1, N + 1)[:, None]
    np.testing.assert_allclose(measured("row_entropy", matrix)["row_entropy"], 1, rtol=1e-6)


def test_row_entropy_is_one_for_uniform_and_zero_for_certain_attention():
    uniform = np.tril(np.ones((N, N))) / np.arange(1, N + 1)[:, None]
    np.testing.assert_allclose(measured("row_entropy", uniform)["row_entropy"], 1, rtol=1e-6)
    assert measured("row_entropy", previous_token())["row_entropy"] == 0
    bidirectional = np.full((N, N), 1 / N)
    np.testing.assert_allclose(
        measured("row_entropy", bidirectional, False)["row_entropy"], 1, rtol=1e-6
    )


def repeats(offset, lag, period=8):
    """A head that attends `lag` tokens back where it can, on a sequence of two copies."""
    n = offset + 2 * period
    matrix = np.zeros((n, n))
    for query in range(n):
        matrix[query, query - lag if query >= lag else 0] = 1
    return matrix, Shape(n, n, True, period, offset + period)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("cuts", [(), (3, 11)])
def test_induction_and_duplicate_token_heads(offset, cuts):
    matrix, shape = repeats(offset, 7)
    found = measured("repeats", matrix, cuts=cuts, shape=shape)
    assert (found["induction"], found["duplicate_token"]) == (1, 0)
    matrix, shape = repeats(offset, 8)
    found = measured("repeats", matrix, cuts=cuts, shape=shape)
    assert (found["induction"], found["duplicate_token"]) == (0, 1)


def test_repeats_need_a_sequence_that_repeats_itself():
    with pytest.raises(ValueError, match="do not repeat"):
        measured("repeats", np.eye(N))


def test_unknown_fact_lists_the_known_ones():
    with pytest.raises(PipelineError, match=r"did you mean 'locality'"):
        get_fact("localty")


def tiny(kind=tf.LlamaConfig, **more):
    torch.manual_seed(0)
    config = kind(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.4,
        pad_token_id=0,
        **more,
    )
    return tf.AutoModel.from_config(config).eval()


IDS = np.random.default_rng(0).integers(3, 50, (2, 24))


def heads_of(model, layer):
    """Rotated queries, repeated keys and the values of a layer, from transformers itself."""
    found = {}

    def spy(module, query, key, value, mask, scaling=None, **options):
        groups = query.shape[1] // key.shape[1]
        if module.layer_idx == layer:
            found["q"], found["scale"] = query.double(), scaling
            found["k"], found["v"] = (t.repeat_interleave(groups, 1).double() for t in (key, value))
        return tf.integrations.sdpa_attention.sdpa_attention_forward(
            module, query, key, value, mask, scaling=scaling, is_causal=True
        )

    tf.AttentionInterface.register("spy", spy)
    before = model.config._attn_implementation
    model.set_attn_implementation("spy")
    with torch.inference_mode():
        model(input_ids=torch.as_tensor(IDS), use_cache=False)
    model.set_attn_implementation(before)
    return found


@pytest.fixture(scope="module")
def llama():
    model = tiny(num_key_value_heads=2)
    names = [name for name, spec in FACTS.items() if not spec.repeats]
    facts = {name: FACTS[name] for name in names}
    small = run_batch(model, IDS, {}, True, facts, chunk_bytes=4 * 2 * 4 * 24 * 5).facts
    whole = run_batch(model, IDS, {}, True, facts).facts
    return model, small, whole, heads_of(model, 1)


def test_facts_do_not_depend_on_the_size_of_a_chunk(llama):
    _, small, whole, _ = llama
    assert set(small) == {n for s in FACTS.values() if not s.repeats for n in s.variables}
    for name, values in small.items():
        np.testing.assert_allclose(values, whole[name], rtol=2e-4, atol=1e-6)


def test_norms_are_those_of_queries_keys_and_values(llama):
    _, found, _, heads = llama
    for name, states in (("query_norm", heads["q"]), ("key_norm", heads["k"])):
        pairs = torch.stack([states[..., :4], states[..., 4:]], -1).norm(dim=-1).mean(2)
        np.testing.assert_allclose(found[name][:, 1, :, :4], pairs, rtol=1e-5)
        assert not found[name][..., 4].any()
    expected = heads["v"].square().mean(2).sqrt()
    np.testing.assert_allclose(found["value_norm"][:, 1], expected, rtol=1e-5)
    expected = [10000 ** (-2 * c / 8) / (2 * math.pi) for c in range(4)]
    np.testing.assert_allclose(found["rotary_frequency"][0, 0, 0, :4], expected, rtol=1e-5)
    assert np.isnan(found["rotary_frequency"][..., 4]).all()


def products(heads):
    """Scaled products (batch, head, query, key, dimension)."""
    return heads["q"][:, :, :, None] * heads["k"][:, :, None] * heads["scale"]


def test_shares_of_logit_variance_equal_those_of_all_pairs(llama):
    _, found, _, heads = llama
    allowed = np.tril_indices(24)
    by_dimension = products(heads).numpy()[:, :, allowed[0], allowed[1]]
    total = by_dimension.sum(-1)
    np.testing.assert_allclose(found["product_variance"][:, 1], total.var(-1), rtol=1e-4)
    centred = total - total.mean(-1, keepdims=True)
    for pair in range(4):
        part = by_dimension[..., [pair, pair + 4]].sum(-1)
        part -= part.mean(-1, keepdims=True)
        expected = (part * centred).mean(-1) / total.var(-1)
        np.testing.assert_allclose(found["rotary_share"][:, 1, :, pair], expected, atol=2e-5)
    np.testing.assert_allclose(found["rotary_share"].sum(-1), 1, atol=1e-5)


def test_logit_spectrum_and_toeplitz_share_equal_those_of_whole_rows(llama):
    _, found, _, heads = llama
    logits = products(heads).sum(-1).numpy()
    shape = Shape.square(24, True)
    rows = np.stack([logits[..., q, q - lag_axis(shape)] for q in lag_queries(shape)], axis=2)
    rows -= rows.mean(-1, keepdims=True)
    power = np.abs(np.fft.fft(rows)) ** 2 / 12**2
    one_sided = power[..., :7].copy()
    one_sided[..., 1:6] *= 2
    np.testing.assert_allclose(
        found["logit_spectrum"][:, 1], one_sided.mean(2), rtol=2e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        found["logit_spectrum"][:, 1].sum(-1), rows.var(-1).mean(2), rtol=1e-4
    )
    explained = rows.mean(2).var(-1) / rows.var(-1).mean(2)
    np.testing.assert_allclose(found["toeplitz_share"][:, 1], explained, rtol=1e-3)
    assert axis_values("logit_frequency", shape, 7)[-1] == 0.5


def test_row_entropy_from_logits_equals_that_from_probabilities(llama):
    model, found, _, _ = llama
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        attention = model(torch.as_tensor(IDS), output_attentions=True).attentions[1].double()
    entropy = torch.special.entr(attention).sum(-1)[..., 1:] / torch.arange(2, 25).log()
    np.testing.assert_allclose(found["row_entropy"][:, 1], entropy.mean(-1), rtol=1e-4)


def test_a_window_shorter_than_the_lags_leaves_their_spectrum_unknown():
    model = tiny(tf.MistralConfig, num_key_value_heads=2, sliding_window=6)
    found = run_batch(model, IDS, {}, True, {n: FACTS[n] for n in ("logit_lags", "logit_variance")})
    assert np.isnan(found.facts["logit_spectrum"]).all()
    assert np.isnan(found.facts["toeplitz_share"]).all()
    np.testing.assert_allclose(found.facts["rotary_share"].sum(-1), 1, atol=1e-4)


def test_where_only_probabilities_are_handed_out_facts_of_queries_are_unknown():
    torch.manual_seed(0)
    config = tf.BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4)
    model = tf.AutoModel.from_config(config).eval()
    names = [name for name, spec in FACTS.items() if not spec.repeats]
    facts = run_batch(model, IDS, {}, True, {name: FACTS[name] for name in names}).facts
    for name in ("query_norm", "key_norm", "value_norm", "rotary_share", "product_variance"):
        assert np.isnan(facts[name]).all()
    for name in ("row_entropy", "sink_rate", "local_mass", "toeplitz_share", "logit_spectrum"):
        assert np.isfinite(facts[name]).all()


LAYOUTS = {
    "llama": (tf.LlamaConfig, {"num_key_value_heads": 2}, [0, 1, 2, 3, 0, 1, 2, 3]),
    "cohere": (tf.CohereConfig, {"num_key_value_heads": 2}, [0, 0, 1, 1, 2, 2, 3, 3]),
    "gpt_neox": (tf.GPTNeoXConfig, {"rotary_pct": 0.5}, [0, 1, 0, 1, 2, 2, 2, 2]),
    "phi": (tf.PhiConfig, {"partial_rotary_factor": 0.5}, [0, 1, 0, 1, 2, 2, 2, 2]),
    "bert": (tf.BertConfig, {}, [0] * 8),
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_pairs_are_those_that_turn_together(name):
    kind, more, expected = LAYOUTS[name]
    model = tiny(kind, **more)
    modules = {n: m for n, m in model.named_modules() if type(m).__name__.endswith("Attention")}
    layouts = rotary_of(model, modules, 8)
    for layout in layouts.values():
        assert layout.component.tolist() == expected


def frequencies(config):
    """Cycles per token of each layer's first pair, from a model without storage."""
    with torch.device("meta"):
        model = tf.AutoModel.from_config(config)
    for module in model.modules():
        for name, _ in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, torch.ones(4), persistent=False)
    names = {n: m for n, m in model.named_modules() if type(m).__name__.endswith("Attention")}
    return [layout.frequency[:1] for layout in rotary_of(model, names, 8).values()]


SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 4, "head_dim": 8}


@pytest.mark.parametrize(
    ("config", "rotates"),
    [
        (tf.SmolLM3Config(**SIZES, no_rope_layer_interval=2), [True, False] * 2),
        (tf.Cohere2Config(**SIZES, sliding_window_pattern=2), [True, False] * 2),
        (
            tf.Exaone4Config(
                **SIZES,
                sliding_window=6,
                layer_types=["sliding_attention", "full_attention"] * 2,
            ),
            [True, False] * 2,
        ),
        (
            tf.Exaone4Config(**SIZES, sliding_window=None, layer_types=["full_attention"] * 4),
            [True] * 4,
        ),
    ],
    ids=["smollm3", "cohere2", "exaone4", "exaone4_without_windows"],
)
def test_layers_without_rotation_have_no_frequency(config, rotates):
    found = frequencies(config)
    assert [bool(np.isfinite(f).all()) for f in found] == rotates


def test_falcon_with_alibi_has_no_frequencies_and_colliding_tables_are_unknown():
    sizes = {key: value for key, value in SIZES.items() if key != "head_dim"}
    assert all(f.size == 0 for f in frequencies(tf.FalconConfig(**sizes, alibi=True)))
    model = tiny(tf.LlamaConfig, num_key_value_heads=2)
    model.second = torch.nn.Module()
    model.second.register_buffer("inv_freq", 2 * model.rotary_emb.inv_freq)
    layout = rotary_of(model, {"x": model.layers[0].self_attn}, 8)["x"]
    assert layout.component is None
    assert np.isnan(layout.frequency).all()
