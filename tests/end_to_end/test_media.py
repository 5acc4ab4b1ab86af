"""Encoders of sound and of pictures through the whole pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from transformers import AutoModel

from attention_wavelets.config.compose import compose
from attention_wavelets.corpora.media import picture_patches
from attention_wavelets.errors import PipelineError
from attention_wavelets.stages.extract import extract_signals
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.atomic import read_json
from helpers.media import RATE, picture_config, save_encoder, sound, sound_config
from helpers.tiny_study import ROOT, Project, make_project

PIXELS = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}


def study_of(project: Project, corpus: str, models: list[str], conditions: list[str]) -> None:
    """Put these models and this corpus into the study `tiny`."""
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study |= {
        "models": models,
        "measurements": [
            {"corpus": corpus, "conditions": conditions, "probes": ["received"]}
            | {"protocol": "paper"},
            {"corpus": corpus, "conditions": ["full", "shuffled"], "probes": ["lag"]}
            | {"protocol": "rigorous"},
        ],
        "facts": [{"corpus": corpus, "conditions": ["full"], "facts": ["sink", "row_entropy"]}],
        "headline": {"corpus": corpus, "protocol": "paper", "condition": "full"},
        "claims": ["H01", "H11", "R13"],
        "figures": ["band_shares", "position_spectrum"],
    }
    study.pop("causal", None)
    write(project, "study/tiny", study)


def write(project: Project, name: str, plain: dict[str, Any]) -> None:
    project.yaml(name).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def refusal(project: Project, *arguments: str) -> str:
    """What a run that is refused says, without a traceback."""
    done = project.snakemake(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said
    return said


def add_model(project: Project, name: str, folder: Path) -> None:
    source = {"kind": "local", "path": str(folder)}
    write(project, f"model/{name}", {"label": name, "source": source, "licence": "MIT"})


@pytest.fixture(scope="module")
def heard(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a run on sounds, by two position encodings and an untrained twin."""
    folder = tmp_path_factory.mktemp("sound")
    project = make_project(folder / "project", tiny_inputs)
    for positions in ("rotary", "relative"):
        scaling = {"sampling_rate": RATE, "do_normalize": True}
        save_encoder(folder / positions, sound_config(positions, initializer_range=0.2), **scaling)
        add_model(project, f"tiny-{positions}", folder / positions)
    twin = {"kind": "untrained", "of": "tiny-rotary", "seed": 0}
    write(project, "model/tiny-twin", {"label": "twin", "source": twin, "licence": "MIT"})
    (folder / "sounds").mkdir()
    for number in range(12):
        (folder / "sounds" / f"{number:02d}.flac").write_bytes(sound(number))
    text = {
        "source": {"kind": "local", "path": str(folder / "sounds")},
        "format": "sound",
        "files": "*.flac",
        **{"language": "none", "title": "Tones", "licence": "CC0-1.0"},
    }
    rules = {"tokens": 64, "count": 12, "min_documents": 12}
    write(project, "corpus/tones", {"text": text, "sequences": rules})
    models = ["tiny-rotary", "tiny-relative", "tiny-twin"]
    study_of(project, "tones", models, ["full", "half", "quarter", "shuffled"])
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


@pytest.fixture(scope="module")
def seen(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a run on the photographs that scikit-image carries."""
    folder = tmp_path_factory.mktemp("pictures")
    project = make_project(folder / "project", tiny_inputs)
    save_encoder(folder / "dino", picture_config(initializer_range=0.2), **PIXELS)
    add_model(project, "tiny-dino", folder / "dino")
    project.change("corpus/photographs-201", "tokens: 201", "tokens: 67")
    study_of(project, "photographs-201", ["tiny-dino"], ["full", "shuffled"])
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def test_every_model_of_sound_is_measured_and_reported(heard: Project):
    models = pd.read_csv(heard.study / "models.csv").set_index("model")
    assert list(models["position_encoding"]) == ["rotary", "relative_bias", "rotary"]
    for column in ("spectral_entropy_mean", "scale_sensitivity_0_5"):
        assert models[column].notna().all(), column
    heads = pd.read_parquet(heard.study / "heads.parquet")
    assert set(heads["condition"]) == {"full", "half", "quarter", "shuffled"}
    report = (heard.study / "report.html").read_text(encoding="utf-8")
    assert "Tones" in report


def test_photographs_are_read_as_the_model_itself_reads_them(seen: Project):
    documents = pd.read_parquet(seen.results / "corpora/photographs-201/documents.parquet")
    assert len(documents) == 12
    model = AutoModel.from_pretrained(
        yaml.safe_load(seen.yaml("model/tiny-dino").read_text())["source"]["path"],
        attn_implementation="eager",
    ).eval()
    path = seen.results / "signals/tiny-dino/photographs-201.zarr.zip"
    with open_group(path, "full") as group:
        signals, order = group["received"].values, group["document"].values
        special = group["special"].values
    assert special[:, :3].all()
    assert not special[:, 3:].any()
    for row in (0, 7):
        patches = picture_patches(documents["content"][order[row]], 8, 8)
        # Put together without the code that is used in the run.
        pixels = np.zeros((64, 64, 3), dtype=np.float32)
        for number, patch in enumerate(patches.reshape(64, 8, 8, 3)):
            top, left = 8 * (number // 8), 8 * (number % 8)
            pixels[top : top + 8, left : left + 8] = patch
        values = torch.from_numpy((pixels - 0.5) / 0.25).permute(2, 0, 1)[None]
        with torch.inference_mode():
            attentions = model(pixel_values=values, output_attentions=True).attentions
        expected = np.stack([layer[0].mean(1).numpy() for layer in attentions])
        np.testing.assert_allclose(signals[row], expected, atol=1e-5)


def test_shuffled_patches_are_another_picture(seen: Project):
    path = seen.results / "signals/tiny-dino/photographs-201.zarr.zip"
    found = {}
    for condition in ("full", "shuffled"):
        with open_group(path, condition) as group:
            found[condition] = group["received"].values
    assert np.abs(found["full"] - found["shuffled"]).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conditions": ["full", "repeated"]}, "condition 'repeated' of kind `repeat` is not for"),
        ({"conditions": ["full", "half"]}, "'half' of kind `subsample` is not for pictures"),
        ({"probes": ["character_lag"]}, "probe 'character_lag' counts characters"),
    ],
)
def test_what_cannot_be_asked_of_pictures_is_refused_in_the_plan(seen, tmp_path, change, words):
    project = seen.copy(tmp_path / "project")
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][0] |= change
    write(project, "study/tiny", study)
    assert words in refusal(project, "-n")


def test_a_model_of_text_is_refused(seen: Project, tmp_path: Path):
    project = seen.copy(tmp_path / "project")
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["models"] = ["tiny-bert"]
    write(project, "study/tiny", study)
    words = "its documents are pictures, model 'tiny-bert' reads tokens"
    assert words in refusal(project)


def test_a_broken_file_is_one_line(seen: Project, tmp_path: Path):
    project = seen.copy(tmp_path / "project")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    corpus = yaml.safe_load(project.yaml("corpus/photographs-201").read_text(encoding="utf-8"))
    corpus["text"]["source"] = {"kind": "local", "path": str(tmp_path / "broken.png")}
    corpus["sequences"] |= {"count": 1, "min_documents": 1}
    write(project, "corpus/photographs-201", corpus)
    assert "document 'broken': not a readable picture" in refusal(project)


def test_a_profile_is_of_text_alone(seen: Project, tmp_path: Path):
    folder = yaml.safe_load(seen.yaml("model/tiny-dino").read_text())["source"]["path"]
    (tmp_path / "text.txt").write_text("some words")
    text = str(tmp_path / "text.txt")
    done = seen.cli("profile", folder, "--text", text, "--out", str(tmp_path / "p.html"))
    assert done.returncode != 0
    assert "it reads pictures, not text" in done.stderr


def test_another_scaling_computes_the_signals_anew(seen: Project, tmp_path: Path):
    project = seen.copy(tmp_path / "project")
    path = project.results / "models/tiny-dino/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["facts"]["input"]["mean"] = [0.1] * 3
    path.write_text(json.dumps(manifest), encoding="utf-8")
    store = project.results / "signals/tiny-dino/photographs-201.zarr.zip"

    def received():
        with open_group(store, "full") as group:
            return group["received"].values

    before = received()
    extract_signals(
        read_json(store.with_name("photographs-201.json")),
        manifest,
        project.results / "sequences/tiny-dino/photographs-201.zarr.zip",
        store,
        store.with_name(".photographs-201.work"),
        device="cpu",
        progress=False,
    )
    assert np.abs(received() - before).max() > 1e-4


@pytest.mark.parametrize(
    ("study", "model", "words"),
    [
        ("sound", "minilm-l6", "model 'minilm-l6' has a vocabulary"),
        ("quickstart", "dinov2-reg-small", "'dinov2-reg-small' has no vocabulary"),
    ],
)
def test_models_of_another_kind_than_the_corpora_are_refused(study, model, words):
    changes = [f"study={study}", f"study.models=[{model}]", "study.claims=[]"]
    with pytest.raises(PipelineError, match=words):
        compose(changes, ROOT / "conf")


def test_corpora_of_several_kinds_are_refused(seen: Project, tmp_path: Path):
    project = seen.copy(tmp_path / "project")
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][1]["corpus"] = "tiny"
    write(project, "study/tiny", study)
    assert "'photographs-201' has pictures, 'tiny' has tokens" in refusal(project, "-n")


def test_the_report_says_what_a_token_is(seen: Project):
    report = (seen.study / "report.html").read_text(encoding="utf-8")
    assert "photographs-201 holds pictures: where this page says token, it is a patch" in report


def test_hub_studies_of_sound_and_pictures_are_planned():
    for study in ("sound", "pictures"):
        done = Project(ROOT).cli("validate", f"study={study}")
        assert done.returncode == 0, done.stderr
