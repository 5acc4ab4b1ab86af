"""Frames that a stopped job has finished."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from attention_wavelets.store.kept import Kept


def frame(number: float) -> pd.DataFrame:
    return pd.DataFrame({"loss": [number, number + 1], "energy": [float("nan"), 1.0]})


def refused() -> pd.DataFrame:
    raise AssertionError("made again")


def test_a_frame_is_made_once_also_by_the_next_job(tmp_path: Path):
    first = Kept(tmp_path / "work")
    for _ in range(2):
        made = first.get("a", lambda: frame(1))
    pd.testing.assert_frame_equal(made, frame(1))
    stopped = Kept(tmp_path / "work")
    pd.testing.assert_frame_equal(stopped.get("a", refused), frame(1))
    stopped.pack()
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["done.parquet"]
    pd.testing.assert_frame_equal(Kept(tmp_path / "work").get("a", refused), frame(1))


def test_packing_keeps_what_was_asked_for_only(tmp_path: Path):
    kept = Kept(tmp_path)
    for key, number in (("a", 1), ("b", 2)):
        kept.get(key, lambda n=number: frame(n))
    second = Kept(tmp_path)
    second.get("b", refused)
    second.pack()
    again = Kept(tmp_path)
    pd.testing.assert_frame_equal(again.get("b", refused), frame(2))
    pd.testing.assert_frame_equal(again.get("a", lambda: frame(3)), frame(3))


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_made_again(tmp_path: Path, packed: bool):
    kept = Kept(tmp_path)
    kept.get("a", lambda: frame(1))
    if packed:
        kept.pack()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    pd.testing.assert_frame_equal(Kept(tmp_path).get("a", lambda: frame(5)), frame(5))
    pd.testing.assert_frame_equal(Kept(tmp_path).get("a", refused), frame(5))


def test_nothing_asked_for_leaves_nothing(tmp_path: Path):
    kept = Kept(tmp_path / "work")
    kept.pack()
    assert not (tmp_path / "work").exists()
