"""A file at an address: fetched once, resumed, checked; from a real server on the loopback."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attention_wavelets.config.schema import UrlSource
from attention_wavelets.errors import PipelineError
from attention_wavelets.sources import fetch_files
from attention_wavelets.sources.url import url_path

_TEXT = bytes(range(256)) * 4096
_SHA = hashlib.sha256(_TEXT).hexdigest()
_NAME = "dump.xml.bz2"


@pytest.fixture
def url(hub: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.add("wiki/dump", {_NAME: _TEXT}, repo_type="dataset")
    return f"{hub.url}/datasets/wiki/dump/resolve/main/{_NAME}"


def _source(url: str, sha: str = _SHA) -> UrlSource:
    return UrlSource(kind="url", url=url, sha256=sha)


def _partial(source: UrlSource) -> Path:
    return url_path(source).with_name(f"{_NAME}.partial")


def test_a_file_is_fetched_once(hub, url):
    fetched = fetch_files(_source(url))
    assert fetched.paths[_NAME].read_bytes() == _TEXT
    assert (fetched.revision, fetched.locked) == (f"sha256-{_SHA[:16]}", True)
    assert fetch_files(_source(url)) == fetched
    assert len(hub.requests) == 1
    assert sorted(p.name for p in fetched.paths[_NAME].parent.iterdir()) == [_NAME]


def test_without_a_checksum_the_manifest_says_that_it_was_not_pinned(url):
    fetched = fetch_files(UrlSource.model_construct(kind="url", url=url, sha256=None))
    assert (fetched.revision, fetched.locked) == (f"sha256-{_SHA[:16]}", False)


def test_a_cut_connection_is_resumed(hub, url):
    hub.fault("GET .*dump", cut_after=600_000)
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT
    start = int(hub.requests[1].headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 500_000 < start <= 600_000


def test_what_a_killed_process_left_is_gone_on_with(hub, url):
    for name, body in (("", _TEXT[:1000]), (".tag", f'"{_git_id(_TEXT)}"'.encode())):
        path = Path(f"{_partial(_source(url))}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT
    assert hub.requests[0].headers["range"] == "bytes=1000-"


def test_a_file_that_is_whole_but_has_no_name_yet_is_not_fetched_again(hub, url):
    for name, body in (("", _TEXT), (".tag", f'"{_git_id(_TEXT)}"'.encode())):
        path = Path(f"{_partial(_source(url))}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT
    assert len(hub.requests) == 1


def test_a_beginning_of_another_file_is_not_gone_on_with(hub, url):
    for name, body in (("", b"x" * 1000), (".tag", b'"another"')):
        path = Path(f"{_partial(_source(url))}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT


def test_a_busy_server_is_asked_again(hub, url):
    hub.fault("GET .*dump", status=429, headers={"Retry-After": "1"})
    hub.fault("GET .*dump", status=503)
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT


@pytest.mark.parametrize(
    ("fault", "times", "words"),
    [
        ({"status": 404}, 1, "the server answered with status 404; check `url`"),
        ({"status": 500}, 9, "the server answered with status 500, 3 times"),
        ({"cut_after": 0}, 9, "the connection failed or broke, 3 times"),
        ({"replace_body": _TEXT[:-1] + b"?"}, 1, "checksum mismatch: expected"),
    ],
)
def test_what_cannot_be_fetched_is_one_line_and_leaves_no_file(hub, url, fault, times, words):
    hub.fault("GET .*dump", times=times, **fault)
    with pytest.raises(PipelineError) as raised:
        fetch_files(_source(url))
    assert words in str(raised.value)
    assert url in str(raised.value)
    assert not url_path(_source(url)).exists()


def test_a_damaged_file_of_the_cache_is_fetched_again(hub, url):
    path = fetch_files(_source(url)).paths[_NAME]
    path.write_bytes(b"damaged")
    assert fetch_files(_source(url)).paths[_NAME].read_bytes() == _TEXT


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/a.txt",
        "https://user:secret@example.org/a.txt",
        "https://example.org/a.txt?token=secret",
        "https://example.org/",
        "https://example.org/..",
        "http://example.org/a.txt",
    ],
)
def test_addresses_with_secrets_or_without_a_plain_name_are_refused(address):
    with pytest.raises(ValidationError):
        UrlSource(kind="url", url=address)


def _git_id(body: bytes) -> str:
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
