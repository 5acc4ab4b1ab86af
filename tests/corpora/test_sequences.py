"""Cutting sequences: lengths, documents, special tokens, the seed, and too small corpora."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attention_wavelets.config.schema import SequenceRules
from attention_wavelets.corpora.sequences import choose_sequences
from attention_wavelets.corpora.tokens import (
    SpecialTokens,
    ordinary_tokenizer,
    special_tokens,
    token_context,
)
from attention_wavelets.errors import PipelineError

NONE = SpecialTokens()


def count_up(text: str) -> list[int]:
    """A text "7000 50" has the 50 tokens 7000, 7001 ...: a token tells its text and place."""
    first, length = map(int, text.split())
    return list(range(first, first + length))


def corpus(*lengths: int) -> list[str]:
    return [f"{1000 * (number + 1)} {length}" for number, length in enumerate(lengths)]


def rules(**changes) -> SequenceRules:
    return SequenceRules.model_validate({"count": 4, "tokens": 12} | changes)


@given(
    lengths=st.lists(st.integers(0, 80), min_size=1, max_size=12),
    most=st.integers(1, 4),
    seed=st.integers(0, 5),
    specials=st.sampled_from([NONE, SpecialTokens((1,)), SpecialTokens((1,), (2,))]),
)
def test_sequences_are_stretches_of_one_document_that_do_not_overlap(
    lengths, most, seed, specials
) -> None:
    documents = corpus(*lengths)
    ordinary = 12 - len(specials)
    possible = sum(min(most, length // ordinary) for length in lengths)
    asked = rules(count=max(possible, 1), max_per_document=most, seed=seed)
    if not possible:
        with pytest.raises(PipelineError, match="can give 0 sequences"):
            choose_sequences(documents, count_up, specials, asked)
        return
    # Exactly as many as there can be: the last one must be found too.
    found = choose_sequences(documents, count_up, specials, asked)
    assert found.ids.shape == found.special.shape == found.source_position.shape == (possible, 12)
    assert found.ids.dtype == found.document.dtype == found.start.dtype == np.int32
    front = len(specials.prefix)
    used = set()
    for row in range(possible):
        first = 1000 * (found.document[row] + 1) + found.start[row]
        expected = [*specials.prefix, *range(first, first + ordinary), *specials.suffix]
        assert found.ids[row].tolist() == expected
        assert found.start[row] + ordinary <= lengths[found.document[row]]
        assert np.flatnonzero(~found.special[row]).tolist() == list(range(front, front + ordinary))
        assert found.source_position[row].tolist() == list(range(12))
        stretch = set(range(first, first + ordinary))
        assert not used & stretch
        used |= stretch
    assert np.bincount(found.document).max() <= most


def test_every_document_is_asked_once_before_any_is_asked_twice() -> None:
    documents = corpus(*[40] * 10)
    found = choose_sequences(documents, count_up, NONE, rules(count=14, max_per_document=3))
    assert sorted(found.document[:10].tolist()) == list(range(10))
    assert len(set(found.document[10:].tolist())) == 4


def test_a_documents_stretches_do_not_depend_on_the_others() -> None:
    documents = corpus(*[60] * 8)
    asked = rules(count=8, max_per_document=2)
    found = choose_sequences(documents, count_up, NONE, asked)
    moved = choose_sequences(documents[::-1], count_up, NONE, asked)
    np.testing.assert_array_equal(found.ids, moved.ids)
    np.testing.assert_array_equal(found.document, 7 - moved.document)
    alone = choose_sequences(documents[3:4], count_up, NONE, rules(count=1, max_per_document=2))
    assert alone.ids[0].tolist() in found.ids.tolist()


def test_raising_the_count_keeps_the_sequences_there_were() -> None:
    documents = corpus(*[60] * 8)
    few = choose_sequences(documents, count_up, NONE, rules(count=3))
    many = choose_sequences(documents, count_up, NONE, rules(count=8))
    np.testing.assert_array_equal(few.ids, many.ids[:3])


def test_the_seed_decides() -> None:
    documents = corpus(*[500] * 8)
    first, again, other = (
        choose_sequences(documents, count_up, NONE, rules(count=8, seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.ids, again.ids)
    assert (np.sort(first.ids[:, 0]) != np.sort(other.ids[:, 0])).any()


def test_starts_spread_over_the_whole_document() -> None:
    # 300 documents with 12 tokens to spare: each of the 13 starts has probability 1/13.
    found = choose_sequences(corpus(*[24] * 300), count_up, NONE, rules(count=300))
    frequencies = np.bincount(found.start, minlength=13)
    assert frequencies.size == 13
    # 23 expected, standard deviation 4.6.
    assert frequencies.min() > 5
    assert frequencies.max() < 45


def test_no_more_documents_are_tokenised_than_needed() -> None:
    seen = []

    def tokenize(text: str) -> list[int]:
        seen.append(text)
        return count_up(text)

    choose_sequences(corpus(*[60] * 50), tokenize, NONE, rules(count=4))
    assert len(seen) == 4


def test_a_repeated_text_counts_as_one_document() -> None:
    documents = ["1000 60"] * 5
    with pytest.raises(PipelineError, match=r"can give 1 sequences .* from 1 of its 5"):
        choose_sequences(documents, count_up, NONE, rules(count=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 9}, r"8 sequences of 12 tokens from 4 of its 5 documents \(at most 2 .* but 9"),
        ({"count": 8, "min_documents": 5}, r"8 sequences .* at least 5 documents .*lower `count`"),
    ],
)
def test_a_corpus_too_small_says_what_it_can_give(changes, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        choose_sequences(
            corpus(24, 24, 24, 24, 11), count_up, NONE, rules(max_per_document=2, **changes)
        )


def test_too_few_ordinary_tokens_are_an_error_with_numbers() -> None:
    with pytest.raises(PipelineError, match="8 tokens with 2 special ones leave 6"):
        choose_sequences(corpus(60), count_up, SpecialTokens((1,), (2,)), rules(tokens=8, count=1))


def test_policies_give_the_special_tokens_around_a_sequence(
    bare_tokenizer, bos_tokenizer, bert_tokenizer
) -> None:
    cls, sep, bos = bert_tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "<s>"])
    around = SpecialTokens((cls,), (sep,))
    assert special_tokens(bert_tokenizer, "auto") == around
    assert special_tokens(bert_tokenizer, "always") == around
    assert special_tokens(bos_tokenizer, "auto") == NONE
    assert special_tokens(bos_tokenizer, "always") == SpecialTokens((bos,))
    assert special_tokens(bare_tokenizer, "auto") == NONE
    for tokenizer in (bare_tokenizer, bos_tokenizer, bert_tokenizer):
        assert special_tokens(tokenizer, "never") == NONE
    with pytest.raises(PipelineError, match="neither BOS nor"):
        special_tokens(bare_tokenizer, "always")
    with pytest.raises(PipelineError, match="did you mean 'always'"):
        special_tokens(bare_tokenizer, "alway")


def test_texts_are_tokenised_whole_and_without_a_warning(bert_tokenizer, caplog, capfd) -> None:
    # The tokenizer's own files ask for truncation and padding to 16 tokens.
    logging.getLogger("transformers").propagate = True
    ids = ordinary_tokenizer(bert_tokenizer)("w1 w2 " * 500)
    one, two = bert_tokenizer.convert_tokens_to_ids(["w1", "w2"])
    assert ids == [one, two] * 500
    assert ordinary_tokenizer(bert_tokenizer)("w1") == [one]
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_names_of_special_tokens_in_a_text_are_ordinary_characters(bert_tokenizer) -> None:
    ids = ordinary_tokenizer(bert_tokenizer)("w1 [SEP] w2")
    assert bert_tokenizer.sep_token_id not in ids
    assert bert_tokenizer.convert_ids_to_tokens(ids) == ["w1", "[", "SEP", "]", "w2"]


def test_sequences_of_a_real_tokenizer_have_its_special_tokens(bert_tokenizer) -> None:
    texts = [" ".join(f"w{(number * 7 + k) % 400}" for k in range(60)) for number in range(6)]
    found = choose_sequences(
        texts, ordinary_tokenizer(bert_tokenizer), special_tokens(bert_tokenizer, "auto"), rules()
    )
    for row in range(4):
        words = texts[found.document[row]].split()[found.start[row] :][:10]
        tokens = bert_tokenizer.convert_ids_to_tokens(found.ids[row])
        assert tokens == ["[CLS]", *words, "[SEP]"]


def test_the_context_knows_special_ids_the_beginning_and_single_tokens(
    bare_tokenizer, bos_tokenizer, bert_tokenizer
) -> None:
    context = token_context(bert_tokenizer)
    assert context.vocabulary_size == len(bert_tokenizer)
    assert context.special_ids == set(
        bert_tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    ) | {bert_tokenizer.convert_tokens_to_ids("<s>")}
    assert context.bos_id == bert_tokenizer.cls_token_id
    assert token_context(bos_tokenizer).bos_id == bos_tokenizer.bos_token_id
    assert token_context(bare_tokenizer).bos_id is None
    assert context.token_id(".") == bert_tokenizer.convert_tokens_to_ids(".")
    with pytest.raises(PipelineError, match="'w1 w2' is 2 tokens, not one"):
        context.token_id("w1 w2")
    with pytest.raises(PipelineError, match="'zebra' is unknown"):
        context.token_id("zebra")
