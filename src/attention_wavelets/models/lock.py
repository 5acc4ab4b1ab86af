"""Branches and tags of hub models, resolved once to commits and kept in a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attention_wavelets.config.lock import is_commit, lock_key
from attention_wavelets.config.schema import Corpus, HubSource, Model
from attention_wavelets.sources.hub import resolve_commit
from attention_wavelets.store.atomic import write_text

__all__ = ["resolve_lock", "write_lock"]

_HEADER = """\
# Commits of the hub branches and tags that models name, written by `attention-wavelets lock`.
# Keep it under version control: with it every machine fetches the same files.
# Delete a line and run the command again to move to the branch's newest commit.
"""


def resolve_lock(
    models: Mapping[str, Model], corpora: Mapping[str, Corpus] | None = None
) -> dict[str, str]:
    """Ask the hub for the commit of every branch or tag these name; sorted by key.

    Other sources, and revisions that are commits already, need no entry.
    """
    found = {
        lock_key(model.source): resolve_commit(model.source)
        for model in models.values()
        if isinstance(model.source, HubSource) and not is_commit(model.source.revision)
    }
    for corpus in (corpora or {}).values():
        source = corpus.text.source
        if isinstance(source, HubSource) and not is_commit(source.revision):
            found[lock_key(source, dataset=True)] = resolve_commit(source, "dataset")
    return dict(sorted(found.items()))


def write_lock(path: Path, lock: Mapping[str, str]) -> None:
    """Write a lock sorted by key, with a comment on what it is; the file appears whole."""
    # Quoted, since a commit of digits and one `e` would read back as a number.
    lines = [f'"{key}": "{lock[key]}"\n' for key in sorted(lock)]
    write_text(path, _HEADER + ("".join(lines) or "{}\n"))
