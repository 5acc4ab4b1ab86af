"""Stages build_corpus and encode_sequences: from files to documents to sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attention_wavelets.config.compose import check_member
from attention_wavelets.config.schema import SequenceRules, Text
from attention_wavelets.errors import PipelineError
from attention_wavelets.store.atomic import write_json
from attention_wavelets.store.documents import read_documents, write_documents
from attention_wavelets.store.sequences import write_sequences

if TYPE_CHECKING:
    import pandas as pd

    from attention_wavelets.corpora.sequences import Sequences
    from attention_wavelets.corpora.tokens import TokenContext

    _Cut = tuple[Sequences, TokenContext | None, dict[str, Any]]

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
    """Write what one model is given of a corpus, one group per condition.

    Parameters
    ----------
    config
        The slice: corpus, rules, conditions; what is read, where it is no text.
    manifest
        What fetch_model wrote.
    documents, out
        Parquet file to read, store to write.
    """
    from attention_wavelets.corpora.conditions import apply_condition

    rules = SequenceRules.model_validate(config["rules"])
    where = f"conf/corpus/{config['corpus']}.yaml"
    read, given = config.get("read", "tokens"), manifest["facts"]["input"]
    if read != given["kind"]:
        raise PipelineError(
            f"its documents are {_WORDS[read]}, model '{manifest['name']}' reads {given['kind']}",
            where,
            "choose a corpus of the other kind for this model",
        )
    _refuse_too_long(rules.tokens, manifest, where)
    table = read_documents(documents)
    full, context, attributes = (
        _of_tokens(table, manifest, rules) if read == "tokens" else _of_media(table, given, rules)
    )
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
            "special_tokens": rules.special_tokens,
            **attributes,
        },
    )


_WORDS = {"tokens": "texts", "sound": "sounds", "pictures": "pictures"}


def _of_tokens(table: pd.DataFrame, manifest: Mapping[str, Any], rules: SequenceRules) -> _Cut:
    from attention_wavelets.corpora.sequences import choose_sequences
    from attention_wavelets.corpora.tokens import (
        ordinary_tokenizer,
        special_tokens,
        token_context,
    )
    from attention_wavelets.models.load import load_tokenizer

    tokenizer = load_tokenizer(dict(manifest))
    specials = special_tokens(tokenizer, rules.special_tokens)
    texts = table["text"].tolist()
    full = choose_sequences(texts, ordinary_tokenizer(tokenizer), specials, rules)
    attributes = {
        "tokenizer": type(tokenizer).__name__,
        "prefix": list(specials.prefix),
        "suffix": list(specials.suffix),
    }
    return full, token_context(tokenizer), attributes


def _of_media(table: pd.DataFrame, given: Mapping[str, Any], rules: SequenceRules) -> _Cut:
    from attention_wavelets.corpora.media import choose_media

    full = choose_media(table["content"].tolist(), table["title"].tolist(), given, rules)
    return full, None, {"input": dict(given)}


def _refuse_too_long(tokens: int, manifest: Mapping[str, Any], where: str) -> None:
    limit = manifest["facts"]["max_positions"]
    if limit is not None and tokens > limit:
        raise PipelineError(
            f"sequences of {tokens} tokens are longer than the {limit} positions "
            f"of model '{manifest['name']}'",
            where,
            f"set sequences.tokens to {limit} or less",
        )
