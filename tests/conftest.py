"""What more than one room of tests uses: the real models, and a tiny study that runs for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from attention_wavelets.config.schema import Model
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.fetch import fetch_model
from helpers.tiny_study import ROOT, Project, make_inputs, make_project


def _manifest(name: str) -> dict[str, Any]:
    path = ROOT / "conf" / "model" / f"{name}.yaml"
    model = Model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    try:
        return fetch_model(name, model)
    except PipelineError as error:
        problem = str(error)
    # A missing network is a failure in one line that names the files, never a skipped test; said
    # outside the block above, so that pytest does not print two errors.
    files = ", ".join(file.rsplit("/", 1)[-1] for file in model.source.files)
    return pytest.fail(f"{files}: {problem}", pytrace=False)


@pytest.fixture(scope="session")
def smollm2_manifest() -> dict[str, Any]:
    """The real SmolLM2-135M of the default study, fetched into the user's cache."""
    return _manifest("smollm2-135m")


@pytest.fixture(scope="session")
def minilm_manifest() -> dict[str, Any]:
    """The real MiniLM-L6 of the default study, fetched into the user's cache."""
    return _manifest("minilm-l6")


@pytest.fixture(scope="session")
def tiny_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a tiny Llama, a tiny BERT and text.jsonl; do not write to it."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def tiny_project(tiny_inputs: Path, tmp_path: Path) -> Project:
    """A fresh project with the study `tiny`; nothing was run in it."""
    return make_project(tmp_path / "project", tiny_inputs)


@pytest.fixture(scope="session")
def finished(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after one real run; do not change it, take a copy."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project", tiny_inputs)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def copied(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change."""
    return finished.copy(tmp_path / "project")
