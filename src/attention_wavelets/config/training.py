"""Models that are trained here: which architectures there are, and what each can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attention_wavelets.errors import PipelineError

if TYPE_CHECKING:
    from attention_wavelets.config.schema import Experiment, Recipe, Split, TrainedSource

__all__ = [
    "FAMILIES",
    "Family",
    "block",
    "check_recipe",
    "check_source",
    "check_trained_texts",
    "parameters",
]


@dataclass(frozen=True)
class Family:
    """What a family of transformers can be trained as here.

    Attributes
    ----------
    encodings, objectives
        Allowed values.
    gated
        Whether the feed-forward layer has a gate: three matrices, not two.
    biases, norms
        Numbers per layer beyond matrices, in units of the width: biases of attention and output,
        gains and shifts of norms.
    inner_bias
        Whether the feed-forward layer's inner numbers have a bias.
    fixed
        Feed-forward width over model width, where the architecture fixes it.
    outside
        Numbers outside of layers and embeddings, in units of the width.
    part
        What of the family is trained, where it is not the whole model.
    block
        Families with one word here have the same layers, but for positions; "" is the family's own.
    """

    encodings: tuple[str, ...]
    objectives: tuple[str, ...]
    gated: bool
    biases: int
    norms: int
    inner_bias: bool
    outside: int
    fixed: int | None = None
    part: Literal["encoder"] | None = None
    block: str = ""


FAMILIES = {
    "llama": Family(("rope",), ("causal",), True, 0, 2, False, 1),
    "smollm3": Family(("rope", "none"), ("causal",), True, 0, 2, False, 1, block="llama"),
    "gpt_neox": Family(("rope", "rope_quarter"), ("causal",), False, 5, 4, True, 2),
    "gpt2": Family(("learned",), ("causal",), False, 5, 4, True, 2),
    "opt": Family(("learned",), ("causal",), False, 5, 4, True, 2),
    "bloom": Family(("alibi",), ("causal",), False, 5, 4, True, 4, fixed=4),
    "modernbert": Family(("rope",), ("masked",), True, 0, 2, False, 1),
    "t5": Family(("relative_bias",), ("masked",), False, 0, 2, False, 1, part="encoder"),
}


def block(architecture: str) -> str:
    """What layers are made of beside positions: equal for families that differ in nothing else."""
    return FAMILIES[architecture].block or architecture


def parameters(source: TrainedSource) -> int:
    """Numbers of the base model without embeddings of tokens and positions.

    Relative biases (a table of 32 distances per head, once) count as positions. ModernBERT's first
    layer lacks a norm that its embeddings have, so that the sum is the same.
    """
    family = FAMILIES[source.architecture]
    width, inner = source.hidden_size, source.intermediate_size
    layer = 4 * width**2 + (3 if family.gated else 2) * width * inner
    layer += (family.biases + family.norms) * width + family.inner_bias * inner
    return source.layers * layer + family.outside * width


def check_source(source: TrainedSource, where: str) -> None:
    """Refuse what an architecture cannot be.

    Raises
    ------
    PipelineError
        An encoding or objective that it does not have, a feed-forward width that it fixes, heads
        that do not divide the width, or whose size is odd and cannot be rotated.
    """
    family, name = FAMILIES[source.architecture], source.architecture
    for key, allowed in (("encoding", family.encodings), ("objective", family.objectives)):
        value = getattr(source, key)
        if value not in allowed:
            others = [n for n, f in FAMILIES.items() if value in getattr(f, f"{key}s")]
            raise PipelineError(
                f"source.{key}: {name} cannot have '{value}', only {' or '.join(allowed)}",
                where,
                f"take architecture {' or '.join(others)}",
            )
    if family.fixed and source.intermediate_size != family.fixed * source.hidden_size:
        raise PipelineError(
            f"source.intermediate_size: {name} has {family.fixed} times hidden_size, "
            f"{family.fixed * source.hidden_size}, got {source.intermediate_size}",
            where,
        )
    size, rest = divmod(source.hidden_size, source.heads)
    quarter = 8 if source.encoding == "rope_quarter" else 2
    if rest or size % quarter:
        raise PipelineError(
            f"source.heads: {source.heads} heads of hidden_size {source.hidden_size} are not of a "
            f"size that {quarter} divides",
            where,
            "change either",
        )


def check_recipe(recipe: Recipe, where: str) -> None:
    """Refuse checkpoints beyond the end of training, and a warm-up without a run after it.

    Raises
    ------
    PipelineError
        As said.
    """
    last = recipe.last_step
    if late := [step for step in recipe.keep if step > last]:
        raise PipelineError(
            f"keep: step {late[0]} is after the last, {last} "
            f"({recipe.tokens} tokens in batches of {recipe.batch} x {recipe.context})",
            where,
            "train on more tokens or keep earlier steps",
        )
    if recipe.optimiser.warmup >= last:
        raise PipelineError(
            f"optimiser.warmup: {recipe.optimiser.warmup} steps of {last}", where, "shorten it"
        )


def check_trained_texts(experiment: Experiment) -> None:
    """Refuse recipes that hold nothing out, and measuring a model on text that it was trained on.

    A text with a `split` of its own part `training` is measured: who writes that means it.

    Raises
    ------
    PipelineError
        A corpus to train on that is no text or has no split, and a measured corpus of the same
        source whose split is another.
    """
    corpora = experiment.corpus
    for name, recipe in experiment.recipe.items():
        for corpus in recipe.corpora:
            split = corpora[corpus].text.split
            if corpora[corpus].text.read != "tokens":
                raise PipelineError(
                    f"corpus: '{corpus}' has no texts to train on",
                    f"conf/recipe/{name}.yaml",
                    "name a corpus of texts or series",
                )
            if split is None or split.part != "held_out":
                raise PipelineError(
                    f"corpus: '{corpus}' holds no documents out of training",
                    f"conf/recipe/{name}.yaml",
                    f"add `split: {{held_out: 0.25}}` to the text of conf/corpus/{corpus}.yaml",
                )
            for measured in sorted({cell.corpus for cell in experiment.study.measurements}):
                text = corpora[measured].text
                if text.source == corpora[corpus].text.source and not _same_sides(
                    text.split, split
                ):
                    raise PipelineError(
                        f"text.split: documents of '{measured}' are among those that recipe "
                        f"'{name}' trains on",
                        f"conf/corpus/{measured}.yaml",
                        f"take the split of conf/corpus/{corpus}.yaml, or leave out the corpus or "
                        "the models trained here",
                    )


def _same_sides(one: Split | None, other: Split) -> bool:
    """Whether two splits of one text draw the same documents, whichever part they read."""
    return one is not None and (one.held_out, one.seed) == (other.held_out, other.seed)
