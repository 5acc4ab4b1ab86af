"""Documents from every format, and their way through the Parquet file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attention_wavelets.config.schema import Text
from attention_wavelets.corpora.documents import READERS, Document, read_documents
from attention_wavelets.errors import PipelineError
from attention_wavelets.store import documents as store


def test_every_format_of_the_schema_has_a_reader() -> None:
    assert {*READERS, "sound", "pictures"} == set(get_args(Text.model_fields["format"].annotation))


def test_each_text_file_is_one_document(tmp_path: Path, text_settings) -> None:
    (tmp_path / "one.txt").write_text("First line.\n\nSecond.\n", encoding="utf-8")
    (tmp_path / "two.txt").write_bytes("\ufeffÄrger".encode())
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    assert list(read_documents(text_settings(), files)) == [
        Document("one", "First line.\n\nSecond.\n"),
        Document("two", "Ärger"),
    ]


def test_mediawiki_files_are_read_by_their_reader(tmp_path: Path, text_settings) -> None:
    path = tmp_path / "d.xml"
    path.write_text(
        "<mediawiki><page><title>T</title><ns>0</ns>"
        "<revision><text>[[a]]</text></revision></page></mediawiki>"
    )
    assert list(read_documents(text_settings(format="mediawiki"), [path])) == [Document("T", "a")]


def test_short_and_blank_documents_are_dropped(tmp_path: Path, text_settings) -> None:
    files = []
    for name, text in {"blank": " \n ", "four": "  four ", "five5": "five5"}.items():
        files.append(tmp_path / name)
        files[-1].write_text(text)
    titles = [document.title for document in read_documents(text_settings(), files)]
    assert titles == ["four", "five5"]
    kept = read_documents(text_settings(min_characters=5), files)
    assert [document.title for document in kept] == ["five5"]


def test_json_lines_name_their_text_by_field_and_may_have_titles(
    tmp_path: Path, text_settings
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"body": "A\\nb", "title": "T"}\n\n{"body": "C"}\n', encoding="utf-8")
    settings = text_settings(format="jsonl", field="body")
    assert list(read_documents(settings, [path])) == [Document("T", "A\nb"), Document("d 3", "C")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"body": "x"}', r"line 2: key 'text' is missing.*body"),
        ('{"text": 3}', r"line 2: key 'text' is no string"),
        ('["x"]', r"line 2: not a JSON object"),
        ('{"text": ', r"line 2: not valid JSON"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, text_settings, line: str, message: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"text": "fine"}) + "\n" + line + "\n")
    with pytest.raises(PipelineError, match=message):
        list(read_documents(text_settings(format="jsonl"), [path]))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_rows_are_documents_across_row_groups(tmp_path: Path, text_settings, kind) -> None:
    path = tmp_path / "d.parquet"
    bodies = ["a", None, "c", "d", "e"]
    table = pa.table({"id": range(5), "body": pa.array(bodies, kind), "title": list("VWXYZ")})
    pq.write_table(table, path, row_group_size=2)
    settings = text_settings(format="parquet", field="body")
    found = [(document.title, document.text) for document in read_documents(settings, [path])]
    assert found == [("V", "a"), ("X", "c"), ("Y", "d"), ("Z", "e")]


def test_parquet_without_titles_names_file_and_row(tmp_path: Path, text_settings) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "title": [1, 2]}), path)
    found = read_documents(text_settings(format="parquet"), [path])
    assert [document.title for document in found] == ["d 1", "d 2"]


def test_a_title_column_may_be_the_text(tmp_path: Path, text_settings) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"title": ["a"]}), path)
    found = list(read_documents(text_settings(format="parquet", field="title"), [path]))
    assert found == [Document("a", "a")]


@pytest.mark.parametrize(
    ("field", "message"), [("body", "'body' is missing.*number, words"), ("number", "int64.*words")]
)
def test_a_wrong_parquet_column_lists_the_right_ones(
    tmp_path: Path, text_settings, field: str, message: str
) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"words": ["a"], "number": [1]}), path)
    with pytest.raises(PipelineError, match=message):
        list(read_documents(text_settings(format="parquet", field=field), [path]))


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "mediawiki"])
@pytest.mark.parametrize("damage", ["absent", "binary"])
def test_missing_and_damaged_files_are_one_line_naming_the_file(
    tmp_path: Path, text_settings, kind: str, damage: str
) -> None:
    path = tmp_path / f"{damage}.dat"
    if damage == "binary":
        path.write_bytes(b"PAR1\xff\xfe\x00\x9d" * 9)
    with pytest.raises(PipelineError) as caught:
        list(read_documents(text_settings(format=kind), [path]))
    assert str(caught.value).startswith(f"{path}")
    assert "\n" not in str(caught.value)


def test_no_file_is_an_error_naming_the_pattern(text_settings) -> None:
    with pytest.raises(PipelineError, match=r"Test notes: no file matches '\*\.txt'"):
        read_documents(text_settings(files="*.txt"), [])


def test_documents_come_back_from_the_store_with_their_provenance(
    tmp_path: Path, text_settings
) -> None:
    path = tmp_path / "deep" / "documents.parquet"
    documents = [Document(f"T{number}", "ä" * number + "\n") for number in range(300)]
    assert store.write_documents(path, iter(documents), text_settings()) == 300
    frame = store.read_documents(path)
    assert list(frame.columns) == store.SCHEMA.names
    assert frame["document"].tolist() == list(range(300))
    assert frame["document"].dtype == "int32"
    assert frame["characters"].tolist() == [number + 1 for number in range(300)]
    assert frame["text"].tolist() == [document.text for document in documents]
    assert frame.loc[7, ["title", "language", "source", "licence"]].tolist() == [
        "T7",
        "en",
        "Test notes",
        "CC0-1.0",
    ]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path, text_settings) -> None:
    for name in ("a", "b"):
        store.write_documents(tmp_path / name, [Document("T", "x")], text_settings())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_document_is_an_error_and_leaves_nothing(tmp_path: Path, text_settings) -> None:
    with pytest.raises(PipelineError, match="Test notes: no document of at least 7 characters"):
        store.write_documents(tmp_path / "d.parquet", [], text_settings(min_characters=7))
    assert list(tmp_path.iterdir()) == []


def test_an_error_half_way_keeps_the_old_file_and_leaves_no_part(
    tmp_path: Path, text_settings
) -> None:
    path = tmp_path / "d.parquet"
    store.write_documents(path, [Document("T", "old")], text_settings())

    def documents():
        yield from (Document("T", "new") for _ in range(200))
        raise PipelineError("damaged")

    with pytest.raises(PipelineError, match="damaged"):
        store.write_documents(path, documents(), text_settings())
    assert [file.name for file in tmp_path.iterdir()] == ["d.parquet"]
    assert store.read_documents(path)["text"].tolist() == ["old"]


def test_reading_a_missing_damaged_or_foreign_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"absent\.parquet: file is missing"):
        store.read_documents(tmp_path / "absent.parquet")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 no more")
    with pytest.raises(PipelineError, match=r"damaged\.parquet: not a readable"):
        store.read_documents(damaged)
    foreign = tmp_path / "foreign.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(foreign)
    with pytest.raises(PipelineError, match=r"foreign\.parquet: columns are x"):
        store.read_documents(foreign)
