"""Models trained by the workflow: from documents to a report, stopped, damaged, changed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.stages import causal as stage
from helpers.recipes import add_trained
from helpers.tiny_study import ROOT, Project, make_project

RUNS = ("tiny-rope-s0", "tiny-rope-s1", "tiny-none-s0", "tiny-none-s1")
STEPS = (0, 1, 4, 12)


@pytest.fixture(scope="module")
def trained(tiny_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after a real run of a study of models trained here; take a copy to change it."""
    project = make_project(tmp_path_factory.mktemp("trained") / "project", tiny_inputs)
    add_trained(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


@pytest.fixture
def own(trained: Project, tmp_path: Path) -> Project:
    return trained.copy(tmp_path / "project")


def notes(project: Project, run: str) -> dict:
    return json.loads((project.results / f"training/{run}/trained.json").read_text())


def weights(project: Project, run: str, step: int) -> bytes:
    folder = project.results / f"training/{run}/checkpoints/step{step}"
    return (folder / "model.safetensors").read_bytes()


def test_every_checkpoint_is_a_model_with_its_training_in_the_manifest(trained: Project):
    for run in RUNS:
        found = notes(trained, run)
        assert [row["step"] for row in found["steps"]] == list(STEPS)
        for row in found["steps"]:
            path = trained.results / f"models/{run}-step{row['step']}/manifest.json"
            manifest = json.loads(path.read_text())
            assert manifest["training"]["run"] == run
            assert manifest["training"]["bits_per_byte"] == row["bits_per_byte"]
            assert manifest["untrained"] is None
            encoding = "rotary" if "rope" in run else "none"
            assert manifest["facts"]["position_encoding"] == encoding


def test_held_out_documents_are_not_trained_on(trained: Project):
    measured, learned = (
        set(pd.read_parquet(trained.results / f"corpora/tiny{part}/documents.parquet")["title"])
        for part in ("", ".training")
    )
    assert measured
    assert learned
    assert not measured & learned
    assert len(measured | learned) == 14


def test_tables_have_a_row_per_checkpoint_and_per_comparison(trained: Project):
    runs = pd.read_csv(trained.study / "runs.csv", keep_default_na=False, na_values=[""])
    assert len(runs) == len(RUNS) * len(STEPS)
    assert set(runs["encoding"]) == {"rope", "none"}
    assert runs["spectral_entropy"].notna().all()
    assert runs["previous_token"].between(0, 1).all()
    changes = pd.read_csv(trained.study / "changes.csv", keep_default_na=False, na_values=[""])
    entropy = changes[changes["measure"] == "spectral_entropy"].set_index("factor")
    ends = runs[(runs["encoding"] == "rope") & runs["step"].isin([0, 12])]
    by_step = ends.groupby("step")["spectral_entropy"].mean()
    assert entropy.loc["training", "value"] == pytest.approx(by_step[12] - by_step[0])
    last = runs[runs["step"] == 12].groupby("encoding")["spectral_entropy"].mean()
    assert entropy.loc["encoding", "value"] == pytest.approx(last["none"] - last["rope"])
    # One size alone has no trend.
    assert np.isnan(entropy.loc["size", "value"])
    assert entropy.loc["size", "reason"] in ("collinear", "few")
    phases = pd.read_csv(trained.study / "phases.csv")
    assert set(phases["run"]) == set(RUNS)


def test_changed_attention_has_a_loss_per_sequence_and_a_row_per_change(trained: Project):
    losses = pd.read_parquet(trained.results / "causal/tiny-rope-s0-step12/tiny.parquet")
    # Pairs of so small a model turn too slowly for the high band, and heads may do what is known.
    undefined = losses["loss"].isna()
    kinds = losses["reason"].map({"pairs": "rotary", "heads": "heads"})
    np.testing.assert_array_equal(undefined, kinds.notna())
    assert "pairs" in set(losses["reason"])
    assert (losses["kind"] == kinds)[undefined].all()
    assert set(losses["kind"]) == {"plain", "heads", "rows", "rotary"}
    assert set(losses["text"]) == {"full", "repeated"}
    other = pd.read_parquet(trained.results / "causal/tiny-none-s0-step12/tiny.parquet")
    assert "rotary" not in set(other["kind"])
    found = pd.read_csv(trained.study / "causal.csv", keep_default_na=False, na_values=[""])
    heads = found[(found["kind"] == "heads") & (found["control"] != "matched")]
    assert set(heads["band"]) == {"low", "mid", "high"}
    plain = losses[(losses["kind"] == "plain") & (losses["text"] == "full")]["loss"]
    asked = (losses["kind"] == "rows") & (losses["band"] == "mid") & (losses["control"] == "")
    changed = losses[asked & (losses["text"] == "full")]["loss"]
    row = found[
        (found["model"] == "tiny-rope-s0-step12")
        & (found["text"] == "full")
        & (found["kind"] == "rows")
        & (found["band"] == "mid")
        & found["control"].isna()
    ]
    assert row["change"].item() == pytest.approx(np.mean(changed.to_numpy() - plain.to_numpy()))
    # Three documents are too few for an interval.
    assert row["change_low"].isna().item()
    assert row["reason"].item() == "documents"
    assert "Do bands matter?" in (trained.study / "report.html").read_text(encoding="utf-8")


def test_changes_that_a_stopped_job_has_made_are_not_made_again(
    own: Project, monkeypatch: pytest.MonkeyPatch
):
    name = "tiny-rope-s0-step12"
    out = own.results / f"causal/{name}/tiny.parquet"
    work = out.parent / ".tiny.work"
    whole, made = out.read_bytes(), []
    (packed,) = work.iterdir()
    ran = stage._ran

    def counted(change, sequences):
        if len(made) == stop:
            raise KeyboardInterrupt
        if change.what is not None:
            made.append(change.keys)
        return ran(change, sequences)

    def again(**more) -> None:
        made.clear()
        stage.change_attention(
            {**json.loads((out.parent / "tiny.json").read_text()), **more},
            json.loads((own.results / f"models/{name}/manifest.json").read_text()),
            own.results / f"sequences/{name}/tiny.zarr.zip",
            own.results / f"measures/{name}/tiny/paper/heads.parquet",
            own.results / f"signals/{name}/tiny.zarr.zip",
            out,
            work,
        )

    monkeypatch.setattr(stage, "_ran", counted)
    stop = -1
    again()
    assert not made
    assert out.read_bytes() == whole
    # A third draw of rows is run for each text and band; drawn heads and pairs may be there.
    again(draws=3)
    controls = Counter(keys["control"] for keys in made if keys["kind"] == "rows")
    assert controls == {"random_band": 6, "random_phase": 6}
    assert {keys["control"] for keys in made} <= {*controls, "matched", "random_pairs"}
    shutil.rmtree(work)
    stop = 7
    with pytest.raises(KeyboardInterrupt):
        again()
    assert len(list(work.iterdir())) == stop
    # What cannot be read is made again.
    damaged = sorted(work.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    there, stop = stop - 1, -1
    again()
    assert len(made) == pd.read_parquet(packed)["key"].nunique() - there
    assert out.read_bytes() == whole
    assert list(work.iterdir()) == [packed]


def test_the_page_names_every_column(trained: Project):
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for name in ("runs", "changes", "phases", "causal"):
        part = text.split(f"### `studies/{{study}}/{name}.csv`")[1].split("\n### ")[0]
        cells = re.findall(r"^\| (`.*?`) \|", part, flags=re.MULTILINE)
        named = {column for cell in cells for column in re.findall(r"`([^`]+)`", cell)}
        assert set(pd.read_csv(trained.study / f"{name}.csv", nrows=1).columns) == named
    part = text.split("### `training/{run}/trained.json`")[1].split("\n### ")[0]
    for key in (*notes(trained, RUNS[0]), *notes(trained, RUNS[0])["steps"][0]):
        assert f"`{key}`" in part, key


def test_the_report_begins_with_what_changes(trained: Project):
    page = (trained.study / "report.html").read_text(encoding="utf-8")
    first = page.index('id="section-')
    assert page[first:].startswith('id="section-trained"')
    assert "Position encoding?" in page
    # Hundreds of checkpoints on the way would bury the rest.
    assert "seed 0, step 4" not in page
    assert "seed 0, step 12" in page


def test_a_second_run_has_nothing_to_do_and_other_steps_train_nothing(own: Project):
    assert own.plan() == {}
    own.change("model/tiny-rope", "checkpoints: all", "checkpoints: [0, 12]")
    done = own.snakemake("-n")
    assert "Train " not in done.stdout + done.stderr


def test_another_seed_is_trained_and_no_other(own: Project):
    own.change("model/tiny-none", "  - 1\n", "  - 1\n  - 2\n")
    done = own.snakemake("-n")
    text = done.stdout + done.stderr
    assert "Train tiny-none-s2" in text
    assert text.count(": Train ") == 1


def test_a_training_that_was_killed_goes_on_to_the_same_weights(trained: Project, tmp_path: Path):
    """kill -9 between two kept steps; what it left is gone on from, and nothing is done twice."""
    config = json.loads((trained.results / "training/tiny-rope-s0/train.json").read_text())
    config["recipe"] |= {"tokens": 600 * 4 * 32, "keep": [0, 100, 400]}
    settings = tmp_path / "train.json"
    settings.write_text(json.dumps(config), encoding="utf-8")

    def command(folder: Path) -> list[str]:
        recipe = trained.results / "recipes/tiny"
        return [
            *(sys.executable, "-m", "attention_wavelets", "train-model"),
            *("--config", str(settings), "--out", str(folder / "trained.json")),
            *("--tokenizer", str(recipe / "tokenizer"), "--tokens", str(recipe / "tokens.npz")),
            *("--device", "cpu", "--threads", "1"),
        ]

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    subprocess.run(command(whole), check=True, capture_output=True)
    first = subprocess.Popen(command(stopped), stderr=subprocess.PIPE)
    at = stopped / "checkpoints/step100/model.safetensors"
    while first.poll() is None and not at.is_file():
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert not (stopped / "trained.json").exists()
    fresh = stopped / "checkpoints/step0/model.safetensors"
    written = fresh.stat().st_mtime_ns
    subprocess.run(command(stopped), check=True, capture_output=True)
    assert fresh.stat().st_mtime_ns == written, "it did not begin anew"
    for step in (0, 100, 400, 600):
        paths = (run / f"checkpoints/step{step}/model.safetensors" for run in (whole, stopped))
        one, other = (path.read_bytes() for path in paths)
        assert one == other, step
    ends = (json.loads((run / "trained.json").read_text()) for run in (whole, stopped))
    assert next(ends) == next(ends)
    left = [path.name for path in stopped.rglob(".*")]
    assert left == [".settings.json"], "no state and no partial folder"


def test_weights_that_were_changed_are_told_from_those_that_were_trained(own: Project):
    folder = own.results / "training/tiny-rope-s0"
    path = folder / "checkpoints/step4/model.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    config = own.results / "models/tiny-rope-s0-step4/fetch.json"
    done = own.cli(
        "describe-checkpoint",
        *("--config", str(config), "--trained", str(folder / "trained.json")),
        *("--out", str(own.results / "manifest.json")),
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "the weights are not those that were written when the model was trained" in last
    assert "delete " in last


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("allow_repeats", "false", "epochs; set allow_repeats: true to see it more than once"),
        (
            "context",
            "512 recipe.tiny.tokens=100000 study.causal=null",
            "fewer than two sequences of 512; take a longer text",
        ),
    ],
)
def test_a_text_that_is_too_short_is_one_line(own: Project, key, value, message):
    done = own.snakemake(
        *("--until", "train_model", "--show-failed-logs"),
        *("--config", f"hydra=study=tiny recipe.tiny.{key}={value}"),
    )
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout.replace("Traceback (most recent call last):\n\n", "")
