"""Bad input through the real command line: one line, an exit code, nothing half-written."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers.tiny_study import COUNT, DOCUMENTS, Project

CONF = Path(__file__).parents[2] / "conf"
NAMED = ("study=tiny",)


def refused(project: Project, out: Path, *arguments: str, **env: str) -> str:
    """Run a command that must fail; its one line, without the leading `error: `."""
    out.parent.mkdir(exist_ok=True)
    before = sorted(out.parent.iterdir())
    done = project.cli(*arguments, "--out", str(out), **env)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert done.stdout == ""
    assert sorted(out.parent.iterdir()) == before
    return lines[0].removeprefix("error: ")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "result"


@pytest.fixture
def llama(tiny_inputs: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Llama that a test may damage."""
    return Path(shutil.copytree(tiny_inputs / "llama", tmp_path / "llama"))


def fetch(project: Project, path: Path, out: Path) -> str:
    override = f"model.tiny-llama.source.path={path}"
    return refused(project, out, "fetch-model", "--model", "tiny-llama", *NAMED, override)


def build(project: Project, out: Path, *overrides: str, **env: str) -> str:
    command = ("build-corpus", "--corpus", "tiny", *NAMED, *overrides)
    return refused(project, out, *command, "--manifest", str(out.parent / "manifest"), **env)


def encode(project: Project, out: Path, *overrides: str) -> str:
    results = project.results
    return refused(
        *(project, out, "encode-sequences", "--model", "tiny-llama", "--corpus", "tiny"),
        *("--manifest", str(results / "models/tiny-llama/manifest.json")),
        *("--documents", str(results / "corpora/tiny/documents.parquet")),
        *(*NAMED, *overrides),
    )


def extract(project: Project, out: Path, manifest: Path, sequences: Path) -> str:
    return refused(
        *(project, out, "extract-signals", "--model", "tiny-llama", "--corpus", "tiny"),
        *("--manifest", str(manifest), "--sequences", str(sequences)),
        *("--work", str(out.parent.parent / "work"), *NAMED),
    )


def test_a_missing_model(tiny_project: Project, out: Path, tmp_path: Path):
    said = fetch(tiny_project, tmp_path / "nowhere", out)
    assert said == f"{tmp_path}/nowhere: file or folder is missing; check `path` in the YAML"


def test_a_truncated_safetensors_file(tiny_project: Project, out: Path, llama: Path):
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    said = fetch(tiny_project, llama, out)
    assert said.startswith(f"tiny-llama ({weights}): damaged safetensors file")


def test_a_damaged_gguf_file(tiny_project: Project, out: Path, tmp_path: Path):
    damaged = tmp_path / "model.gguf"
    damaged.write_bytes(b"GGUF" + b"\x03\0\0\0" + b"\xff" * 64)
    said = fetch(tiny_project, damaged, out)
    assert said.startswith(f"tiny-llama ({damaged}): damaged GGUF file")


def test_an_unknown_model_type(tiny_project: Project, out: Path, llama: Path):
    config = json.loads((llama / "config.json").read_text()) | {"model_type": "lama"}
    (llama / "config.json").write_text(json.dumps(config))
    said = fetch(tiny_project, llama, out)
    assert "model_type 'lama'" in said
    assert str(llama / "config.json") in said


def manifest_of(finished: Project, folder: Path) -> Path:
    """What fetch-model wrote, as if it had found the model in `folder`."""
    manifest = json.loads((finished.results / "models/tiny-llama/manifest.json").read_text())
    for entry in manifest["files"]:
        path = folder / entry["name"]
        entry["path"], entry["size"] = str(path), path.stat().st_size
        entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["origin"]["path"] = str(folder)
    written = folder.parent / "manifest.json"
    written.write_text(json.dumps(manifest))
    return written


def test_nan_in_weights(finished: Project, tiny_project: Project, out: Path, llama: Path):
    from safetensors.numpy import load_file, save_file

    weights = load_file(llama / "model.safetensors")
    weights["layers.1.self_attn.q_proj.weight"][3, 4] = np.nan
    save_file(weights, llama / "model.safetensors", metadata={"format": "pt"})
    sequences = finished.results / "sequences/tiny-llama/tiny.zarr.zip"
    said = extract(tiny_project, out, manifest_of(finished, llama), sequences)
    assert "NaN or infinity in weight layers.1.self_attn.q_proj.weight" in said


def test_weights_that_changed_since_they_were_fetched(
    finished: Project, tiny_project: Project, out: Path, llama: Path
):
    """Of the same size, so that only the checksum tells."""
    manifest = manifest_of(finished, llama)
    content = bytearray((llama / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (llama / "model.safetensors").write_bytes(content)
    sequences = finished.results / "sequences/tiny-llama/tiny.zarr.zip"
    said = extract(tiny_project, out, manifest, sequences)
    assert "model.safetensors is gone or changed" in said


def test_damaged_sequences(finished: Project, tiny_project: Project, out: Path, tmp_path: Path):
    sequences = tmp_path / "sequences.zarr.zip"
    whole = (finished.results / "sequences/tiny-llama/tiny.zarr.zip").read_bytes()
    sequences.write_bytes(whole[: len(whole) // 2])
    manifest = finished.results / "models/tiny-llama/manifest.json"
    assert extract(tiny_project, out, manifest, sequences).startswith(f"{sequences}: damaged store")


def test_sequences_longer_than_the_model_can_read(finished: Project, out: Path):
    said = encode(finished, out, "corpus.tiny.sequences.tokens=129")
    assert said == (
        "conf/corpus/tiny.yaml: sequences of 129 tokens are longer than the 128 positions of "
        "model 'tiny-llama'; set sequences.tokens to 128 or less"
    )


def test_a_corpus_too_small_says_how_much_it_can_give(finished: Project, out: Path):
    said = encode(finished, out, "corpus.tiny.sequences.count=500")
    assert f"it can give {DOCUMENTS} sequences of 64 tokens" in said
    assert f"but 500 from at least {COUNT} documents are asked for" in said


def test_a_missing_corpus(tiny_project: Project, out: Path, tmp_path: Path):
    said = build(tiny_project, out, f"corpus.tiny.text.source.path={tmp_path}/none")
    assert said.startswith(f"{tmp_path}/none: file or folder is missing")


def test_an_empty_corpus(tiny_project: Project, out: Path, tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    said = build(tiny_project, out, f"corpus.tiny.text.source.path={tmp_path}/empty.jsonl")
    assert said.startswith("Letters: no document of at least 1 characters; check ")


def test_a_damaged_line_of_a_corpus(tiny_project: Project, out: Path, tmp_path: Path):
    good = json.dumps({"text": "a b c"})
    (tmp_path / "bad.jsonl").write_text(f"{good}\n{{\n")
    said = build(tiny_project, out, f"corpus.tiny.text.source.path={tmp_path}/bad.jsonl")
    assert said.startswith(f"{tmp_path}/bad.jsonl, line 2: not valid JSON")


def _local_index(folder: Path) -> Path:
    """A folder that pip takes for an index: one wheel with one text in it."""
    folder.mkdir()
    info = "tinytext-1.0.dist-info"
    with zipfile.ZipFile(folder / "tinytext-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinytext/text.jsonl", json.dumps({"text": "a b c"}))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinytext\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return folder


def test_a_checksum_mismatch(tiny_project: Project, out: Path, tmp_path: Path):
    wrong = hashlib.sha256(b"something else").hexdigest()
    tiny_project.change(
        "corpus/tiny",
        tiny_project.yaml("corpus/tiny").read_text().split("  format:")[0],
        "text:\n  source:\n    kind: wheel\n    distribution: tinytext\n    version: '1.0'\n"
        f"    files:\n      tinytext/text.jsonl: {wrong}\n",
    )
    cache = tmp_path / "cache"
    index = _local_index(tmp_path / "index")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    said = build(tiny_project, out, **offline, ATTENTION_WAVELETS_CACHE=str(cache))
    assert said.startswith("tinytext 1.0 (package index): checksum mismatch of tinytext/text.jsonl")
    assert wrong in said
    assert not list(cache.rglob("*.jsonl"))
    assert not list(cache.rglob("*.whl"))


UNREADABLE = {
    "missing": "file is missing; give a .npy file",
    "text": "is no .npy file; save the array with np.save",
    "several": "is no .npy file; save the array with np.save",
    "truncated": "damaged .npy file (",
    "pickle": "holds Python objects; save one array of numbers",
    "words": "holds values of type <U1, not real numbers; save an array of",
    "complex": "holds values of type complex128, not real numbers; save an array of",
    "number": "holds a single number; save an array (..., N)",
    "nothing": "holds no signals (shape (0, 8))",
}


@pytest.mark.parametrize("damage", UNREADABLE)
def test_an_array_that_cannot_be_measured(
    tiny_project: Project, out: Path, tmp_path: Path, damage: str
):
    path = tmp_path / "signals.npy"
    if damage == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif damage == "several":
        with path.open("wb") as file:
            np.savez(file, a=np.ones(8), b=np.ones(8))
    elif damage == "words":
        np.save(path, np.array([["a", "b"]]))
    elif damage == "complex":
        np.save(path, np.ones((2, 8), dtype=np.complex128))
    elif damage == "number":
        np.save(path, np.float64(1))
    elif damage == "nothing":
        np.save(path, np.zeros((0, 8)))
    elif damage == "text":
        path.write_text("0.1 0.9\n")
    elif damage == "truncated":
        np.save(path, np.ones((100, 64)))
        path.write_bytes(path.read_bytes()[:1000])
    said = refused(tiny_project, out, "measure", "--protocol", "paper", str(path))
    assert said.startswith(f"{path}: {UNREADABLE[damage]}")
    # A file that must be unpickled can run any code; nobody is told how.
    assert "pickle" not in said


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ("[excess_sqrt, all]", "`all` stands beside other measures; write [all] alone"),
        ("[exces_sqrt]", "unknown measure 'exces_sqrt'; did you mean 'excess_sqrt'?"),
        ("[bank_collapse]", "none of its `measures` is one of single signals"),
    ],
)
def test_measures_that_a_protocol_cannot_have(
    tiny_project: Project, out: Path, tmp_path: Path, measures: str, expected: str
):
    """The message names the file, in `measure` as in the workflow."""
    shutil.copy(CONF / "protocol/rigorous.yaml", tiny_project.yaml("protocol/own"))
    tiny_project.change("protocol/own", "measures: [all]", f"measures: {measures}")
    np.save(tmp_path / "signals.npy", np.ones((2, 8)))
    said = refused(tiny_project, out, "measure", "--protocol", "own", f"{tmp_path}/signals.npy")
    assert said.startswith(f"conf/protocol/own.yaml: {expected}")


def test_a_missing_slice(tiny_project: Project, out: Path, tmp_path: Path):
    missing = str(tmp_path / "none.json")
    said = refused(tiny_project, out, "build-corpus", "--config", missing, "--manifest", missing)
    assert said.startswith(f"{tmp_path}/none.json: file is missing")


def test_a_slice_and_overrides_exclude_each_other(finished: Project, out: Path):
    config = finished.results / "corpora/tiny/build.json"
    options = ("--config", str(config), "--manifest", str(out.parent / "manifest"))
    said = refused(finished, out, "build-corpus", *options, *NAMED)
    assert said == "command line: --config and overrides exclude each other; give one of them"


def test_an_unknown_model_on_the_command_line(tiny_project: Project, out: Path):
    said = refused(tiny_project, out, "fetch-model", "--model", "tiny-lama", *NAMED)
    assert "'models/tiny-lama/fetch'" in said
    assert "did you mean 'models/tiny-llama/fetch'?" in said


def test_a_failing_job_of_the_workflow_shows_its_one_line(tiny_project: Project, tmp_path: Path):
    tiny_project.change(
        "corpus/tiny",
        next(
            line
            for line in tiny_project.yaml("corpus/tiny").read_text().splitlines()
            if "path:" in line
        ),
        f"    path: {tmp_path}/none",
    )
    done = tiny_project.snakemake("--until", "build_corpus")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"error: {tmp_path}/none: file or folder is missing" in output
    assert "Traceback" not in output
    assert not list(tiny_project.results.rglob("*.parquet"))
