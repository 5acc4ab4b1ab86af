"""What corpora need of a tokenizer: ordinary tokens, special tokens, single tokens by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.errors import PipelineError, unknown_name

__all__ = [
    "POLICIES",
    "SpecialTokens",
    "TokenContext",
    "begins_of",
    "ordinary_tokenizer",
    "special_tokens",
    "token_characters",
    "token_context",
]

Policy = Literal["auto", "always", "never"]
# Any text of several words would do: it shows what a tokenizer puts around one sequence.
SAMPLE = "one two three"


@dataclass(frozen=True)
class SpecialTokens:
    """The ids in front of and behind the ordinary tokens of every sequence."""

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class TokenContext:
    """What conditions need to know of a vocabulary.

    `vocabulary_size` ids exist, of which `special_ids` are no ordinary tokens; `bos_id` begins a
    sequence (BOS or [CLS]; None where the tokenizer has neither); `token_id` gives the id of one
    token by its text and raises a `PipelineError` where the text is not one token.
    """

    vocabulary_size: int
    special_ids: frozenset[int]
    bos_id: int | None
    token_id: Callable[[str], int]


def ordinary_tokenizer(tokenizer: Any) -> Callable[[str], list[int]]:
    """The function from a text to the ids of all its ordinary tokens.

    Nothing is added, cut off or padded, whatever the tokenizer's own files ask for, and the names
    of special tokens in the text ("[SEP]", "<s>") are read as the characters they are. Texts longer
    than the model's limit raise no warning: sequences are cut from the result.
    """

    def tokenize(text: str) -> list[int]:
        encoded = tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return list(encoded["input_ids"])

    return tokenize


def special_tokens(tokenizer: Any, policy: str) -> SpecialTokens:
    """The special tokens around each sequence under a policy of the corpus.

    auto: what the tokenizer adds by itself to one sequence; always: [CLS] in front and [SEP] behind
    where it has both, else BOS in front, else an error; never: none.
    """
    if policy not in POLICIES:
        raise unknown_name("special_tokens", policy, POLICIES)
    return POLICIES[policy](tokenizer)


def _added_by_itself(tokenizer: Any) -> SpecialTokens:
    ordinary = list(tokenizer(SAMPLE, add_special_tokens=False)["input_ids"])
    whole = list(tokenizer(SAMPLE, add_special_tokens=True)["input_ids"])
    for start in range(len(whole) - len(ordinary) + 1):
        stop = start + len(ordinary)
        if whole[start:stop] == ordinary:
            return SpecialTokens(tuple(whole[:start]), tuple(whole[stop:]))
    raise PipelineError(
        "it changes ordinary tokens when it adds special ones",
        "tokenizer",
        "set `special_tokens: never` in the corpus",
    )


def _always(tokenizer: Any) -> SpecialTokens:
    if tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None:
        return SpecialTokens((tokenizer.cls_token_id,), (tokenizer.sep_token_id,))
    if tokenizer.bos_token_id is not None:
        return SpecialTokens((tokenizer.bos_token_id,))
    raise PipelineError(
        "it has neither BOS nor [CLS] and [SEP]",
        "tokenizer",
        "set `special_tokens` to auto or never in the corpus",
    )


def _never(_tokenizer: Any) -> SpecialTokens:
    return SpecialTokens()


POLICIES: dict[str, Callable[[Any], SpecialTokens]] = {
    "auto": _added_by_itself,
    "always": _always,
    "never": _never,
}


def token_context(tokenizer: Any) -> TokenContext:
    """The vocabulary of a tokenizer as conditions see it.

    Special are the named ones (BOS, [PAD] ...) and every added token that is marked special, for
    instance the turn marks of a chat model.
    """
    marked = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    begins = [tokenizer.bos_token_id, tokenizer.cls_token_id]
    return TokenContext(
        vocabulary_size=len(tokenizer),
        special_ids=frozenset(marked | set(tokenizer.all_special_ids)),
        bos_id=next((number for number in begins if number is not None), None),
        token_id=_single_token(tokenizer),
    )


def token_characters(tokenizer: Any) -> NDArray[np.int64]:
    """How many characters of a text begin in each token of a vocabulary, int64 (V,); special: 0.

    Of byte-level tokens those of their bytes that begin a character of UTF-8 count, so that the
    parts of a divided character count once. Elsewhere the marks of word pieces (`##`) are no
    characters and the mark of a space (`▁`) is one; WordPiece knows no spaces, so none count, and
    what an unknown token stands for is not known: none.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = "" if backend is None else backend.to_str()
    count = _of_pieces
    if '"type":"ByteLevel"' in kind:
        count = _of_bytes
    elif '"type":"WordPiece"' in kind:
        count = _of_word_pieces
    found = [0 if i in special or n is None else count(n) for i, n in enumerate(names)]
    return np.array(found, dtype=np.int64)


def _begins_character(byte: int) -> bool:
    return byte & 0xC0 != 0x80


def _of_bytes(name: str) -> int:
    """Printable bytes stand for themselves, the others for characters from 256 on, in order."""
    return sum(_begins_character(_BYTES.get(letter, 0)) for letter in name)


def _of_pieces(name: str) -> int:
    if match := re.fullmatch(r"<0x([0-9A-F]{2})>", name):
        return int(_begins_character(int(match[1], 16)))
    return len(name)


def _of_word_pieces(name: str) -> int:
    return len(name.removeprefix("##"))


_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + place): byte for place, byte in enumerate(_OTHERS)
}


def begins_of(ids: NDArray[np.integer[Any]], characters: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in the text each token begins, in characters from the first: int64 (S, N).

    Parameters
    ----------
    ids
        (S, N), token ids.
    characters
        (V,), as `token_characters` gives. A token that begins no character stands where the next
        one begins.

    Returns
    -------
    numpy.ndarray
        The sum of the characters before it.
    """
    lengths = characters[ids]
    return np.asarray(np.cumsum(lengths, axis=1) - lengths)


def _single_token(tokenizer: Any) -> Callable[[str], int]:
    def token_id(token: str) -> int:
        # An entry of the vocabulary may be spelled as such ("[MASK]", "▁the") ...
        number = tokenizer.get_vocab().get(token)
        if number is not None:
            return int(number)
        # ... or as it stands in a text (" the").
        numbers = tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(numbers) != 1 or numbers[0] == tokenizer.unk_token_id:
            count = "unknown" if len(numbers) == 1 else f"{len(numbers)} tokens"
            raise PipelineError(
                f"'{token}' is {count}, not one token of the vocabulary",
                "tokenizer",
                "choose another `token` in the condition",
            )
        return int(numbers[0])

    return token_id
