"""YAML of models that are trained here: what it stands for, and what is refused before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_wavelets.config.compose import compose
from attention_wavelets.config.slices import slices, slices_by_stage
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.jobs import Needs
from helpers.recipes import add_trained
from helpers.tiny_study import Project, make_project

STUDY = "study=tiny"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path, tmp_path)
    add_trained(made)
    return made


def composed(project: Project, *overrides: str):
    return compose([STUDY, *overrides], project.folder / "conf")


def refusal(project: Project, *overrides: str) -> str:
    with pytest.raises(PipelineError) as raised:
        composed(project, *overrides)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_yaml_stands_for_every_seed_and_every_kept_step(project: Project):
    experiment = composed(project)
    steps = (0, 1, 4, 12)
    assert experiment.study.models == [
        f"tiny-{name}-s{seed}-step{step}"
        for name in ("rope", "none")
        for seed in (0, 1)
        for step in steps
    ]
    one = experiment.model["tiny-none-s1-step4"]
    assert one.source.seeds == [1]
    assert one.checkpoints == [4]
    assert one.label == "Tiny none, seed 1, step 4"


def test_a_run_is_trained_whatever_steps_are_measured(project: Project):
    made = slices(composed(project))
    fewer = slices(composed(project, "model.tiny-rope.checkpoints=[0,12]"))
    assert fewer["training/tiny-rope-s0/train"] == made["training/tiny-rope-s0/train"]
    assert "models/tiny-rope-s0-step4/fetch" not in fewer
    training = made["corpora/tiny.training/build"]["text"]
    assert training["split"]["part"] == "training"
    assert made["corpora/tiny/build"]["text"]["split"]["part"] == "held_out"


def test_the_first_step_is_the_untrained_twin_and_those_between_are_passing(project: Project):
    project.change("study/tiny", "claims: []", "claims: [H09]")
    models = slices(composed(project))["studies/tiny/claims"]["models"]
    assert models["tiny-rope-s0-step0"]["of"] == "tiny-rope-s0-step12"
    assert not models["tiny-rope-s0-step0"]["passing"]
    assert models["tiny-rope-s0-step4"]["passing"]
    last = models["tiny-rope-s1-step12"]
    assert (last["of"], last["passing"], last["step"]) == ("", False, 12)
    assert last["family"] == models["tiny-rope-s0-step0"]["family"] == "tiny-rope"


def test_settings_of_checkpoints_differ_in_their_names_alone(project: Project):
    made = slices(composed(project))
    names = [f"tiny-rope-s0-step{step}" for step in (0, 1, 4, 12)]
    groups = slices_by_stage(made, names)
    assert set(groups) == {
        ("models", "fetch"),
        ("sequences", "tiny"),
        ("signals", "tiny"),
        ("measures", "tiny", "paper"),
    }
    assert groups["signals", "tiny"] == [f"signals/{name}/tiny" for name in names]


BAD = {
    "source.encoding=alibi": "source.encoding: llama cannot have 'alibi', only rope; "
    "take architecture bloom",
    "source.encoding=rop": "source.encoding: 'rop' is not allowed; did you mean 'rope'?",
    "source.objective=masked": "source.objective: llama cannot have 'masked', only causal; "
    "take architecture modernbert or t5",
    "source.heads=3": "source.heads: 3 heads of hidden_size 16 are not of a size that 2 divides",
    "source.recipe=tinny": "unknown recipe 'tinny'; did you mean 'tiny'?",
    "checkpoints=[0,5]": "checkpoints: step 5 was not kept; the nearest is 4",
    "checkpoints=null": "name the steps in `checkpoints`, or `all` that the recipe keeps",
    "source.seeds=[0,0]": "source.seeds: a value stands twice in [0, 0]",
    "part=encoder": "sizes and part of a model trained here follow from its source",
}


@pytest.mark.parametrize("override", BAD)
def test_a_model_that_cannot_be_is_refused(project: Project, override: str):
    message = refusal(project, f"model.tiny-rope.{override}")
    assert BAD[override] in message


def test_an_architecture_that_fixes_its_width_says_which(project: Project):
    message = refusal(
        project,
        "model.tiny-rope.source.architecture=bloom",
        "model.tiny-rope.source.encoding=alibi",
    )
    assert "bloom has 4 times hidden_size, 64, got 24" in message


BAD_RECIPES = {
    "keep=[0,99]": "keep: step 99 is after the last, 12 (1536 tokens in batches of 4 x 32)",
    "optimiser.warmup=12": "optimiser.warmup: 12 steps of 12",
    "corpus=enwiki-96": "corpus: 'enwiki-96' holds no documents out of training",
    "tokenizr=1": "unknown key 'tokenizr'; did you mean 'tokenizer'?",
}


@pytest.mark.parametrize("override", BAD_RECIPES)
def test_a_recipe_that_cannot_be_followed_is_refused(project: Project, override: str):
    message = refusal(project, f"recipe.tiny.{override}")
    assert "conf/recipe/tiny.yaml" in message
    assert BAD_RECIPES[override] in message


def test_the_first_and_the_last_step_are_kept_whatever_the_recipe_names(project: Project):
    assert composed(project, "recipe.tiny.keep=[4]").recipe["tiny"].kept == [0, 4, 12]


OTHER_SPLITS = {
    "none": None,
    "seed": {"held_out": 0.5, "seed": 1},
    "share": {"held_out": 0.25, "seed": 0},
}


def measure_another(project: Project, split: dict[str, Any] | None) -> None:
    """A second corpus, of the same text as the recipe's."""
    corpus = yaml.safe_load(project.yaml("corpus/tiny").read_text(encoding="utf-8"))
    corpus["text"]["split"] = split
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"].append({**study["measurements"][0], "corpus": "other"})
    for name, content in (("corpus/other", corpus), ("study/tiny", study)):
        project.yaml(name).write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.mark.parametrize("split", OTHER_SPLITS)
def test_a_text_that_was_trained_on_is_not_measured(project: Project, split: str):
    measure_another(project, OTHER_SPLITS[split])
    message = refusal(project)
    assert "conf/corpus/other.yaml" in message
    assert "documents of 'other' are among those that recipe 'tiny' trains on" in message


@pytest.mark.parametrize("part", ["held_out", "training"])
def test_both_parts_of_a_recipes_own_split_are_measured(project: Project, part: str):
    measure_another(project, {"held_out": 0.5, "seed": 0, "part": part})
    assert {cell.corpus for cell in composed(project).study.measurements} == {"tiny", "other"}


def test_a_claim_is_asked_of_the_models_that_the_study_names(project: Project):
    project.change("study/tiny", "claims: []", "claims: [H18]")
    runs = ["tiny-rope-s0", "tiny-rope-s1"]
    subjects = f"study.subjects={{H18: {{at_least: 4, checkpoints_of: [{', '.join(runs)}]}}}}"
    experiment = composed(project, subjects)
    assert experiment.claim["H18"].models.checkpoints_of == runs
    nulls = {name for name in slices(experiment) if name.startswith("nulls/")}
    assert nulls == {f"nulls/{run}-step{step}/tiny/paper" for run in runs for step in (0, 1, 4, 12)}
    message = refusal(project, "study.subjects={H19: {at_least: 4}}")
    assert "subjects: unknown claim of this study 'H19'; did you mean 'H18'?" in message


def test_training_asks_for_a_card_and_more_time_for_more_tokens(project: Project):
    needs = Needs(composed(project), lambda _: None)
    longer = composed(project, "recipe.tiny.tokens=1000000000", "study.causal=null")
    more = Needs(longer, lambda _: None)
    one = needs.training("tiny-rope-s0-step0")
    assert one.gpu == 1
    assert more.training("tiny-rope-s0-step0").runtime > one.runtime
    here = Needs(composed(project, "runtime.device=cpu"), lambda _: None)
    assert here.training("tiny-rope-s0-step0").gpu == 0
