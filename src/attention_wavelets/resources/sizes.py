"""The sizes of a model that forecasts are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attention_wavelets.config.schema import Architecture, TrainedSource
from attention_wavelets.config.training import parameters

__all__ = ["BYTES", "HOOKED", "Sizes"]

# Bytes of one number; of four bits with the scales of their blocks.
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int4": 0.6}
# Families outside transformers' attention interface, which hold a whole layer's attention.
HOOKED = frozenset({"bloom", "mpt", "falcon", "roformer", "gptj", "gpt_neo", "codegen"})


@dataclass(frozen=True)
class Sizes:
    """Counts of a model.

    parameters, embeddings
        All numbers of the base model, and those of its table of tokens.
    layers, heads, head_size, hidden_size
        As the architecture has them.
    stored
        Bytes of one number in the files.
    hooked
        Whether a layer's whole attention is in memory at once.
    """

    parameters: int
    embeddings: int
    layers: int
    heads: int
    head_size: int
    hidden_size: int
    stored: float
    hooked: bool = False

    @classmethod
    def of_architecture(cls, known: Architecture, dtype: str) -> Sizes:
        """From the block `architecture` of a model YAML and the type of its forward pass."""
        return cls(
            parameters=known.parameters,
            embeddings=(known.vocabulary_size or 0) * known.hidden_size,
            layers=known.layers,
            heads=known.heads,
            head_size=known.head_size,
            hidden_size=known.hidden_size,
            stored=BYTES[known.stored or dtype],
            hooked=known.model_type in HOOKED,
        )

    @classmethod
    def of_trained(cls, source: TrainedSource, tokens: int) -> Sizes:
        """Of a model that is trained here, with so many tokens in its vocabulary."""
        embeddings = tokens * source.hidden_size
        return cls(
            parameters=parameters(source) + embeddings,
            embeddings=embeddings,
            layers=source.layers,
            heads=source.heads,
            head_size=source.hidden_size // source.heads,
            hidden_size=source.hidden_size,
            stored=BYTES["float32"],
            hooked=source.architecture in HOOKED,
        )

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], dtype: str) -> Sizes:
        """From the facts of a manifest."""
        return cls(
            parameters=int(facts["parameters"]),
            embeddings=int(facts["parameters"]) - int(facts["non_embedding_parameters"]),
            layers=int(facts["layers"]),
            heads=int(facts["heads"]),
            head_size=int(facts["head_size"]),
            hidden_size=int(facts["hidden_size"]),
            stored=BYTES[dtype],
            hooked=facts["model_type"] in HOOKED,
        )
