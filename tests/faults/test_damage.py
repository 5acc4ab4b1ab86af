"""Files that are damaged, touched, or find no room: one line, and only lost work is done again."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from attention_wavelets.store.arrays import open_group
from helpers.tiny_study import CONDITIONS, Project

STORE = "signals/tiny-llama/tiny.zarr.zip"
SEQUENCES = "sequences/tiny-llama/tiny.zarr.zip"
MEASURED = "measures/tiny-llama/tiny/paper"


def flip(path: Path, where: int) -> None:
    """Another byte at a place of a file."""
    data = bytearray(path.read_bytes())
    data[where] ^= 0xFF
    path.write_bytes(data)


def inside_a_chunk(path: Path) -> int:
    """A byte of the data of the largest member of a zip."""
    with zipfile.ZipFile(path) as archive:
        member = max(archive.infolist(), key=lambda info: info.file_size)
    return member.header_offset + 30 + len(member.filename) + member.file_size // 2


def measure(project: Project, out: Path) -> subprocess.CompletedProcess[str]:
    return project.cli(
        "measure-heads",
        *("--config", str(project.results / f"{MEASURED}.json")),
        *("--signals", str(project.results / STORE)),
        *("--heads", str(out / "h.parquet"), "--layers", str(out / "l.parquet")),
        *("--model-table", str(out / "m.parquet"), "--pairs", str(out / "p.parquet")),
    )


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_a_flipped_byte_in_a_store_is_found_and_nothing_is_written(copied: Project, tmp_path: Path):
    path = copied.results / STORE
    flip(path, inside_a_chunk(path))
    one_line(measure(copied, tmp_path), "tiny.zarr.zip")
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_truncated_store_is_one_line(copied: Project, tmp_path: Path):
    path = copied.results / STORE
    path.write_bytes(path.read_bytes()[:-2000])
    one_line(measure(copied, tmp_path), "tiny.zarr.zip")


def same_store(found: Path, expected: Path) -> None:
    for condition in CONDITIONS:
        with open_group(found, condition) as one, open_group(expected, condition) as other:
            assert set(one.variables) == set(other.variables)
            for name, values in other.variables.items():
                np.testing.assert_array_equal(one[name].values, values.values, err_msg=name)


def test_a_damaged_store_is_extracted_again_from_its_other_name_in_no_part(
    copied: Project, finished: Project
):
    """The work folder's store is a second name of the same bytes, and as damaged."""
    path = copied.results / STORE
    flip(path, inside_a_chunk(path))
    path.unlink()
    target = str(path.relative_to(copied.folder))
    done = copied.snakemake(target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Fetch model" not in done.stdout + done.stderr
    same_store(path, finished.results / STORE)


def test_a_damaged_table_is_one_line(copied: Project):
    table = copied.results / f"{MEASURED}/heads.parquet"
    # Inside a page of the largest column: between pages lies what no checksum covers.
    chunks = [pq.read_metadata(table).row_group(0).column(i) for i in range(8)]
    column = max(chunks, key=lambda chunk: chunk.total_compressed_size)
    flip(table, column.data_page_offset + column.total_compressed_size // 2)
    done = copied.snakemake("--forcerun", "aggregate_study", "--until", "aggregate_study")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "error: " in said
    assert "heads.parquet" in next(line for line in said.splitlines() if line.startswith("error: "))
    assert "Traceback" not in said


def test_damaged_sequences_are_one_line(copied: Project, tmp_path: Path):
    path = copied.results / SEQUENCES
    flip(path, inside_a_chunk(path))
    done = copied.cli(
        "extract-signals",
        *("--config", str(copied.results / "signals/tiny-llama/tiny.json")),
        *("--manifest", str(copied.results / "models/tiny-llama/manifest.json")),
        *("--sequences", str(path), "--out", str(tmp_path / "out.zarr.zip")),
        *("--work", str(tmp_path / "work")),
    )
    one_line(done, "tiny.zarr.zip")
    assert not (tmp_path / "out.zarr.zip").exists()


def test_touched_settings_and_modules_rerun_nothing(copied: Project):
    """Clock skew: small files are compared by content, whatever their times say."""
    order = [p for p in copied.results.rglob("*") if p.is_file() and p.stat().st_size < 10**6]
    random.Random(0).shuffle(order)
    for place, path in enumerate(order):
        os.utime(path, (10**9 + place, 10**9 + place))
    done = copied.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def mounted(folder: Path, *options: str) -> str:
    """Mount; why it is not possible, else nothing."""
    if os.geteuid() != 0:
        return "not root: nothing can be mounted"
    done = subprocess.run(
        ["mount", *options, str(folder)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else f"nothing can be mounted: {done.stderr.strip()}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB, all of it taken but some kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if why := mounted(folder, "-t", "tmpfs", "-o", "size=64m", "tmpfs"):
        pytest.skip(why)
    (folder / "ballast").write_bytes(b"\0" * (63 * 2**20 + 900_000))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def extract(project: Project, folder: Path) -> subprocess.CompletedProcess[str]:
    return project.cli(
        "extract-signals",
        *("--config", str(project.results / "signals/tiny-llama/tiny.json")),
        *("--manifest", str(project.results / "models/tiny-llama/manifest.json")),
        *("--sequences", str(project.results / SEQUENCES)),
        *("--out", str(folder / "out.zarr.zip"), "--work", str(folder / "work")),
        *("--threads", "2"),
    )


def test_a_full_disk_is_one_line_and_the_rerun_goes_on(finished: Project, small_disk: Path):
    done = extract(finished, small_disk)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "No space left" in line
    assert not list(small_disk.rglob("*.part*"))
    assert not (small_disk / "out.zarr.zip").exists()
    (small_disk / "ballast").unlink()
    assert extract(finished, small_disk).returncode == 0
    same_store(small_disk / "out.zarr.zip", finished.results / STORE)


def test_read_only_results_are_one_line(copied: Project, tmp_path: Path):
    folder = tmp_path / "results"
    shutil.copytree(copied.results, folder)
    if why := mounted(folder, "-t", "none", "-o", "bind", str(folder)):
        pytest.skip(why)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        done = measure(copied, folder / "new")
        one_line(done, "Read-only file system", "new")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_nan_weights_stop_before_anything_is_written(copied: Project, tmp_path: Path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(_source(copied), tmp_path / "llama"))
    weights = load_file(folder / "model.safetensors")
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    manifest = tmp_path / "manifest.json"
    override = f"model.tiny-llama.source.path={folder}"
    fetched = copied.cli(
        "fetch-model", "--model", "tiny-llama", "--out", str(manifest), "study=tiny", override
    )
    assert fetched.returncode == 0, fetched.stderr
    done = copied.cli(
        "extract-signals",
        *("--config", str(copied.results / "signals/tiny-llama/tiny.json")),
        *("--manifest", str(manifest), "--sequences", str(copied.results / SEQUENCES)),
        *("--out", str(tmp_path / "out.zarr.zip"), "--work", str(tmp_path / "work")),
    )
    one_line(done, "NaN or infinity in weight")
    assert not (tmp_path / "out.zarr.zip").exists()


def _source(project: Project) -> Path:
    import yaml

    values = yaml.safe_load(project.yaml("model/tiny-llama").read_text(encoding="utf-8"))
    return Path(values["source"]["path"])
