"""Is there room on the disk for what is about to be fetched?"""

from __future__ import annotations

import shutil
from pathlib import Path

from attention_wavelets.errors import PipelineError

__all__ = ["refuse_full"]

_GIB = 2**30
# Left free, so that results and logs still find room.
_SPARE = 64 * 2**20


def refuse_full(
    to_come: int,
    folder: Path,
    quota_gib: float | None,
    where: str,
    variable: str = "HF_HOME",
) -> None:
    """Refuse a download that the disk, or the quota of the cache, has no room for.

    Parameters
    ----------
    to_come
        Bytes that are not in the cache yet.
    folder
        The cache; it need not exist yet.
    quota_gib
        GiB that the cache may hold; None for no such limit.
    where
        What is fetched, for the message.
    variable
        Of the environment, that moves the cache; for the message.
    """
    if to_come == 0:
        return
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free - _SPARE
    if to_come > free:
        raise PipelineError(
            f"{_size(to_come)} to fetch, {_size(max(free, 0))} free on the disk of {folder}",
            where,
            f"make room, set {variable} to another disk, or set keep_weights: false in the YAML of "
            "hub models",
        )
    if quota_gib is None:
        return
    held = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if held + to_come > quota_gib * _GIB:
        raise PipelineError(
            f"{_size(to_come)} to fetch, {folder} holds {_size(held)} of {quota_gib:g} GiB "
            "(runtime.disk_quota_gib)",
            where,
            "raise it, delete models you need no more, or set keep_weights: false in the YAML",
        )


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB / 10 else f"{count / 2**20:.1f} MiB"
