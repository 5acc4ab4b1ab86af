"""Series of known scale through the workflow: drawn, read, compared, reported."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from helpers.recipes import add_trained
from helpers.tiny_study import Project, make_project

GROUPS = {
    "p4": {"kind": "sinusoids", "periods": [4], "noise": 0.2},
    "p8": {"kind": "sinusoids", "periods": [8], "noise": 0.2},
    "rough": {"kind": "fractional_noise", "hurst": 0.3},
}


def change(project: Project, name: str, **values: object) -> None:
    path = project.yaml(name)
    plain = yaml.safe_load(path.read_text(encoding="utf-8")) | values
    path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def add_series(project: Project, merges: int = 0) -> None:
    """Make the tiny study one of series: three kinds, one training run, the first and last step."""
    add_trained(project, tokenizer={"merges": merges}, keep=[0], context=64)
    text = {
        "source": {"kind": "synthetic", "groups": GROUPS, "count": 32, "length": 160, "seed": 1},
        "format": "series",
        "samples": {"levels": 16},
        "language": "none",
        "title": "Series",
        "licence": "CC0-1.0",
        "split": {"held_out": 0.5, "seed": 0},
    }
    change(
        project,
        "corpus/tiny",
        text=text,
        sequences={"tokens": 64, "count": 40, "min_documents": 40},
    )
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][0]["conditions"] = ["full", "shuffled"]
    study |= {
        "models": ["tiny-rope"],
        "facts": [],
        "figures": ["series_scales"],
        "series": {"probes": ["lag", "received"]},
    }
    del study["causal"]
    path = project.yaml("study/tiny")
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    model = yaml.safe_load(project.yaml("model/tiny-rope").read_text(encoding="utf-8"))
    model["source"]["seeds"] = [0]
    change(project, "model/tiny-rope", **model)


@pytest.fixture(scope="module")
def read(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("series") / "project", tiny_inputs)
    add_series(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def test_every_scale_has_a_row_per_model_and_probe_and_one_of_the_series(read: Project):
    table = pd.read_csv(read.study / "series.csv", keep_default_na=False, na_values=[""])
    assert len(table) == 3 * (2 * 2 + 1)
    assert set(table["probe"]) == {"data", "lag", "received"}
    assert table.loc[table["probe"] == "data", "model"].isna().all()
    assert set(table["model"].dropna()) == {"tiny-rope-s0-step0", "tiny-rope-s0-step6"}
    own = table[(table["probe"] == "data") & (table["kind"] == "sinusoids")]
    # The series have their own periods, and shuffled ones and others do not.
    assert (own["response"] > 6).all()
    assert (own["specific"] > 6).all()
    assert (own["found"] == 1).all()
    heads = table[(table["probe"] != "data") & (table["kind"] == "sinusoids")]
    assert heads["response"].notna().all()
    assert heads["found"].between(0, 1).all()
    assert (heads["heads"] == 4).all()
    groups = table[table["probe"] == "data"].set_index("group")["n"]
    assert groups.sum() == 40


def test_a_sequence_lies_in_its_documents_group(read: Project):
    documents = pd.read_parquet(read.results / "corpora/tiny/documents.parquet")
    assert set(documents["group"]) == set(GROUPS)
    assert documents["title"].str.startswith(tuple(GROUPS)).all()
    manifest = json.loads((read.results / "corpora/tiny/manifest.json").read_text())
    assert manifest["files"] == []
    assert manifest["locked"]


def test_report_and_figure_show_the_scales(read: Project):
    page = (read.study / "report.html").read_text(encoding="utf-8")
    assert "Do heads find the scales of the data?" in page
    assert "single a period out" in page
    assert "drawn here, seed 1" in page
    spectra = pd.read_csv(read.study / "series_spectra.csv", keep_default_na=False, na_values=[""])
    assert set(spectra.columns) == {"model", "corpus", "probe", "group", "cycles", "excess"}
    assert spectra["cycles"].between(0, 0.5).all()


def test_tokens_that_are_no_samples_are_refused(read: Project, tmp_path: Path):
    project = read.copy(tmp_path / "project")
    add_series(project, merges=20)
    done = project.snakemake()
    assert done.returncode != 0
    log = (project.results / "logs/compare_series/tiny.log").read_text(encoding="utf-8")
    assert "its tokens are not the samples of the series" in log
    assert "merges: 0" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ({"probes": ["last_query"]}, "unknown probe of `series` 'last_query'"),
        ({"probes": ["lag"], "without": "full"}, "no measured condition of kind `shuffle`"),
        ({"probes": ["lag"], "condition": "shuffled"}, "no measured condition of kind `full`"),
        ({"probes": ["lag"], "without": "half"}, "no measured condition of kind `shuffle`"),
    ],
)
def test_what_is_not_measured_is_refused_at_once(
    read: Project, tmp_path: Path, scales: dict, words: str
):
    project = read.copy(tmp_path / "project")
    change(project, "study/tiny", series=scales)
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_corpus_of_prose_has_no_scales(read: Project, tmp_path: Path, tiny_inputs: Path):
    project = read.copy(tmp_path / "project")
    corpus = yaml.safe_load(project.yaml("corpus/tiny").read_text(encoding="utf-8"))
    corpus["text"]["source"] = {"kind": "local", "path": str(tiny_inputs / "text.jsonl")}
    corpus["text"]["format"] = "jsonl"
    del corpus["text"]["samples"]
    change(project, "corpus/tiny", **corpus)
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert "no measured corpus has series of known scale" in done.stdout + done.stderr
