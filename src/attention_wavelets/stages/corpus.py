"""Stages build_corpus and encode_sequences: from files to documents to token ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_wavelets.config.compose import check_member
from attention_wavelets.config.schema import SequenceRules, Text
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import write_json
from attention_wavelets.store.documents import read_documents, write_documents
from attention_wavelets.store.sequences import write_sequences

__all__ = ["build_corpus", "encode_sequences"]


def build_corpus(config: Mapping[str, Any], out: Path, manifest: Path) -> None:
    """Write the documents of one corpus.

    Parameters
    ----------
    config
        The slice: name, text and the lock's entry for it.
    out, manifest
        Parquet file of documents, and JSON file on where they came from, to write.
    """
    from attention_wavelets.corpora.documents import read_documents as documents_in
    from attention_wavelets.sources import fetch_files
    from attention_wavelets.sources.cache import sha256_of

    text = Text.model_validate(config["text"])
    files = fetch_files(text.source, text.files, revision=next(iter(config["lock"].values()), None))
    count = write_documents(out, documents_in(text, list(files.paths.values())), text)
    facts = {
        "name": config["name"],
        "documents": count,
        "revision": files.revision,
        "locked": files.locked,
        "files": [
            {"name": name, "sha256": sha256_of(path), "size": path.stat().st_size}
            for name, path in files.paths.items()
        ],
    }
    write_json(manifest, facts)


def encode_sequences(
    config: Mapping[str, Any], manifest: Mapping[str, Any], documents: Path, out: Path
) -> None:
    """Write the token ids of one model and corpus, one group per condition.

    Parameters
    ----------
    config
        The slice: corpus, rules, conditions.
    manifest
        What fetch_model wrote.
    documents, out
        Parquet file to read, store to write.
    """
    from attention_wavelets.corpora.conditions import apply_condition
    from attention_wavelets.corpora.sequences import choose_sequences
    from attention_wavelets.corpora.tokens import (
        ordinary_tokenizer,
        special_tokens,
        token_context,
    )
    from attention_wavelets.models.load import load_tokenizer

    rules = SequenceRules.model_validate(config["rules"])
    where = f"conf/corpus/{config['corpus']}.yaml"
    _refuse_too_long(rules.tokens, manifest, where)
    tokenizer = load_tokenizer(manifest)
    specials = special_tokens(tokenizer, rules.special_tokens)
    texts = read_documents(documents)["text"].tolist()

    full = choose_sequences(texts, ordinary_tokenizer(tokenizer), specials, rules)
    context = token_context(tokenizer)
    conditions = {
        name: apply_condition(full, check_member("condition", values, name), context)
        for name, values in config["conditions"].items()
    }
    for name, sequences in conditions.items():
        _refuse_too_long(sequences.ids.shape[1], manifest, f"{where}, condition {name}")
    write_sequences(
        out,
        conditions,
        {
            "corpus": config["corpus"],
            "model": manifest["name"],
            "tokenizer": type(tokenizer).__name__,
            "special_tokens": rules.special_tokens,
            "prefix": list(specials.prefix),
            "suffix": list(specials.suffix),
        },
    )


def _refuse_too_long(tokens: int, manifest: Mapping[str, Any], where: str) -> None:
    limit = manifest["facts"]["max_positions"]
    if limit is not None and tokens > limit:
        raise PipelineError(
            f"sequences of {tokens} tokens are longer than the {limit} positions "
            f"of model '{manifest['name']}'",
            where,
            f"set sequences.tokens to {limit} or less",
        )
