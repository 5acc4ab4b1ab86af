"""What more than one room of tests uses: the real models, and a tiny study that runs for real."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

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


def made_once(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of parallel workers makes, and the others find."""
    base = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Beside the folders of the workers and as deep: records of a run name the modules of a rule
        # relative to the project, which a copy must find where the run did.
        base = base.parent / "shared"
        base.mkdir(exist_ok=True)
    folder = base / name
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            # What a worker has left that failed to make it.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a tiny Llama, a tiny BERT and text.jsonl; do not write to it."""
    return made_once(tmp_path_factory, "inputs", make_inputs)


@pytest.fixture
def tiny_project(tiny_inputs: Path, tmp_path: Path) -> Project:
    """A fresh project with the study `tiny`; nothing was run in it."""
    return make_project(tmp_path / "project", tiny_inputs)


@pytest.fixture(scope="session")
def finished(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after one real run; do not change it, take a copy."""

    def make(folder: Path) -> None:
        done = make_project(folder / "project", tiny_inputs).snakemake()
        assert done.returncode == 0, done.stdout + done.stderr

    run = made_once(tmp_path_factory, "tiny_run", make)
    # Of each worker its own, since tests plan in it at the same time.
    return Project(run / "project").copy(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def copied(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change."""
    return finished.copy(tmp_path / "project")
