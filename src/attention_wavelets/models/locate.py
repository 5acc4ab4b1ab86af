"""Find a fetched model's files again, from its manifest alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from attention_wavelets.config.schema import HubSource, LocalSource, WheelSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.files import is_weights
from attention_wavelets.sources.cache import sha256_of
from attention_wavelets.sources.hub import hub_paths
from attention_wavelets.sources.wheel import wheel_paths

__all__ = ["locate_files"]

_SOURCE: TypeAdapter[HubSource | WheelSource | LocalSource] = TypeAdapter(
    HubSource | WheelSource | LocalSource
)


def locate_files(manifest: dict[str, Any], *, weights: bool = True) -> dict[str, Path]:
    """Name -> path of every file of a manifest, checked for presence and size; no network.

    Local files are checked by their sha256 too.

    Without `weights` those of safetensors are left out, which may have been evicted.
    An untrained twin has the config and tokenizer files of its base.
    """
    source = _SOURCE.validate_python(manifest["origin"])
    entries = {entry["name"]: entry for entry in manifest["files"]}
    if not weights:
        entries = {n: e for n, e in entries.items() if not is_weights(n) or n.endswith(".gguf")}
    if isinstance(source, HubSource):
        paths = hub_paths(source, manifest["revision"], list(entries))
    elif isinstance(source, WheelSource):
        paths = wheel_paths(source)
    else:
        paths = {name: Path(entry["path"]) for name, entry in entries.items()}
    found = {}
    for name, entry in entries.items():
        path = paths.get(name)
        local = isinstance(source, LocalSource)
        whole = path is not None and path.is_file() and path.stat().st_size == entry["size"]
        # A cached file was checked when it was fetched; one of the user's own may be written anew.
        if not whole or (local and sha256_of(path) != entry["sha256"]):
            raise PipelineError(
                f"{name} is gone or changed" if local else f"{name} is gone from the cache",
                manifest["name"],
                "delete the manifest and run again",
            )
        found[name] = path
    return found
