"""Weights that leave the disk once they were used, and come back when they are needed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attention_wavelets.config.schema import HubSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.files import is_weights
from attention_wavelets.sources.cache import fetching, sha256_of
from attention_wavelets.sources.hub import fetch_hub, hub_paths

__all__ = ["evict_weights", "restore_weights"]


def evict_weights(manifest: dict[str, Any]) -> int:
    """Remove the weights of a hub model's revision from the hub client's cache.

    Config and tokenizer stay. A file that another revision in the cache has too stays for it.

    Returns
    -------
    int
        Bytes that became free.
    """
    source = _hub_source(manifest)
    names = _weights(manifest)
    freed = 0
    with fetching(f"evict {source.repository}"):
        for path in hub_paths(source, manifest["revision"], names).values():
            blob = path.resolve()
            size = blob.stat().st_size
            path.unlink()
            if blob == path or not _linked(path, blob):
                blob.unlink(missing_ok=True)
                freed += size
    return freed


def restore_weights(manifest: dict[str, Any], quota_gib: float | None = None) -> None:
    """Fetch weights that were evicted; those that are there are left alone.

    Raises
    ------
    PipelineError
        The hub has other weights now than the manifest says.
    """
    source = _hub_source(manifest)
    names = _weights(manifest)
    there = hub_paths(source, manifest["revision"], names)
    if len(there) == len(names):
        return
    fetched = fetch_hub(source, lambda _: names, manifest["revision"], quota_gib=quota_gib)
    expected = {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    for name, path in fetched.paths.items():
        if sha256_of(path) != expected[name]:
            raise PipelineError(
                f"{name} is not the file that the manifest names",
                manifest["name"],
                "delete the manifest and run again",
            )


def _hub_source(manifest: dict[str, Any]) -> HubSource:
    return HubSource.model_validate(manifest["origin"])


def _weights(manifest: dict[str, Any]) -> list[str]:
    names = [entry["name"] for entry in manifest["files"]]
    return [name for name in names if is_weights(name) and not name.endswith(".gguf")]


def _linked(path: Path, blob: Path) -> bool:
    """Whether another snapshot of the repository links to a blob."""
    snapshots = next(parent for parent in path.parents if parent.name == "snapshots")
    return any(link.is_symlink() and link.resolve() == blob for link in snapshots.rglob("*"))
