"""Frames that a stopped job has finished, found again by what decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from attention_wavelets.errors import PipelineError
from attention_wavelets.store.tables import iterate_table, read_table, table_writer

__all__ = ["Kept"]

_KEY = "key"


class Kept:
    """Small frames of equal columns in a work folder, each there whole or not at all.

    A frame is a file of its own as soon as it is made; `pack` joins those that this job asked for
    into one, so that a finished job leaves a single file and a later one takes over what it shares
    with it. Files that cannot be read count as missing.

    Parameters
    ----------
    folder
        Made with the first frame; safe to delete when no job runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packed = folder / "done.parquet"
        self._frames: dict[str, pd.DataFrame] = {}
        self._asked: set[str] = set()
        try:
            for frame in iterate_table(self._packed):
                self._frames[frame[_KEY].iloc[0]] = frame.drop(columns=_KEY)
        except PipelineError:
            self._frames.clear()

    def get(self, decided: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The frame that all of `decided`, any text, decides; made and kept where there is none."""
        key = hashlib.sha256(decided.encode()).hexdigest()[:24]
        self._asked.add(key)
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

    def pack(self) -> None:
        """Join the frames that were asked for, and remove all others."""
        if self._asked:
            with table_writer(self._packed) as writer:
                for key in sorted(self._asked):
                    writer.append(self._frames[key].assign(**{_KEY: key}))
        for path in self._folder.glob("*.parquet"):
            if path != self._packed:
                path.unlink(missing_ok=True)
