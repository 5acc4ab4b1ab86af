"""Models trained here on two languages, read in both, by tokens and by characters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from transformers import PreTrainedTokenizerFast

from attention_wavelets.store.arrays import open_group
from attention_wavelets.training.tokens import token_bytes
from helpers.recipes import add_trained
from helpers.tiny_study import Project, make_project

WORDS = "вода град език народ планина река слънце дърво ден година човек път море небе".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def read(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a run on letters of two alphabets; the second text is twice as long."""
    folder = tmp_path_factory.mktemp("languages")
    random = np.random.default_rng(0)
    lines = [
        json.dumps({"title": str(n), "text": " ".join(random.choice(WORDS, 120))})
        for n in range(28)
    ]
    (folder / "bg.jsonl").write_text("\n".join(lines), encoding="utf-8")
    project = make_project(folder / "project", tiny_inputs)
    add_trained(project, also=["tiny-bg"], keep=[0], tokenizer={"merges": 60})
    corpus = yaml.safe_load(project.yaml("corpus/tiny").read_text(encoding="utf-8"))
    corpus["text"] |= {"language": "bg", "title": "Думи"}
    corpus["text"]["source"] = {"kind": "local", "path": str(folder / "bg.jsonl")}
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["models"] = ["tiny-rope"]
    study["figures"] = ["ladder_steps"]
    study["facts"] = []
    del study["causal"]
    first = study["measurements"][0]
    first["probes"] = ["received", "lag"]
    rigorous = {"conditions": ["full", "half"], "probes": ["lag", "character_lag"]}
    study["measurements"] += [
        {**first, "corpus": "tiny-bg"},
        *({"corpus": name, "protocol": "rigorous", **rigorous} for name in ("tiny", "tiny-bg")),
    ]
    files = {"corpus/tiny-bg": corpus, "study/tiny": study}
    for name, plain in files.items():
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        project.yaml(name).write_text(text, encoding="utf-8")
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def test_both_languages_are_learned_in_equal_parts(read: Project):
    parts = {
        name: pd.read_parquet(read.results / f"corpora/{name}.training/documents.parquet")
        for name in ("tiny", "tiny-bg")
    }
    lengths = {name: table["characters"] for name, table in parts.items()}
    tokens = np.load(read.results / "recipes/tiny/tokens.npz", allow_pickle=False)
    # Bytes say how much of which text went in: a Cyrillic letter has two.
    learned = PreTrainedTokenizerFast.from_pretrained(read.results / "recipes/tiny/tokenizer")
    total = int(token_bytes(learned, tokens["training"]).sum())
    most = min(lengths["tiny"].sum(), lengths["tiny-bg"].sum())
    expected = 0
    for table in parts.values():
        before = table["characters"].cumsum() - table["characters"]
        expected += sum(len(text.encode()) for text in table.loc[before < most, "text"])
    assert total == expected
    everything = sum(len(t.encode()) for table in parts.values() for t in table["text"])
    assert total < everything


def test_attention_by_characters_is_measured_in_both(read: Project):
    for corpus in ("tiny", "tiny-bg"):
        path = read.results / f"signals/tiny-rope-s0-step12/{corpus}.zarr.zip"
        with open_group(path, "full") as group:
            signals = group["character_lag"]
            assert signals.dims[-1] == "character_lags"
            known = np.isfinite(signals.values).all(-1)
            assert known.mean() > 0.9
            assert signals.values[known].sum(-1) == pytest.approx(1, abs=1e-5)
    heads = pd.read_parquet(read.study / "heads.parquet")
    rows = heads[(heads["probe"] == "character_lag") & (heads["condition"] == "full")]
    assert set(rows["corpus"]) == {"tiny", "tiny-bg"}
    assert rows["kernel_width_mean"].notna().any()


def test_a_corpus_without_held_out_documents_is_refused(read: Project, tmp_path: Path):
    project = read.copy(tmp_path / "project")
    path = project.yaml("corpus/tiny-bg")
    corpus = yaml.safe_load(path.read_text(encoding="utf-8"))
    del corpus["text"]["split"]
    path.write_text(yaml.safe_dump(corpus, allow_unicode=True), encoding="utf-8")
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert "'tiny-bg' holds no documents out of training" in done.stdout + done.stderr
    recipe = yaml.safe_load(project.yaml("recipe/tiny").read_text(encoding="utf-8"))
    recipe["also"] = ["tiny"]
    project.yaml("recipe/tiny").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = project.snakemake("-n")
    assert "`also` names 'tiny' again" in done.stdout + done.stderr
