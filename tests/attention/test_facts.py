"""Facts of models with windows, softcap, sinks and padding against loops over all pairs."""

import numpy as np
import pytest
import torch

from attention_wavelets.attention.capture import capturing
from attention_wavelets.attention.extract import reduce_attention, run_batch
from attention_wavelets.attention.facts import FACTS
from attention_wavelets.attention.probes import PROBES, get_probe, lag_axis, lag_queries
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rotary import rotary_of
from attention_wavelets.errors import PipelineError
from helpers.families import BIDIRECTIONAL, HOOKED, build, inputs

NAMES = [name for name, spec in FACTS.items() if not spec.repeats]
IDS = np.random.default_rng(1).integers(3, 64, (2, 23))
FAMILIES = ["llama", "mistral", "gemma2", "gemma3", "gpt_oss", "bert", "modernbert", "gpt_neox"]


def layers(model, arguments):
    """Of each layer: scaled query, repeated key, what the mask allows, and the module."""
    found = []

    def keep(rows):
        call = rows.call
        if rows.start == 0:
            key = call.key.double().repeat_interleave(call.groups, 1)
            allowed = call.mask.rows(0, call.queries, key.device).clone()
            size = (call.batch, 1, call.queries, call.keys)
            found.append((call.query.double() * call.scale, key, allowed.expand(size), call.module))

    with torch.inference_mode(), capturing(model, keep):
        model(**arguments)
    return found


def shares(query, key, allowed, component):
    """Variance of products over the pairs allowed, and each component's share."""
    each = torch.stack([torch.outer(q, k)[allowed] for q, k in zip(query.T, key.T, strict=True)])
    each, total = each.numpy(), each.sum(0).numpy()
    covariance = ((each - each.mean(1, keepdims=True)) * (total - total.mean())).mean(1)
    by_pair = np.bincount(component, covariance, minlength=component.max() + 1)
    return total.var(), by_pair / total.var()


def spectrum(logits, allowed, causal):
    """Power along the lags and the share that their mean explains; None where one is hidden."""
    shape = Shape.square(len(logits), causal)
    query = np.array(lag_queries(shape))[:, None]
    key = query - lag_axis(shape)
    if not allowed[query, key].all():
        return None
    rows = logits[query, key].numpy()
    rows = rows - rows.mean(1, keepdims=True)
    power = np.abs(np.fft.fft(rows)) ** 2 / rows.shape[1] ** 2
    fold = np.minimum(np.arange(rows.shape[1]), rows.shape[1] - np.arange(rows.shape[1]))
    folded = np.array([power[:, fold == f].sum(1).mean() for f in range(fold.max() + 1)])
    return folded, rows.mean(0).var() / rows.var(1).mean()


@pytest.mark.parametrize("name", FAMILIES)
def test_facts_equal_those_of_every_pair(name):
    model, causal = build(name), name not in BIDIRECTIONAL
    facts = {key: FACTS[key] for key in NAMES}
    found = run_batch(model, IDS, {}, causal, facts, chunk_bytes=4 * 2 * 4 * 23 * 5).facts
    states = layers(model, {"input_ids": torch.as_tensor(IDS)})
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        attention = model(torch.as_tensor(IDS), output_attentions=True).attentions
    cap = getattr(model.config, "attn_logit_softcapping", None)
    for layer, (query, key, allowed, module) in enumerate(states):
        rotary = rotary_of(model, {"": module}, query.shape[-1])[""]
        for b, h in np.ndindex(query.shape[:2]):
            here, mine = (b, layer, h), allowed[b, 0]
            variance, expected = shares(query[b, h], key[b, h], mine, rotary.component)
            np.testing.assert_allclose(found["product_variance"][here], variance, rtol=1e-5)
            known = found["rotary_share"][here][: len(expected)]
            np.testing.assert_allclose(known, expected, atol=2e-5)
            logits = query[b, h] @ key[b, h].T
            logits = logits if cap is None else torch.tanh(logits / cap) * cap
            waves = spectrum(logits, mine, causal)
            if waves is None:
                assert np.isnan(found["logit_spectrum"][here]).all()
                assert np.isnan(found["toeplitz_share"][here])
            else:
                scale = waves[0].max()
                np.testing.assert_allclose(
                    found["logit_spectrum"][here] / scale, waves[0] / scale, atol=1e-5
                )
                np.testing.assert_allclose(found["toeplitz_share"][here], waves[1], rtol=1e-4)
            weights = attention[layer][b, h].double().numpy()
            check_detectors({key: found[key][here] for key in found}, weights, mine.numpy())


def check_detectors(found, weights, allowed):
    rows = weights / weights.sum(1, keepdims=True)
    count = allowed.sum(1)
    entropy = -np.where(rows > 0, rows * np.log(np.where(rows > 0, rows, 1)), 0).sum(1)
    several = count > 1
    mean = (entropy[several] / np.log(count[several])).mean()
    np.testing.assert_allclose(found["row_entropy"], mean, atol=2e-6)
    assert 0 <= found["row_entropy"] <= 1
    distance = abs(np.subtract.outer(np.arange(len(rows)), np.arange(len(rows))))
    near = [weights[distance < w].sum() / len(rows) for w in (1, 4, 16, 64, 256)]
    np.testing.assert_allclose(found["local_mass"], near, atol=1e-5)
    first = weights[:, 0].sum() / allowed[:, 0].sum()
    np.testing.assert_allclose(found["sink_importance"], first, atol=1e-5)


@pytest.mark.parametrize("name", sorted(HOOKED))
def test_hooked_layers_know_which_keys_a_query_may_see(name):
    model, causal = build(name), name not in BIDIRECTIONAL
    wanted = {key: FACTS[key] for key in ("row_entropy", "sink", "logit_lags")}
    found = run_batch(model, IDS, {}, causal, wanted).facts
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        attention = model(input_ids=torch.as_tensor(IDS), output_attentions=True).attentions
    query, key = np.indices((23, 23))
    for layer, matrices in enumerate(attention):
        allowed = key <= query if causal else np.ones((23, 23), dtype=bool)
        local = name == "gpt_neo" and layer % 2 == 1
        if local:
            allowed &= query - key < 7
        count = allowed.sum(1)
        several = count > 1
        rows = matrices.double().numpy()
        entropy = -np.where(rows > 0, rows * np.log(np.where(rows > 0, rows, 1)), 0).sum(-1)
        expected = (entropy[..., several] / np.log(count[several])).mean(-1)
        np.testing.assert_allclose(found["row_entropy"][:, layer], expected, rtol=1e-5)
        importance = rows[..., 0].sum(-1) / allowed[:, 0].sum()
        np.testing.assert_allclose(found["sink_importance"][:, layer], importance, rtol=1e-5)
        assert np.isnan(found["logit_spectrum"][:, layer]).all() == local


@pytest.mark.parametrize(
    "name", ["llama", "gpt_oss", "gpt_neo", "bloom", "mpt", "roformer", "bert"]
)
def test_padding_takes_no_part_in_row_entropy(name):
    model, arguments = build(name), inputs(True)
    causal = name not in BIDIRECTIONAL

    def entropies(arguments):
        size = arguments["input_ids"].shape[1]
        shape = Shape.square(size, causal)
        made = reduce_attention(
            model,
            arguments,
            lambda _name, _call: {"": FACTS["row_entropy"].make(shape, None)},
            products=True,
        )
        return torch.stack([layer[""].finalize()["row_entropy"] for layer in made.values()])

    several = entropies(arguments)
    assert several.isfinite().all()
    if causal:
        # The layer attends as if the padding were not there; rotation and ALiBi are relative.
        alone = entropies({"input_ids": arguments["input_ids"][:1, 6:]})
        if name in ("llama", "gpt_oss", "bloom"):
            np.testing.assert_allclose(several[:, 0], alone[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "bloom", "mistral", "bert"])
def test_attention_that_is_not_finite_stops_a_job_without_probes(name):
    model, causal = build(name), name not in BIDIRECTIONAL
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "norm" in n.lower()).fill_(torch.nan)
    with pytest.raises(PipelineError, match=r"attention is not finite \(head 0, sequence 0\)"):
        run_batch(model, IDS, {}, causal, {"sink": FACTS["sink"]})


@pytest.mark.parametrize("name", [name for name in NAMES if FACTS[name].make is not None])
def test_facts_of_two_halves_merge_to_those_of_the_whole(name):
    model, arguments = build("llama"), {"input_ids": torch.as_tensor(IDS)}
    shape, spec = Shape.square(23, True), FACTS[name]

    def run(keep):
        reducers = {}

        def see(rows):
            module = rows.call.module
            if module not in reducers:
                rotary = rotary_of(model, {"": module}, rows.call.query.shape[-1])[""]
                reducers[module] = spec.make(shape, rotary)
            if keep(rows.start):
                reducers[module].update(rows)

        chunk = 4 * 2 * 4 * 23 * 5
        with torch.inference_mode(), capturing(model, see, products=True, chunk_bytes=chunk):
            model(**arguments)
        return list(reducers.values())

    whole = run(lambda _start: True)
    halves = run(lambda start: start < 10), run(lambda start: start >= 10)
    for one, other, expected in zip(*halves, whole, strict=True):
        one.merge(other)
        for key, value in expected.finalize().items():
            torch.testing.assert_close(
                one.finalize()[key], value, rtol=1e-9, atol=0, equal_nan=True
            )


def test_shares_of_logits_with_a_large_mean_are_exact():
    model = build("llama")
    for layer in model.layers:
        for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            bias = torch.full((part.out_features,), 30.0)
            part.register_forward_hook(lambda _m, _i, out, b=bias: out + b)
    found = run_batch(model, IDS, {}, True, {"logit_variance": FACTS["logit_variance"]}).facts
    for layer, (query, key, allowed, module) in enumerate(
        layers(model, {"input_ids": torch.as_tensor(IDS)})
    ):
        rotary = rotary_of(model, {"": module}, 8)[""]
        for b, h in np.ndindex(query.shape[:2]):
            variance, expected = shares(query[b, h], key[b, h], allowed[b, 0], rotary.component)
            np.testing.assert_allclose(found["product_variance"][b, layer, h], variance, rtol=1e-6)
            known = found["rotary_share"][b, layer, h][: len(expected)]
            np.testing.assert_allclose(known, expected, rtol=1e-5, atol=1e-6)


def test_a_sequence_of_one_token_is_refused():
    from attention_wavelets.attention.probes import check_rows

    with pytest.raises(PipelineError, match="sequences have 1 token"):
        check_rows(Shape.square(1, True), {"received": get_probe("received")})


def test_lags_of_cross_attention_are_refused_in_words():
    from attention_wavelets.attention.rows import Call, Rows

    call = Call(torch.nn.Identity(), 1, 1, 6, 3, causal=False)
    reducer = PROBES["lag"].reducer(Shape(6, 3, causal=False))
    with pytest.raises(ValueError, match="queries and keys of the same sequence"):
        reducer.update(Rows(call, 0, torch.full((1, 1, 6, 3), 1 / 3)))
