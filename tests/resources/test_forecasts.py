"""Forecasts against real jobs: an upper bound, and no wild one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attention_wavelets.attention.capture import HOOKED as HOOKED_CLASSES
from attention_wavelets.config.compose import compose
from attention_wavelets.config.schema import LocalSource, Text
from attention_wavelets.config.slices import canonical, slices
from attention_wavelets.corpora.documents import Document
from attention_wavelets.resources.disk import signal_bytes
from attention_wavelets.resources.jobs import Need, Needs, built_texts, sizes_of
from attention_wavelets.resources.memory import MIB, extraction_bytes, measuring_bytes
from attention_wavelets.resources.sizes import HOOKED, Sizes
from attention_wavelets.resources.work import extraction_operations
from attention_wavelets.store.documents import write_documents
from helpers.tiny_study import ROOT

# A forecast may ask for so many times what a job really takes.
LOOSE = 3
# The two Snakemake processes that a cluster counts to a job, 180 MiB each.
SNAKEMAKE = 360 * MIB
COUNT = 16
CORPUS = "enwiki-96"
SOURCE = LocalSource(kind="local", path="words.txt")


# A process starts with the peak of the one it was forked from, so a small one stands between.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def peak(command: str, **options: object) -> int:
    """Bytes that one process of the command line had resident at most."""
    words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MEASURE,
            sys.executable,
            "-m",
            "attention_wavelets",
            command,
            *words,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * 1024


class Run:
    """One real model through extraction and measuring, with the peak memory of each."""

    def __init__(self, name: str, manifest: dict, folder: Path) -> None:
        rules = f"corpus.{CORPUS}.sequences"
        experiment = compose(
            [f"{rules}.count={COUNT}", f"{rules}.min_documents={COUNT}"], ROOT / "conf"
        )
        self.name, self.needs = name, Needs(experiment, lambda _: manifest["facts"])
        self.sizes = sizes_of(experiment, name, self.needs.facts)
        made = slices(experiment)
        keys = {
            "corpora": f"corpora/{CORPUS}/build",
            "sequences": f"sequences/{name}/{CORPUS}",
            "signals": f"signals/{name}/{CORPUS}",
            "measures": f"measures/{name}/{CORPUS}/paper",
        }
        for short, key in keys.items():
            (folder / f"{short}.json").write_text(canonical(made[key]))
        (folder / "manifest.json").write_text(json.dumps(manifest))

        self.signals = folder / "signals.zarr.zip"
        tokens = folder / "tokens.zarr.zip"
        documents, manifest_file = folder / "documents.parquet", folder / "manifest.json"
        peak(
            "build-corpus",
            config=folder / "corpora.json",
            out=documents,
            manifest=folder / "corpus.json",
        )
        peak(
            "encode-sequences",
            config=folder / "sequences.json",
            manifest=manifest_file,
            documents=documents,
            out=tokens,
        )
        self.extraction = peak(
            "extract-signals",
            config=folder / "signals.json",
            manifest=manifest_file,
            sequences=tokens,
            out=self.signals,
            work=folder / "work",
            device="cpu",
        )
        self.measuring = peak(
            "measure-heads",
            config=folder / "measures.json",
            signals=self.signals,
            heads=folder / "heads.parquet",
            layers=folder / "layers.parquet",
            model_table=folder / "model.parquet",
            pairs=folder / "pairs.parquet",
        )


@pytest.fixture(scope="module")
def run(smollm2_manifest, tmp_path_factory) -> Run:
    return Run("smollm2-135m", smollm2_manifest, tmp_path_factory.mktemp("run"))


def test_memory_of_an_extraction_is_forecast_from_above(run: Run):
    forecast = run.needs.memory(run.name, CORPUS, run.sizes) * MIB
    taken = run.extraction + SNAKEMAKE
    assert taken <= forecast <= LOOSE * taken


def test_memory_of_measuring_is_forecast_from_above(run: Run):
    forecast = run.needs.measuring(run.name, CORPUS, ["paper"]).mem_mb * MIB
    taken = run.measuring + SNAKEMAKE
    assert taken <= forecast <= LOOSE * taken


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of results with a corpus of four million bytes of made-up words, and its recipe."""
    folder = tmp_path_factory.mktemp("texts")
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefghijklmno"), 6)) for _ in range(20_000)]
    text = Text(source=SOURCE, format="text", language="en", title="Words", licence="CC0-1.0")
    for part, count in ((".training", 400), ("", 100)):
        documents = folder / "corpora" / f"ladder-256{part}" / "documents.parquet"
        documents.parent.mkdir(parents=True)
        bodies = (" ".join(random.choice(words, 1400)) for _ in range(count))
        write_documents(documents, (Document("x", body) for body in bodies), text)
    return folder


def test_memory_of_preparing_a_recipe_is_forecast_from_the_size_of_its_text(texts: Path):
    experiment = compose(["study=ladder"], ROOT / "conf")
    needs = Needs(experiment, lambda _: None, built_texts(texts))
    config = texts / "prepare.json"
    config.write_text(canonical(slices(experiment)["recipes/ladder/prepare"]))
    taken = SNAKEMAKE + peak(
        "prepare-recipe",
        config=config,
        training=texts / "corpora/ladder-256.training/documents.parquet",
        held_out=texts / "corpora/ladder-256/documents.parquet",
        tokenizer=texts / "tokenizer",
        tokens=texts / "tokens.npz",
    )
    forecast = needs.preparing("ladder").mem_mb * MIB
    assert taken <= forecast <= LOOSE * taken


def test_the_request_for_a_recipe_follows_the_size_of_its_text(texts: Path):
    experiment = compose(["study=ladder"], ROOT / "conf")
    known = built_texts(texts)
    size = known("ladder-256.training")
    assert size == pytest.approx(400 * 1400 * 7, rel=0.02)
    assert known("ladder-512.training") is None
    usual, large, huge = (
        Needs(experiment, lambda _: None, lambda _, n=n: n) for n in (size, 10**9, 10**10)
    )
    for key in ("mem_mb", "runtime"):
        asked = [getattr(n.preparing("ladder"), key) for n in (usual, large, huge)]
        assert asked == sorted(asked)
        assert asked[2] > 5 * asked[0]
    # Tokens of the text lie in the memory of a training, four bytes each.
    model = experiment.study.models[0]
    more = huge.training(model).mem_mb - large.training(model).mem_mb
    assert more * MIB == pytest.approx(4 * (10**10 - 10**9) / 2, rel=0.01)
    # Until it is built, a text has as many tokens as are trained on.
    unknown = Needs(experiment, lambda _: None)
    assert unknown.preparing("ladder").mem_mb < large.preparing("ladder").mem_mb


def test_a_signal_store_is_as_large_as_forecast(run: Run):
    forecast = signal_bytes(run.sizes, run.needs.numbers(CORPUS))
    size = run.signals.stat().st_size
    assert size <= 1.1 * forecast
    assert forecast <= LOOSE * size


SMALL = Sizes(100_000_000, 20_000_000, 12, 12, 64, 768, 2)
LARGE = Sizes(12_000_000_000, 250_000_000, 36, 40, 128, 5120, 2)


def test_a_request_grows_with_every_attempt():
    need = Need(1000, 10, 1)
    assert need.grown(1) == need
    assert need.grown(2) == Need(1500, 20, 1)
    assert need.grown(3) == Need(2250, 40, 1)


def test_weights_decide_the_memory_of_a_large_model():
    half, full = (extraction_bytes(LARGE, d, 512, 1024, 512) for d in ("bfloat16", "float32"))
    assert full - half > LARGE.parameters * 2
    assert extraction_bytes(SMALL, "float32", 512, 1024, 512) < half / 5


def test_longer_sequences_and_passes_need_more():
    def needed(positions: int, batch: int) -> int:
        return extraction_bytes(LARGE, "bfloat16", positions, batch, positions)

    assert needed(512, 1024) < needed(2048, 1024) < needed(2048, 8192)
    assert measuring_bytes(LARGE, 100, 512) < measuring_bytes(LARGE, 500, 512)


def test_operations_are_two_per_weight_and_token_and_more_with_length():
    weights = SMALL.parameters - SMALL.embeddings
    short = extraction_operations(SMALL, {1: 1000})
    assert short == pytest.approx(2 * weights * 1000, rel=0.01)
    # As many tokens in longer sequences: the part of attention grows with the length.
    assert extraction_operations(SMALL, {1000: 1}) > 1.02 * short


def test_families_read_from_eager_attention_are_those_of_the_capture():
    assert set(HOOKED_CLASSES) == HOOKED


def test_a_model_of_unknown_size_gets_the_documented_request():
    experiment = compose(["model.minilm-l6.architecture=null"], ROOT / "conf")
    needs = Needs(experiment, lambda _: None)
    assert sizes_of(experiment, "minilm-l6", needs.facts) is None
    assert needs.extraction("minilm-l6", CORPUS, 2) == Need(12_000, 60, 1)


def test_without_a_card_none_is_asked_for():
    needs = Needs(compose(["runtime.device=cpu"], ROOT / "conf"), lambda _: None)
    assert needs.extraction("smollm2-135m", CORPUS, 2).gpu == 0


def test_the_keys_of_facts_and_of_yaml_give_the_same_sizes(smollm2_manifest):
    experiment = compose([], ROOT / "conf")
    model = experiment.model["smollm2-135m"]
    facts = Sizes.of_facts(smollm2_manifest["facts"], "float32")
    given = Sizes.of_architecture(model.architecture, "float32")
    assert (given.parameters, given.embeddings, given.layers, given.heads) == (
        facts.parameters,
        facts.embeddings,
        facts.layers,
        facts.heads,
    )
    assert (given.head_size, given.hidden_size) == (facts.head_size, facts.hidden_size)
