"""What every source gives back: files on this machine and the revision they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fetched"]


@dataclass(frozen=True)
class Fetched:
    """Files that lie whole on this machine.

    Attributes
    ----------
    paths
        Name inside the source (forward slashes) -> file here, sorted by name.
    revision
        What pins them: a commit, a distribution version, or a digest of a local folder's contents.
    locked
        False if a branch or tag was resolved only now, so a later run may get other files.
    """

    paths: dict[str, Path]
    revision: str
    locked: bool
