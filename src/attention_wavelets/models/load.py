"""Config, tokenizer and weights of a fetched model, ready for a forward pass."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from attention_wavelets.errors import PipelineError
from attention_wavelets.models.facts import builder_of
from attention_wavelets.models.files import layout
from attention_wavelets.models.locate import locate_files
from attention_wavelets.models.quiet import quiet, translated

__all__ = [
    "chosen_device",
    "load_config",
    "load_model",
    "load_tokenizer",
    "open_config",
    "open_tokenizer",
    "raw_config",
]

# Families outside transformers' attention interface that cannot be switched once they are built;
# only their eager attention hands out probabilities.
_CHOSEN_AT_BUILD = frozenset({"falcon"})
# Parts that no attention depends on; files often leave them out.
_UNREAD = frozenset({"pooler", "masked_spec_embed"})
_log = logging.getLogger(__name__)
# Keeps the streams of weights apart from other uses of the same seed.
_WEIGHTS_STREAM = 0x57454947


def load_config(manifest: dict[str, Any]) -> Any:
    """The transformers config of a fetched model; an untrained one has its initializer_range."""
    config = open_config(locate_files(manifest, weights=False), manifest["name"])
    if manifest["untrained"]:
        config.get_text_config().initializer_range = manifest["untrained"]["initializer_range"]
    return config


def load_tokenizer(manifest: dict[str, Any]) -> Any:
    """The tokenizer of a fetched model (an untrained twin has its base's)."""
    return open_tokenizer(locate_files(manifest, weights=False), manifest["name"])


def load_model(
    manifest: dict[str, Any], device: str = "cpu", attn_implementation: str | None = None
) -> Any:
    """The base model (no language-model head) in evaluation mode, in the manifest's dtype.

    Parameters
    ----------
    manifest
        What `fetch_model` returned.
    device
        Where the weights go; "spread" puts layers on all visible GPUs, and on the processor what
        they have no room for.
    attn_implementation
        Name of a registered attention function; None leaves transformers' choice.

    Raises
    ------
    PipelineError
        A file is gone or damaged, a weight is missing, has another shape than the config says, or
        is not finite. Missing weights that are never read here are drawn afresh: a pooler comes
        after attention, and states that stand for hidden sound are for training.
    """
    import torch

    dtype = getattr(torch, manifest["dtype"])
    if manifest["facts"]["model_type"] in _CHOSEN_AT_BUILD:
        attn_implementation = attn_implementation or "eager"
    with torch.random.fork_rng(devices=[]):
        if manifest["untrained"]:
            model = _untrained(manifest, attn_implementation)
        else:
            model = _trained(manifest, dtype, attn_implementation)
    # Drawn in float32 and then rounded, so that a twin is the same model in every dtype. Tables
    # that are no weights, such as rotary frequencies, stay as the architecture makes them.
    for weight in model.state_dict(keep_vars=True).values():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)
    model = model.eval()
    _check_finite(model, manifest["name"])
    return _spread(model) if device == "spread" else model.to(device)


def chosen_device(device: str) -> str:
    """`cpu`, `cuda` or `spread`, as asked for; `auto` is the card if there is one.

    Raises
    ------
    PipelineError
        A card is asked for and none is visible.
    """
    import torch

    if device in ("cuda", "spread") and not torch.cuda.is_available():
        where = f"runtime.device={device}"
        raise PipelineError("no CUDA device is visible", where, "use cpu or auto")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _spread(model: Any) -> Any:
    """Whole layers side by side on several devices; hooks carry the states from one to the next."""
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    together = model._no_split_modules
    room = get_balanced_memory(model, no_split_module_classes=together)
    places = infer_auto_device_map(model, max_memory=room, no_split_module_classes=together)
    return dispatch_model(model, places)


def open_config(paths: dict[str, Path], where: str) -> Any:
    """Read the config among a model's files; `where` names the model in errors."""
    from transformers import AutoConfig

    folder, options, main = _entry(paths)
    kind = "" if options else f", model_type '{raw_config(paths, where).get('model_type')}'"
    what = (
        "damaged GGUF file, or of an unknown architecture"
        if options
        else f"cannot read the config{kind}"
    )
    with quiet(), translated(what, f"{where} ({main})", _NEXT_STEP):
        return AutoConfig.from_pretrained(folder, **options, **_SAFE)


def open_tokenizer(paths: dict[str, Path], where: str) -> Any:
    """Read the tokenizer among a model's files; `where` names the model in errors."""
    from transformers import AutoTokenizer

    folder, options, main = _entry(paths)
    todo = "put its tokenizer files (tokenizer.json, tokenizer_config.json) beside the weights"
    with quiet(), translated("cannot read the tokenizer", f"{where} ({main})", todo):
        return AutoTokenizer.from_pretrained(folder, **options, **_SAFE)


def raw_config(paths: dict[str, Path], where: str) -> dict[str, Any]:
    """config.json as it was written, without the values transformers fills in; {} for GGUF."""
    _, options, main = _entry(paths)
    if options:
        return {}
    with translated("config.json is not valid JSON", f"{where} ({main})", _NEXT_STEP):
        raw = json.loads(Path(main).read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise PipelineError("config.json is not a mapping", f"{where} ({main})", _NEXT_STEP)
    return raw


_SAFE = {"trust_remote_code": False, "local_files_only": True}
_NEXT_STEP = "fetch or save the model again, or update transformers"


def _entry(paths: dict[str, Path]) -> tuple[str, dict[str, str], str]:
    """Folder, GGUF option and main file for transformers' `from_pretrained`."""
    folder, gguf = layout(list(paths))
    main = str(Path(folder) / (gguf or "config.json"))
    path = paths[main if main in paths else main.removeprefix("./")]
    # Keep the name as it lies in the folder: a hub snapshot is a folder of links.
    return str(path.parent), {"gguf_file": path.name} if gguf else {}, str(path)


def _trained(manifest: dict[str, Any], dtype: Any, attn_implementation: str | None) -> Any:
    name = manifest["name"]
    paths = locate_files(manifest)
    folder, options, main = _entry(paths)
    extra: dict[str, Any] = dict(options)
    if not options:
        extra["use_safetensors"] = True
    if attn_implementation is not None:
        extra["attn_implementation"] = attn_implementation
    with quiet(), translated("cannot load the weights", f"{name} ({main})", _NEXT_STEP):
        model, info = builder_of(manifest.get("part")).from_pretrained(
            folder, dtype=dtype, output_loading_info=True, **extra, **_SAFE
        )
    missing = sorted(str(key) for key in info["missing_keys"])
    unused = [key for key in missing if key.split(".")[0] in _UNREAD]
    wanted = [key for key in missing if key not in unused]
    if wanted:
        raise PipelineError(
            f"{len(wanted)} weights are not in the file, the first is {wanted[0]}",
            f"{name} ({main})",
            "config and weights belong to different models, or the file is incomplete",
        )
    if info["mismatched_keys"]:
        raise PipelineError(
            f"weights have other shapes than the config says: {info['mismatched_keys'][0]}",
            f"{name} ({main})",
            "config and weights belong to different models",
        )
    if unused:
        _log.info("%s: %s drawn afresh, as nothing here reads it", name, ", ".join(unused))
    return model


def _untrained(manifest: dict[str, Any], attn_implementation: str | None) -> Any:
    """Fresh weights by the architecture's own rule with the manifest's standard deviation."""
    import torch

    config = load_config(manifest)
    extra = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    sequence = np.random.SeedSequence([manifest["untrained"]["seed"], _WEIGHTS_STREAM])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
    builder = builder_of(manifest.get("part"))
    todo = "check the base model"
    with quiet(), translated("cannot build the untrained model", manifest["name"], todo):
        return builder.from_config(config, dtype=torch.float32, trust_remote_code=False, **extra)


def _check_finite(model: Any, name: str) -> None:
    for key, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise PipelineError(
                f"NaN or infinity in weight {key}", name, "the weights are damaged; fetch again"
            )
