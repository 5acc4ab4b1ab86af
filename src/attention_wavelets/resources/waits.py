"""Which weights must have left the disk before others are fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["noted_waits", "waits"]


def waits(
    models: Iterable[str], evicted: Sequence[str], noted: Mapping[str, str | None], most: int
) -> dict[str, str | None]:
    """Model -> the one whose weights leave the disk before its own are fetched, or None.

    Snakemake runs a job again when the list of its inputs changes. A model whose weights were
    fetched before therefore keeps the one it waited for then, whatever study and limit say now.

    Parameters
    ----------
    models
        Of the study.
    evicted
        Those whose weights are not kept, in the order in which they are fetched.
    noted
        What those that were fetched before waited for.
    most
        Revisions that may lie on the disk at a time.
    """
    found = {model: noted.get(model) for model in models}
    for before, model in zip(evicted, evicted[most:], strict=False):
        if model not in noted and not _leads_to(before, model, found):
            found[model] = before
    return found


def noted_waits(folder: Path, models: Iterable[str]) -> dict[str, str | None]:
    """What models waited for when their weights were fetched last.

    Parameters
    ----------
    folder
        Holds a folder per model, with `evicted.json` once its weights are gone and `weights.json`
        while they are there; a damaged file counts as none.
    models
        Names.
    """
    found: dict[str, str | None] = {}
    for model in models:
        for name in ("evicted.json", "weights.json"):
            try:
                note = json.loads((folder / model / name).read_text(encoding="utf-8"))
                found[model] = note["after"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return found


def _leads_to(start: str | None, model: str, found: Mapping[str, str | None]) -> bool:
    """Whether waiting for `start` would mean to wait for `model` itself."""
    while start is not None and start != model:
        start = found.get(start)
    return start is not None
