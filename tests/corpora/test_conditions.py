"""Conditions: what each does to ids, special tokens, places and lengths."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from attention_wavelets.config.schema import Condition, SubsampleCondition
from attention_wavelets.corpora.conditions import (
    BOS_ACTIONS,
    CONDITIONS,
    METHODS,
    apply_condition,
    kept_count,
)
from attention_wavelets.corpora.sequences import Sequences
from attention_wavelets.corpora.tokens import TokenContext
from attention_wavelets.errors import PipelineError

CLS, SEP = 1, 2
TOKENS = {".": 7}
CONTEXT = TokenContext(
    vocabulary_size=5000,
    special_ids=frozenset({0, CLS, SEP, 4321}),
    bos_id=CLS,
    token_id=TOKENS.__getitem__,
)


def condition(**values) -> Condition:
    return TypeAdapter(Condition).validate_python(values)


def example(count: int = 3, n: int = 32, front: int = 1, back: int = 1) -> Sequences:
    """Sequences of n different ordinary tokens; ids of different rows differ."""
    text = 100 + np.arange(count * n).reshape(count, n)
    ids = np.concatenate([np.full((count, front), CLS), text, np.full((count, back), SEP)], axis=1)
    special = np.ones(ids.shape, dtype=bool)
    special[:, front : front + n] = False
    places = np.tile(np.arange(front + n + back), (count, 1))
    rows = np.arange(count)
    return Sequences(
        ids.astype(np.int32),
        special,
        places.astype(np.int32),
        (3 * rows).astype(np.int32),
        (50 * rows).astype(np.int32),
    )


# Content of sounds and pictures is in test_media.py.
ARRAYS = [field.name for field in fields(Sequences) if field.name != "content"]


def frozen(sequences: Sequences) -> Sequences:
    """The same sequences; writing into them is an error."""
    for name in ARRAYS:
        getattr(sequences, name).flags.writeable = False
    return sequences


def rows_of(sequences: Sequences, rows: list[int]) -> Sequences:
    return Sequences(*(getattr(sequences, name)[rows] for name in ARRAYS))


def assert_same(first: Sequences, second: Sequences) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def ordinary(sequences: Sequences) -> np.ndarray:
    return sequences.ids[~sequences.special].reshape(len(sequences.ids), -1)


seeds = st.integers(0, 2**32)
conditions = st.one_of(
    st.just({"kind": "full"}),
    st.fixed_dictionaries(
        {
            "kind": st.just("subsample"),
            "fraction": st.floats(0.45, 0.99),
            "method": st.sampled_from(sorted(METHODS)),
            "seed": seeds,
        }
    ),
    st.fixed_dictionaries({"kind": st.sampled_from(["shuffle", "random_tokens"]), "seed": seeds}),
    st.sampled_from(
        [
            {"kind": "bos", "action": "remove"},
            {"kind": "bos", "action": "swap", "token": "."},
        ]
    ),
).map(lambda values: condition(**values))

inputs = st.builds(
    example,
    count=st.integers(1, 4),
    n=st.integers(20, 50),
    front=st.just(1),
    back=st.integers(0, 1),
).map(frozen)


def test_every_kind_action_and_method_of_the_schema_is_registered() -> None:
    kinds = {
        get_args(kind.model_fields["kind"].annotation)[0]
        for kind in get_args(get_args(Condition)[0])
    }
    assert set(CONDITIONS) == kinds
    assert set(METHODS) == set(get_args(SubsampleCondition.model_fields["method"].annotation))
    assert set(BOS_ACTIONS) == {"add", "remove", "swap"}


@given(sequences=inputs, chosen=conditions)
def test_a_condition_is_deterministic_and_leaves_its_input_alone(sequences, chosen) -> None:
    result = apply_condition(sequences, chosen, CONTEXT)
    assert_same(result, apply_condition(sequences, chosen, CONTEXT))
    assert result.ids.dtype == result.source_position.dtype == np.int32
    assert result.special.dtype == bool


@given(sequences=inputs, chosen=conditions, data=st.data())
def test_a_sequences_result_does_not_depend_on_the_others(sequences, chosen, data) -> None:
    order = data.draw(st.permutations(range(len(sequences.ids))))
    taken = order[: data.draw(st.integers(1, len(order)))]
    whole = apply_condition(sequences, chosen, CONTEXT)
    part = apply_condition(rows_of(sequences, taken), chosen, CONTEXT)
    assert_same(part, rows_of(whole, taken))


@given(
    sequences=inputs,
    hundredths=st.integers(45, 99),
    method=st.sampled_from(sorted(METHODS)),
    seed=seeds,
)
def test_subsampling_keeps_the_share_the_order_and_the_special_tokens(
    sequences, hundredths, method, seed
) -> None:
    chosen = condition(kind="subsample", fraction=hundredths / 100, method=method, seed=seed)
    result = apply_condition(sequences, chosen, CONTEXT)
    n = ordinary(sequences).shape[1]
    assert ordinary(result).shape[1] == hundredths * n // 100
    assert (np.diff(result.source_position, axis=1) > 0).all()
    assert result.special.sum(axis=1).tolist() == sequences.special.sum(axis=1).tolist()
    rows = np.arange(len(result.ids))[:, None]
    np.testing.assert_array_equal(result.ids, sequences.ids[rows, result.source_position])
    np.testing.assert_array_equal(result.special, sequences.special[rows, result.source_position])
    np.testing.assert_array_equal(result.special[:, 0], sequences.special[:, 0])
    np.testing.assert_array_equal(result.special[:, -1], sequences.special[:, -1])


@pytest.mark.parametrize(
    ("method", "fraction", "kept"),
    [
        ("stride", 0.5, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
        ("stride", 0.4, [0, 2, 5, 7, 10, 12, 15, 17]),
        ("stride", 0.9, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18]),
        ("prefix", 0.45, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("suffix", 0.45, [11, 12, 13, 14, 15, 16, 17, 18, 19]),
    ],
)
def test_methods_keep_the_places_they_promise(method: str, fraction: float, kept: list) -> None:
    chosen = condition(kind="subsample", fraction=fraction, method=method)
    result = apply_condition(example(count=1, n=20), chosen, CONTEXT)
    assert ordinary(result)[0].tolist() == [100 + place for place in kept]


def test_random_subsampling_differs_between_sequences_and_seeds() -> None:
    sequences = example(count=2, n=200)
    results = [
        apply_condition(
            sequences,
            condition(kind="subsample", fraction=0.5, method="random", seed=seed),
            CONTEXT,
        ).source_position
        for seed in (0, 1)
    ]
    assert (results[0][0] != results[0][1]).any()
    assert (results[0] != results[1]).any()


def test_the_share_is_that_of_the_decimal_number_written() -> None:
    # Among these are the products that fall short in floating point, such as 0.29 * 100.
    for hundredths in range(1, 100):
        found = [kept_count(hundredths / 100, n) for n in range(1, 513)]
        assert found == [hundredths * n // 100 for n in range(1, 513)]


def test_a_third_written_with_every_digit_is_a_third() -> None:
    assert [kept_count(0.3333333333333333, n) for n in (3, 96, 255)] == [1, 32, 85]


@given(sequences=inputs, seed=seeds)
def test_shuffling_permutes_the_ordinary_tokens_alone(sequences, seed) -> None:
    result = apply_condition(sequences, condition(kind="shuffle", seed=seed), CONTEXT)
    np.testing.assert_array_equal(result.special, sequences.special)
    np.testing.assert_array_equal(result.ids[result.special], sequences.ids[sequences.special])
    np.testing.assert_array_equal(np.sort(ordinary(result), axis=1), ordinary(sequences))
    # 20 or more different tokens stay in order once in 20! shuffles.
    assert (ordinary(result) != ordinary(sequences)).any(axis=1).all()
    rows = np.arange(len(result.ids))[:, None]
    np.testing.assert_array_equal(result.ids, sequences.ids[rows, result.source_position])


@given(sequences=inputs, seed=seeds)
def test_random_tokens_replace_the_ordinary_ones_by_ordinary_ones(sequences, seed) -> None:
    result = apply_condition(sequences, condition(kind="random_tokens", seed=seed), CONTEXT)
    np.testing.assert_array_equal(result.special, sequences.special)
    np.testing.assert_array_equal(result.source_position, sequences.source_position)
    np.testing.assert_array_equal(result.ids[result.special], sequences.ids[sequences.special])
    assert not np.isin(ordinary(result), list(CONTEXT.special_ids)).any()
    assert (ordinary(result) != ordinary(sequences)).any()


def test_random_tokens_are_uniform_over_the_vocabulary_without_special_ids() -> None:
    context = replace(CONTEXT, vocabulary_size=6, special_ids=frozenset({0, 3}))
    result = apply_condition(example(count=1, n=4000), condition(kind="random_tokens"), context)
    counts = np.bincount(ordinary(result)[0], minlength=6)
    assert counts[[0, 3]].tolist() == [0, 0]
    # 1000 expected of each, standard deviation 27.
    np.testing.assert_allclose(counts[[1, 2, 4, 5]], 1000, rtol=0.15)


@pytest.mark.parametrize("back", [0, 1])
def test_bos_added_stands_in_front_and_has_no_place_in_the_text(back: int) -> None:
    sequences = frozen(example(front=0, back=back))
    result = apply_condition(sequences, condition(kind="bos", action="add"), CONTEXT)
    assert result.ids.dtype == result.source_position.dtype == np.int32
    assert (result.ids[:, 0] == CLS).all()
    assert result.special[:, 0].all()
    assert (result.source_position[:, 0] == -1).all()
    np.testing.assert_array_equal(result.ids[:, 1:], sequences.ids)
    np.testing.assert_array_equal(result.special[:, 1:], sequences.special)
    np.testing.assert_array_equal(result.source_position[:, 1:], sequences.source_position)


def test_bos_removed_is_the_first_token_alone() -> None:
    sequences = frozen(example())
    result = apply_condition(sequences, condition(kind="bos", action="remove"), CONTEXT)
    np.testing.assert_array_equal(result.ids, sequences.ids[:, 1:])
    np.testing.assert_array_equal(result.source_position, sequences.source_position[:, 1:])
    assert not result.special[:, 0].any()
    assert result.special[:, -1].all()


def test_bos_removed_undoes_bos_added() -> None:
    sequences = example(front=0)
    added = apply_condition(sequences, condition(kind="bos", action="add"), CONTEXT)
    back = apply_condition(added, condition(kind="bos", action="remove"), CONTEXT)
    assert_same(back, sequences)


@pytest.mark.parametrize("front", [0, 1])
def test_bos_swapped_changes_the_first_id_and_nothing_else(front: int) -> None:
    sequences = frozen(example(front=front))
    result = apply_condition(sequences, condition(kind="bos", action="swap", token="."), CONTEXT)
    assert (result.ids[:, 0] == 7).all()
    assert_same(replace(result, ids=sequences.ids), sequences)
    np.testing.assert_array_equal(result.ids[:, 1:], sequences.ids[:, 1:])


@pytest.mark.parametrize(
    ("action", "front", "context", "message"),
    [
        ("add", 0, replace(CONTEXT, bos_id=None), "neither BOS nor"),
        ("add", 1, CONTEXT, "begin with that token"),
        ("remove", 0, CONTEXT, "no special token in front"),
    ],
)
def test_bos_conditions_that_cannot_be_are_errors(action, front, context, message) -> None:
    with pytest.raises(PipelineError, match=f"condition bos: .*{message}"):
        apply_condition(example(front=front), condition(kind="bos", action=action), context)


def test_swapping_for_a_token_that_is_none_is_an_error(bert_tokenizer) -> None:
    from attention_wavelets.corpora.tokens import token_context

    chosen = condition(kind="bos", action="swap", token="w1 w2")
    with pytest.raises(PipelineError, match="not one token"):
        apply_condition(example(), chosen, token_context(bert_tokenizer))


def test_too_few_ordinary_tokens_left_are_an_error_with_numbers() -> None:
    chosen = condition(kind="subsample", fraction=0.25, method="stride")
    assert apply_condition(example(n=32), chosen, CONTEXT).ids.shape == (3, 10)
    with pytest.raises(PipelineError, match="leaves 7 of 31 ordinary tokens, at least 8"):
        apply_condition(example(n=31), chosen, CONTEXT)
    with pytest.raises(PipelineError, match="leaves 0 of 9"):
        apply_condition(
            example(n=9), condition(kind="subsample", fraction=0.1, method="stride"), CONTEXT
        )


@pytest.mark.parametrize(("n", "front", "back"), [(32, 1, 1), (33, 1, 1), (32, 0, 0)])
def test_repeated_tokens_come_twice_between_the_special_ones(n: int, front: int, back: int) -> None:
    result = apply_condition(
        example(n=n, front=front, back=back), condition(kind="repeat"), CONTEXT
    )
    tokens = ordinary(result)
    assert tokens.shape == (3, 32)
    np.testing.assert_array_equal(tokens[:, :16], tokens[:, 16:])
    assert len(np.unique(tokens[:, :16])) > 40
    assert not set(tokens.ravel()) & CONTEXT.special_ids
    assert result.special.sum(axis=1).tolist() == [front + back] * 3
