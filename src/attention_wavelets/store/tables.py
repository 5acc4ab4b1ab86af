"""Tables: Parquet written piece by piece, CSV for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import replacing

__all__ = [
    "TableWriter",
    "iterate_table",
    "read_csv",
    "read_table",
    "table_columns",
    "table_writer",
    "write_csv",
]


class TableWriter:
    """Appends frames of equal columns to one Parquet file, each frame one row group."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def append(self, frame: pd.DataFrame) -> None:
        """Write `frame` as the next row group."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, table.schema, compression="zstd", write_page_checksum=True
            )
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=max(len(frame), 1))

    def close(self) -> None:
        """Finish the file; nothing written is an error, not an empty table."""
        if self._writer is None:
            raise PipelineError("no rows were written", str(self._path), "report it")
        self._writer.close()


@contextmanager
def table_writer(path: Path) -> Iterator[TableWriter]:
    """A `TableWriter` whose file appears whole or not at all."""
    with replacing(path) as partial:
        writer = TableWriter(partial)
        yield writer
        writer.close()


def iterate_table(path: Path) -> Iterator[pd.DataFrame]:
    """Row groups of a Parquet file, in order."""
    with _reading(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    with file:
        for index in range(file.num_row_groups):
            with _reading(path):
                frame = file.read_row_group(index).to_pandas()
            yield frame


def table_columns(path: Path) -> list[str]:
    """Names of the columns of a Parquet file, in order."""
    with _reading(path):
        return list(pq.read_schema(path).names)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A whole Parquet file, or those of the named columns that it has."""
    with _reading(path):
        # Not read_table, which would take folders named a=b for columns.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            kept = None
            if columns is not None:
                kept = [name for name in file.schema_arrow.names if name in columns]
            frame: pd.DataFrame = file.read(columns=kept).to_pandas()
        return frame


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors of reading a table as one line that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "run the rule that makes it") from None
    # pandas' and pyarrow's own errors, and text that is no UTF-8, are ValueErrors.
    except (ValueError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PipelineError(
            f"damaged table ({first})", str(path), "delete the file and run again"
        ) from None


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """CSV with 17 significant digits, so that reading it back gives the same floats."""
    with replacing(path) as partial:
        frame.to_csv(partial, index=False, float_format="%.17g", lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV of `write_csv`; empty text stays empty text, a missing number is NaN."""
    with _reading(path):
        frame = pd.read_csv(path, keep_default_na=False, na_values=["", "nan"])
    texts = frame.select_dtypes(exclude=["number", "bool"]).columns
    frame[texts] = frame[texts].fillna("")
    return frame
