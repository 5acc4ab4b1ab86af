"""A byte-pair tokenizer learned on the training text, and texts as one stream of tokens."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOS", "MASK", "PAD", "encode", "learn_tokenizer", "token_bytes"]

# Ids of the special tokens: before every text, in place of a hidden token, never seen.
BOS, MASK, PAD = 0, 1, 2
_SPECIAL = {"<bos>": BOS, "<mask>": MASK, "<pad>": PAD}
_BYTES = 256
# Texts that are encoded at a time, and characters that pairs are counted in at most.
_TOGETHER, _LEARNED = 100, 50_000_000


def learn_tokenizer(corpora: Sequence[Iterable[str]], merges: int, context: int) -> Any:
    """A tokenizer of transformers with three special tokens, 256 bytes and up to `merges` pairs.

    Any text can be encoded and is given back unchanged. BOS is put before a text.

    Parameters
    ----------
    corpora
        Texts of each, that pairs are counted in: the first fifty million characters, of several
        corpora as many of each. Ties are broken by the order of bytes, so that the same texts
        give the same tokenizer.
    merges
        0 makes every token a byte.
    context
        Tokens of a sequence, noted as the model's limit.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(_SPECIAL) + _BYTES + merges,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # One after the other the first corpus could take all, and the others would be left as bytes.
    each = _LEARNED // len(corpora)
    parts = (_first(texts, each) for texts in corpora)
    raw.train_from_iterator(chain.from_iterable(parts), trainer)
    raw.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<bos>",
        eos_token="<bos>",
        mask_token="<mask>",
        pad_token="<pad>",
        model_max_length=context,
    )


def _first(texts: Iterable[str], most: int) -> Iterator[str]:
    """Texts until `most` characters are reached."""
    for text in texts:
        if most <= 0:
            return
        yield text
        most -= len(text)


def encode(tokenizer: Any, texts: Iterable[str]) -> NDArray[np.int32]:
    """All tokens of the texts in a row: int32 (T,), without special tokens.

    Few texts are in memory at a time, and the tokens once.
    """
    rest, found = iter(texts), array("i")
    while part := list(islice(rest, _TOGETHER)):
        encoded = tokenizer(
            part,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for ids in encoded["input_ids"]:
            found.extend(ids)
    return np.frombuffer(found, dtype=np.int32)


def token_bytes(tokenizer: Any, ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many bytes of text each token stands for: int32, shaped as `ids`."""
    # In the byte-level alphabet one character of a token is one byte of the text.
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return np.array([len(name) for name in names], dtype=np.int32)[ids]
