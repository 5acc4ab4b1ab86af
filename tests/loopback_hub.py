"""A small Hugging Face hub on the loopback interface: a real HTTP server, made for tests.

It serves the routes that huggingface_hub uses (repository info, tree, resolve with ETag, commit,
linked size and byte ranges) and can be told to misbehave: `hub.fault(...)`.

    with LoopbackHub() as hub:
        commit = hub.add("tiny/llama", {"config.json": b"{}"})
        subprocess.run(..., env={**os.environ, **hub.environment(cache)})
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

__all__ = ["Fault", "LoopbackHub", "Request"]

_LARGE = (".safetensors", ".gguf", ".parquet", ".bin")


@dataclass(frozen=True)
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """Misbehaviour on requests whose `METHOD path` matches `where`, `times` times.

    status
        Answer with this status instead of the content.
    headers
        Sent along, such as Retry-After.
    cut_after
        Send this many bytes of the body, then close the connection.
    replace_body
        Send these bytes (of the right length or not) as the content.
    delay
        Seconds to wait before answering.
    """

    where: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    replace_body: bytes | None = None
    delay: float = 0.0


@dataclass
class _Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False


class LoopbackHub:
    """Serve repositories held in memory; a context manager.

    Attributes
    ----------
    url
        What HF_ENDPOINT must be.
    token
        The one token that opens gated and private repositories.
    requests
        Everything asked for, in order.
    """

    token = "hf_loopbackSecretToken"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._repositories: dict[tuple[str, str], _Repository] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> LoopbackHub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        repository: str,
        files: Mapping[str, bytes],
        branch: str = "main",
        repo_type: str = "model",
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Commit `files` (the whole content) to a branch; return the commit id."""
        entry = self._repositories.setdefault((repo_type, repository), _Repository())
        entry.gated, entry.private = gated, private
        digest = hashlib.sha1(f"{repository}{branch}{len(entry.commits)}".encode())
        for name in sorted(files):
            digest.update(name.encode() + files[name])
        commit = digest.hexdigest()
        entry.commits[commit] = dict(files)
        entry.branches[branch] = commit
        return commit

    def fault(self, where: str, times: int = 1, **kinds: object) -> None:
        """Misbehave on the next `times` requests whose `METHOD path` matches the pattern."""
        self._faults.append(Fault(where, times, **kinds))  # type: ignore[arg-type]

    def asked(self, pattern: str) -> list[Request]:
        """The requests whose `METHOD path` matches a regular expression."""
        return [r for r in self.requests if re.search(pattern, f"{r.method} {r.path}")]

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables that point huggingface_hub and this package to the server and a cache."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache / "hf"),
            "HF_HUB_CACHE": str(cache / "hf" / "hub"),
            "ATTENTION_WAVELETS_CACHE": str(cache / "aw"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def _due(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.where, line):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: LoopbackHub

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        request = Request(self.command, path, {k.lower(): v for k, v in self.headers.items()})
        self.owner.requests.append(request)
        fault = self.owner._due(f"{self.command} {path}")
        if fault is not None:
            time.sleep(fault.delay)
            if fault.status is not None:
                self._send(fault.status, b"", fault.headers)
                return
        api = re.fullmatch(r"/api/(model|dataset)s/(.+?)/(revision|tree)/([^/]+.*)", path)
        if api:
            self._api(*api.groups())
            return
        file = re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path)
        if file:
            kind = "dataset" if file[1] else "model"
            self._file(kind, file[2], file[3], file[4], fault)
            return
        self._refuse(404, "EntryNotFound")

    def _find(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files, or None after an error was sent (as the real hub words it)."""
        entry = self.owner._repositories.get((kind, name))
        if entry is None or (entry.private and not self._authorised()):
            self._refuse(401, "RepoNotFound")
            return None
        commit = entry.branches.get(revision, revision)
        if commit not in entry.commits:
            self._refuse(404, "RevisionNotFound")
            return None
        return commit, entry.commits[commit]

    def _api(self, kind: str, name: str, what: str, revision: str) -> None:
        found = self._find(kind, name, revision)
        if found is None:
            return
        commit, files = found
        if what == "revision":
            siblings = [
                {
                    "rfilename": path,
                    "size": len(body),
                    "blobId": _git_id(body),
                    **({"lfs": {**_large(body), "sha256": _sha(body)}} if _is_large(path) else {}),
                }
                for path, body in files.items()
            ]
            self._json({"id": name, "sha": commit, "siblings": siblings, "tags": []})
            return
        self._json(
            [
                {
                    "type": "file",
                    "path": path,
                    "size": len(body),
                    "oid": _git_id(body),
                    **({"lfs": {**_large(body), "oid": _sha(body)}} if _is_large(path) else {}),
                }
                for path, body in files.items()
            ]
        )

    def _file(self, kind: str, name: str, revision: str, path: str, fault: Fault | None) -> None:
        found = self._find(kind, name, revision)
        if found is None:
            return
        if self.owner._repositories[kind, name].gated and not self._authorised():
            self._refuse(403, "GatedRepo")
            return
        commit, files = found
        if path not in files:
            self._refuse(404, "EntryNotFound")
            return
        body = files[path]
        etag = _sha(body) if _is_large(path) else _git_id(body)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if _is_large(path):
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(body))}
        if fault is not None and fault.replace_body is not None:
            body = fault.replace_body
        status = 200
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
            start = int(wanted[1])
            if start >= len(body):
                self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status, body = 206, body[start:]
        cut = fault.cut_after if fault is not None else None
        self._send(status, body, headers, cut)

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.owner.token}"

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True


def _is_large(path: str) -> bool:
    return path.endswith(_LARGE)


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _git_id(body: bytes) -> str:
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()


def _large(body: bytes) -> dict[str, int]:
    return {"size": len(body), "pointerSize": 130}
