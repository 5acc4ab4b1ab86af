"""Weights that leave the disk once they were used, and come back when they are needed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attention_wavelets.config.schema import HubSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.fetch import check_containers
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
    """See to it that a hub model's weights are in the cache, and are those of its manifest.

    Those that are there and whole are left alone, and need no network.

    Parameters
    ----------
    manifest
        What `fetch_model` returned.
    quota_gib
        GiB that the cache may hold; None for no limit but the disk's.

    Raises
    ------
    PipelineError
        They cannot be had, are damaged, or the hub has others now than the manifest says.
    """
    source = _hub_source(manifest)
    expected = {e["name"]: e["sha256"] for e in manifest["files"] if is_weights(e["name"])}
    paths = hub_paths(source, manifest["revision"], list(expected))
    if not _right(paths, expected):
        fetched = fetch_hub(
            source, lambda _: list(expected), manifest["revision"], quota_gib=quota_gib
        )
        paths = fetched.paths
        if not _right(paths, expected):
            raise PipelineError(
                "the weights on the hub are not those that the manifest names",
                manifest["name"],
                "delete the manifest and run again",
            )
    check_containers(paths, manifest["name"])


def _right(paths: dict[str, Path], expected: dict[str, str]) -> bool:
    return set(paths) == set(expected) and all(
        path.is_file() and sha256_of(path) == expected[name] for name, path in paths.items()
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
