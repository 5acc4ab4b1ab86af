"""The same work on a GPU and on a processor. Skipped where there is no GPU."""

import numpy as np
import pytest
import torch

from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.facts import FACTS
from attention_wavelets.attention.probes import PROBES
from attention_wavelets.models.load import load_model
from helpers.families import BIDIRECTIONAL, FAMILIES, HOOKED, POSITIONS, VOCABULARY, build

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: GPU and processor are not compared"
)
# Share of attention. Both add float32 products, in another order, through every layer.
TOLERANCE = 1e-4
# Of numbers with eight bits, through a few layers.
COARSE = 0.05


def assert_alike(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=tolerance, rtol=tolerance)


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
    assert_alike(there.signals, here.signals, TOLERANCE)
    assert_alike(there.facts, here.facts, TOLERANCE)


@needs_gpu
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [(name, torch.float32, TOLERANCE) for name in sorted(FAMILIES)]
    # The others hand out their attention rounded, and are refused.
    + [(name, torch.bfloat16, COARSE) for name in sorted(FAMILIES) if name not in HOOKED],
)
def test_every_architecture_gives_a_gpu_the_signals_of_a_processor(name, dtype, tolerance):
    ids = np.random.default_rng(0).integers(8, VOCABULARY, (3, POSITIONS))
    probes = {probe: PROBES[probe] for probe in ("received", "lag", "last_query")}
    causal = name not in BIDIRECTIONAL
    here = run_batch(build(name), ids, probes, causal, {})
    there = run_batch(build(name).to("cuda", dtype), ids, probes, causal, {})
    assert_alike(there.signals, here.signals, tolerance)
