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
# Families that were tried: of others it is not known that positions are frames in order, or patches
# row by row behind the special ones.
_SOUND = frozenset({"wav2vec2", "wav2vec2-conformer", "hubert"})
_PICTURES = frozenset({"vit", "deit", "ijepa", "dinov2", "dinov2_with_registers", "dinov3_vit"})


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
    if model.main_input_name == "input_ids":
        return {"kind": "tokens"}
    if config.model_type in _SOUND:
        return {"kind": "sound", **_of_sound(config)}
    if config.model_type in _PICTURES:
        return {"kind": "pictures", **_of_pictures(model, config, where)}
    known = ", ".join(sorted(_SOUND | _PICTURES))
    raise PipelineError(
        f"model_type '{config.model_type}' reads '{model.main_input_name}'",
        where,
        f"choose a model of text, or an encoder of model_type {known}",
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

    A key that is left out has transformers' own default. What a picture is resized or cropped to is
    not read: that is the length of a sequence.

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
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _scaling_of_sound(found) if kind == "sound" else _scaling_of_pictures(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it does not say how {kind} must be scaled ({error})"
        raise PipelineError(what, str(path), "correct it, or fetch it again") from None


def _scaling_of_sound(found: Mapping[str, Any]) -> dict[str, Any]:
    rate = found["sampling_rate"]
    if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
        raise ValueError("sampling_rate is no number of samples a second")
    return {"rate": rate, "normalise": bool(found.get("do_normalize", True))}


def _scaling_of_pictures(found: Mapping[str, Any]) -> dict[str, Any]:
    if (
        not found.get("do_rescale", True)
        or abs(found.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6
    ):
        raise ValueError("colours are not brought from 0 to 255 to 0 to 1")
    if not found.get("do_normalize", True):
        return {"mean": [0.0] * 3, "deviation": [1.0] * 3}
    mean, deviation = (_colours(found[key], key) for key in ("image_mean", "image_std"))
    if min(deviation) <= 0:
        raise ValueError("image_std is not above 0")
    return {"mean": mean, "deviation": deviation}


def _colours(values: Any, key: str) -> list[float]:
    numbers = [float(value) for value in values] if isinstance(values, list) else []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{key} is no list of three numbers")
    return numbers
