"""Models trained here: as many weights as said, the encoding asked for, loaded as others."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import yaml

from attention_wavelets.config.schema import Model, TrainedSource
from attention_wavelets.config.training import FAMILIES, block, parameters
from attention_wavelets.models.facts import architecture_facts, builder_of
from attention_wavelets.training.architectures import build, token_table
from helpers.recipes import architectures, source
from helpers.tiny_study import ROOT

VOCABULARY, CONTEXT = 64, 32
WORDS = {
    "rope": "rotary",
    "rope_quarter": "rotary",
    "alibi": "alibi",
    "learned": "learned_absolute",
    "relative_bias": "relative_bias",
    "none": "none",
}
MATCHED = {"hidden_size": 64, "heads": 4, "layers": 4}


def facts(made: TrainedSource, model):
    part = "encoder" if made.architecture == "t5" else None
    return architecture_facts(model.config, made.architecture, part)


@pytest.mark.parametrize(("architecture", "encoding", "objective", "inner"), architectures)
def test_sizes_and_positions_are_those_asked_for(architecture, encoding, objective, inner):
    made = source(architecture, encoding, objective, inner, **MATCHED)
    model = build(made, 0, VOCABULARY, CONTEXT)
    found = facts(made, model)
    assert found["non_embedding_parameters"] == parameters(made)
    assert found["position_encoding"] == WORDS[encoding]
    assert found["causal"] == (objective == "causal")
    assert (found["layers"], found["heads"], found["head_size"]) == (4, 4, 16)
    rotated = {"rope": 1.0, "rope_quarter": 0.25}.get(encoding)
    assert found["rotary_fraction"] == rotated
    assert token_table(model).shape == (VOCABULARY, 64)


def test_what_is_compared_has_as_many_weights_to_within_one_percent():
    counts = [parameters(source(*a[:3], a[3], **MATCHED)) for a in architectures]
    assert max(counts) / min(counts) < 1.01


TRAINED = {
    path.stem: model.source
    for path in sorted((ROOT / "conf/model").glob("*.yaml"))
    if path.stem != "checkpoints.known"
    for model in [Model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))]
    if isinstance(model.source, TrainedSource)
}


def compared() -> dict[tuple[str, int, int, int], list[str]]:
    """Recipe, layers, heads and width -> names of the models that are compared there."""
    found: dict[tuple[str, int, int, int], list[str]] = {}
    for name, made in TRAINED.items():
        key = (made.recipe, made.layers, made.heads, made.hidden_size)
        found.setdefault(key, []).append(name)
    return {key: names for key, names in found.items() if len(names) > 1}


def test_every_study_that_compares_encodings_is_among_them():
    shapes = {("ladder", 4, 4, 64), ("ladder-gpu", 10, 8, 512), ("ladder-masked", 4, 4, 64)}
    assert shapes | {("series", 4, 4, 64)} <= set(compared())


@pytest.mark.parametrize("names", compared().values(), ids=lambda names: names[0])
def test_models_that_are_compared_have_as_many_weights_to_within_one_percent(names):
    counts = {name: parameters(TRAINED[name]) for name in names}
    assert max(counts.values()) < 1.01 * min(counts.values()), counts


@pytest.mark.parametrize(
    ("ladder", "widths", "apart"),
    [("ladder", (32, 48, 64, 96, 128), 1.9), ("ladder-gpu", (256, 384, 512, 640, 768), 1.6)],
)
def test_sizes_of_a_ladder_are_far_apart(ladder, widths, apart):
    sizes = [parameters(TRAINED[f"{ladder}-rope-{width}"]) for width in widths]
    assert all(b > apart * a for a, b in pairwise(sizes)), sizes


def test_masked_models_are_as_large_as_the_others_of_the_ladder():
    counts = [parameters(TRAINED[f"ladder-{name}-64"]) for name in ("rope", "masked-rope")]
    assert max(counts) < 1.01 * min(counts)


# End of a name -> how much smaller fresh matrices are, of 4 layers with heads of 16.
SMALLER = {
    "gpt2": {"c_proj.weight": (2 * 4) ** -0.5},
    "t5": {"SelfAttention.q.weight": 16**-0.5},
}


@pytest.mark.parametrize(("architecture", "encoding", "objective", "inner"), architectures)
def test_fresh_matrices_are_drawn_as_the_page_says(architecture, encoding, objective, inner):
    """docs/training.md, "A model": normal, of standard deviation 0.02, with two exceptions."""
    model = build(source(architecture, encoding, objective, inner, **MATCHED), 0, 1024, 256)
    smaller = SMALLER.get(architecture, {})
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        factor = next((f for end, f in smaller.items() if name.endswith(end)), 1.0)
        # Four standard errors, and a row of zeros for the padding.
        error = 4 / (2 * weight.numel()) ** 0.5 + 0.001
        assert float(weight.detach().std()) == pytest.approx(0.02 * factor, rel=error), name
        if weight.numel() >= 4096:
            # Not cut off.
            assert float(weight.detach().abs().max()) > 3 * 0.02 * factor, name


@pytest.mark.parametrize(("architecture", "encoding", "objective", "inner"), architectures)
def test_what_is_saved_is_what_is_loaded(architecture, encoding, objective, inner, tmp_path):
    inner = 64 if architecture == "bloom" else inner
    made = source(architecture, encoding, objective, inner)
    model = build(made, 0, VOCABULARY, CONTEXT).eval()
    model.save_pretrained(tmp_path)
    part = "encoder" if architecture == "t5" else None
    again, info = builder_of(part).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ids = torch.arange(3, 3 + CONTEXT)[None]
    with torch.inference_mode():
        states = [m(input_ids=ids).last_hidden_state for m in (model, again.eval())]
    torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)


@pytest.mark.parametrize(("architecture", "encoding", "objective", "inner"), architectures)
def test_a_causal_model_sees_no_later_token(architecture, encoding, objective, inner):
    inner = 64 if architecture == "bloom" else inner
    model = build(source(architecture, encoding, objective, inner), 0, VOCABULARY, CONTEXT).eval()
    ids = torch.arange(3, 3 + CONTEXT)[None]
    other = ids.clone()
    other[0, 20:] = 7
    with torch.inference_mode():
        one, two = (model(input_ids=i).last_hidden_state[0, :20] for i in (ids, other))
    assert torch.equal(one, two) == (objective == "causal")


def test_a_seed_decides_the_weights():
    one, two, other = (token_table(build(source(), s, VOCABULARY, CONTEXT)) for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("architecture", "encoding", "objective", "inner"), architectures)
def test_fresh_weights_give_every_token_about_the_same_chance(
    architecture, encoding, objective, inner
):
    """Logits near 0: the loss of the first step is that of a guess, ln of the vocabulary."""
    made = source(architecture, encoding, objective, inner, **MATCHED)
    model = build(made, 0, VOCABULARY, CONTEXT)
    ids = torch.randint(3, VOCABULARY, (8, CONTEXT), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        states = model(input_ids=ids).last_hidden_state
        logits = states @ token_table(model).T
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert float(loss) == pytest.approx(float(torch.log(torch.tensor(VOCABULARY))), rel=0.05)


def test_families_of_one_block_are_one_model_where_their_encoding_is_one():
    """What lets `llama` with rotary positions be compared with `smollm3` without any."""
    assert {name for name in FAMILIES if block(name) == "llama"} == {"llama", "smollm3"}
    first, second = (
        build(source(name, "rope", inner=174, **MATCHED), 3, VOCABULARY, CONTEXT).eval()
        for name in ("llama", "smollm3")
    )
    second.load_state_dict(first.state_dict())
    tokens = torch.arange(VOCABULARY).reshape(2, -1)
    with torch.no_grad():
        outputs = [model(tokens).last_hidden_state for model in (first, second)]
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
