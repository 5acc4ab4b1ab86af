"""Facts of the two real models of the default study (fetched once per test session)."""

from __future__ import annotations

import numpy as np

from attention_wavelets.models.load import load_model, load_tokenizer


def test_facts_of_smollm2(smollm2_manifest):
    facts = smollm2_manifest["facts"]
    assert (facts["layers"], facts["heads"], facts["key_value_heads"]) == (30, 9, 3)
    assert facts["parameters"] == 134_515_008
    assert facts["non_embedding_parameters"] == 134_515_008 - 49152 * 576
    assert (facts["position_encoding"], facts["rotary_frequencies"]) == ("rotary", 32)
    assert (facts["rotary_base"], facts["max_positions"]) == (100_000.0, 8192)
    assert facts["causal"] is True
    assert facts["special_tokens"]["adds"] == []
    assert smollm2_manifest["quantisation"] == "Q4_1"


def test_facts_of_minilm(minilm_manifest):
    facts = minilm_manifest["facts"]
    assert (facts["layers"], facts["heads"], facts["head_size"]) == (6, 12, 32)
    assert facts["parameters"] == 22_713_216
    assert (facts["position_encoding"], facts["max_positions"]) == ("learned_absolute", 512)
    assert facts["causal"] is False
    assert facts["special_tokens"]["adds"] == ["[CLS]", "[SEP]"]
    assert minilm_manifest["locked"] is True


def test_smollm2_predicts_english(smollm2_manifest):
    """Wrongly read weights (such as rotary pairs left permuted) would not rank Paris first."""
    import torch

    tokenizer, model = load_tokenizer(smollm2_manifest), load_model(smollm2_manifest)
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        last = model(ids).last_hidden_state[0, -1]
        scores = last @ model.embed_tokens.weight.T
    assert tokenizer.decode([int(scores.argmax())]).strip() == "Paris"


def test_minilm_knows_that_cats_are_nearer_to_kittens_than_to_tax(minilm_manifest):
    import torch

    tokenizer, model = load_tokenizer(minilm_manifest), load_model(minilm_manifest)
    rows = []
    for text in ("a cat", "a kitten", "income tax law"):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0).numpy()
        rows.append(mean / np.linalg.norm(mean))
    assert rows[0] @ rows[1] > 0.6 > 0.3 > rows[0] @ rows[2]
