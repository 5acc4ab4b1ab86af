"""The same work on a GPU and on a processor. Skipped where there is no GPU."""

import numpy as np
import pytest
import torch

from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.facts import FACTS
from attention_wavelets.attention.probes import PROBES
from attention_wavelets.models.load import load_model

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: GPU and processor are not compared"
)
# Share of attention. Both add float32 products, in another order, through every layer.
TOLERANCE = 1e-4


@needs_gpu
@pytest.mark.parametrize("name", ["smollm2_manifest", "minilm_manifest"])
def test_signals_and_facts_of_a_gpu_are_those_of_a_processor(name, request):
    manifest = request.getfixturevalue(name)
    facts = manifest["facts"]
    ids = np.random.default_rng(0).integers(1000, facts["vocabulary_size"], (2, 96))
    probes = {probe: PROBES[probe] for probe in ("received", "lag")}
    chosen = {fact: FACTS[fact] for fact in ("sink", "row_entropy")}
    here, there = (
        run_batch(load_model(manifest, device=device), ids, probes, facts["causal"], chosen)
        for device in ("cpu", "cuda")
    )
    for found, expected in ((there.signals, here.signals), (there.facts, here.facts)):
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, atol=TOLERANCE, rtol=TOLERANCE)
