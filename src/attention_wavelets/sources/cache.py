"""The download cache: where it lies, checksums, and one fetch at a time per item."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attention_wavelets.errors import PipelineError

__all__ = ["cache_folder", "fetching", "git_blob_id", "sha256_of"]

_BLOCK = 1 << 20


def cache_folder() -> Path:
    """The folder downloads are kept in; it need not exist yet.

    `$ATTENTION_WAVELETS_CACHE` if set, else `attention-wavelets` under `$XDG_CACHE_HOME`
    or `~/.cache`.
    """
    named = os.environ.get("ATTENTION_WAVELETS_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base).expanduser() if base else Path.home() / ".cache"
    return root / "attention-wavelets"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes in lower-case hexadecimal, read in blocks."""
    return _digest(hashlib.sha256(), path)


def git_blob_id(path: Path) -> str:
    """The id git gives a file's bytes: SHA-1 of `blob <size>\\0` and the content.

    The hub names small files by it; it guards against damage, not against an attacker.
    """
    header = f"blob {path.stat().st_size}\0".encode()
    return _digest(hashlib.sha1(header, usedforsecurity=False), path)


@contextmanager
def fetching(item: str) -> Iterator[None]:
    """Hold the lock of one cache item, so that two jobs do not fetch the same thing twice.

    The second job waits, then finds the files in place. The lock falls with the process.
    """
    from filelock import FileLock

    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PipelineError(
            f"cannot write here ({error.strerror})",
            str(folder),
            "set ATTENTION_WAVELETS_CACHE to a folder that can be written",
        ) from None
    # A digest keeps two items whose cleaned names agree apart.
    tag = hashlib.sha256(item.encode()).hexdigest()[:12]
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', item)[:80]}-{tag}.lock"
    with FileLock(folder / name):
        yield


def _digest(digest: hashlib._Hash, path: Path) -> str:
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
