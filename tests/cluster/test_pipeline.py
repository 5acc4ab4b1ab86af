"""The pipeline itself through the slurm profile: same results, and jobs got what they asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from attention_wavelets.store.arrays import read_attributes
from helpers.recipes import add_trained
from helpers.tiny_study import MODELS, Project, make_project

FAST = ("--slurm-init-seconds-before-status-checks=2", "--max-status-checks-per-second=1")
FAST += ("--latency-wait=10",)
# Floats of one machine in other processes and numbers of threads.
TOLERANCE = 1e-6
TABLES = [
    *(
        f"measures/{model}/tiny/paper/{table}.parquet"
        for model in MODELS
        for table in ("heads", "layers", "model", "pairs")
    ),
    *(f"nulls/{model}/tiny/paper/heads.parquet" for model in MODELS),
    *(f"studies/tiny/{table}.parquet" for table in ("heads", "facts", "summary")),
    *(f"studies/tiny/{table}.csv" for table in ("models", "claims", "claims_by_model")),
]


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def with_sizes(project: Project, finished: Project) -> None:
    """Write the models' sizes into their YAML, as a user who knows them would."""
    for model in MODELS:
        manifest = yaml.safe_load((finished.results / f"models/{model}/manifest.json").read_text())
        keys = ("parameters", "layers", "heads", "head_size", "hidden_size", "vocabulary_size")
        sizes = {key: manifest["facts"][key] for key in keys}
        values = yaml.safe_load(project.yaml(f"model/{model}").read_text(encoding="utf-8"))
        text = yaml.safe_dump(values | {"architecture": sizes})
        project.yaml(f"model/{model}").write_text(text, encoding="utf-8")


def submit(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The profile's `cores` are the jobs' own; --cores would cap every rule's threads.
    chosen = () if "--config" in arguments else ("--config", "study=tiny")
    command = ("snakemake", "--profile", "workflow/profiles/slurm", *FAST, *arguments, *chosen)
    return project.call(*command)


@pytest.fixture(scope="module")
def submitted(
    cluster: Any, finished: Project, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, str]:
    """The tiny study run through SLURM, and what Snakemake said."""
    inputs = Path(
        yaml.safe_load(finished.yaml("model/tiny-llama").read_text())["source"]["path"]
    ).parent
    project = make_project(tmp_path_factory.mktemp("submitted") / "project", inputs)
    with_sizes(project, finished)
    done = submit(project, "--slurm-keep-successful-logs")
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done.stdout + done.stderr


@pytest.mark.parametrize("table", TABLES)
def test_results_are_those_of_a_local_run(submitted, finished: Project, table: str):
    found, expected = (read(p.results / table) for p in (submitted[0], finished))
    pd.testing.assert_frame_equal(
        found, expected, check_exact=False, rtol=TOLERANCE, atol=TOLERANCE
    )


def test_each_job_got_what_its_rule_asked_for(submitted, cluster: Any):
    asked = re.findall(
        r"^Job \d+: (Extract|Measure nulls|Measure|Judge)[^(]*\((\d+) MB, (\d+) min",
        submitted[1],
        re.M,
    )
    rules = {
        "Extract": "rule_extract_signals",
        "Measure nulls": "rule_measure_nulls",
        "Measure": "rule_measure_heads",
        "Judge": "rule_judge_claims",
    }
    wanted = sorted((rules[what], f"{memory}M", int(minutes)) for what, memory, minutes in asked)
    given = []
    for job in cluster.jobs("rule_"):
        rule = next((r for r in rules.values() if job["Comment"].startswith(r)), None)
        if rule is not None and job["State"] == "COMPLETED":
            hours, minutes, _ = job["Timelimit"].split(":")
            memory = job["ReqMem"].removesuffix("n").removesuffix("c")
            given.append((rule, memory, 60 * int(hours) + int(minutes)))
    assert len(wanted) == 7
    assert sorted(given) == wanted


def test_only_extraction_is_on_the_node_with_gpus(submitted, cluster: Any):
    for job in cluster.jobs("rule_"):
        extraction = job["Comment"].startswith("rule_extract_signals")
        if job["State"] == "COMPLETED" and job["Comment"].startswith(("rule_ex", "rule_me")):
            assert (job["NodeList"] == "g1") == extraction
            assert ("gres/gpu=1" in job["AllocTRES"]) == extraction
            assert (job["Partition"] == "gpu") == extraction
            if extraction:
                assert job["ReqCPUS"] == "4"


def test_models_are_trained_and_read_on_the_node_with_gpus(
    cluster: Any, tiny_inputs: Path, tmp_path: Path
):
    project = make_project(tmp_path / "project", tiny_inputs)
    add_trained(project)
    done = submit(project, "results/signals/tiny-rope-s0-step12/tiny.zarr.zip")
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in ("rule_train_model", "rule_extract_tiny-rope-s0"):
        jobs = cluster.jobs(rule)
        assert jobs, f"no job of {rule}"
        for job in jobs:
            assert (job["State"], job["Partition"], job["NodeList"]) == ("COMPLETED", "gpu", "g1")
            assert "gres/gpu=1" in job["AllocTRES"]


def test_the_store_says_that_it_was_computed_on_a_processor(submitted):
    """The GPUs of this cluster are stand-ins: the program must fall back, and say so."""
    for model in MODELS:
        store = submitted[0].results / f"signals/{model}/tiny.zarr.zip"
        assert read_attributes(store)["device"] == "cpu"


def test_a_run_that_must_have_cuda_fails_without_it(submitted, tmp_path: Path):
    project = submitted[0].copy(tmp_path / "project")
    # Without batches and store there is something to compute.
    for work in project.results.glob("signals/*/.tiny.work"):
        shutil.rmtree(work)
    store = "results/signals/tiny-llama/tiny.zarr.zip"
    device = ("--config", "hydra=study=tiny runtime.device=cuda")
    done = submit(project, store, "--retries=0", "--forcerun", store, *device)
    assert done.returncode != 0
    assert "runtime.device=cuda: no CUDA device is visible" in done.stdout + done.stderr


def test_many_settings_are_few_jobs(submitted, cluster: Any, tmp_path: Path):
    project = submitted[0].copy(tmp_path / "project")
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["measurements"][0]["vary"] = {
        "spectrum.window": ["hann_periodic", "none"],
        "spectrum.nfft": ["next_power_of_two", "length", "twice_length"],
    }
    project.yaml("study/tiny").write_text(yaml.safe_dump(study), encoding="utf-8")
    before = len(cluster.jobs("rule_measure_settings"))
    names = ["paper.window-none"]
    names += [
        f"paper.nfft-{n}{w}" for n in ("length", "twice_length") for w in ("", ".window-none")
    ]
    targets = [f"results/measures/tiny-llama/tiny/{name}/heads.parquet" for name in names]
    done = submit(project, *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((project.folder / target).is_file() for target in targets)
    assert len(cluster.jobs("rule_measure_settings")) - before == 1


# The quickstart's small model beside its untrained twin, on few texts.
REDUCED = {
    "title": "Reduced quickstart",
    "models": ["minilm-l6", "minilm-l6-untrained-s0"],
    "measurements": [
        {
            "corpus": "enwiki-96",
            "conditions": ["full", "half"],
            "probes": ["received"],
            "protocol": "paper",
        }
    ],
    "headline": {"corpus": "enwiki-96", "protocol": "paper"},
    "figures": ["band_shares"],
}
FEW = "corpus.enwiki-96.sequences.count=12 corpus.enwiki-96.sequences.min_documents=12"


def reduced_quickstart(folder: Path, inputs: Path) -> Project:
    project = make_project(folder, inputs)
    project.yaml("study/reduced").write_text(yaml.safe_dump(REDUCED), encoding="utf-8")
    return project


def tables(project: Project) -> dict[str, Path]:
    found = [x for end in ("parquet", "csv") for x in project.results.rglob(f"*.{end}")]
    return {str(path.relative_to(project.results)): path for path in sorted(found)}


def test_a_reduced_quickstart_gives_the_tables_of_a_local_run(
    cluster: Any, minilm_manifest: Any, tiny_inputs: Path, tmp_path: Path
):
    """Real weights and text, as a new user's first study on a cluster."""
    chosen = ("--config", f"hydra=study=reduced {FEW}")
    local = reduced_quickstart(tmp_path / "local", tiny_inputs)
    done = local.snakemake(*chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    sent = reduced_quickstart(tmp_path / "sent", tiny_inputs)
    done = submit(sent, *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(sent).keys() == tables(local).keys()
    assert len(tables(sent)) >= 2 * 4 + 6
    for name, path in tables(sent).items():
        pd.testing.assert_frame_equal(
            read(path),
            read(tables(local)[name]),
            check_exact=False,
            rtol=TOLERANCE,
            atol=TOLERANCE,
            obj=name,
        )
    assert (sent.results / "studies/reduced/report.html").is_file()
