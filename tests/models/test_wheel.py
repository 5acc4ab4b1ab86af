"""Members taken out of a wheel that pip fetches from a folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from attention_wavelets.config.schema import WheelSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources import fetch_files
from attention_wavelets.sources.wheel import fetch_wheel

_TEXT = b"the quick brown fox " * 50
_SHA = hashlib.sha256(_TEXT).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A folder with one wheel, the only index pip sees."""
    folder = tmp_path / "index"
    folder.mkdir()
    meta = "aw_toy-1.0.dist-info"
    with zipfile.ZipFile(folder / "aw_toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("aw_toy/data/text.txt", _TEXT)
        archive.writestr("../../climbed.txt", _TEXT)
        archive.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: aw-toy\nVersion: 1.0\n")
        archive.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{meta}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _source(member: str = "aw_toy/data/text.txt", sha: str = _SHA, version: str = "1.0"):
    return WheelSource(kind="wheel", distribution="aw-toy", version=version, files={member: sha})


def _left(cache: Path) -> list[str]:
    """Every file in the cache but locks."""
    return [p.name for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_member_is_taken_out_and_the_wheel_removed(index, cache):
    fetched = fetch_wheel(_source())
    path = fetched.paths["aw_toy/data/text.txt"]
    assert path.read_bytes() == _TEXT
    assert (fetched.revision, fetched.locked) == ("1.0", True)
    assert _left(cache) == ["text.txt"]


def test_a_fetched_member_needs_no_index(index):
    first = fetch_wheel(_source())
    next(index.iterdir()).unlink()
    assert fetch_wheel(_source()) == first


def test_a_damaged_member_is_fetched_again(index):
    path = fetch_wheel(_source()).paths["aw_toy/data/text.txt"]
    path.write_bytes(b"x" * len(_TEXT))
    assert fetch_wheel(_source()).paths["aw_toy/data/text.txt"].read_bytes() == _TEXT


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(index, cache):
    with pytest.raises(PipelineError, match="checksum mismatch"):
        fetch_wheel(_source(sha="0" * 64))
    assert _left(cache) == []


def test_a_missing_member_is_an_error_with_the_nearest_name(index, cache):
    with pytest.raises(PipelineError, match=r"did you mean 'aw_toy/data/text\.txt'"):
        fetch_wheel(_source("aw_toy/data/test.txt"))
    assert _left(cache) == []


@pytest.mark.parametrize("member", ["../../climbed.txt", "/climbed.txt", "a\\..\\b", "a/../b"])
def test_a_name_that_climbs_out_of_the_archive_is_refused(index, cache, tmp_path, member):
    with pytest.raises(PipelineError, match="not a plain path"):
        fetch_wheel(_source(member))
    assert not list(tmp_path.rglob("climbed.txt"))


def test_a_missing_version_is_an_error_in_pips_words(index):
    with pytest.raises(PipelineError, match=r"No matching distribution|Could not find") as caught:
        fetch_wheel(_source(version="2.0"))
    assert "aw-toy 2.0" in str(caught.value)


def test_credentials_of_the_index_stay_out_of_errors(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:sesame@127.0.0.1:9/simple")
    with pytest.raises(PipelineError) as caught:
        fetch_wheel(_source(version="2.0"))
    assert "sesame" not in str(caught.value)


def test_a_damaged_wheel_is_an_error(index, cache):
    wheel = next(index.iterdir())
    wheel.write_bytes(wheel.read_bytes()[:200])
    with pytest.raises(PipelineError, match="aw-toy"):
        fetch_wheel(_source())
    assert _left(cache) == []


def test_files_of_a_wheel_are_picked_by_pattern(index):
    assert list(fetch_files(_source(), "*.txt").paths) == ["aw_toy/data/text.txt"]
    with pytest.raises(PipelineError, match="no file matches"):
        fetch_files(_source(), "*.parquet")


def test_a_disk_without_room_is_one_line_and_leaves_nothing(index, cache):
    if os.geteuid() != 0:
        pytest.skip("not root: no small file system can be mounted")
    cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(cache)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted: {done.stderr.strip()}")
    try:
        with pytest.raises(PipelineError, match=r"0\.0 MiB to fetch, 0\.0 MiB free on the disk of"):
            fetch_wheel(_source())
        assert _left(cache) == []
    finally:
        subprocess.run(["umount", str(cache)], check=True)
