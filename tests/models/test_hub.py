"""The hub source against a real HTTP server on the loopback interface."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def _content(folder: Path, **extra: bytes) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} | extra


def _files(repository: str, pattern: str = "*", revision: str = "main", kind: str = "model"):
    source = {"kind": "hub", "repository": repository, "revision": revision}
    return {"what": "files", "source": source, "pattern": pattern, "type": kind}


def _model(repository: str, revision: str = "main", **more):
    source = {"kind": "hub", "repository": repository, "revision": revision}
    model = {"label": "tiny", "licence": "MIT", "source": source}
    return {"what": "model", "model": model, **more}


def _value(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _error(done) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_branch_is_fetched_recorded_as_a_commit_and_loads_offline(hub, fetch_apart, tiny_llama):
    unwanted = {"modeling_x.py": b"raise SystemExit", "pytorch_model.bin": b"pickle"}
    commit = hub.add("tiny/llama", _content(tiny_llama, **unwanted, **{"README.md": b"# hello"}))
    manifest = _value(fetch_apart(_model("tiny/llama"), HF_TOKEN=hub.token))
    assert (manifest["revision"], manifest["locked"]) == (commit, False)
    assert manifest["source"]["revision"] == "main"
    assert "model.safetensors" in {entry["name"] for entry in manifest["files"]}
    assert not any("path" in entry for entry in manifest["files"])
    assert hub.asked(r"GET .*/model\.safetensors")
    assert not hub.asked(r"\.py|\.bin|README")

    seen = len(hub.requests)
    again = _value(fetch_apart({**_model("tiny/llama"), "load": True}, HF_HUB_OFFLINE="1"))
    assert again.pop("loaded") == "LlamaModel"
    assert again == manifest
    assert len(hub.requests) == seen


def test_commit_of_the_lock_wins_over_the_branch(hub, fetch_apart, tiny_bert):
    first = hub.add("tiny/bert", _content(tiny_bert))
    second = hub.add("tiny/bert", _content(tiny_bert, **{"vocab.txt": b"new"}))
    assert first != second
    manifest = _value(fetch_apart(_model("tiny/bert", lock={"tiny/bert@main": first})))
    assert (manifest["revision"], manifest["locked"]) == (first, True)


def test_untrained_twin_of_a_hub_model_fetches_no_weights(hub, fetch_apart, tiny_llama):
    hub.add("tiny/llama", _content(tiny_llama))
    base = _model("tiny/llama")["model"]
    twin = {**base, "source": {"kind": "untrained", "of": "base", "seed": 3}}
    done = fetch_apart({"what": "model", "model": twin, "base": base, "load": True})
    manifest = _value(done)
    assert manifest["untrained"]["initializer_range"] == 0.05
    assert not hub.asked(r"resolve/.*safetensors")


def test_lock_resolves_branches_only(hub, fetch_apart):
    commit = hub.add("tiny/a", {"config.json": b"{}"}, branch="step1")
    models = {
        "branch": _model("tiny/a", "step1")["model"],
        "commit": _model("tiny/b", "0" * 40)["model"],
        "local": {**_model("tiny/a")["model"], "source": {"kind": "local", "path": "x"}},
    }
    assert _value(fetch_apart({"what": "lock", "models": models})) == {"tiny/a@step1": commit}


def test_dataset_files_are_fetched_by_pattern(hub, fetch_apart):
    body = {"en/part-0.parquet": b"PAR1" * 9, "en/load.py": b"x", "bg/part-0.parquet": b"PAR1"}
    commit = hub.add("tiny/wiki", body, repo_type="dataset")
    got = _value(fetch_apart(_files("tiny/wiki", "en/*", kind="dataset")))
    assert list(got["paths"]) == ["en/part-0.parquet"]
    assert Path(got["paths"]["en/part-0.parquet"]).read_bytes() == b"PAR1" * 9
    assert got["revision"] == commit


def test_gated_repository_names_licence_page_and_token_variable(hub, fetch_apart):
    hub.add("meta/gated", {"config.json": b"{}"}, gated=True)
    line = _error(fetch_apart(_files("meta/gated")))
    assert f"{hub.url}/meta/gated" in line
    assert "HF_TOKEN" in line
    assert "licence" in line
    got = _value(fetch_apart(_files("meta/gated"), HF_TOKEN=hub.token))
    assert list(got["paths"]) == ["config.json"]


def test_token_comes_from_the_environment_only_and_is_never_printed(hub, fetch_apart, tmp_path):
    hub.add("meta/gated", {"config.json": b"{}"}, gated=True)
    home = tmp_path / "cache" / "hf"
    home.mkdir(parents=True)
    (home / "token").write_text(hub.token)
    _error(fetch_apart(_files("meta/gated")))
    assert not any("authorization" in request.headers for request in hub.requests)
    done = fetch_apart(_files("meta/gated"), HF_TOKEN="hf_wrongButSecret")
    assert "hf_wrongButSecret" not in done.stdout + done.stderr
    assert "has no access" in _error(done)


def test_repository_with_pickles_only_is_refused_before_any_download(hub, fetch_apart):
    hub.add("tiny/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    line = _error(fetch_apart(_model("tiny/old")))
    assert "only pickled weights" in line
    assert not hub.asked("resolve/")
    assert "formats that can run code" in _error(fetch_apart(_files("tiny/old", "*.bin")))


@pytest.mark.parametrize(
    ("repository", "revision", "said"),
    [("tiny/none", "main", "no such model repository"), ("tiny/a", "nope", "no revision 'nope'")],
)
def test_missing_repository_or_revision_is_one_line(hub, fetch_apart, repository, revision, said):
    hub.add("tiny/a", {"config.json": b"{}"})
    assert said in _error(fetch_apart(_files(repository, revision=revision)))


def test_no_network_and_nothing_fetched_is_one_line(hub, fetch_apart):
    away = "http://127.0.0.1:9"
    assert "cannot be reached" in _error(fetch_apart(_files("tiny/a"), HF_ENDPOINT=away))
    assert "HF_HUB_OFFLINE" in _error(fetch_apart(_files("tiny/a"), HF_HUB_OFFLINE="1"))


def test_fetched_files_are_used_when_the_hub_cannot_be_reached(hub, fetch_apart):
    hub.add("tiny/a", {"config.json": b"{}"})
    first = _value(fetch_apart(_files("tiny/a")))
    hub.fault("revision|tree|resolve", times=1000, status=503)
    assert _value(fetch_apart(_files("tiny/a"))) == first


def test_cut_download_is_resumed_to_the_right_bytes(hub, fetch_apart):
    # The client writes blocks of 10 MiB, and resumes after the last whole one.
    body = bytes(range(256)) * 45000
    hub.add("tiny/big", {"model.safetensors": body})
    hub.fault(r"GET .*resolve.*safetensors", cut_after=11_000_000)
    got = _value(fetch_apart(_files("tiny/big")))
    assert Path(got["paths"]["model.safetensors"]).read_bytes() == body
    ranges = [r.headers.get("range") for r in hub.asked(r"GET .*resolve.*safetensors")]
    assert ranges == [None, f"bytes={10 * 2**20}-"]


def test_download_that_stays_short_or_damaged_is_refused_and_leaves_nothing(
    hub, fetch_apart, tmp_path
):
    body = b"good" * 500
    hub.add("tiny/big", {"model.safetensors": body})
    hub.fault(r"GET .*resolve.*safetensors", times=1000, replace_body=b"evil" * 500)
    line = _error(fetch_apart(_files("tiny/big")))
    assert "not what the hub lists" in line
    left = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size == 2000]
    assert left == []


@pytest.mark.parametrize("status", [429, 500])
def test_passing_server_trouble_is_waited_out(hub, fetch_apart, status):
    hub.add("tiny/a", {"config.json": b"{}"})
    hub.fault(r"GET /api/models/tiny/a/revision", status=status, headers={"Retry-After": "0"})
    assert list(_value(fetch_apart(_files("tiny/a")))["paths"]) == ["config.json"]


def test_a_file_damaged_in_the_cache_is_fetched_again(hub, fetch_apart):
    hub.add("tiny/big", {"model.safetensors": b"good" * 500})
    path = Path(_value(fetch_apart(_files("tiny/big")))["paths"]["model.safetensors"])
    path.resolve().write_bytes(b"evil" * 500)
    again = _value(fetch_apart(_files("tiny/big")))
    assert Path(again["paths"]["model.safetensors"]).read_bytes() == b"good" * 500
