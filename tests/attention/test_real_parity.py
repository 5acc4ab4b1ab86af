"""Parity with eager attention on the real models of the quickstart."""

import numpy as np
import pytest
import torch

from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.probes import PROBES
from attention_wavelets.attention.start_up import check_capture
from attention_wavelets.models.load import load_model, load_tokenizer

TEXT = (
    "The history of writing traces the development of expressing language by systems of markings. "
    "In the history of how writing systems have evolved over time, more complete writing systems "
    "were preceded by proto-writing. True writing, in which the content of a linguistic utterance "
    "is encoded so that another reader can reconstruct it, is a later development."
)


@pytest.mark.parametrize("name", ["smollm2_manifest", "minilm_manifest"])
def test_real_model_matches_eager_output_attentions(name, request):
    manifest = request.getfixturevalue(name)
    model, tokenizer = load_model(manifest), load_tokenizer(manifest)
    facts = manifest["facts"]
    ids = np.array([tokenizer(TEXT)["input_ids"][:48]] * 2)
    ids[1, 1:-1] = ids[1, 1:-1][::-1]
    probes = {name: PROBES[name] for name in ("received", "lag")}
    check_capture(model, ids, facts["causal"], facts["layers"])
    batch = run_batch(model, ids, probes, facts["causal"])
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        output = model(input_ids=torch.as_tensor(ids), output_attentions=True)
    attention = torch.stack(output.attentions, dim=1).double().numpy()
    assert batch.signals["received"].shape == (2, facts["layers"], facts["heads"], ids.shape[1])
    np.testing.assert_allclose(batch.signals["received"], attention.mean(axis=-2), atol=1e-5)
    # The lag signal before normalisation, by its definition.
    half = ids.shape[1] // 2
    queries = range(half, 2 * half) if facts["causal"] else range(half // 2, half + half // 2)
    lags = range(half) if facts["causal"] else range(-(half // 2), half - half // 2)
    expected = np.stack(
        [np.mean([attention[..., q, q - lag] for q in queries], axis=0) for lag in lags], axis=-1
    )
    found = batch.signals["lag"] * batch.mass["lag"][..., None]
    np.testing.assert_allclose(found, expected, atol=1e-5)
