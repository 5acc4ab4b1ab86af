"""Which tokens a step sees, and which of them are hidden."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.training.batches import Rows, held_out_rows, hide
from attention_wavelets.training.tokens import BOS, MASK

STREAM = np.arange(3, 1003, dtype=np.int32)


def test_an_epoch_sees_every_stretch_once():
    rows = Rows(STREAM, context=11, seed=0)
    batch = 4
    seen = np.concatenate([rows.at(step, batch) for step in range(rows.per_epoch // batch)])
    assert (seen[:, 0] == BOS).all()
    starts = seen[:, 1]
    assert len(set(starts)) == len(starts)
    assert (np.diff(seen[:, 1:], axis=1) == 1).all(), "a stretch is a piece of the text"
    assert len(set((starts - 3) % 10)) == 1, "stretches of an epoch do not overlap"


def test_the_order_follows_from_the_seed_and_the_step_alone():
    one, two = (Rows(STREAM, context=11, seed=5) for _ in range(2))
    forwards = [one.at(step, 4) for step in range(60)]
    backwards = [two.at(step, 4) for step in reversed(range(60))]
    for a, b in zip(forwards, reversed(backwards), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(forwards[0], Rows(STREAM, context=11, seed=6).at(0, 4))
    epoch = one.per_epoch // 4
    assert not np.array_equal(forwards[0], one.at(epoch + 1, 4))


def test_held_out_sequences_are_spread_over_the_text():
    lengths = np.full(len(STREAM), 2, dtype=np.int32)
    ids, size = held_out_rows(STREAM, lengths, context=11, count=5)
    assert ids.shape == (5, 11)
    assert size.sum() == 2 * 50
    assert ids[0, 1] == 3
    assert ids[-1, 1] == 993
    everything, _ = held_out_rows(STREAM, lengths, context=11, count=10_000)
    assert len(everything) == 100


def test_a_share_of_the_tokens_is_hidden_and_never_the_first():
    ids = np.random.default_rng(0).integers(3, 50, (200, 50))
    seen, hidden = hide(ids, 0.15, seed=0, step=3)
    assert hidden.mean() == pytest.approx(0.15 * 49 / 50, abs=0.01)
    assert not hidden[:, 0].any()
    assert (seen[hidden] == MASK).all()
    np.testing.assert_array_equal(seen[~hidden], ids[~hidden])
    np.testing.assert_array_equal(hidden, hide(ids, 0.15, seed=0, step=3)[1])
    assert not np.array_equal(hidden, hide(ids, 0.15, seed=0, step=4)[1])
