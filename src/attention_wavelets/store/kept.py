"""Frames that a stopped job has finished, kept under keys of what decides them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pandas as pd

from attention_wavelets.errors import PipelineError
from attention_wavelets.store.tables import iterate_table, read_table, table_writer

__all__ = ["Kept"]

_KEY = "key"


class Kept:
    """Small frames of equal columns in a work folder, each there whole or not at all.

    A frame is a file of its own as soon as it is made; `pack` joins those that were asked for into
    one, so that a finished job leaves a single file and a later one takes over what it shares with
    it. Files that cannot be read count as missing.

    Parameters
    ----------
    folder
        Made with the first frame; safe to delete when no job runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packed = folder / "done.parquet"
        self._frames: dict[str, pd.DataFrame] = {}
        try:
            for frame in iterate_table(self._packed):
                self._frames[frame[_KEY].iloc[0]] = frame.drop(columns=_KEY)
        except PipelineError:
            self._frames.clear()

    def get(self, key: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The frame of a key, a plain name; made and kept where there is none."""
        if key not in self._frames:
            path = self._folder / f"{key}.parquet"
            try:
                frame = read_table(path)
            except PipelineError:
                frame = make()
                with table_writer(path) as writer:
                    writer.append(frame)
            self._frames[key] = frame
        return self._frames[key]

    def pack(self, keys: Collection[str]) -> None:
        """Join the frames of `keys`, which were asked for, and remove all others."""
        if keys:
            with table_writer(self._packed) as writer:
                for key in sorted(keys):
                    writer.append(self._frames[key].assign(**{_KEY: key}))
        for path in self._folder.glob("*.parquet"):
            if path != self._packed:
                path.unlink(missing_ok=True)
