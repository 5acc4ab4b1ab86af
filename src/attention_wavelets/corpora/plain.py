"""Documents in plain text, JSON lines and Parquet files, read a piece at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from attention_wavelets.errors import PipelineError

__all__ = ["parquet_rows", "read_jsonl", "read_parquet", "read_text"]

TITLE = "title"
BATCH_ROWS = 256


def read_text(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the one document (file name without suffix, text) of a UTF-8 text file."""
    try:
        yield path.stem, path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "UTF-8 text", error) from None


def read_jsonl(path: Path, field: str) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of each line of a UTF-8 JSON-lines file.

    `field` names the key of the text; the key "title" is used where there is one, else the file and
    line. Blank lines are passed over. A line that is no JSON object or lacks the key is an error
    that names the line.
    """
    try:
        with path.open(encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield _record(line, field, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "JSON lines in UTF-8", error) from None


def _record(line: str, field: str, path: Path, number: int) -> tuple[str, str]:
    where = f"{path}, line {number}"
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise PipelineError(f"not valid JSON ({error})", where, "correct the line") from None
    if not isinstance(record, dict):
        raise PipelineError("not a JSON object", where, "write one object per line")
    text = record.get(field)
    if not isinstance(text, str):
        problem = "is no string" if field in record else "is missing"
        raise PipelineError(
            f"key '{field}' {problem}", where, f"set `field` to one of: {_names(record)}"
        )
    title = record.get(TITLE)
    return title if isinstance(title, str) else f"{path.stem} {number}", text


def read_parquet(path: Path, field: str) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of each row of a Parquet file; `field` is a column of strings."""
    return parquet_rows(path, field, _is_text, "text")


def parquet_rows(
    path: Path, field: str, wanted: Callable[[Any], bool], what: str
) -> Iterator[tuple[str, Any]]:
    """Yield (title, value) of each row of a Parquet file, as the hub keeps data sets.

    `field` names the column, whose type must be `wanted`; `what` says in errors what that is. A
    column "title" of strings is used where there is one, else the file and row. Row groups are
    streamed; rows without a value are passed over.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_column(schema, field, path, wanted, what)
            titled = TITLE in schema.names and _is_text(schema.field(TITLE).type)
            columns = list(dict.fromkeys([field, TITLE])) if titled else [field]
            row = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                values = batch.column(field).to_pylist()
                titles = batch.column(TITLE).to_pylist() if titled else [None] * len(values)
                for title, value in zip(titles, values, strict=True):
                    row += 1
                    if value is not None:
                        yield f"{path.stem} {row}" if title is None else title, value
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, "a Parquet file", error) from None


def _check_column(
    schema: Any, field: str, path: Path, wanted: Callable[[Any], bool], what: str
) -> None:
    if field not in schema.names:
        raise PipelineError(
            f"column '{field}' is missing",
            str(path),
            f"set `field` to one of: {_names(schema.names)}",
        )
    if not wanted(schema.field(field).type):
        others = [name for name in schema.names if wanted(schema.field(name).type)]
        raise PipelineError(
            f"column '{field}' holds {schema.field(field).type}, not {what}",
            str(path),
            f"set `field` to one of: {_names(others)}",
        )


def _is_text(kind: Any) -> bool:
    return str(kind) in {"string", "large_string", "string_view"}


def _names(names: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, names))) or "(none)"


def _unreadable(path: Path, kind: str, error: Exception) -> PipelineError:
    if isinstance(error, FileNotFoundError):
        return PipelineError("file is missing", str(path), "check `source` of the corpus")
    return PipelineError(
        f"not readable as {kind} ({error})",
        str(path),
        "fetch the file again, or correct `format` in the corpus",
    )
