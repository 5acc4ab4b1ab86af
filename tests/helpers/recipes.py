"""A recipe and models small enough to be trained in a test."""

from __future__ import annotations

from typing import Any

import yaml

from attention_wavelets.config.schema import Recipe, TrainedSource
from helpers.tiny_study import Project

__all__ = ["add_trained", "architectures", "recipe", "source"]

# Architecture, encoding, objective, feed-forward width: every pair that can be trained, matched.
architectures = (
    ("llama", "rope", "causal", 174),
    ("smollm3", "rope", "causal", 174),
    ("smollm3", "none", "causal", 174),
    ("gpt_neox", "rope", "causal", 256),
    ("gpt_neox", "rope_quarter", "causal", 256),
    ("gpt2", "learned", "causal", 256),
    ("opt", "learned", "causal", 256),
    ("bloom", "alibi", "causal", 256),
    ("modernbert", "rope", "masked", 174),
    ("t5", "relative_bias", "masked", 260),
)


def source(
    architecture: str = "llama",
    encoding: str = "rope",
    objective: str = "causal",
    inner: int = 24,
    **more: Any,
) -> TrainedSource:
    """A model of two layers and two heads of eight channels, unless told otherwise."""
    sizes = {"layers": 2, "heads": 2, "hidden_size": 16, "seeds": [0]}
    return TrainedSource.model_validate(
        {
            "kind": "trained",
            "recipe": "tiny",
            "architecture": architecture,
            "encoding": encoding,
            "objective": objective,
            "intermediate_size": inner,
            **sizes,
            **more,
        }
    )


def recipe(**more: Any) -> Recipe:
    """Twelve steps of 4 x 32 tokens."""
    return Recipe.model_validate(
        {
            "corpus": "tiny",
            "tokenizer": {"merges": 8},
            "context": 32,
            "batch": 4,
            "tokens": 12 * 4 * 32,
            "allow_repeats": True,
            "held_out_sequences": 8,
            "optimiser": {"learning_rate": 0.01, "warmup": 2},
            "keep": [0, 1, 4],
            **more,
        }
    )


def add_trained(project: Project, **changes: Any) -> None:
    """Make the study `tiny` one of two training runs, two seeds each, with four checkpoints."""
    corpus = yaml.safe_load(project.yaml("corpus/tiny").read_text(encoding="utf-8"))
    corpus["text"]["split"] = {"held_out": 0.5, "seed": 0}
    corpus["sequences"] = {"tokens": 32, "count": 6, "min_documents": 6}
    study = yaml.safe_load(project.yaml("study/tiny").read_text(encoding="utf-8"))
    study["models"] = ["tiny-rope", "tiny-none"]
    study["claims"] = []
    study["measurements"][0]["conditions"] = ["full", "half"]
    study["measurements"][0]["probes"] = ["received", "lag"]
    study["facts"] = [
        {"corpus": "tiny", "conditions": ["full"], "facts": ["sink", "locality"]},
        {"corpus": "tiny", "conditions": ["repeated"], "facts": ["repeats"]},
    ]
    study["causal"] = {
        "models": ["tiny-rope-s0-step12", "tiny-none-s0-step12"],
        "corpus": "tiny",
        "protocol": "paper",
        "repeated": "repeated",
        "shares": [0.25],
        "draws": 2,
    }
    study["figures"] = ["ladder_size", "ladder_steps", "ladder_encoding"]
    study["figures"] += ["causal_heads", "causal_bands"]
    project.yaml("recipe/tiny").parent.mkdir(exist_ok=True)
    files = {
        "corpus/tiny": corpus,
        "study/tiny": study,
        "recipe/tiny": recipe(**changes).model_dump(mode="json"),
    }
    for architecture, encoding in (("llama", "rope"), ("smollm3", "none")):
        made = source(architecture, encoding, seeds=[0, 1]).model_dump(mode="json")
        files[f"model/tiny-{encoding}"] = {
            "label": f"Tiny {encoding}",
            "source": made,
            "checkpoints": "all",
            "licence": "MIT",
        }
    for name, content in files.items():
        project.yaml(name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
