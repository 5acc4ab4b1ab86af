"""Many settings measured in one job give the tables that one job each gives."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from attention_wavelets.config.variants import chunks
from helpers.tiny_study import Project

TABLES = ("heads", "layers", "model", "pairs")


@pytest.fixture
def varied(copied: Project) -> Project:
    """The finished project with three more settings of the protocol, two of them in one job."""
    study = yaml.safe_load(copied.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][0]["vary"] = {"spectrum.window": ["hann_periodic", "none"]}
    study["measurements"].append(
        {
            "corpus": "tiny",
            "conditions": ["full"],
            "probes": ["received"],
            "protocol": "paper",
            "vary": {"spectrum.nfft": ["length", "twice_length"]},
        }
    )
    copied.yaml("study/tiny").write_text(yaml.safe_dump(study), encoding="utf-8")
    return copied


def test_one_job_measures_as_many_settings_as_runtime_chunk_says(varied: Project):
    plan = varied.plan_with("runtime.chunk=2")
    assert plan["measure_settings"] == {
        f"Measure {model} on tiny under {count} settings"
        for model in ("tiny-llama", "tiny-llama-untrained", "tiny-bert")
        if any(model in message for message in plan["measure_settings"])
        for count in (2, 1)
    }
    assert "measure_heads" not in plan


def test_the_tables_are_those_of_one_job_each(varied: Project):
    results = varied.results / "measures/tiny-llama/tiny"
    names = ["paper.window-none", "paper.nfft-length", "paper.nfft-twice_length"]
    targets = [f"results/measures/tiny-llama/tiny/{name}/heads.parquet" for name in names]
    done = varied.snakemake(*targets)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in names:
        out = varied.folder / "alone" / name
        done = varied.cli(
            "measure-heads",
            *("--config", str(results / f"{name}.json")),
            *("--signals", str(varied.results / "signals/tiny-llama/tiny.zarr.zip")),
            *("--heads", str(out / "heads.parquet"), "--layers", str(out / "layers.parquet")),
            *("--model-table", str(out / "model.parquet"), "--pairs", str(out / "pairs.parquet")),
        )
        assert done.returncode == 0, done.stderr
        for table in TABLES:
            alone = pd.read_parquet(out / f"{table}.parquet")
            together = pd.read_parquet(results / name / f"{table}.parquet")
            pd.testing.assert_frame_equal(together, alone, check_exact=True)


def test_chunks_never_mix_corpora():
    class Cell:
        def __init__(self, corpus: str, protocol: str) -> None:
            self.corpus, self.protocol = corpus, protocol

    cells = [Cell("a", "p"), Cell("a", "p.1"), Cell("b", "p.1"), Cell("a", "p.2"), Cell("a", "p.3")]
    assert chunks(cells, ["p.1", "p.2", "p.3"], 2) == [
        ("a", ["p.1", "p.2"]),
        ("a", ["p.3"]),
        ("b", ["p.1"]),
    ]
