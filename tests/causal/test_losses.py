"""Losses with heads knocked out and bands removed, against the same done by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from attention_wavelets.attention.capture import editing
from attention_wavelets.causal.losses import (
    band_edit,
    head_edit,
    head_outputs,
    rotary_rewritten,
    rotary_tables,
    rotary_zeroed,
    sequence_losses,
)
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.memory import CHUNK_BYTES
from helpers.families import FAMILIES, GROUPED, HOOKED, VOCABULARY, build, longrope

IDS = np.random.default_rng(0).integers(8, VOCABULARY, (3, 24))
# Rotary with shared keys, without rotation, absolute positions, softcap, learned sinks, windows.
METHODS = ["band", "band_part", "random_band", "random_phase"]
CHANGED = ["llama", "gpt_neox", "gpt2", "opt", "smollm3", "gemma2", "gpt_oss", "mistral"]


def by_hand(model) -> np.ndarray:
    ids = torch.as_tensor(IDS)
    with torch.no_grad():
        states = model(input_ids=ids, use_cache=False).last_hidden_state
        logits = states @ model.get_input_embeddings().weight.T
    pairs = zip(logits, ids, strict=True)
    return np.array([float(functional.cross_entropy(x[:-1], y[1:])) for x, y in pairs])


@pytest.mark.parametrize("name", CHANGED)
def test_a_plain_pass_and_an_empty_band_are_the_models_own(name):
    model = build(name)
    plain = sequence_losses(model, IDS)
    np.testing.assert_allclose(plain, by_hand(model), rtol=2e-5)
    empty = sequence_losses(model, IDS, rows=band_edit(0.5, 0.5, "band"))
    np.testing.assert_array_equal(empty, plain)
    nobody = sequence_losses(model, IDS, outputs=head_edit(model, {}, {}, "zero"))
    np.testing.assert_array_equal(nobody, plain)


@pytest.mark.parametrize("name", CHANGED)
def test_rows_given_back_as_they_are_change_nothing_but_rounding(name):
    model = build(name)
    changed = sequence_losses(model, IDS, rows=lambda rows: rows.probabilities.clone())
    np.testing.assert_allclose(changed, sequence_losses(model, IDS), rtol=2e-5)


def test_a_head_that_gives_nothing_is_one_whose_output_weights_are_0():
    model = build("llama")
    size = model.config.head_dim
    found = sequence_losses(
        model, IDS, outputs=head_edit(model, {"layers.1.self_attn": [2]}, {}, "zero")
    )
    with torch.no_grad():
        model.layers[1].self_attn.o_proj.weight[:, 2 * size : 3 * size] = 0
    np.testing.assert_allclose(found, by_hand(model), rtol=2e-5)
    assert np.abs(found - sequence_losses(build("llama"), IDS)).max() > 1e-4


def test_outputs_of_heads_are_what_the_output_matrix_gets():
    model = build("llama")
    seen = {}
    handle = model.layers[0].self_attn.o_proj.register_forward_pre_hook(
        lambda _module, given: seen.update(x=given[0].clone())
    )
    found = head_outputs(model, IDS)["layers.0.self_attn"]
    handle.remove()
    joined = found.transpose(1, 2).flatten(2)
    torch.testing.assert_close(joined, seen["x"])


def test_a_mean_of_the_same_sequence_changes_nothing():
    """Mean and resampling from the sequence itself put back what was there."""
    model = build("llama")
    heads = {f"layers.{layer}.self_attn": [0, 3] for layer in range(4)}
    one = IDS[:1]
    known = head_outputs(model, one)
    plain = sequence_losses(model, one)
    for replacement in ("mean", "resample"):
        edit = head_edit(model, heads, known, replacement)
        np.testing.assert_allclose(sequence_losses(model, one, outputs=edit), plain, rtol=1e-5)


def test_a_resample_is_the_same_for_a_seed_and_of_other_sequences():
    model = build("llama")
    known = head_outputs(model, IDS[1:])
    heads = {"layers.0.self_attn": [0, 1], "layers.2.self_attn": [1]}

    def losses(seed: int) -> np.ndarray:
        return sequence_losses(model, IDS, outputs=head_edit(model, heads, known, "resample", seed))

    np.testing.assert_array_equal(losses(0), losses(0))
    assert any(not np.array_equal(losses(0), losses(seed)) for seed in range(1, 5))


@pytest.mark.parametrize("method", METHODS)
def test_a_band_of_all_rows_is_changed_as_row_by_row(method):
    """Of the first layer, whose input does not depend on the change."""
    model = build("llama")
    seen = []
    edit = band_edit(0.25, 0.75, method)

    def note(rows):
        changed = edit(rows)
        if not seen:
            seen.append((rows.probabilities.clone(), changed.clone()))
        return changed

    with torch.inference_mode(), editing(model, rows=note):
        model(input_ids=torch.as_tensor(IDS), use_cache=False)
    before, after = seen[0]
    for query in range(24):
        row = after[:, :, query]
        assert (row >= 0).all()
        assert not row[..., query + 1 :].any()
        torch.testing.assert_close(row.sum(-1), before[:, :, query].sum(-1))
    assert not torch.allclose(before[:, :, 20], after[:, :, 20], atol=1e-3)
    if method == "band":
        for query in (20, 23):
            seen_keys = before[0, 1, query, : query + 1].numpy()
            spectrum = np.fft.rfft(seen_keys)
            share = np.arange(len(spectrum)) * 2 / (query + 1)
            spectrum[(share >= 0.25) & (share < 0.75)] = 0
            expected = np.fft.irfft(spectrum, n=query + 1).clip(min=0)
            expected *= seen_keys.sum() / expected.sum()
            np.testing.assert_allclose(after[0, 1, query, : query + 1], expected, atol=1e-6)
    # Afterwards the model is as it was.
    np.testing.assert_allclose(sequence_losses(model, IDS), by_hand(model), rtol=2e-5)


def first_rows(model, edit) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the first layer before and after, (sequence, head, query, key)."""
    seen = []

    def note(rows):
        changed = edit(rows)
        seen.append((rows.call, rows.probabilities.clone(), changed.clone()))
        return changed

    with torch.inference_mode(), editing(model, rows=note):
        model(input_ids=torch.as_tensor(IDS), use_cache=False)
    pairs = [
        [functional.pad(part, (0, IDS.shape[1] - part.shape[3])) for part in parts]
        for call, *parts in seen
        if call is seen[0][0]
    ]
    before, after = (torch.cat(part, dim=2) for part in zip(*pairs, strict=True))
    return before, after


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_of_a_layer_with_a_window_only_what_it_sees_is_filtered(name, method, chunk, monkeypatch):
    if chunk:
        monkeypatch.setitem(CHUNK_BYTES, "cpu", 4 * 3 * 4 * 24 * chunk)
    before, after = first_rows(build(name), band_edit(0.25, 0.75, method))
    for query in range(24):
        first = max(0, query - 6)
        row = after[:, :, query]
        assert not row[..., :first].any(), "a key out of the window gets nothing"
        assert not row[..., query + 1 :].any()
        torch.testing.assert_close(row.sum(-1), before[:, :, query].sum(-1))
        if method == "band":
            kept = before[0, 1, query, first : query + 1].numpy()
            spectrum = np.fft.rfft(kept)
            share = np.arange(len(spectrum)) * 2 / len(kept)
            spectrum[(share >= 0.25) & (share < 0.75)] = 0
            expected = np.fft.irfft(spectrum, n=len(kept)).clip(min=0)
            expected *= kept.sum() / expected.sum()
            np.testing.assert_allclose(row[0, 1, first : query + 1], expected, atol=1e-6)
    assert not torch.allclose(before, after, atol=1e-3)


def test_rows_with_gaps_between_their_keys_are_one_line():
    """As where the first token is always seen beside a window."""
    model = build("mistral")

    def gaps(rows):
        mask = rows.call.mask
        window = mask.allowed
        mask.allowed = lambda b, h, q, k: window(b, h, q, k) | (k == 0)
        return band_edit(0.25, 0.75, "band")(rows)

    with pytest.raises(PipelineError, match=r"no stretch .* leave its model out"):
        sequence_losses(model, IDS, rows=gaps)


@pytest.mark.parametrize("method", METHODS)
def test_changed_rows_do_not_depend_on_chunks(method, monkeypatch):
    """Of blocks of rows, whole ones and parts: the draws belong to the row."""
    model = build("llama")
    ids = np.random.default_rng(1).integers(8, VOCABULARY, (2, 75))
    whole = sequence_losses(model, ids, rows=band_edit(0.2, 0.8, method))
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 4 * 2 * 4 * 75 * 20)
    parts = sequence_losses(model, ids, rows=band_edit(0.2, 0.8, method))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    assert np.abs(whole - sequence_losses(model, ids)).max() > 1e-4


@pytest.mark.parametrize("method", ["random_band", "random_phase"])
def test_draws_of_a_sequence_do_not_depend_on_the_others(method):
    model = build("llama")
    edit = partial(band_edit, 0.2, 0.8, method)
    three, two = (sequence_losses(model, ids, rows=edit()) for ids in (IDS, IDS[:2]))
    np.testing.assert_allclose(three[:2], two, rtol=1e-5)
    assert np.abs(two - sequence_losses(model, IDS[:2], rows=edit(seed=1))).max() > 1e-4


def test_an_edit_serves_sequences_of_several_lengths():
    model = build("llama")
    longer = np.random.default_rng(1).integers(8, VOCABULARY, (2, 60))
    edit = band_edit(0.2, 0.8, "random_phase")
    sequence_losses(model, IDS, rows=edit)
    found = sequence_losses(model, longer, rows=edit)
    fresh = band_edit(0.2, 0.8, "random_phase")
    np.testing.assert_array_equal(found, sequence_losses(model, longer, rows=fresh))


def test_pairs_that_do_not_rotate_are_a_model_without_those_frequencies():
    model = build("llama")
    plain = sequence_losses(model, IDS)
    with rotary_zeroed(model, lambda _, frequency: frequency > 0):
        without = sequence_losses(model, IDS)
    # The same weights in an architecture whose layers do not rotate at all.
    fields = {k: v for k, v in model.config.to_dict().items() if k != "model_type"}
    config = transformers.SmolLM3Config(**fields | {"no_rope_layers": [0] * 4})
    other = transformers.SmolLM3Model(config).eval()
    other.load_state_dict(model.state_dict())
    np.testing.assert_allclose(without, sequence_losses(other, IDS), rtol=1e-5)
    np.testing.assert_array_equal(sequence_losses(model, IDS), plain)
    with rotary_zeroed(model, lambda _, frequency: frequency < 0):
        np.testing.assert_array_equal(sequence_losses(model, IDS), plain)


def test_frequencies_that_a_pass_writes_anew_are_known_and_refused():
    assert rotary_rewritten(longrope())
    assert not any(
        rotary_rewritten(build(name)) for name in ("llama", "gpt_neox", "gpt2", "gemma3")
    )
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    config = transformers.LlamaConfig(**GROUPED, rope_parameters=dynamic)
    assert rotary_rewritten(transformers.AutoModel.from_config(config))
    model = longrope()
    plain = sequence_losses(model, IDS)
    with (
        pytest.raises(PipelineError, match=r"Phi3Model: .* were written anew") as raised,
        rotary_zeroed(model, lambda _, frequency: frequency > 0),
    ):
        sequence_losses(model, IDS)
    assert "\n" not in str(raised.value)
    np.testing.assert_array_equal(sequence_losses(model, IDS), plain)


def test_a_table_per_kind_of_layer_is_told_apart():
    model = build("gemma3")
    names = set(rotary_tables(model))
    assert len(names) == 2
    for chosen in names:
        asked = {}
        with rotary_zeroed(model, lambda name, f, one=chosen: (f > 0) & (name == one)):
            asked = {name: bool(table.any()) for name, table in rotary_tables(model).items()}
        assert asked == {name: name != chosen for name in names}


def test_only_later_predictions_count_where_asked():
    model = build("llama")
    whole, late = (sequence_losses(model, IDS, first=first) for first in (0, 12))
    assert not np.allclose(whole, late)


@pytest.mark.parametrize("name", sorted(HOOKED & set(FAMILIES))[:2])
def test_families_that_compute_their_own_attention_are_refused(name):
    with pytest.raises(PipelineError, match=r"attention of .* cannot be changed"):
        sequence_losses(build(name), IDS, rows=band_edit(0.1, 0.2, "band"))
