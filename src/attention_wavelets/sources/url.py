"""One file at an address of the web, fetched once and resumed where a try broke off."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attention_wavelets.config.schema import UrlSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.cache import cache_folder, fetching, sha256_of
from attention_wavelets.sources.fetched import Fetched
from attention_wavelets.sources.room import refuse_full
from attention_wavelets.store.atomic import write_text

if TYPE_CHECKING:
    import requests

__all__ = ["fetch_url", "url_path"]

# Tries in a row that bring no byte.
_ATTEMPTS = 3
# Seconds: to connect, between two blocks, and the longest a server can make us wait.
_TIMEOUT = (20, 60)
_LONGEST_WAIT = 60.0
_BLOCK = 1 << 16


class _Again(Exception):
    """What may pass: a cut connection, a busy server. Holds seconds to wait, or None."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


def url_path(source: UrlSource) -> Path:
    """Where the file lies in the cache, whether or not it is there."""
    digest = hashlib.sha256(source.url.encode()).hexdigest()[:16]
    return cache_folder() / "urls" / digest / source.url.rsplit("/", 1)[-1]


def fetch_url(source: UrlSource, choose: Callable[[list[str]], list[str]]) -> Fetched:
    """The file, if `choose` picks its name.

    A file in the cache (with the configured SHA-256, where there is one) needs no network, so an
    address such as `.../latest/...` keeps meaning what it meant when it was first fetched; delete
    the cached file to fetch it again. What came before a connection broke, or before the process
    was killed, is kept, and the rest asked for if the server still has the same file. `revision`
    is a digest of the content; `locked` is true where the YAML gives the SHA-256.

    Raises
    ------
    PipelineError
        The address cannot be reached or answers no, the disk is full, or the checksum differs.
    """
    path = url_path(source)
    choose([path.name])
    with fetching(f"url {source.url}"):
        sha = sha256_of(path) if path.is_file() else ""
        if not sha or source.sha256 not in (None, sha):
            path.parent.mkdir(parents=True, exist_ok=True)
            sha = _download(source, path)
    locked = source.sha256 is not None
    return Fetched(paths={path.name: path}, revision=f"sha256-{sha[:16]}", locked=locked)


def _download(source: UrlSource, path: Path) -> str:
    """Fetch beside `path`, check, and rename; return the sha256."""
    import requests

    partial = path.with_name(f"{path.name}.partial")
    attempt = 0
    while True:
        before = _size(partial)
        try:
            _go_on(source, partial)
            break
        except (_Again, requests.RequestException) as error:
            attempt = 1 if _size(partial) > before else attempt + 1
            if attempt == _ATTEMPTS:
                raise PipelineError(
                    _explain(error), source.url, "check the address and the network, run again"
                ) from None
            asked = getattr(error, "wait", None)
            time.sleep(min(0.5 * 2.0**attempt if asked is None else asked, _LONGEST_WAIT))
    found = sha256_of(partial)
    if source.sha256 and found != source.sha256:
        partial.unlink()
        raise PipelineError(
            f"checksum mismatch: expected {source.sha256}, got {found}",
            source.url,
            "the file there is another than the pinned one; do not use it unless you trust it",
        )
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(partial, path)
    _mark(partial).unlink(missing_ok=True)
    return found


def _go_on(source: UrlSource, partial: Path) -> None:
    """Append what is missing; from the start where the server cannot tell it is the same file."""
    import requests
    from tqdm import tqdm

    mark = _mark(partial).read_text(encoding="utf-8") if _mark(partial).is_file() else ""
    have = _size(partial) if mark else 0
    # Compressed on the way, lengths would be those of something else.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark}
    with requests.get(source.url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        _refuse(answer, source)
        if answer.status_code == 416:
            # Asked for what comes after the last byte: killed before the file got its name.
            if answer.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            partial.unlink(missing_ok=True)
            raise _Again("what had been fetched does not fit the file there", wait=0.0)
        if answer.status_code != 206:
            have = 0
        length = answer.headers.get("Content-Length", "")
        to_come = int(length) if length.isdigit() else None
        folder = partial.parent
        refuse_full(to_come or 0, folder, None, source.url, "ATTENTION_WAVELETS_CACHE")
        write_text(_mark(partial), _tag(answer))
        bar = tqdm(
            total=to_come and have + to_come,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=partial.stem,
            disable=not sys.stderr.isatty(),
        )
        with partial.open("ab" if have else "wb") as writer, bar:
            for block in answer.iter_content(_BLOCK):
                writer.write(block)
                bar.update(len(block))
    if to_come is not None and _size(partial) != have + to_come:
        raise _Again("the download was cut short")


def _refuse(answer: requests.Response, source: UrlSource) -> None:
    """Answers that bring no file."""
    if source.url.startswith("https:") and not answer.url.startswith("https:"):
        raise PipelineError(
            "the address leads to one without encryption", source.url, "use another address"
        )
    status = answer.status_code
    if status == 429 or status >= 500:
        asked = answer.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdigit() else None
        raise _Again(f"the server answered with status {status}", wait)
    if status not in (200, 206, 416):
        raise PipelineError(
            f"the server answered with status {status}", source.url, "check `url` in the YAML"
        )


def _tag(answer: requests.Response) -> str:
    """What names this version of the file, if the server says it: a strong ETag or a date."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


def _mark(partial: Path) -> Path:
    """Holds the tag of the file that `partial` is the beginning of."""
    return partial.with_name(f"{partial.name}.tag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _explain(error: Exception) -> str:
    import requests

    if isinstance(error, _Again):
        return f"{error}, {_ATTEMPTS} times"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return f"no answer in time, {_ATTEMPTS} times"
    return f"the connection failed or broke, {_ATTEMPTS} times"
