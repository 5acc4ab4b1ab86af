"""What changes the speed and never the numbers reruns nothing."""

from __future__ import annotations

import pytest
import yaml

from helpers.tiny_study import Project

MODEL = "tiny-llama"


@pytest.mark.parametrize(
    "override",
    [
        "runtime.shards=3",
        "runtime.device=cpu",
        "runtime.batch_tokens=512",
        "runtime.threads=1",
        "runtime.limits.memory_gib=64",
    ],
)
def test_a_setting_of_the_machine_reruns_nothing(finished: Project, override: str):
    assert finished.plan_with(override) == {}


def test_what_was_made_in_parts_stays_when_the_number_of_parts_changes(copied: Project):
    for path in copied.results.glob("signals/*/*.zarr.zip"):
        path.unlink()
    for path in copied.results.glob("signals/*/.tiny.work/done.zarr.zip"):
        path.unlink()
    done = copied.snakemake("--config", "hydra=study=tiny runtime.shards=2")
    assert done.returncode == 0, done.stdout + done.stderr
    for shards in (2, 1, 5):
        assert copied.plan_with(f"runtime.shards={shards}") == {}, shards


def test_new_settings_of_an_extraction_are_split_as_asked(copied: Project):
    study = yaml.safe_load(copied.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][0]["conditions"].append("half-suffix")
    copied.yaml("study/tiny").write_text(yaml.safe_dump(study), encoding="utf-8")
    plan = copied.plan_with("runtime.shards=3")
    assert f"Extract shard 2 of 3: {MODEL} on tiny" in plan["extract_shard"]
