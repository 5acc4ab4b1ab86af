"""A killed extraction goes on, and a new condition computes only itself."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from helpers.tiny_study import CONDITIONS, COUNT, FACTS, TOKENS, Project

PROBES = ("received", "lag", "last_query")


def command(project: Project, folder: Path, config: Path, sequences: Path) -> list[str]:
    """The extraction of tiny-llama, one sequence per batch, into `folder`."""
    return [
        *(sys.executable, "-m", "attention_wavelets", "extract-signals", "--config", str(config)),
        *("--manifest", str(project.results / "models/tiny-llama/manifest.json")),
        *("--sequences", str(sequences), "--out", str(folder / "out.zarr.zip")),
        *("--work", str(folder / "work"), "--batch-tokens", str(TOKENS), "--threads", "1"),
    ]


def run(arguments: list[str]) -> int:
    """Run to the end; the number of tokens that went through the model, from the progress bar."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    totals = re.findall(r"100%\|[^|]*\| [\d.]+k?/([\d.]+k?)", done.stderr)
    if not totals:
        return 0
    number = totals[-1]
    return round(float(number.removesuffix("k")) * (1000 if number.endswith("k") else 1))


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "work").glob("*/*/[0-9]*.npz"))


def signals(path: Path, condition: str, name: str) -> np.ndarray:
    with zarr.storage.ZipStore(path, mode="r") as store:
        return xr.open_zarr(store, group=condition, consolidated=False, chunks=None)[name].values


def inputs(project: Project) -> tuple[Path, Path]:
    return (
        project.results / "signals/tiny-llama/tiny.json",
        project.results / "sequences/tiny-llama/tiny.zarr.zip",
    )


# Tokens of all sequences under all conditions.
ALL_TOKENS = COUNT * (2 * TOKENS + 2 * (TOKENS // 2) + TOKENS // 4)


@dataclass(frozen=True)
class Resumed:
    """A folder after a kill and a second run."""

    folder: Path
    marked: tuple[str, str, int, np.ndarray]
    left: int
    tokens: int


@pytest.fixture(scope="module")
def resumed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    """Kill after the first shards, mark one of them so that it can be told from a fresh one."""
    folder = tmp_path_factory.mktemp("killed")
    arguments = command(finished, folder, *inputs(finished))
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        while len(shards(folder)) < 2 * len((*PROBES, *FACTS)) and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert not (folder / "out.zarr.zip").exists()
    shard = shards(folder)[0]
    with np.load(shard) as content:
        changed = {key: content[key] for key in content.files}
    probe = shard.parts[-2].rsplit("-", 1)[0]
    changed[probe] = np.roll(changed[probe], 1, axis=-1)
    np.savez(shard, **changed)
    place = (shard.parts[-3], probe, int(shard.stem.split("-")[0]))
    finished_sequences = {
        (path.parts[-3], int(path.stem.split("-")[0]))
        for path in shards(folder)
        if all(
            list((folder / "work" / path.parts[-3]).glob(f"{name}-*/{path.name}"))
            for name in (*PROBES, *(FACTS if path.parts[-3] == "full" else ()))
        )
    }
    assert finished_sequences
    sizes = {c: signals(inputs(finished)[1], c, "ids").shape[1] for c in CONDITIONS}
    left = ALL_TOKENS - sum(sizes[condition] for condition, _ in finished_sequences)
    return Resumed(folder, (*place, changed[probe]), left, run(arguments))


def test_a_killed_extraction_leaves_no_result_and_goes_on(resumed: Resumed):
    """Three digits of the progress bar tell how many tokens the second run computed."""
    assert resumed.left < ALL_TOKENS
    assert abs(resumed.tokens - resumed.left) <= 5


def test_a_finished_batch_is_taken_and_not_computed_again(resumed: Resumed):
    condition, probe, start, values = resumed.marked
    stored = signals(resumed.folder / "out.zarr.zip", condition, probe)
    np.testing.assert_array_equal(stored[start : start + len(values)], values)


def test_a_resumed_run_in_other_batches_gives_the_same_signals(finished: Project, resumed: Resumed):
    """The batch of the finished run holds every sequence, here one; 1e-5 is the parity bound."""
    whole = finished.results / "signals/tiny-llama/tiny.zarr.zip"
    condition, probe, start, values = resumed.marked
    for name in CONDITIONS:
        for kind in (*PROBES, *(f"{p}_mass" for p in PROBES)):
            expected = signals(whole, name, kind)
            found = signals(resumed.folder / "out.zarr.zip", name, kind)
            if (name, kind) == (condition, probe):
                found[start : start + len(values)] = np.roll(values, -1, axis=-1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_batches_are_dropped_once_the_store_is_whole(resumed: Resumed):
    assert shards(resumed.folder) == []
    names = {path.name for path in (resumed.folder / "work").iterdir()}
    assert names - {".lock"} == {"done.zarr.zip", "runtime.json"}


def test_the_same_extraction_again_computes_nothing_and_gives_the_same_bytes(
    finished: Project, resumed: Resumed, tmp_path: Path
):
    folder = Path(shutil.copytree(resumed.folder, tmp_path / "again"))
    before = (folder / "out.zarr.zip").read_bytes()
    (folder / "out.zarr.zip").unlink()
    assert run(command(finished, folder, *inputs(finished))) == 0
    assert (folder / "out.zarr.zip").read_bytes() == before


def test_a_new_condition_computes_only_itself(copied: Project, tmp_path: Path):
    """The work folder of the workflow's own run is used, one condition added in YAML."""
    copied.change("study/tiny", "- shuffled", "- shuffled\n  - half-suffix")
    done = copied.snakemake("results/sequences/tiny-llama/tiny.zarr.zip")
    assert done.returncode == 0, done.stdout + done.stderr
    old = copied.results / "signals/tiny-llama"
    (tmp_path / "new").mkdir()
    shutil.copytree(old / ".tiny.work", tmp_path / "new" / "work")
    config = json.loads((old / "tiny.json").read_text())
    config["conditions"] = sorted([*config["conditions"], "half-suffix"])
    (tmp_path / "new.json").write_text(json.dumps(config))
    sequences = copied.results / "sequences/tiny-llama/tiny.zarr.zip"
    tokens = run(command(copied, tmp_path / "new", tmp_path / "new.json", sequences))
    assert tokens == COUNT * TOKENS // 2
    for condition in CONDITIONS:
        for probe in PROBES:
            np.testing.assert_array_equal(
                signals(tmp_path / "new" / "out.zarr.zip", condition, probe),
                signals(old / "tiny.zarr.zip", condition, probe),
            )
    new = signals(tmp_path / "new" / "out.zarr.zip", "half-suffix", "received")
    np.testing.assert_allclose(new.sum(axis=-1), 1, rtol=1e-5, atol=0)


def test_more_rows_than_the_sequence_has_stop_before_weights_are_loaded(
    finished: Project, tmp_path: Path
):
    config, sequences = inputs(finished)
    content = json.loads(config.read_text())
    content["probes"]["rows"] = {"kind": "query_rows", "rows": 4000}
    changed = tmp_path / "slice.json"
    changed.write_text(json.dumps(content))
    done = subprocess.run(
        command(finished, tmp_path, changed, sequences), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "probe rows: asks for 4000 rows" in done.stderr
    assert "Loading weights" not in done.stderr


def with_manifest(finished: Project, folder: Path, **changes: Any) -> str:
    """Standard error of an extraction that fails, its manifest (or the facts in it) changed."""
    arguments = command(finished, folder, *inputs(finished))
    manifest = json.loads(Path(arguments[arguments.index("--manifest") + 1]).read_text())
    for key, value in changes.items():
        (manifest if key in manifest else manifest["facts"])[key] = value
    changed = folder / "manifest.json"
    changed.write_text(json.dumps(manifest))
    arguments[arguments.index("--manifest") + 1] = str(changed)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


def test_sequences_longer_than_the_model_stop_before_weights_are_loaded(
    finished: Project, tmp_path: Path
):
    errors = with_manifest(finished, tmp_path, max_positions=8)
    assert "tiny-llama takes at most 8 tokens" in errors
    assert errors.count("\n") == 1


def test_rounded_attention_of_a_hooked_family_stops_before_weights_are_loaded(
    finished: Project, tmp_path: Path
):
    errors = with_manifest(finished, tmp_path, dtype="bfloat16", model_type="bloom")
    assert "BloomAttention hands out its attention rounded to bfloat16" in errors
    assert "set `dtype: float32`" in errors
    assert errors.count("\n") == 1


def test_memory_that_runs_out_in_the_first_pass_halves_it_and_nothing_is_computed_twice(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    from attention_wavelets.attention import extract
    from attention_wavelets.stages import extract as stage

    config, sequences = inputs(finished)
    sizes, real = [], extract.run_batch

    def scarce(model: Any, ids: np.ndarray, *rest: Any, **options: Any) -> Any:
        sizes.append(ids.shape)
        if ids.shape[0] > 2:
            raise torch.OutOfMemoryError("no room for more than two sequences")
        return real(model, ids, *rest, **options)

    monkeypatch.setattr(extract, "run_batch", scarce)
    monkeypatch.setattr(stage, "_WORTH_TELLING", 0)
    stage.extract_signals(
        json.loads(config.read_text()),
        json.loads((finished.results / "models/tiny-llama/manifest.json").read_text()),
        sequences,
        tmp_path / "out.zarr.zip",
        tmp_path / "work",
        batch_tokens=4 * TOKENS,
    )
    assert sum(count * length for count, length in sizes if count <= 2) == ALL_TOKENS
    assert max(count for count, _ in sizes[2:]) <= 2
    said = capsys.readouterr().err
    assert "MiB beside the libraries" in said
    assert re.search(r"about \d+\.\d minutes", said)
    for condition in CONDITIONS:
        np.testing.assert_allclose(
            signals(tmp_path / "out.zarr.zip", condition, "received"),
            signals(finished.results / "signals/tiny-llama/tiny.zarr.zip", condition, "received"),
            atol=1e-6,
        )
