"""Files that already lie on this machine."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable
from pathlib import Path

from attention_wavelets.config.schema import LocalSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.cache import sha256_of
from attention_wavelets.sources.fetched import Fetched

__all__ = ["fetch_local", "matches"]


def matches(name: str, pattern: str) -> bool:
    """Whether a relative name, or its last part, matches a shell pattern (case counts)."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(
        name.rsplit("/", 1)[-1], pattern
    )


def fetch_local(source: LocalSource, choose: Callable[[list[str]], list[str]]) -> Fetched:
    """The files of a folder (or the one file) that `choose` picks from the sorted names.

    Hidden files and folders are passed over. `revision` is a digest of names and contents, so an
    edited file is a new revision; `locked` is true because nothing is resolved.
    """
    root = Path(source.path).expanduser()
    if root.is_file():
        found = {root.name: root}
    elif root.is_dir():
        found = {
            path.relative_to(root).as_posix(): path
            for path in root.rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(root).parts)
        }
    else:
        raise PipelineError("file or folder is missing", source.path, "check `path` in the YAML")
    paths = {name: found[name].resolve().absolute() for name in sorted(choose(sorted(found)))}
    digest = hashlib.sha256()
    for name, path in paths.items():
        digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    return Fetched(paths=paths, revision=f"sha256-{digest.hexdigest()[:16]}", locked=True)
