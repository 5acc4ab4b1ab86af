"""Conditions: what is done to token sequences before the forward pass."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.config.schema import (
    BosCondition,
    Condition,
    FullCondition,
    RandomTokensCondition,
    RepeatCondition,
    ShuffleCondition,
    SubsampleCondition,
)
from attention_wavelets.corpora.sequences import MIN_ORDINARY_TOKENS, Sequences
from attention_wavelets.corpora.tokens import TokenContext
from attention_wavelets.errors import PipelineError, unknown_name

__all__ = ["BOS_ACTIONS", "CONDITIONS", "METHODS", "apply_condition", "kept_count"]

Indices = NDArray[np.int64]


def apply_condition(
    sequences: Sequences, condition: Condition, context: TokenContext | None
) -> Sequences:
    """Return the sequences (S, N) under a condition, as (S, N') with one N' for all of them.

    The input is left as it is. What happens to a sequence depends on that sequence, the condition
    and its seed alone: random draws are keyed by the document and start of the sequence, not by its
    row. Sounds and pictures have no vocabulary, `context` None, and take kinds `WITHOUT_TOKENS`
    alone. Fewer than `MIN_ORDINARY_TOKENS` ordinary tokens in the result are a `PipelineError`.
    """
    if condition.kind not in CONDITIONS:
        raise unknown_name("condition", condition.kind, CONDITIONS)
    if context is None and condition.kind not in WITHOUT_TOKENS:
        raise PipelineError(
            "it needs tokens, which sounds and pictures do not have",
            f"condition {condition.kind}",
            f"choose one of kind {' or '.join(WITHOUT_TOKENS)}",
        )
    before = _ordinary(sequences).shape[1]
    result = CONDITIONS[condition.kind](sequences, condition, context)
    after = _ordinary(result).shape[1]
    if after < MIN_ORDINARY_TOKENS:
        raise PipelineError(
            f"it leaves {after} of {before} ordinary tokens, at least {MIN_ORDINARY_TOKENS} are "
            "needed",
            f"condition {condition.kind}",
            "raise `tokens` in the corpus or `fraction` in the condition",
        )
    return result


def kept_count(fraction: float, n: int) -> int:
    """floor(fraction * n), as if `fraction` were the decimal number that was written.

    0.29 * 100 is 28.999999999999996 in floating point; the margin is far above that error and far
    below any step a fraction is written with.
    """
    return math.floor(fraction * n + 1e-9)


def _ordinary(sequences: Sequences) -> Indices:
    """Positions of the ordinary tokens, (S, n)."""
    counts = np.count_nonzero(~sequences.special, axis=1)
    if np.unique(counts).size > 1:
        raise ValueError(f"sequences hold {counts.min()} to {counts.max()} ordinary tokens")
    return np.nonzero(~sequences.special)[1].reshape(len(counts), -1)


def _generator(kind: str, seed: int, sequences: Sequences, row: int) -> np.random.Generator:
    """Random numbers of one sequence; kinds of the same seed draw independently."""
    place = (int(sequences.document[row]), int(sequences.start[row]))
    return np.random.default_rng(np.random.SeedSequence([zlib.crc32(kind.encode()), seed, *place]))


def _gather(sequences: Sequences, positions: Indices) -> Sequences:
    """Take the positions (S, N') of each sequence."""
    rows = np.arange(len(positions))[:, None]
    return replace(
        sequences,
        ids=sequences.ids[rows, positions],
        special=sequences.special[rows, positions],
        source_position=sequences.source_position[rows, positions],
        content=None if sequences.content is None else sequences.content[rows, positions],
    )


def _full(sequences: Sequences, _condition: FullCondition, _context: TokenContext) -> Sequences:
    return sequences


Method = Callable[[int, int, Callable[[], np.random.Generator]], Indices]

# Which `kept` of n ordinary tokens stay, as indices; their order in the sequence is kept anyway.
METHODS: dict[str, Method] = {
    "stride": lambda n, kept, _rng: np.arange(kept) * n // kept,
    "prefix": lambda _n, kept, _rng: np.arange(kept),
    "suffix": lambda n, kept, _rng: np.arange(n - kept, n),
    "random": lambda n, kept, rng: rng().choice(n, size=kept, replace=False),
}


def _subsample(
    sequences: Sequences, condition: SubsampleCondition, _context: TokenContext
) -> Sequences:
    ordinary = _ordinary(sequences)
    n = ordinary.shape[1]
    kept = kept_count(condition.fraction, n)
    stays = sequences.special.copy()
    for row, places in enumerate(ordinary):

        def rng(row: int = row) -> np.random.Generator:
            return _generator("subsample", condition.seed, sequences, row)

        stays[row, places[METHODS[condition.method](n, kept, rng)]] = True
    return _gather(sequences, np.nonzero(stays)[1].reshape(len(stays), -1))


def _shuffle(
    sequences: Sequences, condition: ShuffleCondition, _context: TokenContext
) -> Sequences:
    count, length = sequences.ids.shape
    positions = np.tile(np.arange(length), (count, 1))
    for row, places in enumerate(_ordinary(sequences)):
        rng = _generator("shuffle", condition.seed, sequences, row)
        positions[row, places] = rng.permutation(places)
    return _gather(sequences, positions)


def _random_tokens(
    sequences: Sequences,
    condition: RandomTokensCondition | RepeatCondition,
    context: TokenContext,
) -> Sequences:
    special_ids = np.array(sorted(context.special_ids), dtype=np.int64)
    vocabulary = np.setdiff1d(np.arange(context.vocabulary_size), special_ids)
    ids = sequences.ids.copy()
    for row, places in enumerate(_ordinary(sequences)):
        rng = _generator(condition.kind, condition.seed, sequences, row)
        ids[row, places] = rng.choice(vocabulary, size=len(places))
    return replace(sequences, ids=ids)


def _repeat(sequences: Sequences, condition: RepeatCondition, context: TokenContext) -> Sequences:
    """Random tokens in the first half of the ordinary places, the same ones in the second."""
    drawn = _random_tokens(sequences, condition, context)
    ordinary = _ordinary(drawn)
    period = ordinary.shape[1] // 2
    rows = np.arange(len(ordinary))[:, None]
    ids = drawn.ids.copy()
    ids[rows, ordinary[:, period : 2 * period]] = ids[rows, ordinary[:, :period]]
    stays = np.ones(ids.shape, dtype=bool)
    # Of an odd number of places the last one has no partner.
    stays[rows, ordinary[:, 2 * period :]] = False
    return _gather(replace(drawn, ids=ids), np.nonzero(stays)[1].reshape(len(stays), -1))


def _add_bos(sequences: Sequences, _condition: BosCondition, context: TokenContext) -> Sequences:
    if context.bos_id is None:
        raise _bos_error("the tokenizer has neither BOS nor [CLS]", "leave this condition out")
    if (sequences.special[:, 0] & (sequences.ids[:, 0] == context.bos_id)).any():
        raise _bos_error(
            f"sequences begin with that token (id {context.bos_id}) already",
            "use `special_tokens: never` in the corpus, or leave this condition out",
        )

    def in_front(values: NDArray[Any], value: Any) -> NDArray[Any]:
        return np.insert(values, 0, value, axis=1)

    return replace(
        sequences,
        ids=in_front(sequences.ids, context.bos_id),
        special=in_front(sequences.special, True),
        source_position=in_front(sequences.source_position, -1),
    )


def _remove_bos(
    sequences: Sequences, _condition: BosCondition, _context: TokenContext
) -> Sequences:
    if not sequences.special[:, 0].all():
        raise _bos_error(
            "sequences have no special token in front",
            "use `special_tokens: always` in the corpus, or leave this condition out",
        )
    return replace(
        sequences,
        ids=sequences.ids[:, 1:].copy(),
        special=sequences.special[:, 1:].copy(),
        source_position=sequences.source_position[:, 1:].copy(),
    )


def _swap_bos(sequences: Sequences, condition: BosCondition, context: TokenContext) -> Sequences:
    if condition.token is None:
        raise _bos_error("`token` is missing", "name the token to put in front")
    ids = sequences.ids.copy()
    # The place keeps its mark: a token put where [CLS] was is still none of the text's own.
    ids[:, 0] = context.token_id(condition.token)
    return replace(sequences, ids=ids)


def _bos_error(what: str, todo: str) -> PipelineError:
    return PipelineError(what, "condition bos", todo)


# Of the first three the context is never read, so that sounds and pictures go through them too.
WITHOUT_TOKENS = ("full", "subsample", "shuffle")
Apply = Callable[[Sequences, Any, Any], Sequences]

BOS_ACTIONS: dict[str, Apply] = {"add": _add_bos, "remove": _remove_bos, "swap": _swap_bos}


def _bos(sequences: Sequences, condition: BosCondition, context: TokenContext) -> Sequences:
    return BOS_ACTIONS[condition.action](sequences, condition, context)


# One entry per `kind` of the schema.
CONDITIONS: dict[str, Apply] = {
    "full": _full,
    "subsample": _subsample,
    "shuffle": _shuffle,
    "random_tokens": _random_tokens,
    "repeat": _repeat,
    "bos": _bos,
}
