"""The tokenizer of a recipe: any text comes back, and bytes are counted."""

from __future__ import annotations

import pytest

from attention_wavelets.training import tokens
from attention_wavelets.training.tokens import BOS, MASK, encode, learn_tokenizer, token_bytes

TEXTS = ["the cat sat on the mat and the hat", "naïve – 你好\n\n the the the", "<bos> is text"]


@pytest.mark.parametrize("merges", [0, 20])
def test_any_text_comes_back_and_every_byte_is_counted(merges):
    tokenizer = learn_tokenizer([TEXTS], merges, 32)
    ids = encode(tokenizer, [TEXTS[1]])
    lengths = token_bytes(tokenizer, ids)
    assert tokenizer.decode(ids.tolist()) == TEXTS[1]
    assert int(lengths.sum()) == len(TEXTS[1].encode())
    assert len(tokenizer) <= 259 + merges


def test_without_merges_a_token_is_a_byte():
    tokenizer = learn_tokenizer([TEXTS], 0, 32)
    ids = encode(tokenizer, TEXTS[:1])
    lengths = token_bytes(tokenizer, ids)
    assert len(ids) == len(TEXTS[0])
    assert set(lengths.tolist()) == {1}


def test_merges_make_fewer_tokens():
    short, long = (len(encode(learn_tokenizer([TEXTS], m, 32), TEXTS[:2])) for m in (20, 0))
    assert short < long


def test_a_text_begins_with_bos_and_the_special_tokens_have_their_places():
    tokenizer = learn_tokenizer([TEXTS], 5, 32)
    assert tokenizer("the")["input_ids"][0] == BOS == tokenizer.bos_token_id
    assert tokenizer.mask_token_id == MASK
    assert tokenizer.model_max_length == 32


def test_the_same_texts_give_the_same_tokenizer():
    one, two = (learn_tokenizer([TEXTS], 20, 32).backend_tokenizer.to_str() for _ in range(2))
    assert one == two


def learned(corpora: list[list[str]]) -> str:
    return learn_tokenizer(corpora, 20, 32).backend_tokenizer.to_str()


def test_each_corpus_is_learned_from_as_much_as_the_others(monkeypatch):
    """Of the second language too, however long the first is."""
    english, greek = ["the cat sat on the mat "] * 40, ["η γάτα κάθεται στο χαλί "] * 40
    monkeypatch.setattr(tokens, "_LEARNED", sum(map(len, english)))
    tokenizer = learn_tokenizer([english, greek], 40, 32)
    for texts in (english, greek):
        ids = encode(tokenizer, texts)
        assert len(ids) < 0.6 * token_bytes(tokenizer, ids).sum()


def test_below_the_limit_corpora_are_learned_as_one_text_would_be():
    one = ["the cat sat on the mat and the hat", "then the rat"]
    other = ["не знам не знам"]
    assert learned([one, other]) == learned([[*one, *other]])
