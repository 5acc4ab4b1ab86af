"""How many jobs an extraction is split into.

Snakemake runs a job again when its set of inputs has changed, and the parts of an extraction are
inputs of the job that packs them. A finished extraction therefore keeps its number of parts,
whatever `runtime.shards` says by now, until the settings that decide it change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["SPLIT_FILE", "split_of"]

# In the work folder of an extraction: what `split_of` returned when it was packed.
SPLIT_FILE = "split.txt"


def split_of(work: Path, slices: Iterable[str], asked: int) -> tuple[int, str]:
    """Parts of an extraction, and the note that its packing leaves in the work folder.

    Parameters
    ----------
    work
        Folder of the finished batches.
    slices
        Canonical settings that decide the signals.
    asked
        `runtime.shards`, which holds for what is not finished.
    """
    digest = hashlib.sha256("\n".join(slices).encode()).hexdigest()[:12]
    note = work / SPLIT_FILE
    if note.is_file() and (work / "done.zarr.zip").is_file():
        count, _, made_of = note.read_text(encoding="utf-8").strip().partition("-")
        if made_of == digest and count.isdigit() and int(count) > 0:
            asked = int(count)
    return asked, f"{asked}-{digest}"
