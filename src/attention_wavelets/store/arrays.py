"""Labelled arrays in one uncompressed zip: xarray over Zarr v3.

A store is built in a folder beside its place, packed, checked and renamed. Writing groups straight
into a zip duplicates entries, and a plain folder as a workflow output has no checksum.
"""

from __future__ import annotations

import asyncio
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.sync import sync

from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import folder_beside, replacing

__all__ = ["Group", "Variable", "open_group", "read_attributes", "write_store"]

SEQUENCES_PER_CHUNK = 64
# A fixed time stamp, so that equal content gives an equal file.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Variable:
    """One array of a group, read in slices of its first axis so that it need not fit in memory.

    Parameters
    ----------
    dims
        Name of each axis.
    shape, dtype
        Of the whole array.
    read
        `read(start, stop)` returns rows start:stop of the first axis.
    attributes
        JSON-able facts about the variable.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int, int], np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: np.ndarray, dims: tuple[str, ...], **attributes: Any) -> Variable:
        """A variable that is in memory already."""
        return cls(dims, values.shape, values.dtype, lambda a, b: values[a:b], attributes)


@dataclass(frozen=True)
class Group:
    """Variables that share their axes, and facts about them."""

    variables: Mapping[str, Variable]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write_store(path: Path, groups: Mapping[str, Group], attributes: Mapping[str, Any]) -> None:
    """Write groups into one zip, atomically and byte for byte reproducibly.

    Chunks hold at most 64 sequences and one layer, all of every other axis, compressed with zstd.
    """
    path = Path(path)
    with folder_beside(path) as folder, replacing(path) as partial:
        root = zarr.open_group(folder, mode="w", zarr_format=3, attributes=dict(attributes))
        for name, group in groups.items():
            node = root.create_group(name, attributes=dict(group.attributes))
            for key, variable in group.variables.items():
                _write_variable(node, key, variable)
        _pack(folder, partial)


def _write_variable(node: zarr.Group, key: str, variable: Variable) -> None:
    array = node.create_array(
        key,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=tuple(map(_chunk, variable.dims, variable.shape)),
        compressors=[ZstdCodec(level=1)],
        dimension_names=variable.dims,
        attributes=dict(variable.attributes),
    )
    for start in range(0, variable.shape[0], SEQUENCES_PER_CHUNK):
        stop = min(start + SEQUENCES_PER_CHUNK, variable.shape[0])
        array[start:stop] = variable.read(start, stop)


def _chunk(dim: str, size: int) -> int:
    return max(1, {"sequence": min(size, SEQUENCES_PER_CHUNK), "layer": 1}.get(dim, size))


def _pack(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
            with file.open("rb") as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target)
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise PipelineError(f"entry {damaged} was not written whole", str(path), "check the disk")


@contextmanager
def _opened(path: Path) -> Iterator[zarr.storage.ZipStore]:
    try:
        store = zarr.storage.ZipStore(path, mode="r")
        store._sync_open()
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "run the rule that makes it") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise PipelineError(
            f"damaged store ({error})", str(path), "delete the file and run again"
        ) from None
    try:
        yield store
    # Every entry carries a checksum that is compared when it is read.
    except zipfile.BadZipFile as error:
        raise PipelineError(
            f"damaged store ({error})", str(path), "delete the file and run again"
        ) from None
    finally:
        sync(_reads_ended())
        store.close()


async def _reads_ended() -> None:
    """Wait for what Zarr's own event loop is still reading.

    Zarr raises the first error of a read and leaves the reads of the other chunks behind. A process
    that ends before them has asyncio print a line for each after the error of the user.
    """
    # Told by name, so that two threads that close stores do not wait for each other.
    own = "reads ended"
    cast(asyncio.Task[None], asyncio.current_task()).set_name(own)
    while reads := [task for task in asyncio.all_tasks() if task.get_name() != own]:
        await asyncio.gather(*reads, return_exceptions=True)


@contextmanager
def open_group(path: Path, group: str) -> Iterator[xr.Dataset]:
    """One group as a dataset that reads from disk only what is indexed."""
    with _opened(path) as store:
        try:
            dataset = xr.open_zarr(store, group=group, consolidated=False, chunks=None)
        except (FileNotFoundError, KeyError, ValueError):
            raise PipelineError(
                f"has no group '{group}'", str(path), "delete the file and run again"
            ) from None
        with dataset:
            yield dataset


def read_attributes(path: Path) -> dict[str, Any]:
    """Attributes of the whole store, with the names of its groups under `groups`."""
    with _opened(path) as store:
        root = zarr.open_group(store, mode="r")
        return {**root.attrs.asdict(), "groups": sorted(name for name, _ in root.groups())}
