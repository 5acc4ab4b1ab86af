"""The documents of a corpus as one Parquet file, each row with its source and licence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attention_wavelets.config.schema import Text
from attention_wavelets.corpora.documents import Document
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import replacing

__all__ = [
    "SCHEMA",
    "read_documents",
    "read_lengths",
    "read_texts",
    "text_bytes",
    "write_documents",
]

SCHEMA = pa.schema(
    [
        ("document", pa.int32()),
        ("title", pa.string()),
        ("group", pa.string()),
        ("text", pa.string()),
        ("content", pa.binary()),
        ("characters", pa.int32()),
        ("language", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
    ]
)
# Few enough to stay small in memory, many enough to compress.
ROWS_PER_GROUP = 128


def write_documents(path: Path, documents: Iterable[Document], text: Text) -> int:
    """Write documents in the order they come, numbered from 0, and return how many there are.

    One row each: document, title, group (of a drawn series), text, content (of a sound or a
    picture, whose text is empty), characters (of the text), and from `text` the language, source
    (its title) and licence. Documents are streamed; the file appears whole or not at all. No
    document at all is a `PipelineError`.
    """
    count = 0
    with replacing(path) as partial:
        with pq.ParquetWriter(
            partial, SCHEMA, compression="zstd", write_page_checksum=True
        ) as writer:
            for batch in _batches(documents):
                writer.write_table(_table(batch, count, text))
                count += len(batch)
        if not count:
            raise PipelineError(
                f"no document of at least {max(text.min_characters, 1)} characters",
                text.title,
                "check `source`, `format` and `min_characters` of the corpus",
            )
    return count


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, ROWS_PER_GROUP)):
        yield batch


def _table(batch: list[Document], first: int, text: Text) -> pa.Table:
    rows = len(batch)
    columns = {
        "document": list(range(first, first + rows)),
        "title": [document.title for document in batch],
        "group": [document.group for document in batch],
        "text": [document.text for document in batch],
        "content": [document.content for document in batch],
        "characters": [len(document.text) for document in batch],
        "language": [text.language] * rows,
        "source": [text.title] * rows,
        "licence": [text.licence] * rows,
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def read_documents(path: Path) -> pd.DataFrame:
    """Read what `write_documents` wrote; a missing or damaged file is a `PipelineError`."""
    with _opened(path) as file:
        frame: pd.DataFrame = file.read().to_pandas()
    return frame


def read_lengths(path: Path) -> list[int]:
    """Characters of each document, without reading the texts; errors as of `read_documents`."""
    with _opened(path) as file:
        found: list[int] = file.read(columns=["characters"])["characters"].to_pylist()
    return found


def read_texts(path: Path) -> Iterator[str]:
    """Texts of the documents, in order, few in memory at a time; errors as of `read_documents`."""
    with _opened(path) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=["text"]):
            yield from batch["text"].to_pylist()


def text_bytes(path: Path) -> int | None:
    """Bytes of all texts, from the file's index alone; None without a readable file."""
    column = SCHEMA.names.index("text")
    try:
        index = pq.read_metadata(path)
        groups = (index.row_group(number) for number in range(index.num_row_groups))
        return int(sum(group.column(column).total_uncompressed_size for group in groups))
    except (OSError, IndexError, pa.ArrowException):
        return None


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _refuse_other(file.schema_arrow, path)
            yield file
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "run the rule build_corpus") from None
    except (OSError, pa.ArrowException) as error:
        raise PipelineError(
            f"not a readable Parquet file ({error})", str(path), "delete the file and run again"
        ) from None


def _refuse_other(schema: pa.Schema, path: Path) -> None:
    if not schema.equals(SCHEMA):
        raise PipelineError(
            f"columns are {', '.join(schema.names)}, not {', '.join(SCHEMA.names)}",
            str(path),
            "delete the file and run again",
        )
