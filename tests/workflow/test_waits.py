"""Which weights leave the disk before others are fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attention_wavelets.resources.waits import noted_waits, waits


def most_at_once(waiting: dict[str, str | None]) -> int:
    """Most models between fetch and eviction if each begins as soon as it may."""
    left, there, most = dict(waiting), [], 0
    while left or there:
        begin = [m for m, before in left.items() if before not in (*left, *there)]
        assert begin or there, f"{left} wait for one another"
        there += begin
        for model in begin:
            del left[model]
        most = max(most, len(there))
        there.pop(0)
    return most


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_no_more_than_asked_are_there_at_once(most: int):
    models = [f"m{n}" for n in range(8)]
    assert most_at_once(waits(models, models, {}, most)) == min(most, 8)


def test_models_that_are_kept_wait_for_nobody():
    assert waits(["a", "b", "c"], ["a", "c"], {}, 1) == {"a": None, "b": None, "c": "a"}


def test_what_was_fetched_before_waits_for_what_it_waited_for():
    before = waits(["a", "b", "c"], ["a", "b", "c"], {}, 1)
    models = ["c", "x", "b", "a"]
    now = waits(models, models, before, 2)
    assert {m: now[m] for m in before} == before
    assert most_at_once(now) <= 3


def test_a_new_model_does_not_wait_for_one_that_waits_for_it():
    # `b` once waited for `a`, which was forgotten and stands behind it now.
    found = waits(["b", "a"], ["b", "a"], {"b": "a"}, 1)
    assert found == {"b": "a", "a": None}


def test_notes_are_read_and_damaged_ones_count_as_none(tmp_path: Path):
    notes = {"a/evicted.json": {"after": None}, "b/weights.json": {"after": "a"}}
    for name, note in notes.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(note))
    (tmp_path / "c").mkdir()
    (tmp_path / "c/evicted.json").write_text("[1")
    assert noted_waits(tmp_path, ["a", "b", "c", "d"]) == {"a": None, "b": "a"}
