"""What every source gives back: files on this machine and the revision they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    listed
        Name -> sha256 and size in bytes of files that belong to it and were left on the hub.
    """

    paths: dict[str, Path]
    revision: str
    locked: bool
    listed: dict[str, tuple[str, int]] = field(default_factory=dict)
