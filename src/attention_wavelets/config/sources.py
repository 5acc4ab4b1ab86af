"""Which modules decide a stage's numbers: inputs of its rule, so that an edit reruns it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from attention_wavelets.errors import unknown_name

__all__ = ["STAGE_SOURCES", "code_digest", "stage_sources"]

PACKAGE = Path(__file__).parents[1]

# The checks of the published tables beside them decide no file.
PUBLISHED = ("reference/*.csv", "reference/__init__.py")

# Only what decides the content of the output; readers, writers and messages are left out.
STAGE_SOURCES: dict[str, tuple[str, ...]] = {
    "audit_checkpoints": ("models/audit.py",),
    "fetch_model": (
        "models/facts.py",
        "models/fetch.py",
        "models/files.py",
        "models/modality.py",
    ),
    "build_corpus": (
        "corpora/documents.py",
        "corpora/media.py",
        "corpora/mediawiki.py",
        "corpora/plain.py",
        "corpora/series.py",
        "corpora/wikitext.py",
    ),
    "prepare_recipe": ("training/tokens.py", "stages/training.py"),
    "train_model": (
        "attention/inputs.py",
        "stages/training.py",
        "store/training.py",
        "training/architectures.py",
        "training/batches.py",
        "training/loop.py",
        "training/tokens.py",
    ),
    "encode_sequences": (
        "corpora/sequences.py",
        "corpora/conditions.py",
        "corpora/media.py",
        "corpora/tokens.py",
        "stages/corpus.py",
    ),
    "extract_signals": (
        "attention/*.py",
        "corpora/tokens.py",
        "models/facts.py",
        "models/load.py",
        "stages/extract.py",
    ),
    "measure_heads": ("measures/*.py", "nulls/bounds.py", "stages/measure.py"),
    "measure_nulls": ("measures/*.py", "nulls/*.py", "stages/measure.py", "stages/nulls.py"),
    "judge_claims": (
        "claims/*.py",
        "config/claims.py",
        "inference/*.py",
        "stages/claims.py",
    ),
    "aggregate_study": ("inference/intervals.py", "stages/aggregate.py"),
    "change_attention": (
        "attention/capture.py",
        "attention/inputs.py",
        "attention/mask.py",
        "attention/rows.py",
        "attention/value_output.py",
        "causal/*.py",
        "models/load.py",
        "stages/causal.py",
    ),
    "compare_series": (
        "corpora/series.py",
        "inference/intervals.py",
        "inference/multiple.py",
        "inference/series.py",
        "measures/arrays.py",
        "measures/spectrum.py",
        "measures/two_sided.py",
        "stages/series.py",
    ),
    "summarise_changes": ("inference/intervals.py", "stages/causal.py"),
    "compare_runs": (
        "inference/designs.py",
        "inference/intervals.py",
        "inference/multiple.py",
        "inference/regression.py",
        "inference/shapes.py",
        "report/trained.py",
        "stages/runs.py",
    ),
    "summarise_facts": ("inference/intervals.py", "stages/facts.py"),
    "compare_tables": (
        *PUBLISHED,
        "reference/distance.py",
        "reference/reproduction.py",
        "stages/nearest.py",
    ),
    "plot_study": (
        "inference/decay.py",
        *PUBLISHED,
        "nulls/bounds.py",
        "nulls/iid.py",
        "report/figures/*.py",
        "report/nulls.py",
        "report/series.py",
        "report/tables.py",
        "report/trained.py",
    ),
    "write_report": (
        *PUBLISHED,
        "claims/verdict.py",
        "inference/decay.py",
        "inference/intervals.py",
        "report/*.html",
        "report/*.py",
        "report/figures/*.py",
        "stages/publish.py",
    ),
}


def stage_sources(stage: str) -> list[str]:
    """Paths of the stage's modules, sorted.

    Raises
    ------
    PipelineError
        For a stage that is not in STAGE_SOURCES.
    """
    if stage not in STAGE_SOURCES:
        raise unknown_name("stage", stage, STAGE_SOURCES)
    found = {path for pattern in STAGE_SOURCES[stage] for path in PACKAGE.glob(pattern)}
    return sorted(str(path) for path in found if path.is_file())


def code_digest(stage: str) -> str:
    """sha256 over the stage's modules, for keys of cached work."""
    digest = hashlib.sha256()
    for path in stage_sources(stage):
        digest.update(Path(path).name.encode())
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()
