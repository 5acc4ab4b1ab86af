"""Files of a Hugging Face hub repository at one commit, checked, never code or pickles."""

from __future__ import annotations

import glob
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from attention_wavelets.config.lock import is_commit
from attention_wavelets.config.schema import HubSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources.cache import fetching, git_blob_id, sha256_of
from attention_wavelets.sources.fetched import Fetched
from attention_wavelets.sources.room import refuse_full
from attention_wavelets.store.atomic import write_text

__all__ = ["FORBIDDEN", "fetch_hub", "hub_paths", "list_files", "resolve_commit"]

RepoType = Literal["model", "dataset"]
_Result = TypeVar("_Result")

# Formats that run code when opened, and code itself: left on the hub whatever a pattern says.
FORBIDDEN = frozenset(
    {
        *(".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"),
        *(".h5", ".msgpack", ".py", ".pyc", ".sh", ".so", ".dll"),
    }
)
_ATTEMPTS = 3
_LONGEST_WAIT = 60.0


class _Damaged(Exception):
    """A file that came whole by its length but is not what the hub lists."""


@dataclass(frozen=True)
class _Listing:
    commit: str
    # name -> (size, sha256 of large files, git id of small ones); None where not known offline
    files: dict[str, tuple[int | None, str | None, str | None]]
    online: bool


def resolve_commit(source: HubSource, repo_type: RepoType = "model") -> str:
    """The commit a source's branch or tag points to now; needs the network."""
    if is_commit(source.revision):
        return source.revision
    listing = _retrying(lambda: _list_online(source, source.revision, repo_type), source, repo_type)
    return listing.commit


def list_files(source: HubSource) -> dict[str, tuple[int, str | None]] | None:
    """Name -> size and sha256 (of large files) at a revision, None if there is no such revision.

    Read from the hub's tree of files; nothing is downloaded, and without a network it is an error.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    def tree() -> dict[str, tuple[int, str | None]]:
        entries = HfApi(token=_token()).list_repo_tree(
            source.repository, revision=source.revision, recursive=True
        )
        return {
            entry.path: (entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in entries
            if isinstance(entry, RepoFile)
        }

    try:
        with _quiet():
            return _retrying(tree, source, "model")
    except PipelineError as error:
        if any(isinstance(each, RevisionNotFoundError) for each in _chain(error.__cause__)):
            return None
        raise


def fetch_hub(
    source: HubSource,
    choose: Callable[[list[str]], list[str]],
    revision: str | None = None,
    repo_type: RepoType = "model",
    quota_gib: float | None = None,
    leave: Callable[[str], bool] | None = None,
) -> Fetched:
    """The files of a repository that `choose` picks from its sorted names.

    The hub client's own cache (`HF_HOME`, `HF_HUB_CACHE`) is used, so what other tools fetched is
    not fetched again; dropped connections resume, other faults are retried. Every file is checked
    against the SHA-256 (large files) or git id (small files) that the hub lists, and a damaged one
    is removed and fetched again. `HF_TOKEN` is read from the environment only. Without a network
    (or with `HF_HUB_OFFLINE=1`) files fetched before are used.

    Parameters
    ----------
    source
        Repository, and the branch, tag or commit.
    choose
        Given all names; names in `FORBIDDEN` formats are dropped from what it returns.
    revision
        Commit from the lock file; wins over the source's revision.
    repo_type
        `model` or `dataset`.
    quota_gib
        GiB that the cache may hold; None for no limit but the disk's.
    leave
        Chosen names that it is true for stay on the hub, if the hub says their sha256.
    """
    asked = revision or source.revision
    with fetching(f"hub {repo_type} {source.repository} {asked}"), _quiet():
        listing = _list(source, asked, repo_type)
        names = sorted(choose(sorted(listing.files)))
        refused = [name for name in names if _suffix(name) in FORBIDDEN]
        names = [name for name in names if name not in refused]
        if refused and not names:
            raise PipelineError(
                f"only files in formats that can run code match ({refused[0]})",
                _page(source, repo_type),
                "choose a repository or revision with safe formats",
            )
        listed = _left(listing, names, leave)
        names = [name for name in names if name not in listed]
        if listing.online:
            refuse_full(
                _to_come(source, listing, names, repo_type),
                _cache(),
                quota_gib,
                _page(source, repo_type),
            )
        paths = _retrying(lambda: _snapshot(source, listing, names, repo_type), source, repo_type)
        if listing.online and not is_commit(asked):
            _ref(source, asked, repo_type).parent.mkdir(parents=True, exist_ok=True)
            write_text(_ref(source, asked, repo_type), listing.commit)
    return Fetched(paths, revision=listing.commit, locked=is_commit(asked), listed=listed)


def hub_paths(
    source: HubSource, commit: str, names: list[str], repo_type: RepoType = "model"
) -> dict[str, Path]:
    """Where files of a fetched commit lie in the hub cache; those not there are left out."""
    from huggingface_hub import try_to_load_from_cache

    found = {}
    for name in names:
        path = try_to_load_from_cache(source.repository, name, revision=commit, repo_type=repo_type)
        if isinstance(path, str):
            found[name] = Path(path)
    return found


def _left(
    listing: _Listing, names: list[str], leave: Callable[[str], bool] | None
) -> dict[str, tuple[str, int]]:
    """Sha256 and size of the files that need not be fetched now."""
    found = {}
    for name in names if leave is not None else []:
        size, sha, _ = listing.files[name]
        if leave is not None and leave(name) and sha is not None and size is not None:
            found[name] = (sha, size)
    return found


def _to_come(source: HubSource, listing: _Listing, names: list[str], repo_type: RepoType) -> int:
    """Bytes to download: what lies in the cache under another revision is only linked."""
    cached = hub_paths(source, listing.commit, names, repo_type)
    blobs = _folder(source, repo_type) / "blobs"
    missing = {
        sha or blob or name: size or 0
        for name in names
        if name not in cached
        for size, sha, blob in [listing.files[name]]
    }
    return sum(size for key, size in missing.items() if not (blobs / key).is_file())


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _token() -> str | bool:
    """The token of the environment; False keeps the client from reading one out of a file."""
    return os.environ.get("HF_TOKEN") or False


def _page(source: HubSource, repo_type: RepoType) -> str:
    from huggingface_hub import constants

    # An endpoint may carry credentials; they are never shown.
    endpoint = re.sub(r"(?<=://)[^/@]+@", "", constants.ENDPOINT)
    middle = "datasets/" if repo_type == "dataset" else ""
    return f"{endpoint}/{middle}{source.repository}"


def _list(source: HubSource, revision: str, repo_type: RepoType) -> _Listing:
    """Commit and files from the hub, or from the cache where the hub cannot be reached."""
    try:
        return _retrying(lambda: _list_online(source, revision, repo_type), source, repo_type)
    except PipelineError as error:
        if not _unreachable(error.__cause__):
            raise
        cached = _list_cached(source, revision, repo_type)
        if cached is None:
            raise
        return cached


def _list_online(source: HubSource, revision: str, repo_type: RepoType) -> _Listing:
    from huggingface_hub import HfApi

    info = HfApi(token=_token()).repo_info(
        source.repository, revision=revision, repo_type=repo_type, files_metadata=True
    )
    files = {
        item.rfilename: (item.size, item.lfs.sha256 if item.lfs else None, item.blob_id)
        for item in getattr(info, "siblings", None) or []
    }
    if info.sha is None or not is_commit(info.sha):
        raise PipelineError(
            "the hub names no commit for this revision",
            f"{_page(source, repo_type)} at {revision}",
            "check HF_ENDPOINT",
        )
    return _Listing(commit=info.sha, files=files, online=True)


def _list_cached(source: HubSource, revision: str, repo_type: RepoType) -> _Listing | None:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(source.repository, revision=revision, repo_type=repo_type)
    except CachedRepoTreeNotFoundError:
        return None
    commit = revision
    if not is_commit(revision):
        commit = _ref(source, revision, repo_type).read_text(encoding="utf-8").strip()
    return _Listing(commit, {item.path: (None, None, None) for item in tree}, online=False)


def _snapshot(
    source: HubSource, listing: _Listing, names: list[str], repo_type: RepoType
) -> dict[str, Path]:
    """Download and check; a file that fails the check is removed so that the next try gets it."""
    from huggingface_hub import snapshot_download

    folder = Path(
        snapshot_download(
            source.repository,
            revision=listing.commit,
            repo_type=repo_type,
            # Names may hold characters that mean something in a pattern.
            allow_patterns=[glob.escape(name) for name in names],
            token=_token(),
            local_files_only=not listing.online,
            max_workers=4,
        )
    )
    paths = {name: folder / name for name in names}
    for name, path in paths.items():
        if not path.is_file():
            raise _Damaged(name)
        _check(path, name, *listing.files[name])
    return paths


def _ref(source: HubSource, branch: str, repo_type: RepoType) -> Path:
    """Where the client looks up a branch's commit offline; it writes it only when asked by name."""
    return _folder(source, repo_type) / "refs" / branch


def _folder(source: HubSource, repo_type: RepoType) -> Path:
    """The repository's folder in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return _cache() / repo_folder_name(repo_id=source.repository, repo_type=repo_type)


def _check(path: Path, name: str, size: int | None, sha: str | None, blob: str | None) -> None:
    """Compare a file with the hub's listing; offline, with the digest its blob is named by."""
    target = path.resolve()
    if sha is None and blob is None:
        sha = target.name if re.fullmatch(r"[0-9a-f]{64}", target.name) else None
        blob = target.name if re.fullmatch(r"[0-9a-f]{40}", target.name) else None
    if sha is not None:
        right = sha256_of(target) == sha
    elif blob is not None:
        right = git_blob_id(target) == blob
    else:
        right = True
    if right and (size is None or target.stat().st_size == size):
        return
    target.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise _Damaged(name)


def _retrying(action: Callable[[], _Result], source: HubSource, repo_type: RepoType) -> _Result:
    """Run an action, again after faults that pass (429, 5xx, network, damaged file)."""
    for attempt in range(_ATTEMPTS):
        try:
            return action()
        except PipelineError:
            raise
        except Exception as error:
            wait = _wait(error, attempt)
            if wait is None or attempt == _ATTEMPTS - 1:
                raise _explain(error, source, repo_type) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def _status(error: BaseException | None) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _unreachable(error: BaseException | None) -> bool:
    """Whether the hub could not be asked at all (as opposed to: it answered no)."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    for each in _chain(error):
        if isinstance(each, HfHubHTTPError):
            return (_status(each) or 0) >= 500
        # The client's transport errors come from httpx or httpx2, by its version.
        if isinstance(each, OfflineModeIsEnabled) or type(each).__module__.startswith("httpx"):
            return True
    return False


def _wait(error: BaseException, attempt: int) -> float | None:
    """Seconds before another try, or None where another try cannot help."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if any(isinstance(each, OfflineModeIsEnabled) for each in _chain(error)):
        return None
    status = next((_status(each) for each in _chain(error) if _status(each)), None)
    if status == 429:
        asked = next(each for each in _chain(error) if _status(each)).response.headers  # type: ignore[attr-defined]
        try:
            return min(float(asked.get("Retry-After", 2.0**attempt)), _LONGEST_WAIT)
        except ValueError:
            return 2.0**attempt
    if status is not None and status < 500:
        return None
    truncated = isinstance(error, OSError) and "Consistency check" in str(error)
    if isinstance(error, _Damaged) or truncated or _unreachable(error):
        return 0.5 * 2.0**attempt
    return None


def _explain(error: Exception, source: HubSource, repo_type: RepoType) -> PipelineError:
    """One line for what the client raised; its own text is not shown (it may hold signed links)."""
    from huggingface_hub import errors

    page = _page(source, repo_type)
    where = f"{page} at {source.revision}"
    kinds = list(_chain(error))
    status = next((_status(each) for each in kinds if _status(each)), None)

    def caused_by(kind: type[BaseException]) -> bool:
        return any(isinstance(each, kind) for each in kinds)

    if isinstance(error, _Damaged):
        return PipelineError(
            f"{error} is not what the hub lists (truncated or damaged), {_ATTEMPTS} times",
            where,
            "run again; if it stays, report it to the repository",
        )
    if caused_by(errors.GatedRepoError):
        have = "HF_TOKEN has no access" if os.environ.get("HF_TOKEN") else "HF_TOKEN is not set"
        return PipelineError(
            f"gated repository and {have}",
            source.repository,
            f"accept the licence on {page} and set HF_TOKEN to a token of that account",
        )
    if caused_by(errors.RevisionNotFoundError):
        return PipelineError(
            f"no revision '{source.revision}'", page, f"see {page}/tree/main for branches and tags"
        )
    if caused_by(errors.RepositoryNotFoundError) or status in (401, 403):
        return PipelineError(
            f"no such {repo_type} repository, or it is private (or HF_TOKEN is wrong)",
            page,
            "check `repository`; for a private one set HF_TOKEN",
        )
    if caused_by(errors.OfflineModeIsEnabled):
        return PipelineError(
            "HF_HUB_OFFLINE is set and the files are not in the cache",
            where,
            "unset it and run once with a network",
        )
    if status is not None:
        return PipelineError(f"the hub answered with status {status}", where, "run again later")
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return PipelineError(
            f"the download was cut short {_ATTEMPTS} times", where, "check the network, run again"
        )
    if _unreachable(error) or caused_by(errors.LocalEntryNotFoundError):
        return PipelineError(
            "the hub cannot be reached and the files are not in the cache",
            where,
            "check the network or HF_ENDPOINT and run again",
        )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return PipelineError(f"the download failed ({reason})", where, "run again")


@contextmanager
def _quiet() -> Iterator[None]:
    """The client's log lines off (they hold links); progress bars only on a terminal."""
    import logging

    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    before, bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if bars and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(before)
        if bars:
            enable_progress_bars()
