"""Every study of conf/ can be planned on a machine that has fetched nothing, without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from attention_wavelets.config.compose import compose, options
from helpers.tiny_study import ROOT, Project, make_project

MODELS = {
    "quickstart": 6,
    "protocol_sweep": 1,
    "scale_decay": 2,
    "paper": 18,
    "pythia_scaling": 16,
    "training": 7,
    "training_small": 28,
    "position_encoding": 12,
    "languages": 6,
    "bands": 1,
    "sound": 4,
    "pictures": 4,
}
# Models trained here: training runs, and kept steps of each.
TRAINED = {
    "ladder": (30, 15),
    "ladder_gpu": (30, 17),
    "ladder_masked": (6, 13),
    "series": (9, 11),
    "bilingual": (3, 13),
}


@pytest.fixture(scope="module")
def project(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("plan") / "project", tiny_inputs)


def jobs(project: Project, study: str, *overrides: str) -> Counter[str]:
    """Rule -> jobs of a dry run; every job that computes says what it asks for."""
    hydra = f"hydra={' '.join((f'study={study}', *overrides))}"
    done = project.snakemake("-n", "--config", hydra)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    messages = re.findall(r"^Job \d+: (.*)$", said, flags=re.MULTILINE)
    computed = [message for message in messages if not message.startswith("Settings of ")]
    assert all(re.search(r"\(\d+ MB", message) for message in computed)
    assert not project.results.exists()
    table = said[said.rindex("Job stats:") :]
    return Counter(
        {rule: int(count) for rule, count in re.findall(r"^([\w-]+) +(\d+)$", table, re.MULTILINE)}
    )


def test_every_study_has_its_number_of_models():
    found = {
        study: len(compose([f"study={study}"], ROOT / "conf").study.models) for study in MODELS
    }
    assert found == MODELS
    assert sorted(options(ROOT / "conf", "study")) == sorted({*MODELS, *TRAINED})


@pytest.mark.parametrize("study", sorted(TRAINED))
def test_a_study_of_trained_models_plans_each_run_once_per_stage(project: Project, study: str):
    """Jobs of a run are rules of their own, each for all its checkpoints."""
    experiment = compose([f"study={study}"], ROOT / "conf")
    runs, steps = TRAINED[study]
    assert len(experiment.study.models) == runs * steps
    plan = jobs(project, study)
    assert plan["train_model"] == runs
    assert plan["prepare_recipe"] == 1
    # What is measured, and what is trained on.
    trained_on = {c for recipe in experiment.recipe.values() for c in recipe.corpora}
    assert plan["build_corpus"] == len(experiment.corpus) + len(trained_on)
    names = "|".join(experiment.study.models).replace("-step", "|")

    def of_runs(stage: str) -> int:
        ours = re.compile(rf"{stage}_({names})$")
        return sum(count for rule, count in plan.items() if ours.match(rule))

    assert of_runs("describe") == runs
    assert of_runs("encode") == of_runs("extract") == runs * len(experiment.corpus)
    assert of_runs("measure") == runs * len(experiment.study.measurements)
    assert plan["compare_series"] == (1 if experiment.study.series else 0)
    assert plan["fetch_model"] == plan["extract_signals"] == 0
    asked = experiment.study.causal
    assert plan["change_attention"] == (len(asked.models) if asked else 0)
    assert plan["compare_runs"] == plan["write_report"] == 1


@pytest.mark.parametrize("study", sorted(MODELS))
def test_a_study_plans_each_model_once_per_stage(project: Project, study: str):
    experiment = compose([f"study={study}"], ROOT / "conf")
    corpora = {cell.corpus for cell in experiment.study.measurements}
    plan = jobs(project, study)
    assert plan["fetch_model"] == MODELS[study]
    assert plan["build_corpus"] == len(corpora)
    assert plan["encode_sequences"] == plan["extract_signals"] == MODELS[study] * len(corpora)
    assert plan["audit_checkpoints"] == len(experiment.families)
    assert plan["write_report"] == plan["aggregate_study"] == 1
    single = [c for c in experiment.study.measurements if c.protocol not in experiment.variants]
    assert plan["measure_heads"] == MODELS[study] * len(single)


def test_the_dense_grid_of_training_is_one_override(project: Project):
    plan = jobs(project, "training", "model.pythia-6.9b-steps.checkpoints=all")
    # Steps 1 and 2 have the weights of step 0, and the study leaves them out.
    assert plan["fetch_model"] == 152
    assert plan["audit_checkpoints"] == 1


def test_claims_on_training_find_their_checkpoints_in_a_study():
    dense = "model.pythia-6.9b-steps.checkpoints=all"
    studies = {
        study: compose([f"study={study}", *changes], ROOT / "conf")
        for study, *changes in (("training", dense), ("training_small",))
    }
    carried = {"training": set(), "training_small": set()}
    for study, experiment in studies.items():
        steps = Counter(
            experiment.model[name].source.repository
            for names in experiment.families.values()
            for name in names
        )
        for name, claim in experiment.claim.items():
            asked = claim.models.checkpoints_of
            if asked and all(steps[repository] >= claim.models.at_least for repository in asked):
                carried[study].add(name)
    assert carried == {"training": {"H18", "H20"}, "training_small": {"H19", "R02"}}
    shuffled = {
        fact
        for entry in studies["training_small"].study.facts
        if "shuffled" in entry.conditions
        for fact in entry.facts
    }
    assert "rotary_usage" in shuffled, "the control of R02"


def test_a_wikipedia_of_the_hub_or_of_a_dump_takes_the_place_of_a_corpus(project: Project):
    for corpus in ("wikipedia-500x256", "wikipedia-dump-256", "wikipedia-url-256"):
        measured = (
            f"[{{corpus: {corpus}, conditions: [full], probes: [received], protocol: paper}}]"
        )
        headline = f"{{corpus: {corpus}, protocol: paper}}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "attention_wavelets", "validate", "--slices"),
                f"study.measurements={measured}",
                f"study.headline={headline}",
                *("study.facts=[]", "study.claims=[]"),
            ],
            cwd=project.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"corpora/{corpus}/build " in done.stdout
