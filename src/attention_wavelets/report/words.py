"""Conditions, sources and facts in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["condition_words", "flat", "model_state", "source_words"]

METHODS = {
    "stride": "evenly spaced tokens",
    "prefix": "the first tokens",
    "suffix": "the last tokens",
    "random": "tokens drawn at random, in order",
}
SHARES = {0.5: "Half", 0.25: "A quarter"}
ACTIONS = {
    "add": "a BOS token is put in front where the tokenizer adds none",
    "remove": "the first special token is removed",
    "swap": "the first token is replaced by {token!r}",
}


def condition_words(condition: Mapping[str, Any]) -> str:
    """One sentence on what is done to a sequence before the forward pass."""
    match condition.get("kind"):
        case "full":
            return "The sequence as it is."
        case "subsample":
            method = str(condition.get("method"))
            kept = METHODS.get(method, method)
            fraction = float(condition["fraction"])
            share = SHARES.get(fraction, f"{fraction:g}")
            return f"{share} of the tokens are kept: {kept}."
        case "shuffle":
            return "The same tokens in random order; special tokens stay in place."
        case "random_tokens":
            return "Every token is replaced by one drawn uniformly from the vocabulary."
        case "repeat":
            return "Tokens drawn uniformly from the vocabulary, then the same ones again."
        case "bos":
            action = str(condition.get("action"))
            said = ACTIONS.get(action, action).format(token=condition.get("token"))
            return f"{said[:1].upper()}{said[1:]}."
    return "; ".join(f"{key}: {value}" for key, value in flat(condition))


def source_words(source: Any) -> str:
    """Where files come from, in one line."""
    if not isinstance(source, Mapping):
        return str(source)
    match source.get("kind"):
        case "hub":
            return f"Hugging Face hub: {source.get('repository')}"
        case "wheel":
            return f"package {source.get('distribution')} {source.get('version')}"
        case "local":
            return f"this machine: {source.get('path')}"
        case "url":
            return str(source.get("url"))
        case "synthetic":
            return f"drawn here, seed {source.get('seed')}"
        case "untrained":
            return f"fresh weights for {source.get('of')}, seed {source.get('seed')}"
    return "; ".join(f"{key}: {value}" for key, value in flat(source))


def model_state(model: Mapping[Any, Any]) -> str:
    """Quantisation and tuning of a model, as said beside its numbers."""
    quantisation = str(model.get("quantisation", "none"))
    weights = "not quantised" if quantisation == "none" else f"quantised ({quantisation})"
    return f"{weights}, {model.get('tuning', 'tuning unknown')}"


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Pairs (dotted key, text) of a nested mapping, in its order."""
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}.")
        elif isinstance(item, list | tuple):
            yield name, ", ".join(str(part) for part in item)
        else:
            yield name, "–" if item is None else str(item)
