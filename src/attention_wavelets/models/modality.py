"""What a model reads: tokens, sound or pictures, and how these are cut into its positions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_wavelets.errors import PipelineError

__all__ = ["SCALING", "input_of", "scaling_of"]

# Beside the weights: sampling rate, means and deviations that the model was trained with.
SCALING = "preprocessor_config.json"
_KINDS = {"input_ids": "tokens", "input_values": "sound", "pixel_values": "pictures"}


def input_of(model: Any, config: Any, where: str) -> dict[str, Any]:
    """What a model on the meta device reads.

    Returns
    -------
    dict
        `kind`: tokens, sound or pictures. Of sound `hop`, samples from one position to the next,
        and `window`, samples that one position sees. Of pictures `patch`, pixels on a side of a
        position; `special`, positions in front of the patches; `grid`, patches on a side of the
        only pictures that are read, None where any square is.

    Raises
    ------
    PipelineError
        The model reads something else, or cuts it in a way that is not known here.
    """
    kind = _KINDS.get(model.main_input_name)
    if kind == "tokens":
        return {"kind": kind}
    if kind == "sound" and getattr(config, "conv_stride", None):
        return {"kind": kind, **_of_sound(config)}
    if kind == "pictures":
        return {"kind": kind, **_of_pictures(model, config, where)}
    raise PipelineError(
        f"model_type '{config.model_type}' reads '{model.main_input_name}'",
        where,
        "choose a model of text, of samples of sound, or of square pictures",
    )


def _of_sound(config: Any) -> dict[str, int]:
    window = 1
    layers = zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True)
    for kernel, stride in layers:
        window = (window - 1) * stride + kernel
    return {"hop": math.prod(config.conv_stride), "window": window}


def _of_pictures(model: Any, config: Any, where: str) -> dict[str, int | None]:
    patch, size = (_side(getattr(config, key, None)) for key in ("patch_size", "image_size"))
    if patch is None or size is None or size % patch:
        raise PipelineError(
            f"model_type '{config.model_type}' has no square patches that fill its pictures",
            where,
            "choose a model of square pictures and patches",
        )
    grid = size // patch
    positions = _positions(model, size)
    if positions is None or positions < grid * grid:
        raise PipelineError(
            f"model_type '{config.model_type}' gives no position for each patch",
            where,
            "choose a model that attends to patches",
        )
    special = positions - grid * grid
    other = grid + 1
    free = _positions(model, other * patch) == other * other + special
    return {"patch": patch, "special": special, "grid": None if free else grid}


def _side(value: Any) -> int | None:
    """One length of a square; None where it is none."""
    sides = {value} if isinstance(value, int) else set(value or ())
    return int(sides.pop()) if len(sides) == 1 else None


def _positions(model: Any, size: int) -> int | None:
    """Positions that a picture of so many pixels on a side has; None where it is not read."""
    import torch

    try:
        with torch.no_grad():
            picture = torch.zeros(1, 3, size, size, device="meta")
            states = model(pixel_values=picture).last_hidden_state
    except (RuntimeError, ValueError):
        return None
    return int(states.shape[1]) if states.ndim == 3 else None


def scaling_of(kind: str, paths: Mapping[str, Path], where: str) -> dict[str, Any]:
    """How the numbers that a model reads are scaled, from the file of its preprocessor.

    Returns
    -------
    dict
        Of sound `rate`, samples a second, and `normalise`, whether a sequence is brought to mean 0
        and variance 1; of pictures `mean` and `deviation` of the three colours, which are 0 to 1.

    Raises
    ------
    PipelineError
        The file is missing or does not say it.
    """
    path = next((path for name, path in paths.items() if Path(name).name == SCALING), None)
    if path is None:
        raise PipelineError(
            f"there is no {SCALING}", where, "put the file the model was published with beside it"
        )
    todo = "correct it, or fetch it again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if kind == "sound":
            rate = int(found["sampling_rate"])
            return {"rate": rate, "normalise": bool(found.get("do_normalize", False))}
        normal = bool(found.get("do_normalize", False))
        mean, deviation = (
            [float(value) for value in found[key]] if normal else [default] * 3
            for key, default in (("image_mean", 0.0), ("image_std", 1.0))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"it does not say how its input is scaled ({error})", str(path), todo
        ) from None
    if len(mean) != 3 or len(deviation) != 3 or not all(value > 0 for value in deviation):
        raise PipelineError("means and deviations of three colours are needed", str(path), todo)
    return {"mean": mean, "deviation": deviation}
