"""Weights that leave the disk once their signals are whole, over the loopback hub."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from helpers.tiny_models import save_model
from helpers.tiny_study import ROOT, Project, make_project

STEPS = (0, 1, 2)
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A loopback hub with three checkpoints of a tiny Llama that differ in their weights."""
    spec = importlib.util.spec_from_file_location("loopback_hub", ROOT / "tests/loopback_hub.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("loopback_hub", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    with module.LoopbackHub() as running:
        for step in STEPS:
            folder = tmp_path_factory.mktemp("step") / "llama"
            folder.mkdir()
            deviation = 0.2 + 0.1 * step
            save_model(folder, "llama", max_position_embeddings=128, initializer_range=deviation)
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            running.add("tiny/run", files, branch=f"step{step}")
        yield running


@dataclass
class Run:
    """A finished study of the three checkpoints, and what lay in the cache meanwhile."""

    project: Project
    env: dict[str, str]
    most: int

    def on_disk(self) -> int:
        return _on_disk(Path(self.env["HF_HUB_CACHE"]))


def _on_disk(cache: Path) -> int:
    """Revisions whose weights are in the cache."""
    return sum(link.exists() for link in cache.glob(f"models--*/snapshots/*/{WEIGHTS}"))


def run(hub: Any, inputs: Path, folder: Path, keep: bool) -> Run:
    project = make_project(folder / "project", inputs)
    model = {
        "label": "Run",
        "licence": "MIT",
        "source": {"kind": "hub", "repository": "tiny/run"},
        "checkpoints": list(STEPS),
        "keep_weights": keep,
    }
    project.yaml("model/run").write_text(yaml.safe_dump(model), encoding="utf-8")
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study |= {"models": ["run"], "claims": [], "figures": ["band_shares"]}
    project.yaml("study/tiny").write_text(yaml.safe_dump(study), encoding="utf-8")
    project.change("runtime/default", "checkpoints_on_disk: 2", "checkpoints_on_disk: 1")
    env = hub.environment(folder)
    done, most = watched(project, env)
    assert done.returncode == 0, done.stdout + done.stderr
    return Run(project, env, most)


def watched(project: Project, env: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], int]:
    """A run of the workflow, and the most revisions that were on the disk at a time."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], _on_disk(Path(env["HF_HUB_CACHE"])))

    thread = threading.Thread(target=watch)
    thread.start()
    done = project.snakemake(**env)
    over.set()
    thread.join()
    return done, most[0]


@pytest.fixture(scope="module")
def evicted(hub: Any, tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(hub, tiny_inputs, tmp_path_factory.mktemp("evicted"), keep=False)


@pytest.fixture(scope="module")
def kept(hub: Any, tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(hub, tiny_inputs, tmp_path_factory.mktemp("kept"), keep=True)


def test_weights_are_gone_and_were_never_there_for_more_revisions_than_asked(evicted: Run):
    assert evicted.on_disk() == 0
    assert evicted.most == 1
    cache = Path(evicted.env["HF_HUB_CACHE"])
    # Config and tokenizer stay; no blob of the size of weights is left behind.
    assert len(list(cache.glob("models--*/snapshots/*/config.json"))) == len(STEPS)
    assert max(p.stat().st_size for p in cache.rglob("blobs/*")) < 20_000


def test_tables_are_those_of_weights_that_are_kept(evicted: Run, kept: Run):
    assert kept.on_disk() == kept.most == len(STEPS)
    found, expected = (pd.read_csv(run.project.study / "models.csv") for run in (evicted, kept))
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12, atol=1e-12)
    assert found["spectral_entropy_mean"].nunique() == len(STEPS)


def test_a_second_run_has_nothing_to_do(evicted: Run):
    done = evicted.project.snakemake(**evicted.env)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert evicted.on_disk() == 0


def test_a_new_condition_fetches_the_weights_again(hub: Any, evicted: Run, tmp_path: Path):
    project = evicted.project.copy(tmp_path / "project")
    project.change("study/tiny", "- half-prefix", "- half-suffix")
    plan = project.plan()
    assert len(plan["fetch_weights"]) == len(plan["evict_weights"]) == len(STEPS)
    assert "fetch_model" not in plan
    before = len(hub.asked(f"GET /tiny/run/resolve/.*{WEIGHTS}"))
    done, most = watched(project, evicted.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(hub.asked(f"GET /tiny/run/resolve/.*{WEIGHTS}")) - before == len(STEPS)
    assert evicted.on_disk() == 0
    assert most == 1
    assert project.plan() == {}


def test_what_keeps_weights_on_the_disk_runs_nothing_again(evicted: Run, kept: Run, tmp_path: Path):
    for setting in ("checkpoints_on_disk=2", "audit=false", "disk_quota_gib=9"):
        assert evicted.project.plan_with(f"runtime.{setting}") == {}
    for run, old, new in ((evicted, "false", "true"), (kept, "true", "false")):
        project = run.project.copy(tmp_path / new)
        project.change("model/run", f"keep_weights: {old}", f"keep_weights: {new}")
        # Weights that need no longer stay may go; that is all.
        assert set(project.plan()) == ({"evict_weights"} if new == "false" else set())


def test_a_checkpoint_less_or_more_fetches_no_other(evicted: Run, tmp_path: Path):
    project = evicted.project.copy(tmp_path / "project")
    project.change("model/run", "- 1\n", "")
    assert not {"fetch_weights", "extract_signals"} & set(project.plan())
    # Of a step that was never there the fetch is planned, and of no other.
    project.change("model/run", "- 0\n", "- 0\n- 1\n- 7\n")
    plan = project.plan()
    assert plan["fetch_weights"] == {"Fetch the weights of run-step7"}
    assert plan["extract_signals"] == {"Extract signals of run-step7 on tiny"}


def test_models_with_the_same_weights_keep_them_for_one_another(
    hub: Any, evicted: Run, tmp_path: Path
):
    project = evicted.project.copy(tmp_path / "project")
    source = {"kind": "hub", "repository": "tiny/run", "revision": "step0"}
    model = {"label": "Again", "licence": "MIT", "source": source, "dtype": "bfloat16"}
    project.yaml("model/again").write_text(yaml.safe_dump(model), encoding="utf-8")
    project.change("study/tiny", "- run\n", "- run\n- again\n")
    assert "evict_weights" not in project.plan()
    project.yaml("model/again").write_text(yaml.safe_dump(model | {"keep_weights": False}))
    assert project.plan()["evict_weights"] == {
        "Evict the weights of run-step0",
        "Evict the weights of again",
    }


def test_a_manifest_is_the_same_whether_or_not_the_weights_were_fetched(
    hub: Any, evicted: Run, tmp_path: Path
):
    made = {}
    for way in ((), ("--without-weights",)):
        env, out = hub.environment(tmp_path / f"cache{len(way)}"), tmp_path / f"{len(way)}.json"
        command = ("fetch-model", "--model", "run-step1", *way, "--out", str(out), "study=tiny")
        done = evicted.project.cli(*command, **env)
        assert done.returncode == 0, done.stderr
        made[_on_disk(Path(env["HF_HUB_CACHE"]))] = out.read_text(encoding="utf-8")
    assert made[0] == made[1]


def test_weights_that_changed_on_the_hub_are_not_taken(hub: Any, evicted: Run, tmp_path: Path):
    path = evicted.project.results / "models/run-step0/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    entry = next(e for e in manifest["files"] if e["name"] == WEIGHTS)
    entry["sha256"] = "0" * 64
    other = tmp_path / "manifest.json"
    other.write_text(json.dumps(manifest), encoding="utf-8")
    done = evicted.project.cli(
        *("fetch-weights", "--manifest", str(other), "--out", str(tmp_path / "there.json")),
        **hub.environment(tmp_path / "cache"),
    )
    assert done.returncode == 1
    assert "not those that the manifest names" in done.stderr
    assert not (tmp_path / "there.json").exists()


def fetch(project: Project, env: dict[str, str], out: Path, *options: str) -> str:
    done = project.cli(
        "fetch-model", "--model", "run-step0", *options, "--out", str(out), "study=tiny", **env
    )
    assert done.returncode == 1, done.stdout
    assert not out.exists()
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_quota_stops_a_download_before_it_starts(hub: Any, evicted: Run, tmp_path: Path):
    env = hub.environment(tmp_path / "empty")
    before = len(hub.asked("/resolve/"))
    line = fetch(evicted.project, env, tmp_path / "out.json", "--disk-quota", "1e-5")
    assert "to fetch" in line
    assert "of 1e-05 GiB (runtime.disk_quota_gib)" in line
    assert "keep_weights: false" in line
    assert len(hub.asked("/resolve/")) == before


def test_a_disk_without_room_stops_it_too(hub: Any, evicted: Run, tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("not root: no small file system can be mounted")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        line = fetch(evicted.project, hub.environment(disk), tmp_path / "out.json")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert "0.0 MiB free on the disk of" in line


@pytest.mark.parametrize(
    "source", [{"kind": "local", "path": "x"}, {"kind": "hub", "repository": "a/b", "gguf": "x"}]
)
def test_only_what_can_be_fetched_again_is_evicted(source: dict[str, str]):
    from attention_wavelets.config.schema import Model

    with pytest.raises(ValueError, match="can be fetched again"):
        Model.model_validate(
            {"label": "x", "licence": "MIT", "source": source, "keep_weights": False}
        )
