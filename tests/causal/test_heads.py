"""Heads that are knocked out, and the others they are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.causal.heads import by_layer, doses, matched, strongest

SCORES = np.array([[0.1, 0.9, 0.5, np.nan], [0.9, 0.2, 0.3, 0.4]])


def test_the_strongest_come_first_and_ties_go_to_the_lower_layer():
    np.testing.assert_array_equal(strongest(SCORES, 3), [[0, 1], [1, 0], [0, 2]])
    excluded = np.zeros((2, 4), dtype=bool)
    excluded[0, 1] = True
    np.testing.assert_array_equal(strongest(SCORES, 2, excluded), [[1, 0], [0, 2]])
    assert np.isnan(SCORES).sum() == 1, "the table is left as it was"


def test_more_heads_than_there_are_is_said():
    with pytest.raises(ValueError, match="8 heads are asked for and 7 can be chosen"):
        strongest(SCORES, 8)


def test_shares_that_mean_one_number_are_asked_for_once():
    assert doses(16, [0.1, 0.01, 0.02, 0.05]) == {1: 0.01, 2: 0.1}
    assert doses(270, [0.01, 0.02, 0.05, 0.1]) == {3: 0.01, 5: 0.02, 14: 0.05, 27: 0.1}


def test_a_match_is_another_head_of_the_layer_with_a_like_norm():
    norms = np.array([[1.0, 1.5, 8.0, 9.0], [2.0, 2.1, 50.0, 1.9]])
    chosen = np.array([[0, 0], [0, 2], [1, 0]])
    seen = set()
    for seed in range(30):
        found, like = matched(chosen, norms, np.random.default_rng(seed))
        assert like.all()
        np.testing.assert_array_equal(found[:2], [[0, 1], [0, 3]])
        assert found[2, 0] == 1
        seen.add(int(found[2, 1]))
    assert seen == {1, 3}, "drawn among those that are near, and the far one never"


def test_without_a_like_norm_the_nearest_is_taken_and_then_another_layer():
    norms = np.array([[1.0, 100.0, 300.0], [1.2, 90.0, 70.0]])
    random = np.random.default_rng(0)
    found, like = matched(np.array([[0, 0]]), norms, random)
    np.testing.assert_array_equal(found, [[0, 1]])
    assert not like.any()
    whole = np.array([[0, 0], [0, 1], [0, 2]])
    found, like = matched(whole, norms, random)
    np.testing.assert_array_equal(found, [[1, 0], [1, 1], [1, 2]])
    assert not like.any(), "of another layer, even where the norm is near"
    found, like = matched(np.array([[0, 0], [1, 1]]), norms, random)
    np.testing.assert_array_equal(found, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(like, [False, True])
    with pytest.raises(ValueError, match="4 heads are asked for and 2 are left"):
        matched(np.array([[0, 0], [0, 1], [0, 2], [1, 0]]), norms, random)


def test_excluded_heads_are_no_match():
    norms = np.ones((1, 4))
    excluded = np.array([[False, True, True, False]])
    found, _ = matched(np.array([[0, 0]]), norms, np.random.default_rng(0), excluded)
    np.testing.assert_array_equal(found, [[0, 3]])


def test_heads_are_named_by_their_module():
    heads = np.array([[1, 3], [0, 2], [1, 0]])
    assert by_layer(heads, ["a", "b"]) == {"b": [0, 3], "a": [2]}
