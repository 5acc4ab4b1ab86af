"""Files appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attention_wavelets.errors import PipelineError

__all__ = ["folder_beside", "read_json", "replacing", "write_json", "write_text"]

# Machines that share a disk do not know each other's processes.
_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it onto `path` if the block succeeds.

    The sibling is flushed to disk before the rename and removed on any error, so a reader sees the
    old file, the new file, or none. Parent folders are made. What a killed writer of this machine
    has left of the same file is removed.
    """
    path = Path(path)
    partial = _sibling(path)
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` in which it is made; gone at the end, whatever happens."""
    folder = _sibling(Path(path))
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sibling(path: Path) -> Path:
    """A name beside `path` that no other writer has and that tells whether this one still runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    writer = f"{_MACHINE}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    # Keep the suffix: several writers choose the format by it.
    return path.with_name(f".{path.stem}.{writer}.part{path.suffix}")


def _remove_left(path: Path) -> None:
    """Remove what writers of `path` that are gone have left beside it."""
    partial = re.compile(
        rf"\.{re.escape(path.stem)}\.{_MACHINE}-(\d+)-[0-9a-f]{{8}}\.part{re.escape(path.suffix)}"
    )
    for other in path.parent.glob(f".{glob.escape(path.stem)}.{_MACHINE}-*"):
        match = partial.fullmatch(other.name)
        if match is None or _runs(int(match.group(1))):
            continue
        if other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
        else:
            other.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON (sorted keys, two spaces, final newline, NaN refused) atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or damaged file is a `PipelineError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "run the rule that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(
            f"not valid JSON ({error})", str(path), "delete the file and run again"
        ) from None
