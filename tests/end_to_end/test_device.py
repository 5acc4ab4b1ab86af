"""Where an extraction runs: a GPU that is asked for is there, or nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.tiny_study import Project

MODEL = "tiny-llama"


def extract(project: Project, folder: Path, device: str):
    """A new extraction with every card hidden, so that it is the same on every machine."""
    files = project.results
    return project.cli(
        "extract-signals",
        *("--config", str(files / f"signals/{MODEL}/tiny.json")),
        *("--manifest", str(files / f"models/{MODEL}/manifest.json")),
        *("--sequences", str(files / f"sequences/{MODEL}/tiny.zarr.zip")),
        *("--out", str(folder / "signals.zarr.zip"), "--work", str(folder / "work")),
        *("--device", device, "--gpus", "1"),
        CUDA_VISIBLE_DEVICES="",
    )


@pytest.mark.parametrize("device", ["cuda", "spread"])
def test_a_gpu_that_is_asked_for_and_missing_is_one_line(finished: Project, tmp_path, device):
    done = extract(finished, tmp_path, device)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"error: runtime.device={device}: no CUDA device is visible; use cpu or auto"
    )
    assert not (tmp_path / "signals.zarr.zip").exists()


def test_without_a_gpu_auto_says_that_it_takes_the_processor(finished: Project, tmp_path):
    done = extract(finished, tmp_path, "auto")
    assert done.returncode == 0, done.stderr
    assert "no GPU on this machine: the job runs on the processor" in done.stderr
