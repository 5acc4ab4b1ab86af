"""Which files of a repository, wheel or folder make up a model, judged by name only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from attention_wavelets.errors import PipelineError, unknown_name
from attention_wavelets.models.modality import SCALING

__all__ = ["choose_files", "is_weights", "layout"]

_BESIDE = frozenset(
    {
        SCALING,
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "chat_template.jinja",
    }
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")


def is_weights(name: str) -> bool:
    """Whether a file of a model holds weights (safetensors, its index, or GGUF)."""
    return name.endswith((".safetensors", ".safetensors.index.json", ".gguf"))


def layout(names: Sequence[str]) -> tuple[str, str | None]:
    """The folder to load from and the GGUF file in it, from the names of a model's files.

    Returns
    -------
    (folder, gguf)
        `folder` is relative ("." for the top); `gguf` is a bare name, or None for a model of
        config.json, safetensors and tokenizer files.
    """
    main = _shallowest(names, "config.json")
    gguf = None
    if main is None:
        main = next(name for name in names if name.endswith(".gguf"))
        gguf = PurePosixPath(main).name
    return str(PurePosixPath(main).parent), gguf


def choose_files(
    names: Sequence[str], where: str, gguf: str | None = None, weights: bool = True
) -> list[str]:
    """The names needed to load a model: one GGUF file, or config, safetensors and tokenizer.

    Parameters
    ----------
    names
        Every file of the source, forward slashes.
    where
        How an error names the source.
    gguf
        The GGUF file asked for; without it a lone GGUF file counts where there is no config.json.
    weights
        False leaves safetensors out (an untrained twin); a GGUF file holds its own config and is
        kept.

    Raises
    ------
    PipelineError
        No config, no safe weights (only pickles), or an unclear choice of GGUF files.
    """
    ggufs = [name for name in names if name.endswith(".gguf")]
    if gguf is not None:
        if gguf not in ggufs:
            raise unknown_name("GGUF file", gguf, ggufs or ["(there is none)"], where)
        return [gguf]
    config = _shallowest(names, "config.json")
    if config is None:
        if len(ggufs) == 1:
            return ggufs
        if ggufs:
            raise PipelineError(
                f"{len(ggufs)} GGUF files", where, f"name one as `gguf`: {', '.join(ggufs)}"
            )
        raise PipelineError("no config.json and no GGUF file", where, "is this a model?")
    folder = PurePosixPath(config).parent
    beside = [name for name in names if PurePosixPath(name).parent == folder]
    chosen = [config, *(name for name in beside if PurePosixPath(name).name in _BESIDE)]
    return chosen + _weights(beside, where) if weights else chosen


def _shallowest(names: Sequence[str], wanted: str) -> str | None:
    found = [name for name in names if PurePosixPath(name).name == wanted]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def _weights(beside: Sequence[str], where: str) -> list[str]:
    """One model.safetensors, else the shards with their index: what transformers would open."""
    bare = {PurePosixPath(name).name: name for name in beside}
    if "model.safetensors" in bare:
        return [bare["model.safetensors"]]
    if "model.safetensors.index.json" in bare:
        shards = [
            name
            for short, name in bare.items()
            if short.startswith("model-") and short.endswith(".safetensors")
        ]
        return [bare["model.safetensors.index.json"], *shards]
    if any(name.endswith(_PICKLES) for name in beside):
        raise PipelineError(
            "only pickled weights (such as .bin), which can run code when opened",
            where,
            "use a revision with safetensors (the hub's conversion bot offers one as refs/pr/N) "
            "or convert them",
        )
    raise PipelineError(
        "no model.safetensors", where, "save the model with safetensors or name a `gguf` file"
    )
