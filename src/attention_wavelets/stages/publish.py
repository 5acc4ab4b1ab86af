"""Stages plot_study and write_report: a study's tables to figures and one page."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from attention_wavelets import __version__
from attention_wavelets.config.schema import Figure, PaperProtocol
from attention_wavelets.store.arrays import read_attributes
from attention_wavelets.store.atomic import read_json
from attention_wavelets.store.tables import read_csv, read_table

if TYPE_CHECKING:
    from attention_wavelets.report.tables import StudyTables

__all__ = ["corpus_facts", "plot_study", "provenance", "study_tables", "write_study_report"]

PACKAGES = ("numpy", "pandas", "pywavelets", "scipy", "snakemake", "torch", "transformers")


def study_tables(
    config: Mapping[str, Any],
    heads: Path,
    models: Path,
    pairs: Path,
    summary: Path | None = None,
    nearest: Path | None = None,
    reproduction: Path | None = None,
    claims: Path | None = None,
    compared: Sequence[Path] = (),
    causal: Path | None = None,
    series: Sequence[Path] = (),
    *,
    nulls: bool = False,
) -> StudyTables:
    """A study's tables as figures and report read them.

    Parameters
    ----------
    config
        A slice with `headline` and `protocol`; that of figures has `scales` as well.
    heads, models, pairs, summary, nearest, reproduction, claims
        What aggregate_study, compare_tables and judge_claims wrote; figures need the first three
        alone, and a study need not have claims.
    compared
        Of models trained here: what compare_runs wrote, or the first of it.
    causal
        What summarise_changes wrote, if the study changes attention.
    series
        What compare_series wrote, if scales of the data are known.
    nulls
        Whether to compute the null curves that figures draw.
    """
    from attention_wavelets.report.nulls import null_curves
    from attention_wavelets.report.tables import Headline, StudyTables

    head = config["headline"]
    trained = dict(zip(("runs", "changes", "phases"), map(read_csv, compared), strict=False))
    answers = dict(zip(("series", "spectra"), map(read_csv, series), strict=False))
    rows = _without_passing(read_csv(models), trained.get("runs"))
    protocol = PaperProtocol.model_validate(config["protocol"])
    return StudyTables(
        heads=read_table(heads),
        models=rows,
        pairs=read_table(pairs),
        headline=Headline(head["corpus"], head["protocol"], head["condition"]),
        null_curves=null_curves(rows, protocol) if nulls else {},
        protocol=config["protocol"],
        summary=pd.DataFrame() if summary is None else read_table(summary),
        nearest=pd.DataFrame() if nearest is None else read_csv(nearest),
        reproduction=pd.DataFrame() if reproduction is None else read_csv(reproduction),
        claims=pd.DataFrame() if claims is None else read_csv(claims),
        scales=config.get("scales", {}),
        causal=pd.DataFrame() if causal is None else read_csv(causal),
        **answers,
        **trained,
    )


def _without_passing(models: pd.DataFrame, runs: pd.DataFrame | None) -> pd.DataFrame:
    """Models without checkpoints between the first and the last of a run: hundreds of rows."""
    if runs is None:
        return models
    steps = runs.groupby("run")["step"]
    passing = runs[
        (runs["step"] > steps.transform("min")) & (runs["step"] < steps.transform("max"))
    ]
    return models[~models["model"].isin(passing["model"])]


def plot_study(
    config: Mapping[str, Any],
    heads: Path,
    models: Path,
    pairs: Path,
    out: Path,
    runs: Path | None = None,
    causal: Path | None = None,
    series: Sequence[Path] = (),
) -> None:
    """Draw every figure of a study into the folder `out`."""
    from attention_wavelets.report.figures import draw_figure, save_figure

    compared = () if runs is None else (runs,)
    tables = study_tables(
        config, heads, models, pairs, compared=compared, causal=causal, series=series, nulls=True
    )
    settings = Figure.model_validate(config["settings"])
    for name in config["figures"]:
        save_figure(draw_figure(name, tables, settings), out, name, settings)


def write_study_report(
    config: Mapping[str, Any],
    manifests: Sequence[Path],
    corpora: Sequence[Path],
    signals: Sequence[Path],
    heads: Path,
    models: Path,
    pairs: Path,
    summary: Path,
    nearest: Path,
    reproduction: Path,
    figures: Path,
    out: Path,
    claims: Path | None = None,
    compared: Sequence[Path] = (),
    causal: Path | None = None,
    series: Sequence[Path] = (),
) -> None:
    """Write the page of a study.

    Parameters
    ----------
    config
        The slice.
    manifests, corpora, signals
        Of every model; of every corpus; of every model and corpus.
    heads, models, pairs, summary, nearest, reproduction, claims
        What aggregate_study, compare_tables and, if the study has claims, judge_claims wrote.
    compared, causal, series
        What compare_runs wrote, if the study has models trained here, summarise_changes and
        compare_series.
    figures, out
        Folder of figures, HTML file to write.
    """
    from attention_wavelets.report.page import write_report

    tables = study_tables(
        config,
        heads,
        models,
        pairs,
        summary,
        nearest,
        reproduction,
        claims,
        compared,
        causal,
        series,
    )
    built = {entry["name"]: entry for entry in map(read_json, corpora)}
    context = {
        "study": config["study"],
        "models": [m for m in map(read_json, manifests) if m["name"] in tables.names],
        "left_out": config.get("left_out", {}),
        "corpora": {
            name: corpus_facts(entry) | built[name] for name, entry in config["corpora"].items()
        },
        "conditions": config["conditions"],
        "protocol": config["protocol"],
        "provenance": provenance([read_attributes(path) for path in signals], config),
    }
    drawn = [figures / f"{name}.svg" for name in config["figures"]]
    # The page falls back on the PNG where an SVG is very large; a study need not draw one.
    drawn += [path for svg in drawn if (path := svg.with_suffix(".png")).is_file()]
    write_report(out, tables, drawn, context)


def corpus_facts(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """What the report says of a corpus."""
    text, rules = corpus["text"], corpus["sequences"]
    kept = ("title", "language", "licence", "licence_url", "source", "format")
    return {key: text[key] for key in kept} | {
        "tokens": rules["tokens"],
        "count": rules["count"],
        "special_tokens": rules["special_tokens"],
        "seed": rules["seed"],
    }


def provenance(stores: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, devices, seeds: what a second run must share to give the same numbers."""
    corpora = config.get("corpora", {})
    seeds = {name: corpus["sequences"]["seed"] for name, corpus in corpora.items()}
    return {
        "attention-wavelets": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "extraction devices": sorted({str(s.get("device", "unknown")) for s in stores}),
        "attention backends": sorted({str(s.get("attention_backend", "unknown")) for s in stores}),
        "sequence seeds": seeds,
        "confidence of intervals": config.get("statistics", {}).get("confidence"),
    }
