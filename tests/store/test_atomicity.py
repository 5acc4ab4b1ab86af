"""Every writer keeps one contract: a file appears whole or not at all, and nothing else is left."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr

from attention_wavelets.config.schema import Text
from attention_wavelets.corpora.documents import Document
from attention_wavelets.corpora.sequences import Sequences
from attention_wavelets.store.arrays import Group, Variable, write_store
from attention_wavelets.store.atomic import replacing, write_json, write_text
from attention_wavelets.store.documents import write_documents
from attention_wavelets.store.sequences import write_sequences
from attention_wavelets.store.tables import table_writer, write_csv

TEXT = Text.model_validate(
    {
        "source": {"kind": "local", "path": "notes"},
        "format": "text",
        "language": "en",
        "title": "Notes",
        "licence": "CC0-1.0",
    }
)


class Broken:
    """Breaks the moment a writer touches its content, by raising what it was given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def _break(self, *_: object) -> None:
        raise self.error

    __str__ = __repr__ = __array__ = __len__ = _break


def _documents(count: int, error: BaseException | None) -> Iterator[Document]:
    for number in range(count):
        yield Document(f"Document {number}", f"text {number}")
    if error:
        raise error


def _json(path: Path, value: int, error: BaseException | None) -> None:
    # A key that breaks when sorted: json reads the content before anything is written.
    write_json(path, {"value": value, **({Broken(error): 1} if error else {})})


def _text(path: Path, value: int, error: BaseException | None) -> None:
    with replacing(path) as partial:
        partial.write_text(str(value))
        if error:
            raise error


def _csv(path: Path, value: int, error: BaseException | None) -> None:
    column: list[object] = [value] * 100
    write_csv(path, pd.DataFrame({"value": [*column, Broken(error)] if error else column}))


def _table(path: Path, value: int, error: BaseException | None) -> None:
    with table_writer(path) as writer:
        writer.append(pd.DataFrame({"value": [value]}))
        if error:
            raise error


def _store(path: Path, value: int, error: BaseException | None) -> None:
    def read(start: int, stop: int) -> np.ndarray:
        # The first chunk is on disk when the second breaks.
        if error and start:
            raise error
        return np.full((stop - start, 2), value, dtype=np.float32)

    variable = Variable(("sequence", "layer"), (100, 2), np.dtype(np.float32), read)
    write_store(path, {"full": Group({"value": variable})}, {})


def _sequences(path: Path, value: int, error: BaseException | None) -> None:
    ids = np.full((3, 8), value, dtype=np.int32)
    line = np.zeros(3, dtype=np.int32)
    made = Sequences(ids, ids == -1, ids, line, line)
    conditions = {"full": made}
    if error:
        object.__setattr__(made, "start", Broken(error))
    write_sequences(path, conditions, {})


def _corpus(path: Path, value: int, error: BaseException | None) -> None:
    # More than one batch, so that part of the file is written when it breaks.
    write_documents(path, _documents(200 + value, error), TEXT)


@dataclass(frozen=True)
class Writer:
    """Writes `value`, or breaks halfway; `read` gets it back without the code under test."""

    name: str
    write: Callable[[Path, int, BaseException | None], None]
    read: Callable[[Path], int]


def _zarr_value(path: Path, name: str) -> int:
    assert zipfile.ZipFile(path).testzip() is None
    with zarr.storage.ZipStore(path, mode="r") as store:
        return int(np.asarray(zarr.open_group(store, mode="r")[f"full/{name}"])[-1, -1])


WRITERS = [
    Writer("value.json", _json, lambda p: json.loads(p.read_text())["value"]),
    Writer("value.txt", _text, lambda p: int(p.read_text())),
    Writer("value.csv", _csv, lambda p: int(p.read_text().splitlines()[-1])),
    Writer("value.parquet", _table, lambda p: pq.read_table(p)["value"][0].as_py()),
    Writer("value.zarr.zip", _store, lambda p: _zarr_value(p, "value")),
    Writer("ids.zarr.zip", _sequences, lambda p: _zarr_value(p, "ids")),
    Writer("documents.parquet", _corpus, lambda p: pq.read_table(p).num_rows - 200),
]
each_writer = pytest.mark.parametrize("writer", WRITERS, ids=lambda w: w.name)
each_error = pytest.mark.parametrize(
    "error", [RuntimeError("in the middle"), KeyboardInterrupt()], ids=["failure", "interrupt"]
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@each_writer
def test_a_written_file_is_whole_and_alone(writer: Writer, tmp_path: Path):
    path = tmp_path / "new" / "folder" / writer.name
    writer.write(path, 1, None)
    assert writer.read(path) == 1
    assert names(path.parent) == [writer.name]


@each_writer
def test_an_old_file_is_replaced(writer: Writer, tmp_path: Path):
    path = tmp_path / writer.name
    writer.write(path, 1, None)
    writer.write(path, 2, None)
    assert writer.read(path) == 2
    assert names(tmp_path) == [writer.name]


@each_error
@each_writer
def test_a_failure_leaves_nothing(writer: Writer, error: BaseException, tmp_path: Path):
    with pytest.raises((type(error), TypeError)):
        writer.write(tmp_path / writer.name, 1, error)
    assert names(tmp_path) == []


@each_error
@each_writer
def test_a_failure_leaves_the_old_file(writer: Writer, error: BaseException, tmp_path: Path):
    path = tmp_path / writer.name
    writer.write(path, 1, None)
    before = path.read_bytes()
    with pytest.raises((type(error), TypeError)):
        writer.write(path, 2, error)
    assert path.read_bytes() == before
    assert names(tmp_path) == [writer.name]


@each_writer
def test_a_folder_in_the_way_is_no_silent_success(writer: Writer, tmp_path: Path):
    (tmp_path / writer.name).mkdir()
    with pytest.raises(OSError):
        writer.write(tmp_path / writer.name, 1, None)
    assert names(tmp_path) == [writer.name]
    assert names(tmp_path / writer.name) == []


def test_a_reader_never_sees_a_half_written_file(tmp_path: Path):
    path = tmp_path / "value.txt"
    write_text(path, "old")
    with replacing(path) as partial:
        partial.write_text("half")
        assert path.read_text() == "old"
        partial.write_text("new")
    assert path.read_text() == "new"


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path):
    with replacing(tmp_path / "a.json") as first, replacing(tmp_path / "a.json") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert names(tmp_path) == ["a.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from attention_wavelets.store.atomic import folder_beside, replacing

path = Path(sys.argv[1])
with folder_beside(path) as folder, replacing(path) as partial:
    (folder / "a").write_text("half")
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_has_left_goes_when_the_file_is_written_again(tmp_path: Path):
    path = tmp_path / "a.zarr.zip"
    other = tmp_path / ".a.zarr.00000000-1-00000000.part.zip"
    other.write_text("of another machine")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert not path.exists()
    # The second writer has removed what the first had left.
    assert len(names(tmp_path)) == 3
    with replacing(path) as first, replacing(path) as second:
        # Writers that still run keep what they have.
        first.write_text("1")
        second.write_text("2")
    assert names(tmp_path) == sorted([other.name, path.name])


def test_nan_is_refused_in_json_and_the_old_file_stays(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}
