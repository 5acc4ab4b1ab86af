"""Are checkpoints what their names say? From listings alone, and over the loopback hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_wavelets.models.audit import Finding, compare_listings
from helpers.tiny_study import Project

SINGLE = "model.safetensors"
SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]


def one(digest: str, size: int = 100) -> dict[str, tuple[int, str | None]]:
    return {SINGLE: (size, digest), "config.json": (10, None)}


def two(first: str, second: str) -> dict[str, tuple[int, str | None]]:
    return {SHARDS[0]: (100, first), SHARDS[1]: (100, second)}


@pytest.mark.parametrize(
    ("listings", "findings"),
    [
        pytest.param({"step0": one("a"), "step1": one("b")}, {}, id="all different"),
        pytest.param(
            {"step0": one("a"), "step1": one("a"), "step2": one("b")},
            {"step0": "the weights are those of step1", "step1": "the weights are those of step0"},
            id="identical",
        ),
        pytest.param(
            {"step0": one("a"), "step9": one("z"), "main": one("z")}, {}, id="main is the last step"
        ),
        pytest.param(
            {"step1": one("z"), "step9": one("a"), "main": one("z")},
            {"step1": "the weights are those of main"},
            id="the final weights under another step",
        ),
        pytest.param(
            {"step1": two("y", "b"), "step9": two("c", "d"), "main": two("y", "z")},
            {"step1": f"{SHARDS[0]} is that of main"},
            id="a shard of the final weights",
        ),
        pytest.param(
            {"step0": two("a", "b"), "step1": two("c", "d"), "step2": two("a", "e")},
            {
                "step0": f"{SHARDS[0]} is that of step2",
                "step2": f"{SHARDS[0]} is that of step0",
            },
            id="a foreign shard",
        ),
        pytest.param(
            {"step0": two("a", "b"), "step1": {SHARDS[0]: (100, "c")}},
            {"step1": f"{SHARDS[1]} is missing"},
            id="a missing shard",
        ),
        pytest.param(
            {"step0": one("a"), "step1": {"pytorch_model.bin": (100, "b")}, "step2": {}},
            {"step1": "there are pickled weights only", "step2": "there are no weights"},
            id="no safe weights",
        ),
        pytest.param(
            {"step0": one("a"), "step1": one("b"), "step2": one("c", 150)},
            {"step2": "150 bytes of weights, other revisions have 100"},
            id="another size",
        ),
        pytest.param(
            {"step0": one("a"), "step1": None}, {"step1": "there is no such revision"}, id="absent"
        ),
    ],
)
def test_faults_are_told_from_the_files_of_all_revisions(listings, findings):
    found = compare_listings("a/b", listings)
    assert found == [Finding("a/b", revision, text) for revision, text in findings.items()]


def test_small_files_without_a_digest_are_not_taken_for_equal():
    listings = {f"step{n}": {SINGLE: (100, f"{n}"), "config.json": (9, None)} for n in range(3)}
    assert compare_listings("a/b", listings) == []


@pytest.fixture
def training(hub: Any, tiny_project: Project) -> Project:
    """The tiny project with a study of four checkpoints on the loopback hub, two of them equal."""
    for step, body in ((0, b"a"), (1, b"a"), (2, b"c"), (3, b"d")):
        files = {SINGLE: body * 1000, "config.json": b"{}"}
        hub.add("tiny/run", files, branch=f"step{step}")
    model = {
        "label": "Run",
        "licence": "MIT",
        "source": {"kind": "hub", "repository": "tiny/run"},
        "checkpoints": [0, 1, 2, 3],
    }
    tiny_project.yaml("model/run").write_text(yaml.safe_dump(model))
    study = yaml.safe_load(tiny_project.yaml("study/tiny").read_text())
    tiny_project.yaml("study/tiny").write_text(yaml.safe_dump(study | {"models": ["run"]}))
    return tiny_project


def downloads(hub: Any) -> list[Any]:
    return hub.asked(r"GET /tiny/run/resolve/")


def test_the_audit_writes_down_what_it_finds_and_downloads_nothing(
    hub: Any, training: Project, tmp_path: Path
):
    env = hub.environment(tmp_path)
    done = training.cli("audit", "study=tiny", **env)
    assert done.returncode == 0, done.stderr
    assert "tiny/run at step1: the weights are those of step0" in done.stdout
    assert "4 revisions compared, 2 findings new" in done.stdout
    assert downloads(hub) == []
    again = training.cli("audit", "study=tiny", **env)
    assert "2 revisions compared, 0 findings new" in again.stdout
    refused = training.cli("validate", "study=tiny")
    assert refused.returncode == 1
    assert "run-step0: the weights are those of step1 (attention-wavelets audit, " in refused.stderr
    skipped = training.cli("validate", "study=tiny", "study.bad_checkpoints=skip")
    assert "study 'tiny' is valid: 2 models" in skipped.stdout
    assert "left out: run-step0: the weights are those of step1" in skipped.stdout


def test_the_workflow_fetches_no_checkpoint_before_the_audit(
    hub: Any, training: Project, tmp_path: Path
):
    done = training.snakemake("--until", "fetch_model", **hub.environment(tmp_path))
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "error: checkpoints of run: tiny/run at step0: the weights are those of step1" in said
    assert downloads(hub) == []
    assert not list(training.results.glob("models/*/manifest.json"))


def test_a_hub_that_cannot_be_reached_is_one_line(hub: Any, training: Project, tmp_path: Path):
    env = hub.environment(tmp_path) | {"HF_HUB_OFFLINE": "1"}
    done = training.cli("audit", "study=tiny", **env)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_a_study_without_checkpoints_has_nothing_to_audit(tiny_project: Project):
    done = tiny_project.cli("audit", "study=tiny")
    assert done.stdout.strip().endswith("nothing to audit")


def test_a_later_audit_fetches_nothing_again(training: Project):
    plan = training.plan()
    assert plan["audit_checkpoints"] == {"Audit the checkpoints of run"}
    assert len(plan["fetch_model"]) == 4


def test_a_machine_without_a_network_goes_on_without_the_audit(
    hub: Any, training: Project, tmp_path: Path
):
    out, config = tmp_path / "audited.json", training.results / "models/run/audit.json"
    done = training.snakemake("--until", "audit_checkpoints", HF_HUB_OFFLINE="1")
    assert done.returncode != 0
    assert config.is_file()
    command = ("audit-checkpoints", "--config", str(config), "--out", str(out), "--ask", "nobody")
    done = training.cli(*command, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(out.read_text()) == {"compared": []}


def test_a_step_with_the_final_weights_is_found_where_the_study_lacks_the_last_one(
    hub: Any, training: Project, tmp_path: Path
):
    hub.add("tiny/run", {SINGLE: b"c" * 1000, "config.json": b"{}"}, branch="main")
    done = training.cli("audit", "study=tiny", **hub.environment(tmp_path))
    assert "tiny/run at step2: the weights are those of main" in done.stdout
    assert "main:" not in done.stdout
