"""One page on one model of one's own: the pipeline's stages in a temporary folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from attention_wavelets.config.compose import compose
from attention_wavelets.config.schema import Corpus, Figure, Model, SequenceRules, Text
from attention_wavelets.config.slices import slices
from attention_wavelets.errors import PipelineError
from attention_wavelets.stages.aggregate import aggregate_study
from attention_wavelets.stages.corpus import build_corpus, encode_sequences
from attention_wavelets.stages.extract import extract_signals
from attention_wavelets.stages.measure import measure_heads
from attention_wavelets.stages.publish import corpus_facts, provenance, study_tables
from attention_wavelets.store.arrays import read_attributes
from attention_wavelets.store.documents import read_documents

__all__ = ["profile_model"]

# A quarter of the tokens, special ones aside, must still make a signal.
SHORTEST = 48
MODEL, CORPUS, PROTOCOL = "your-model", "your-text", "paper"


def profile_model(
    model: Path,
    text: Path,
    out: Path,
    *,
    conf: Path,
    tokens: int = 96,
    count: int = 32,
    device: str = "auto",
) -> None:
    """Write a page on the model in `model`, read on the text in `text`.

    Parameters
    ----------
    model
        A folder with config.json and safetensors, or a GGUF file.
    text
        A text file or a folder of them; each file is one document.
    out
        HTML file to write.
    conf
        Folder of the YAML files.
    tokens, count
        Length and greatest number of sequences; fewer are taken from a short text.
    device
        auto, cpu or cuda.
    """
    from attention_wavelets.models.fetch import fetch_model
    from attention_wavelets.report.profile import write_profile

    for path in (model, text):
        if not path.exists():
            raise PipelineError("does not exist", str(path), "check the path")
    if tokens < SHORTEST or count < 1:
        raise PipelineError(
            f"--tokens {tokens} and --sequences {count}",
            "profile",
            f"give at least {SHORTEST} tokens, so that a quarter of them can be measured, "
            "and 1 sequence",
        )
    source = {"kind": "local", "path": str(model.resolve())}
    own = Model.model_validate(
        {"label": model.resolve().name, "source": source, "tuning": "yours", "licence": "yours"}
    )
    manifest = fetch_model(MODEL, own, None, {})
    if (read := manifest["facts"]["input"]["kind"]) != "tokens":
        raise PipelineError(
            f"it reads {read}, not text", str(model), "make a study of it: docs/adding_a_model.md"
        )
    with tempfile.TemporaryDirectory(prefix="attention-wavelets-") as name:
        folder = Path(name)
        documents, sequences = folder / "documents.parquet", folder / "sequences.zarr.zip"
        signals, tables = folder / "signals.zarr.zip", folder / "measures"
        texts = _text(text)
        build_corpus(
            {"name": CORPUS, "text": texts.model_dump(mode="json"), "lock": {}},
            documents,
            folder / "corpus.json",
        )
        found = _available(manifest, documents, tokens, count)
        rules = SequenceRules(tokens=tokens, count=found, max_per_document=found)
        config = _slices(conf, own, Corpus(text=texts, sequences=rules))
        encode_sequences(config[f"sequences/{MODEL}/{CORPUS}"], manifest, documents, sequences)
        extract = config[f"signals/{MODEL}/{CORPUS}"]
        extract_signals(extract, manifest, sequences, signals, folder / "work", device=device)
        names = ("heads", "layers", "model", "pairs")
        measured = [tables / f"{table}.parquet" for table in names]
        measure_heads(config[f"measures/{MODEL}/{CORPUS}/{PROTOCOL}"], signals, *measured)
        names = ("heads.parquet", "models.csv", "pairs.parquet", "summary.parquet")
        joined = tuple(folder / name for name in names)
        aggregate_study(config["studies/profile/aggregate"], {MODEL: manifest}, [tables], *joined)
        report = config["studies/profile/report"]
        study = study_tables(report, *joined, nulls=True)
        context = {
            "study": {**report["study"], "description": "", "name": ""},
            "models": [manifest],
            "corpora": {CORPUS: corpus_facts(report["corpora"][CORPUS])},
            "conditions": report["conditions"],
            "protocol": report["protocol"],
            "provenance": provenance([read_attributes(signals)], report),
        }
        settings = Figure.model_validate(config["studies/profile/figures"]["settings"])
        write_profile(out, study, context, settings)


def _text(path: Path) -> Text:
    return Text.model_validate(
        {
            "source": {"kind": "local", "path": str(path.resolve())},
            "format": "text",
            "language": "unknown",
            "title": path.resolve().name,
            "licence": "yours",
        }
    )


def _available(manifest: dict[str, Any], documents: Path, tokens: int, most: int) -> int:
    """How many sequences the text gives, `most` at most."""
    from attention_wavelets.corpora.tokens import ordinary_tokenizer, special_tokens
    from attention_wavelets.models.load import load_tokenizer

    limit = manifest["facts"]["max_positions"]
    if limit is not None and tokens > limit:
        raise PipelineError(
            f"--tokens {tokens} is more than the model's {limit} positions", "profile", "lower it"
        )
    tokenizer = load_tokenizer(manifest)
    length = max(1, tokens - len(special_tokens(tokenizer, "auto")))
    tokenize = ordinary_tokenizer(tokenizer)
    lengths = [len(tokenize(text)) for text in set(read_documents(documents)["text"])]
    found = sum(n // length for n in lengths)
    if not found:
        raise PipelineError(
            f"no document has {length} tokens, the longest has {max(lengths)}",
            "text",
            "give a longer text or a smaller --tokens",
        )
    return min(found, most)


def _slices(conf: Path, model: Model, corpus: Corpus) -> dict[str, Any]:
    """The quickstart's settings with this model and this text in place of its own."""
    base = compose(["study=quickstart"], conf)
    cell = base.study.measurements[0].model_copy(update={"corpus": CORPUS})
    study = base.study.model_copy(
        update={
            "title": f"Profile of {model.label}",
            "models": [MODEL],
            "measurements": [cell],
            "headline": base.study.headline.model_copy(update={"corpus": CORPUS}),
        }
    )
    experiment = base.model_copy(
        update={
            "study_name": "profile",
            "study": study,
            "model": {MODEL: model},
            "corpus": {CORPUS: corpus},
            "condition": {name: base.condition[name] for name in cell.conditions},
        }
    )
    return slices(experiment)
