"""Every model YAML against its architecture, built without storage from the published config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from attention_wavelets.config.compose import load_member, options
from attention_wavelets.config.schema import Model
from attention_wavelets.models.facts import architecture_facts
from attention_wavelets.resources.memory import extraction_bytes, gpu_bytes
from attention_wavelets.resources.sizes import BYTES, Sizes
from helpers.tiny_study import ROOT

CONF = ROOT / "conf"
CONFIGS = Path(__file__).parent / "configs"
SIZES = (
    *("parameters", "layers", "heads", "head_size", "hidden_size"),
    *("vocabulary_size", "rotary_frequencies"),
)
# Parameters without a language-model head, as published; of T5 those of the encoder.
PUBLISHED = {
    "bert-base": 109_482_240,
    "bloom-560m": 559_214_592,
    "gemma-2-2b": 2_614_341_888,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 7_504_924_672,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b-v0.1": 7_110_660_096,
    "pythia-12b": 11_846_072_320 - 50_688 * 5120,
    "pythia-2.8b": 2_775_208_960 - 50_304 * 2560,
    "pythia-6.9b": 6_857_302_016 - 50_432 * 4096,
    "qwen2.5-0.5b": 494_032_768,
    "smollm3-3b": 3_075_098_624,
}
# Weights that lie as safetensors in the hub's own conversion alone.
CONVERTED = {"wav2vec2-conformer-rel-pos": "refs/pr/3"}


def models() -> dict[str, Model]:
    return {name: load_member("model", name, CONF, {}) for name in options(CONF, "model")}


HUB = sorted(name for name, model in models().items() if model.source.kind == "hub")


def facts_of(name: str, model: Model) -> dict[str, Any]:
    values = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return architecture_facts(transformers.AutoConfig.for_model(**values), name, model.part)


def test_there_is_a_config_for_every_hub_model_and_no_other():
    assert sorted(path.stem for path in CONFIGS.glob("*.json")) == HUB


@pytest.mark.parametrize("name", HUB)
def test_sizes_in_the_yaml_are_those_of_the_architecture(name: str):
    model = models()[name]
    facts = facts_of(name, model)
    assert model.architecture is not None
    given = {key: getattr(model.architecture, key) for key in SIZES}
    assert given == {key: facts[key] for key in SIZES}
    assert model.architecture.model_type in (None, facts["model_type"])
    if name in PUBLISHED:
        assert facts["parameters"] == PUBLISHED[name]


@pytest.mark.parametrize("name", HUB)
def test_the_forecast_of_memory_is_that_of_the_built_architecture(name: str):
    model = models()[name]
    given = Sizes.of_architecture(model.architecture, model.dtype)
    built = Sizes.of_facts(facts_of(name, model), model.dtype)
    weights = built.parameters * BYTES[model.dtype]
    for forecast in (extraction_bytes, gpu_bytes):
        row = (256,) if forecast is extraction_bytes else ()
        yaml, true = (forecast(sizes, model.dtype, 256, 1024, *row) for sizes in (given, built))
        assert yaml > weights
        # The type of the stored weights is known to one only.
        assert abs(yaml - true) <= weights


@pytest.mark.parametrize("name", [n for n, m in models().items() if m.source.kind == "untrained"])
def test_an_untrained_twin_is_of_a_model_whose_sizes_are_known(name: str):
    base = models()[models()[name].source.of]
    assert base.architecture is not None


@pytest.mark.parametrize("name", HUB)
def test_a_hub_yaml_names_a_branch_and_invents_no_commit(name: str):
    source = models()[name].source
    assert source.revision == CONVERTED.get(name, "main")
    assert "/" in source.repository


def test_every_model_of_the_papers_tables_has_a_yaml():
    from attention_wavelets.reference.distance import _REPOSITORIES

    repositories = {models()[name].source.repository for name in HUB}
    assert set(_REPOSITORIES) <= repositories
