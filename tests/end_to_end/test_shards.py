"""An extraction split over its sequences gives the same store, byte for byte of its numbers."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest

from attention_wavelets.store.arrays import open_group, read_attributes
from helpers.tiny_study import CONDITIONS, Project

MODEL = "tiny-llama"


def store(project: Project):
    return project.results / f"signals/{MODEL}/tiny.zarr.zip"


def extract(project: Project, shards: int, *arguments: str, extra: str = ""):
    hydra = f"hydra=study=tiny runtime.shards={shards} {extra}"
    target = str(store(project).relative_to(project.folder))
    return project.snakemake(target, *arguments, "--config", hydra)


@pytest.fixture
def sharded(copied: Project) -> Project:
    """The finished project with one store made again in three parts."""
    store(copied).rename(copied.folder / "whole.zarr.zip")
    for name in ("done.zarr.zip", "runtime.json"):
        (store(copied).parent / ".tiny.work" / name).unlink()
    done = extract(copied, 3)
    assert done.returncode == 0, done.stdout + done.stderr
    return copied


def test_parts_make_the_same_store_as_one_job(sharded: Project):
    whole = sharded.folder / "whole.zarr.zip"
    assert read_attributes(store(sharded)) == read_attributes(whole)
    for condition in CONDITIONS:
        with open_group(store(sharded), condition) as parts, open_group(whole, condition) as one:
            assert set(parts.variables) == set(one.variables)
            for name, values in one.variables.items():
                np.testing.assert_array_equal(parts[name].values, values.values, err_msg=name)


def test_a_plan_shows_every_part_and_packing_asks_for_no_gpu(tiny_project: Project):
    done = tiny_project.snakemake("-n", "--config", "hydra=study=tiny runtime.shards=3")
    said = done.stdout + done.stderr
    for part in range(3):
        assert re.search(rf"Extract shard {part} of 3: {MODEL} on tiny \(.*, 1 GPU\)", said)
    assert re.search(rf"Extract signals of {MODEL} on tiny \(.*, 0 GPU\)", said)


def test_a_killed_part_goes_on_where_it_was(copied: Project):
    work = store(copied).parent / ".tiny.work"
    store(copied).unlink()
    (work / "done.zarr.zip").unlink()
    parts = ("--until", "extract_shard", "--notemp")
    assert extract(copied, 2, *parts).returncode == 0
    made = sorted(work.glob("*/*/[0-9]*.npz"))
    # What a kill leaves: some batches of the second part, no marker of it.
    lost = [path for path in made if int(path.name[:7]) >= 6 and "half" in path.parts]
    assert 0 < len(lost) < len(made)
    for path in lost:
        path.unlink()
    (store(copied).parent / ".tiny.shards/1-of-2.done").unlink()
    kept = {path: path.stat().st_mtime_ns for path in made if path not in lost}
    assert extract(copied, 2, *parts).returncode == 0
    assert sorted(work.glob("*/*/[0-9]*.npz")) == made
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_part_leaves_the_damaged_batches_of_the_others_alone(copied: Project):
    work = store(copied).parent / ".tiny.work"
    store(copied).unlink()
    (work / "done.zarr.zip").unlink()
    assert extract(copied, 2, "--until", "extract_shard", "--notemp").returncode == 0
    first, *_, last = sorted((work / "full").glob("received-*/[0-9]*.npz"))
    for path in (first, last):
        path.write_bytes(path.read_bytes()[:-40])
    broken = last.read_bytes()
    target = f"results/signals/{MODEL}/.tiny.shards/0-of-2.done"
    done = copied.snakemake(
        target, "--notemp", "--force", "--config", "hydra=study=tiny runtime.shards=2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert last.read_bytes() == broken
    assert zipfile.ZipFile(first).testzip() is None


def test_packing_loads_no_model_and_leaves_no_markers(sharded: Project):
    logs = sharded.results / "logs"
    assert len(list((logs / f"extract_shard/{MODEL}/tiny").glob("?-of-3.log"))) == 3
    assert not list(store(sharded).parent.glob(".tiny.shards/*"))
    # The store says where its batches were computed: in the shards, whose notes it joins.
    assert read_attributes(store(sharded))["device"] == "cpu"
    assert not (store(sharded).parent / ".tiny.work/runtime.json").exists()


def test_a_damaged_part_is_computed_again_alone(copied: Project):
    work = store(copied).parent / ".tiny.work"
    store(copied).unlink()
    (work / "done.zarr.zip").unlink()
    parts = ("--until", "extract_shard", "--notemp")
    assert extract(copied, 2, *parts).returncode == 0
    made = {path: path.stat().st_mtime_ns for path in sorted(work.glob("*/*/[0-9]*.npz"))}
    damaged = next(iter(made))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert extract(copied, 2, *parts, "--forcerun", "extract_shard").returncode == 0
    changed = [path for path, when in made.items() if path.stat().st_mtime_ns != when]
    assert changed == [damaged]


def test_a_shard_that_does_not_exist_is_one_line(finished: Project):
    files = finished.results
    done = finished.cli(
        "extract-shard",
        *("--config", str(files / f"signals/{MODEL}/tiny.json")),
        *("--manifest", str(files / f"models/{MODEL}/manifest.json")),
        *("--sequences", str(files / f"sequences/{MODEL}/tiny.zarr.zip")),
        *("--out", str(finished.folder / "done"), "--work", str(finished.folder / "work")),
        *("--shard", "2", "--of", "2"),
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "error: command line: there is no shard 2 of 2; count from 0"
    )
