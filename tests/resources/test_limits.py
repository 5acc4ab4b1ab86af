"""What cannot fit is refused before anything runs, in one line that says what would fit it."""

from __future__ import annotations

import pytest

from attention_wavelets.config.compose import compose
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.limits import refuse_too_large, refuse_too_many_gpus
from helpers.tiny_study import ROOT

# An architecture of twelve billion parameters in place of the small one.
SIZES = [
    "parameters=12000000000",
    "layers=36",
    "heads=40",
    "head_size=128",
    "hidden_size=5120",
]
LARGE = [f"model.smollm2-135m.architecture.{size}" for size in SIZES]


def needs(*overrides: str) -> Needs:
    return Needs(compose(list(overrides), ROOT / "conf"), lambda _: None)


def refused(*overrides: str) -> str:
    with pytest.raises(PipelineError) as caught:
        refuse_too_large(needs(*overrides))
    return str(caught.value)


def test_without_limits_nothing_is_refused():
    refuse_too_large(needs(*LARGE))


def test_too_much_memory_names_the_model_the_limit_and_a_narrower_type():
    said = refused(*LARGE, "runtime.limits.memory_gib=32")
    assert said.startswith("model smollm2-135m: needs about ")
    assert "runtime.limits.memory_gib is 32" in said
    assert "set model.smollm2-135m.dtype=bfloat16" in said
    assert "\n" not in said


def test_two_bytes_per_weight_are_not_advised_to_who_has_them():
    said = refused(*LARGE, "model.smollm2-135m.dtype=bfloat16", "runtime.limits.memory_gib=8")
    assert "dtype=" not in said


def test_a_card_that_is_too_small_is_refused_until_what_it_advises_is_done():
    asked = (*LARGE, "runtime.limits.gpu_memory_gib=24")
    said = refused(*asked)
    assert "take 3 GPUs (runtime.device=spread runtime.gpus=3)" in said
    refuse_too_large(needs(*asked, "runtime.device=spread", "runtime.gpus=3"))
    assert "too little" in refused(*asked, "runtime.device=spread", "runtime.gpus=2")
    # More cards do not help a model that is on one of them.
    assert "too little" in refused(*asked, "runtime.gpus=3")


def test_the_memory_of_a_card_is_no_matter_to_a_processor():
    refuse_too_large(needs(*LARGE, "runtime.limits.gpu_memory_gib=24", "runtime.device=cpu"))


def test_training_counts_as_well_as_extraction():
    said = refused("study=ladder_gpu", "runtime.limits.memory_gib=4")
    assert said.startswith("training of ladder-gpu-rope-256-s0: needs about ")
    assert "runtime.limits.memory_gib is 4" in said
    assert "\n" not in said
    said = refused("study=ladder_gpu", "runtime.limits.gpu_memory_gib=4")
    assert said.startswith("training of ladder-gpu-rope-256-s0: needs about ")
    # One card trains, however many an extraction is spread over.
    more = ("runtime.device=spread", "runtime.gpus=8")
    assert "1 of 4 GiB" in refused("study=ladder_gpu", "runtime.limits.gpu_memory_gib=4", *more)
    refuse_too_large(needs("study=ladder", "runtime.limits.memory_gib=4"))
    asked = ("study=ladder_gpu", "runtime.limits.gpu_memory_gib=4", "runtime.device=cpu")
    refuse_too_large(needs(*asked))


def test_a_text_with_more_tokens_than_memory_is_refused():
    experiment = compose(["study=ladder", "runtime.limits.memory_gib=4"], ROOT / "conf")
    refuse_too_large(Needs(experiment, lambda _: None, lambda _: 10**6))
    with pytest.raises(PipelineError, match=r"^tokenizer of recipe ladder: needs about \d"):
        refuse_too_large(Needs(experiment, lambda _: None, lambda _: 10**9))
    with pytest.raises(PipelineError, match=r"^training of ladder-rope-32-s0: needs about \d"):
        refuse_too_large(Needs(experiment, lambda _: None, lambda _: 10**10))


def test_a_model_of_unknown_size_is_not_refused():
    unknown = "model.smollm2-135m.architecture=null"
    refuse_too_large(needs(unknown, "runtime.limits.gpu_memory_gib=24"))


@pytest.mark.parametrize("given", [None, 0, 2])
def test_as_many_cards_as_there_are_or_none_at_all_are_no_contradiction(given: int | None):
    refuse_too_many_gpus(needs("runtime.gpus=2"), given)


def test_a_processor_asks_for_no_card():
    refuse_too_many_gpus(needs("runtime.gpus=2", "runtime.device=cpu"), 1)
