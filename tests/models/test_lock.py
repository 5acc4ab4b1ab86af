"""The lock file: sorted, commented, refused when damaged."""

from __future__ import annotations

import pytest

from attention_wavelets.config.lock import read_lock
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.lock import write_lock

# A commit whose digits YAML would read as a number were it not quoted.
_LOCK = {"b/x@main": "1" * 20 + "e" + "1" * 19, "a/y@step1": "ab" * 20}


def test_lock_comes_back_as_written_sorted_under_a_comment(tmp_path):
    path = tmp_path / "revisions.lock.yaml"
    write_lock(path, _LOCK)
    assert read_lock(path) == _LOCK
    text = path.read_text()
    assert text.startswith("#")
    assert text.index("a/y@step1") < text.index("b/x@main")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_absent_or_empty_lock_is_empty(tmp_path):
    path = tmp_path / "lock.yaml"
    assert read_lock(path) == {}
    write_lock(path, {})
    assert read_lock(path) == {}


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "'a@main': main", "plain: " + "a" * 40])
def test_a_damaged_lock_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "lock.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError, match=r"lock\.yaml"):
        read_lock(path)
