"""The lock file: commits that branches and tags of the hub were resolved to."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from attention_wavelets.config.schema import HubSource
from attention_wavelets.errors import PipelineError

__all__ = ["LOCK_FILE", "is_commit", "lock_key", "read_lock"]

# Below conf/.
LOCK_FILE = Path("model") / "revisions.lock.yaml"


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit id and so needs no lock."""
    return re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def lock_key(source: HubSource, *, dataset: bool = False) -> str:
    """`repository@revision`, the name of a source in the lock; a dataset's has a prefix."""
    return f"{'datasets/' if dataset else ''}{source.repository}@{source.revision}"


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
