"""Words of Snakemake's resources in those of sbatch, without a cluster."""

from __future__ import annotations

import pytest

from attention_wavelets.slurm import ask, flags, minutes_of, with_gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        (90, 90),
        ("90", 90),
        ("2h", 120),
        ("30s", 0.5),
        ("1.5d", 2160),
        ("2:00:00", 120),
        ("1-12:00:00", 2160),
        ("05:30", 5.5),
        ("infinite", None),
        (None, None),
    ],
)
def test_minutes(text, minutes):
    assert minutes_of(text) == minutes


def test_a_gpu_is_asked_for_as_the_profile_has_it():
    assert flags({"gpu": 1}) == ["--gpus=1"]
    assert flags({"gpu": 1, "gpu_model": "a100"}) == ["--gpus=a100:1"]
    assert flags({"gpu": 0, "gres": "gpu:1"}) == ["--gres=gpu:1"]


def test_a_job_with_a_gpu_differs_as_the_profile_says():
    usual = {"slurm_partition": "cpu", "gpu_partition": "gpu", "gpu_type": "a100"}
    assert with_gpus(usual, 0) == {}
    assert with_gpus({"slurm_partition": "cpu"}, 1) == {}
    asked = {**usual, "gpu": 2, **with_gpus(usual, 2)}
    assert flags(asked) == ["--partition=gpu", "--gpus=a100:2"]
    asked = {"gpu": 2, **with_gpus({"gpu_gres": "gpu:a100"}, 2)}
    assert flags(asked) == ["--gres=gpu:a100:2"]


def test_threads_and_limits_are_asked_for():
    asked = {"slurm_partition": "cpu", "slurm_account": "x", "mem_mb": 900, "runtime": "2h"}
    words = ["--partition=cpu", "--account=x", "--cpus-per-task=4", "--mem=900", "--time=120"]
    assert flags(asked, threads=4) == words


def test_a_program_that_is_not_there_has_failed():
    done = ask("no-such-program-of-slurm")
    assert done.returncode != 0
    assert not done.stdout
