"""Files of a training: tokens of its texts, and the state that a stopped run goes on from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import replacing

__all__ = ["read_state", "read_tokens", "write_state", "write_tokens"]

_ARRAYS = ("training", "held_out", "held_out_bytes")


def write_tokens(path: Path, arrays: Mapping[str, NDArray[np.int32]]) -> None:
    """Write the streams of tokens of a recipe, atomically.

    Parameters
    ----------
    path
        A .npz file.
    arrays
        int32 (T,) each: `training`, `held_out`, and how many bytes of text each held-out token is.
    """
    with replacing(path) as partial, partial.open("wb") as handle:
        training, held_out, held_out_bytes = (arrays[name] for name in _ARRAYS)
        np.savez_compressed(
            handle,
            training=training,
            held_out=held_out,
            held_out_bytes=held_out_bytes,
        )


def read_tokens(path: Path) -> dict[str, NDArray[np.int32]]:
    """What `write_tokens` wrote; a missing or damaged file is a `PipelineError`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in _ARRAYS}
    except FileNotFoundError:
        raise PipelineError("file is missing", str(path), "run the rule prepare_recipe") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PipelineError(
            f"not readable as tokens ({error})", str(path), "delete the file and run again"
        ) from None


def write_state(path: Path, tensors: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able notes as one safetensors file, atomically."""
    from safetensors.torch import save_file

    # Tied tensors share memory, which the format refuses.
    whole = {key: value.detach().to("cpu").clone().contiguous() for key, value in tensors.items()}
    with replacing(path) as partial:
        save_file(whole, partial, metadata={"notes": json.dumps(notes, allow_nan=False)})


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What `write_state` wrote; None without the file, or if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as handle:
            notes = json.loads(handle.metadata()["notes"])
            return {key: handle.get_tensor(key) for key in list(handle.keys())}, notes
    except (FileNotFoundError, SafetensorError, TypeError, KeyError, ValueError):
        return None
