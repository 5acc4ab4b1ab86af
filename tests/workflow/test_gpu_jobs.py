"""Where a cluster's profile sends the jobs of a plan: those that ask for a GPU, and all others."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from helpers.recipes import add_trained
from helpers.tiny_study import Project

PROFILE = "workflow/profiles/slurm"
# Says of every job of a plan what the executor is told.
SAY = """
for one in workflow.rules:
    keys = ["slurm_partition", "gpu_model", "gres", "gpu"]
    one.message = one.name + "|" + "|".join(
        f"{{resources.{key}}}" if key in one.resources else "" for key in keys
    )
"""


def sent(project: Project, *overrides: str, study: str = "tiny") -> dict[str, set[tuple[str, ...]]]:
    """Rule -> partition, type, gres and GPUs of its jobs in a dry run with the profile."""
    path = project.folder / "Snakefile"
    if SAY not in path.read_text(encoding="utf-8"):
        path.write_text(path.read_text(encoding="utf-8") + SAY, encoding="utf-8")
    hydra = f"hydra={' '.join((f'study={study}', *overrides))}"
    done = project.call("snakemake", "-n", "--profile", PROFILE, "--config", hydra)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    found: dict[str, set[tuple[str, ...]]] = {}
    for rule, *values in re.findall(
        r"^Job \d+: ([\w.-]+)\|(.*)\|(.*)\|(.*)\|(.*)$", said, flags=re.MULTILINE
    ):
        found.setdefault(rule, set()).add(tuple(value.replace("None", "") for value in values))
    assert found
    return found


def change_profile(project: Project, **changes: str | None) -> None:
    path = project.folder / PROFILE / "profile.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    usual = {**values["default-resources"], **changes}
    values["default-resources"] = {key: value for key, value in usual.items() if value is not None}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


def partitions(found: dict[str, set[tuple[str, ...]]]) -> dict[bool, Counter[str]]:
    """Whether a job asks for a GPU -> the partitions of such jobs."""
    counted: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for jobs in found.values():
        for partition, _, _, gpus in jobs:
            counted[gpus not in ("", "0")][partition] += 1
    return counted


@pytest.mark.parametrize(
    ("study", "asking"),
    [
        ("quickstart", {"extract_signals"}),
        ("bands", {"extract_signals", "change_attention"}),
        ("ladder", {"train_model", "change_attention", "extract_ladder-rope-64-s0"}),
    ],
)
def test_jobs_with_a_gpu_are_sent_to_its_partition_and_no_others(
    tiny_project: Project, study: str, asking: set[str]
):
    found = sent(tiny_project, study=study)
    counted = partitions(found)
    assert set(counted[True]) == {"gpu"}
    assert set(counted[False]) == {"cpu"}
    with_gpu = {rule for rule, jobs in found.items() if any(job[0] == "gpu" for job in jobs)}
    assert asking <= with_gpu


def test_packing_what_shards_have_extracted_needs_no_gpu(tiny_project: Project):
    found = sent(tiny_project, "runtime.shards=2")
    assert found["extract_shard"] == {("gpu", "", "", "1")}
    assert found["extract_signals"] == {("cpu", "", "", "0")}


def test_without_gpus_no_job_goes_to_their_partition(tiny_project: Project):
    add_trained(tiny_project)
    counted = partitions(sent(tiny_project, "runtime.device=cpu"))
    assert not counted[True]
    assert set(counted[False]) == {"cpu"}


def test_types_and_gres_are_those_of_jobs_with_a_gpu_only(tiny_project: Project):
    add_trained(tiny_project)
    change_profile(tiny_project, gpu_type="a100")
    found = sent(tiny_project)
    for rule in ("train_model", "change_attention", "extract_tiny-rope-s0"):
        assert found[rule] == {("gpu", "a100", "", "1")}
    assert found["measure_tiny-rope-s0"] == {("cpu", "", "", "")}
    change_profile(tiny_project, gpu_type=None, gpu_gres="gpu:a100")
    found = sent(tiny_project, "runtime.device=spread", "runtime.gpus=2")
    assert found["train_model"] == {("gpu", "", "gpu:a100:1", "0")}
    assert found["extract_tiny-rope-s0"] == {("gpu", "", "gpu:a100:2", "0")}


def test_a_site_without_partitions_names_none(tiny_project: Project):
    change_profile(tiny_project, slurm_partition=None, gpu_partition=None)
    counted = partitions(sent(tiny_project))
    assert set(counted[True]) == set(counted[False]) == {""}


def test_what_is_set_for_a_rule_goes_before(tiny_project: Project):
    path = tiny_project.folder / PROFILE / "profile.yaml"
    own = '\nset-resources:\n  extract_signals: {slurm_partition: "large"}\n'
    path.write_text(path.read_text(encoding="utf-8") + own, encoding="utf-8")
    assert sent(tiny_project)["extract_signals"] == {("large", "", "", "1")}
