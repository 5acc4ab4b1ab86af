"""What the files hold, how they are laid out, and what a damaged one says."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_wavelets.config.schema import Text
from attention_wavelets.corpora.documents import Document
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.arrays import (
    SEQUENCES_PER_CHUNK,
    Group,
    Variable,
    open_group,
    read_attributes,
    write_store,
)
from attention_wavelets.store.atomic import read_json, write_json
from attention_wavelets.store.documents import SCHEMA, read_documents, write_documents
from attention_wavelets.store.sequences import read_sequences
from attention_wavelets.store.tables import (
    iterate_table,
    read_csv,
    read_table,
    table_writer,
    write_csv,
)

TEXT = Text.model_validate(
    {
        "source": {"kind": "local", "path": "notes"},
        "format": "text",
        "language": "en",
        "title": "Notes",
        "licence": "CC0-1.0",
    }
)


def _signals(sequences: int = 150) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.random((sequences, 3, 2, 16)).astype(np.float32)


def _written(path: Path, signals: np.ndarray) -> Path:
    dims = ("sequence", "layer", "head", "position")
    documents = np.arange(len(signals), dtype=np.int32)
    variables = {
        "received": Variable.of(signals, dims, key="abc"),
        "document": Variable.of(documents, ("sequence",)),
    }
    write_store(path, {"full": Group(variables, {"tokens": 16})}, {"model": "tiny"})
    return path


def test_equal_content_gives_equal_bytes(tmp_path: Path):
    first = _written(tmp_path / "a.zarr.zip", _signals())
    second = _written(tmp_path / "b" / "other.zarr.zip", _signals())
    assert first.read_bytes() == second.read_bytes()


def test_a_store_reads_back_exactly(tmp_path: Path):
    signals = _signals()
    path = _written(tmp_path / "a.zarr.zip", signals)
    with open_group(path, "full") as dataset:
        assert dataset["received"].dims == ("sequence", "layer", "head", "position")
        np.testing.assert_array_equal(dataset["received"].values, signals)
        np.testing.assert_array_equal(dataset["received"][:, 1].values, signals[:, 1])
        assert dataset["received"].attrs["key"] == "abc"
        assert dataset.attrs["tokens"] == 16
    assert read_attributes(path) == {"model": "tiny", "groups": ["full"]}


def test_a_store_is_an_uncompressed_zip_without_doubled_entries(tmp_path: Path):
    path = _written(tmp_path / "a.zarr.zip", _signals())
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert len({entry.filename for entry in entries}) == len(entries)


def test_a_chunk_holds_64_sequences_and_one_layer_in_zstd(tmp_path: Path):
    path = _written(tmp_path / "a.zarr.zip", _signals())
    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read("full/received/zarr.json"))
    assert SEQUENCES_PER_CHUNK == 64
    assert facts["chunk_grid"]["configuration"]["chunk_shape"] == [64, 1, 2, 16]
    assert [codec["name"] for codec in facts["codecs"]] == ["bytes", "zstd"]
    assert facts["dimension_names"] == ["sequence", "layer", "head", "position"]
    assert facts["data_type"] == "float32"


def test_an_undefined_signal_stays_nan(tmp_path: Path):
    signals = _signals(2)
    signals[1, 2, 0] = np.nan
    path = _written(tmp_path / "a.zarr.zip", signals)
    with open_group(path, "full") as dataset:
        np.testing.assert_array_equal(dataset["received"].values, signals)


def test_a_group_that_is_not_there_is_named(tmp_path: Path):
    path = _written(tmp_path / "a.zarr.zip", _signals(2))
    with pytest.raises(PipelineError, match="has no group 'half'"), open_group(path, "half"):
        pass


# What opens each kind of file, and a whole one to damage.
READERS: dict[str, Callable[[Path], object]] = {
    "a.json": read_json,
    "a.parquet": read_table,
    "b.parquet": lambda path: list(iterate_table(path)),
    "documents.parquet": read_documents,
    "a.csv": read_csv,
    "a.zarr.zip": read_attributes,
    "ids.zarr.zip": lambda path: read_sequences(path, "full"),
}
each_reader = pytest.mark.parametrize("name", READERS)


def _whole(path: Path) -> Path:
    if path.name.endswith(".zarr.zip"):
        return _written(path, _signals(2))
    if path.suffix == ".json":
        write_json(path, {"a": list(range(50))})
    elif path.suffix == ".csv":
        write_csv(path, pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}))
    elif path.name == "documents.parquet":
        pq.write_table(pa.Table.from_pylist([], schema=SCHEMA), path)
    else:
        with table_writer(path) as writer:
            writer.append(pd.DataFrame({"a": np.arange(500.0)}))
    return path


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    # Within the last line of a CSV, which by itself holds neither length nor checksum.
    "truncated": lambda content: content[: len(content) // 2] + b'"',
    "empty": lambda _: b"",
    "not the format": lambda _: b'\xff\0x\n"1',
}


@each_reader
def test_a_missing_file_is_named(name: str, tmp_path: Path):
    with pytest.raises(PipelineError) as caught:
        READERS[name](tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: file is missing; ")


@pytest.mark.parametrize("damage", DAMAGES)
@each_reader
def test_a_damaged_file_is_named_in_one_line(name: str, damage: str, tmp_path: Path):
    path = _whole(tmp_path / name)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(PipelineError) as caught:
        READERS[name](path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.parquet", "b.parquet", "documents.parquet", "a.zarr.zip"])
def test_a_flipped_bit_is_no_number(name: str, tmp_path: Path):
    path = tmp_path / name
    if name == "documents.parquet":
        write_documents(path, [Document("A", "words " * 50)] * 9, TEXT)
    else:
        _whole(path)
    content = bytearray(path.read_bytes())
    # The first bytes of the data: of the first page, or of the first chunk.
    place = content.index(b"\x28\xb5\x2f\xfd") + 12
    content[place] ^= 1
    path.write_bytes(content)

    def read() -> object:
        if name != "a.zarr.zip":
            return READERS[name](path)
        with open_group(path, "full") as dataset:
            return [dataset[key].values for key in dataset.data_vars]

    with pytest.raises(PipelineError, match=r"damaged|not a readable") as caught:
        read()
    assert str(path) in str(caught.value)


READ_AND_STOP = """
import sys
from pathlib import Path
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.arrays import open_group
try:
    with open_group(Path(sys.argv[1]), "full") as dataset:
        dataset["received"].values
except PipelineError as error:
    sys.exit(str(error))
"""


def test_reads_of_other_chunks_say_nothing_after_the_error(tmp_path: Path):
    path = _written(tmp_path / "a.zarr.zip", _signals(64 * 20))
    content = bytearray(path.read_bytes())
    # The data of the first of its chunks.
    content[content.index(b"\x28\xb5\x2f\xfd", content.index(b"received/c/0/0/0/0")) + 12] ^= 1
    path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ_AND_STOP, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if str(path) not in line] == []
    assert "damaged" in done.stderr


def test_documents_of_another_shape_are_refused(tmp_path: Path):
    path = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(PipelineError, match="columns are text, not document, title"):
        read_documents(path)


def test_a_table_is_written_and_read_piece_by_piece(tmp_path: Path):
    frames = [pd.DataFrame({"layer": [n, n], "x": [0.1 * n, np.nan]}) for n in range(3)]
    with table_writer(tmp_path / "a.parquet") as writer:
        for frame in frames:
            writer.append(frame)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    for read, frame in zip(iterate_table(tmp_path / "a.parquet"), frames, strict=True):
        pd.testing.assert_frame_equal(read, frame)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "a.parquet"), pd.concat(frames, ignore_index=True)
    )


def test_a_table_without_rows_is_no_file(tmp_path: Path):
    with (
        pytest.raises(PipelineError, match="no rows were written"),
        table_writer(tmp_path / "a.parquet"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=20))
def test_csv_floats_round_trip_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(path, pd.DataFrame({"x": values, "name": "a"}))
    np.testing.assert_array_equal(read_csv(path)["x"].to_numpy(dtype=float), values)


def test_csv_floats_of_17_digits_round_trip_exactly(tmp_path: Path):
    """Parsers that are one unit off in the last place would be for some of these."""
    values = np.random.default_rng(0).random(20_000) * 10.0 ** np.arange(-10, 10).repeat(1000)
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": values}))
    np.testing.assert_array_equal(read_csv(tmp_path / "a.csv")["x"].to_numpy(), values)


def test_csv_keeps_empty_text_and_missing_numbers_apart(tmp_path: Path):
    frame = pd.DataFrame({"of": ["", "NA"], "x": [np.nan, 1.0], "locked": [True, False]})
    write_csv(tmp_path / "a.csv", frame)
    read = read_csv(tmp_path / "a.csv")
    assert list(read["of"]) == ["", "NA"]
    assert np.isnan(read["x"][0])
    assert list(read["locked"]) == [True, False]


def test_a_csv_of_numbers_has_no_comma_in_any_locale(tmp_path: Path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [0.1]}))
    assert (tmp_path / "a.csv").read_bytes() == b"x\n0.10000000000000001\n"
