"""How many characters a token begins, for every kind of vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attention_wavelets.corpora.tokens import begins_of, ordinary_tokenizer, token_characters
from attention_wavelets.training.tokens import learn_tokenizer

# The letters of the byte-level alphabet that stand for bytes 0x80 to 0xBF.
CONTINUING = set(map(chr, [*range(0x122, 0x144), *range(0xA1, 0xAD), *range(0xAE, 0xC0)]))

TEXTS = ["The cat sat on the mat, twice.", "Той седна на черга – два пъти.", "日本語 and 🙂 too"]


@pytest.mark.parametrize("merges", [0, 40])
@pytest.mark.parametrize("text", TEXTS)
def test_bytes_begin_each_character_once(merges: int, text: str):
    tokenizer = learn_tokenizer([TEXTS], merges, 64)
    counts = token_characters(tokenizer)
    ids = np.array([ordinary_tokenizer(tokenizer)(text)])
    assert counts[ids].sum() == len(text)
    begins = begins_of(ids, counts)[0]
    names = tokenizer.convert_ids_to_tokens(ids[0])
    spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for begin, (start, _), name in zip(begins, spans, names, strict=True):
        # A token that goes on with a character stands where the next one begins.
        goes_on = name[0] in CONTINUING
        assert begin == start + goes_on


def test_special_tokens_begin_none(bert_tokenizer: Any):
    counts = token_characters(bert_tokenizer)
    assert set(counts[bert_tokenizer.all_special_ids]) == {0}
    assert counts[bert_tokenizer.convert_tokens_to_ids("w17")] == 3


def test_pieces_count_their_letters_and_the_mark_of_a_space():
    class Pieces:
        all_special_ids = (0,)
        names = ("<s>", "the", "##", "\u2581the", "<0xE2>", "<0x80>", "<0x41>")

        def __len__(self) -> int:
            return len(self.names)

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [self.names[i] for i in ids]

    assert token_characters(Pieces()).tolist() == [0, 3, 2, 4, 1, 0, 1]


def test_the_mark_of_a_word_piece_is_no_character():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    names = {"[UNK]": 0, "play": 1, "##ing": 2, "##": 3}
    inner = Tokenizer(models.WordPiece(names, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    assert token_characters(tokenizer).tolist() == [0, 4, 3, 0]
