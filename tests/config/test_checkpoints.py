"""One YAML, one model per checkpoint; and revisions known to be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from attention_wavelets.config.checkpoints import KNOWN_FILE, expand, read_known
from attention_wavelets.config.compose import compose
from attention_wavelets.config.schema import Model
from attention_wavelets.config.slices import slices
from attention_wavelets.errors import PipelineError
from helpers.tiny_study import ROOT

NAME = "pythia-6.9b-steps"
STUDY = f"study.models=[smollm2-135m,{NAME}]"
TABLE_5 = [0, 128, 512, 1000, 5000, 10000, 143000]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


def model(**changes) -> Model:
    source = {"kind": "hub", "repository": "a/b"}
    return Model.model_validate({"label": "M", "source": source, "licence": "MIT", **changes})


def test_a_yaml_with_checkpoints_stands_for_one_model_each():
    experiment = compose([STUDY], ROOT / "conf")
    names = [f"{NAME}-step{step}" for step in TABLE_5]
    assert experiment.study.models == ["smollm2-135m", *names]
    assert experiment.families == {NAME: names}
    last = experiment.model[names[-1]]
    assert last.source.revision == "step143000"
    assert last.label == "Pythia-6.9B, step 143000"
    made = slices(experiment)
    assert made[f"models/{names[0]}/fetch"]["model"]["source"]["revision"] == "step0"
    claims = made["studies/quickstart/claims"]["models"]
    assert [claims[name]["step"] for name in names] == TABLE_5


def test_all_of_pythia_is_154_models():
    experiment = compose(
        [STUDY, f"model.{NAME}.checkpoints=all", "study.bad_checkpoints=skip"], ROOT / "conf"
    )
    known = {rev for repo, rev in read_known(ROOT / "conf") if repo == "EleutherAI/pythia-6.9b"}
    assert known == {"step1", "step2"}
    assert len(experiment.families[NAME]) == 154 - len(known)
    assert set(experiment.left_out) == {f"{NAME}-step1", f"{NAME}-step2"}
    report = slices(experiment)["studies/quickstart/report"]
    assert report["left_out"] == experiment.left_out


def test_a_study_with_a_revision_known_to_be_wrong_is_refused_by_default():
    with pytest.raises(PipelineError, match=r"step1: the weights are those of step0 .*issues/83"):
        compose([STUDY, f"model.{NAME}.checkpoints=[0,1,1000]"], ROOT / "conf")


def test_a_study_of_nothing_but_wrong_revisions_is_refused():
    with pytest.raises(PipelineError, match="every model's revision is known to be wrong"):
        compose(
            [
                f"study.models=[{NAME}]",
                f"model.{NAME}.checkpoints=[1]",
                "study.bad_checkpoints=skip",
            ],
            ROOT / "conf",
        )


def test_a_step_that_was_not_kept_names_the_nearest():
    with pytest.raises(PipelineError, match="step 700 was not kept; the nearest is 512"):
        compose([STUDY, f"model.{NAME}.checkpoints=[700]"], ROOT / "conf")


def test_all_needs_to_know_which_there_are():
    with pytest.raises(PipelineError, match="`steps` does not say which there are"):
        expand("m", model(checkpoints="all"))


def test_without_a_list_of_kept_steps_any_step_is_taken():
    made = expand("m", model(checkpoints=[7], steps={"revision": "stage1-step{step}"}))
    assert {name: one.source.revision for name, one in made.items()} == {"m-step7": "stage1-step7"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoints": [1, 1]}, "stands twice"),
        ({"checkpoints": []}, "at least 1 item"),
        ({"checkpoints": [-1]}, "greater than or equal to 0"),
        ({"checkpoints": [1], "source": {"kind": "local", "path": "x"}}, "hub repository"),
        ({"steps": {"every": 10}}, "belong together"),
        ({"steps": {"revision": "../{step}"}}, "pattern"),
        ({"steps": {"revision": "main"}}, "pattern"),
    ],
)
def test_checkpoints_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        model(**changes)


def test_a_twin_is_of_one_revision(conf: Path):
    twin = {"kind": "untrained", "of": NAME, "seed": 0}
    (conf / "model/twin.yaml").write_text(f"label: T\nlicence: MIT\nsource: {twin}\n")
    with pytest.raises(PipelineError, match="stands for several checkpoints"):
        compose(["study.models=[twin]"], conf)


def test_other_models_have_the_slices_they_had():
    """Keys that are in no slice rerun nothing."""
    found = slices(compose([], ROOT / "conf"))["models/smollm2-135m/fetch"]["model"]
    assert not {"architecture", "checkpoints", "steps"} & set(found)


def test_known_findings_are_of_repositories_and_name_who_found_them():
    known = read_known(ROOT / "conf")
    assert len(known) == 106
    assert all(why.source.startswith("https://github.com/") for why in known.values())
    assert ("EleutherAI/pythia-2.8b", "step0") in known
    assert ("EleutherAI/pythia-2.8b", "step66000") not in known
    assert ("EleutherAI/pythia-2.8b", "main") not in known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("a: 1", "not a list"),
        ("- 1", "entry 1 is no mapping"),
        ("- {repository: a/b, revisions: [x], finding: f}", "key 'source' is missing"),
        ("- {repository: ../b, revisions: [x], finding: f, source: s}", "repository"),
    ],
)
def test_a_damaged_file_of_findings_is_one_line(conf: Path, text: str, message: str):
    (conf / KNOWN_FILE).write_text(text)
    with pytest.raises(PipelineError, match=message):
        compose([], conf)
