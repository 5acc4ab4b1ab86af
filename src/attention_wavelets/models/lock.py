"""Branches and tags of hub models, resolved once to commits and kept in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attention_wavelets.config.lock import is_commit, lock_key
from attention_wavelets.config.schema import HubSource, Model
from attention_wavelets.sources.hub import resolve_commit
from attention_wavelets.store.atomic import write_text

__all__ = ["resolve_lock", "write_lock"]

_HEADER = """\
# Commits of the hub branches and tags that models name, written by `attention-wavelets lock`.
# Keep it under version control: with it every machine fetches the same files.
# Delete a line and run the command again to move to the branch's newest commit.
"""


def resolve_lock(models: Mapping[str, Model]) -> dict[str, str]:
    """Ask the hub for the commit of every branch or tag these models name; sorted by key.

    Models of other sources, and revisions that are commits already, need no entry.
    """
    sources = {
        lock_key(model.source): model.source
        for model in models.values()
        if isinstance(model.source, HubSource) and not is_commit(model.source.revision)
    }
    return {key: resolve_commit(sources[key]) for key in sorted(sources)}


def write_lock(path: Path, lock: Mapping[str, str]) -> None:
    """Write a lock sorted by key, with a comment on what it is; the file appears whole."""
    # Quoted, since a commit of digits and one `e` would read back as a number.
    lines = [f'"{key}": "{lock[key]}"\n' for key in sorted(lock)]
    write_text(path, _HEADER + ("".join(lines) or "{}\n"))
