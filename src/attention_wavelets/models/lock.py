"""Branches and tags of hub models, resolved once to commits and kept in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from attention_wavelets.config.schema import HubSource, Model
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.hub import is_commit, resolve_commit
from attention_wavelets.store.atomic import write_text

__all__ = ["lock_key", "read_lock", "resolve_lock", "write_lock"]

_HEADER = """\
# Commits of the hub branches and tags that models name, written by `attention-wavelets lock`.
# Keep it under version control: with it every machine fetches the same files.
# Delete a line and run the command again to move to the branch's newest commit.
"""


def lock_key(source: HubSource) -> str:
    """`repository@revision`, the name of a source in the lock."""
    return f"{source.repository}@{source.revision}"


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


def read_lock(path: Path) -> dict[str, str]:
    """The lock file's entries; an absent or empty file is an empty lock."""
    todo = "delete the file and run `attention-wavelets lock` again"
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, UnicodeDecodeError):
        raise PipelineError("not valid YAML", str(path), todo) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PipelineError("not a mapping of repository@revision to commit", str(path), todo)
    for key, commit in content.items():
        if not (isinstance(key, str) and "@" in key and is_commit(str(commit))):
            raise PipelineError(f"'{key}: {commit}' is not a locked commit", str(path), todo)
    return {str(key): str(commit) for key, commit in content.items()}


def write_lock(path: Path, lock: Mapping[str, str]) -> None:
    """Write a lock sorted by key, with a comment on what it is; the file appears whole."""
    # Quoted, since a commit of digits and one `e` would read back as a number.
    lines = [f'"{key}": "{lock[key]}"\n' for key in sorted(lock)]
    write_text(path, _HEADER + ("".join(lines) or "{}\n"))
