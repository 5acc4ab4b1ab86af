"""Where files come from: the hub, a wheel, an address, or this machine; no torch."""

from __future__ import annotations

from typing import Literal

from attention_wavelets.config.schema import (
    HubSource,
    LocalSource,
    SyntheticSource,
    UrlSource,
    WheelSource,
)
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.fetched import Fetched
from attention_wavelets.sources.hub import fetch_hub
from attention_wavelets.sources.local import fetch_local, matches
from attention_wavelets.sources.url import fetch_url
from attention_wavelets.sources.wheel import fetch_wheel

__all__ = ["Fetched", "fetch_files"]


def fetch_files(
    source: HubSource | WheelSource | LocalSource | UrlSource | SyntheticSource,
    pattern: str = "*",
    *,
    revision: str | None = None,
    repo_type: Literal["dataset", "model"] = "dataset",
) -> Fetched:
    """The files of a source whose name, or last part of it, matches a shell pattern.

    Parameters
    ----------
    source
        Where the files come from; what is drawn here has none.
    pattern
        Shell pattern such as `*.parquet` or `20231101.en/*`.
    revision
        Commit that wins over the source's own revision (hub only).
    repo_type
        Which kind of hub repository is meant (hub only).

    Raises
    ------
    PipelineError
        Nothing matches, or whatever the source itself can meet.
    """

    def choose(names: list[str]) -> list[str]:
        chosen = [name for name in names if matches(name, pattern)]
        if not chosen:
            raise PipelineError(
                f"no file matches '{pattern}'",
                _where(source),
                f"it has {len(names)} files: {', '.join(names[:5]) or 'none'}",
            )
        return chosen

    if isinstance(source, SyntheticSource):
        return Fetched(paths={}, revision=f"drawn, seed {source.seed}", locked=True)
    if isinstance(source, HubSource):
        return fetch_hub(source, choose, revision=revision, repo_type=repo_type)
    if isinstance(source, LocalSource):
        return fetch_local(source, choose)
    if isinstance(source, UrlSource):
        return fetch_url(source, choose)
    chosen = choose(sorted(source.files))
    wanted = source.model_copy(update={"files": {name: source.files[name] for name in chosen}})
    return fetch_wheel(wanted)


def _where(source: HubSource | WheelSource | LocalSource | UrlSource) -> str:
    if isinstance(source, HubSource):
        return source.repository
    if isinstance(source, UrlSource):
        return source.url
    return source.path if isinstance(source, LocalSource) else source.distribution
