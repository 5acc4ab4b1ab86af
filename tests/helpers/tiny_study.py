"""A study small enough to run for real in a test, and ways to plan and run it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from helpers.tiny_models import save_model

__all__ = [
    "CLAIMS",
    "DOCUMENTS",
    "MODELS",
    "ROOT",
    "TOKENS",
    "Project",
    "make_inputs",
    "make_project",
]

ROOT = Path(__file__).parents[2]
MODELS = ("tiny-llama", "tiny-bert")
DOCUMENTS = 14
COUNT = 12
TOKENS = 64
CONDITIONS = ["full", "half", "quarter", "half-prefix", "shuffled"]
PROBES = ["received", "lag", "last_query"]


@dataclass(frozen=True)
class Project:
    """A folder with a Snakefile, rules and conf/, as a user has after a clone."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def study(self) -> Path:
        return self.results / "studies" / "tiny"

    def yaml(self, name: str) -> Path:
        """conf/<name>.yaml."""
        return self.folder / "conf" / f"{name}.yaml"

    def change(self, name: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in conf/<name>.yaml."""
        text = self.yaml(name).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        self.yaml(name).write_text(text.replace(old, new), encoding="utf-8")

    def call(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """`python -m <command>` in the project's folder."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def snakemake(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Snakemake with this study chosen, unless `--config` says otherwise."""
        chosen = () if "--config" in arguments else ("--config", "study=tiny")
        return self.call("snakemake", "--cores", "2", *arguments, *chosen, **env)

    def cli(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """The command line of the package."""
        return self.call("attention_wavelets", *arguments, **env)

    def plan(self, *arguments: str) -> dict[str, set[str]]:
        """Rule -> messages of the jobs a dry run plans; empty if nothing is to be done."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        planned = _planned(done.stdout + done.stderr)
        assert planned or "Nothing to be done" in done.stdout + done.stderr
        return planned

    def plan_with(self, *overrides: str) -> dict[str, set[str]]:
        """A dry run with Hydra overrides."""
        return self.plan("--config", f"hydra={' '.join(('study=tiny', *overrides))}")

    def copy(self, folder: Path) -> Project:
        """The project with its results and Snakemake's records, elsewhere."""
        shutil.copytree(self.folder, folder)
        return Project(folder)


# With nulls of signals and input, without a measurement, and without its models.
CLAIMS = ["H01", "H03", "H09", "H11", "H22", "R13", "H07"]

FACTS = ["rotary_usage", "value_norm", "logit_variance", "logit_lags", "locality", "sink"]
FACTS += ["row_entropy", "value_output"]

# What the message of a rule starts with.
_MESSAGES = {
    "Settings of ": "write_slice",
    "Audit the checkpoints of ": "audit_checkpoints",
    "Fetch model ": "fetch_model",
    "Fetch the weights of ": "fetch_weights",
    "Evict the weights of ": "evict_weights",
    "Build corpus ": "build_corpus",
    "Cut ": "encode_sequences",
    "Extract shard ": "extract_shard",
    "Extract signals of ": "extract_signals",
    "Measure nulls of ": "measure_nulls",
    "Measure ": "measure_heads",
    "Judge the claims": "judge_claims",
    "Join the measures": "aggregate_study",
    "Average the facts": "summarise_facts",
    "Compare with ": "compare_tables",
    "Draw the figures": "plot_study",
    "Write results/": "write_report",
}


# A job under several settings starts as one under a single protocol does.
_SETTINGS = re.compile(r"Measure .* under \d+ settings")


def _planned(output: str) -> dict[str, set[str]]:
    jobs: dict[str, set[str]] = {}
    # What a job asks for stands behind its message.
    for message in re.findall(r"^Job \d+: (.*?)(?: \(\d+ MB.*\))?$", output, flags=re.MULTILINE):
        rule = next((rule for start, rule in _MESSAGES.items() if message.startswith(start)), None)
        rule = "measure_settings" if _SETTINGS.fullmatch(message) else rule
        assert rule is not None, f"no rule has the message {message!r}"
        jobs.setdefault(rule, set()).add(message)
    return jobs


def make_inputs(folder: Path) -> Path:
    """Two models and a JSONL file of 14 documents, all of letters that the tokenizer knows."""
    for family in ("llama", "bert"):
        (folder / family).mkdir()
        save_model(folder / family, family, max_position_embeddings=128, initializer_range=0.3)
    rng = np.random.default_rng(7)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    with (folder / "text.jsonl").open("w", encoding="utf-8") as handle:
        for number in range(DOCUMENTS):
            text = " ".join(rng.choice(letters, size=90))
            handle.write(json.dumps({"title": f"Document {number}", "text": text}) + "\n")
    return folder


def make_project(folder: Path, inputs: Path) -> Project:
    """A copy of Snakefile, workflow/ and conf/ with the study `tiny` over `inputs` added."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "conf"):
        shutil.copytree(ROOT / name, folder / name)
    project = Project(folder)
    for name, content in _configuration(inputs).items():
        project.yaml(name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return project


def _configuration(inputs: Path) -> dict[str, Any]:
    def model(label: str, source: dict[str, Any], **more: str) -> dict[str, Any]:
        return {"label": label, "source": source, "licence": "MIT", **more}

    twin = {"kind": "untrained", "of": "tiny-llama", "seed": 0}
    return {
        "model/tiny-llama": model("Llama", {"kind": "local", "path": str(inputs / "llama")}),
        "model/tiny-llama-untrained": model("Llama, untrained", twin, tuning="untrained"),
        "model/tiny-bert": model("BERT", {"kind": "local", "path": str(inputs / "bert")}),
        "corpus/tiny": {
            "text": {
                "source": {"kind": "local", "path": str(inputs / "text.jsonl")},
                "format": "jsonl",
                "language": "en",
                "title": "Letters",
                "licence": "CC0-1.0",
            },
            "sequences": {"tokens": TOKENS, "count": COUNT, "min_documents": COUNT},
        },
        "study/tiny": {
            "title": "Tiny",
            "models": list(MODELS),
            "measurements": [
                {
                    "corpus": "tiny",
                    "conditions": CONDITIONS,
                    "probes": PROBES,
                    "protocol": "paper",
                }
            ],
            "headline": {"corpus": "tiny", "protocol": "paper"},
            "claims": CLAIMS,
            "facts": [{"corpus": "tiny", "conditions": ["full"], "facts": FACTS}],
            "figures": yaml.safe_load((ROOT / "conf/study/quickstart.yaml").read_text())["figures"],
        },
    }
