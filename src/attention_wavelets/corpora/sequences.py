"""Token sequences cut from documents, chosen by seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.config.schema import SequenceRules
from attention_wavelets.corpora.tokens import SpecialTokens
from attention_wavelets.errors import PipelineError

__all__ = ["MIN_ORDINARY_TOKENS", "Sequences", "choose_sequences"]

Content = TypeVar("Content", str, bytes)
# Below this no spectrum or wavelet level means anything.
MIN_ORDINARY_TOKENS = 8


@dataclass(frozen=True)
class Sequences:
    """S sequences of N tokens each.

    Attributes
    ----------
    ids
        int32 (S, N), token ids; of sounds and pictures, which place in its document each position
        is, and -1 for special ones.
    special
        bool (S, N), true for the tokens put around the text (BOS, [CLS], [SEP]).
    source_position
        int32 (S, N), the place in the uncut sequence that this position stands for; -1 for a place
        it did not have. A replaced token keeps the place, a moved token brings its own.
    document
        int32 (S,), number of the document the sequence was cut from.
    start
        int32 (S,), where in the document it begins, in ordinary tokens of the whole document.
    content
        float32 (S, N, D), the samples or pixels of each position of sounds and pictures; else None.
    """

    ids: NDArray[np.int32]
    special: NDArray[np.bool_]
    source_position: NDArray[np.int32]
    document: NDArray[np.int32]
    start: NDArray[np.int32]
    content: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = self.ids.shape[:1]
        shapes = (self.special.shape, self.source_position.shape)
        if self.ids.ndim != 2 or shapes != (self.ids.shape,) * 2:
            raise ValueError(f"ids {self.ids.shape} against {shapes}: all must be (S, N)")
        if self.document.shape != count or self.start.shape != count:
            raise ValueError(f"document and start must be {count}")
        if self.content is not None and self.content.shape[:2] != self.ids.shape:
            raise ValueError(f"content {self.content.shape} against ids {self.ids.shape}")


@dataclass(frozen=True)
class _Cut:
    """The stretches one document offers, in the order they are taken."""

    document: int
    stretches: list[tuple[int, NDArray[np.int32]]]


def choose_sequences(
    documents: Sequence[Content],
    tokenize: Callable[[Content], Sequence[int]],
    specials: SpecialTokens,
    rules: SequenceRules,
) -> Sequences:
    """Cut `rules.count` sequences of `rules.tokens` tokens, specials included, from documents.

    The ordinary tokens of a sequence are one stretch of one document; stretches of a document do
    not overlap, and at most `rules.max_per_document` come from it. Every document is asked once
    before any is asked twice, so that as many documents as possible take part.

    A document, a text or the bytes of a file, is ranked and cut by the seed and its own content:
    ranks and stretches do not change when other documents come, go or move. Raising `count` keeps
    the sequences there were. Documents are tokenised whole, and only as many as needed.

    Raises `PipelineError` if the corpus is too small; it says how many sequences it can give.
    """
    length = rules.tokens - len(specials)
    if length < MIN_ORDINARY_TOKENS:
        raise PipelineError(
            f"{rules.tokens} tokens with {len(specials)} special ones leave {length} ordinary "
            f"tokens, at least {MIN_ORDINARY_TOKENS} are needed",
            "sequences",
            "raise `tokens` in the corpus",
        )
    cuts: list[_Cut] = []
    for document in _ranked(documents, rules.seed):
        cut = _cut(document, documents[document], tokenize, length, rules)
        if cut.stretches:
            cuts.append(cut)
        if len(cuts) == rules.count:
            break
    taken = [
        (cut.document, *cut.stretches[turn])
        for turn in range(rules.max_per_document)
        for cut in cuts
        if turn < len(cut.stretches)
    ][: rules.count]
    if len(taken) < rules.count or len(cuts) < rules.min_documents:
        raise _too_small(len(documents), cuts, rules)
    return _framed(taken, specials, length)


def _generator(seed: int, document: str | bytes, purpose: int) -> np.random.Generator:
    """Random numbers of one document, told apart from others by its content alone."""
    content = document.encode("utf-8", "surrogatepass") if isinstance(document, str) else document
    digest = hashlib.sha256(content).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, *words]))


def _ranked(documents: Sequence[Content], seed: int) -> list[int]:
    """Document numbers in random order, each by a key of its own; repeated ones once."""
    # Of documents with the same content the first alone: they are no independent observations.
    first = {content: number for number, content in reversed(list(enumerate(documents)))}
    return sorted(
        first.values(), key=lambda number: _generator(seed, documents[number], 0).random()
    )


def _cut(
    document: int,
    content: Content,
    tokenize: Callable[[Content], Sequence[int]],
    length: int,
    rules: SequenceRules,
) -> _Cut:
    tokens = np.asarray(tokenize(content), dtype=np.int32)
    count = min(rules.max_per_document, len(tokens) // length)
    # Every arrangement of `count` stretches is equally likely: shrink each to one token, choose
    # places among the tokens that are left, and stretch them again.
    rng = _generator(rules.seed, content, 1)
    places = np.sort(rng.choice(len(tokens) - count * (length - 1), size=count, replace=False))
    starts = places + np.arange(count) * (length - 1)
    # Copies, so that the rest of a long document need not stay in memory.
    stretches = [
        (start, tokens[start : start + length].copy()) for start in rng.permutation(starts)
    ]
    return _Cut(document, stretches)


def _framed(
    taken: list[tuple[int, int, NDArray[np.int32]]], specials: SpecialTokens, length: int
) -> Sequences:
    """Put the special tokens around each (document, start, tokens)."""
    ids = np.array(
        [[*specials.prefix, *tokens, *specials.suffix] for _, _, tokens in taken], dtype=np.int32
    )
    special = np.ones(ids.shape, dtype=bool)
    special[:, len(specials.prefix) : len(specials.prefix) + length] = False
    return Sequences(
        ids=ids,
        special=special,
        source_position=np.tile(np.arange(ids.shape[1], dtype=np.int32), (len(taken), 1)),
        document=np.array([document for document, _, _ in taken], dtype=np.int32),
        start=np.array([start for _, start, _ in taken], dtype=np.int32),
    )


def _too_small(documents: int, cuts: list[_Cut], rules: SequenceRules) -> PipelineError:
    possible = sum(len(cut.stretches) for cut in cuts)
    return PipelineError(
        f"it can give {possible} sequences of {rules.tokens} tokens from {len(cuts)} of its "
        f"{documents} documents (at most {rules.max_per_document} from each), but {rules.count} "
        f"from at least {rules.min_documents} documents are asked for",
        "corpus",
        "lower `count`, `min_documents` or `tokens`, raise `max_per_document`, or add documents",
    )
