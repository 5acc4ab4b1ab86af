"""Streams are decided by their names, in every process and on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.nulls.seeds import child


def test_a_name_gives_the_recorded_stream():
    # Recorded once: a change of these numbers changes every stored draw.
    state = child(7, "gpt2", "iid", 3, 0).generate_state(2)
    np.testing.assert_array_equal(state, [2757559283, 2401413430])


def test_every_part_of_the_name_counts():
    streams = [
        child(0, "a", 1),
        child(1, "a", 1),
        child(0, "b", 1),
        child(0, "a", 2),
        child(0, "a", "1"),
        child(0, 1, "a"),
        child(0, "a", 1, 0),
        child(0, "a1"),
        child(0, "a", -1),
        child(0, "a", 2**70),
    ]
    states = {tuple(stream.generate_state(4).tolist()) for stream in streams}
    assert len(states) == len(streams)
    same = child(0, "a", np.int64(1)).generate_state(4)
    np.testing.assert_array_equal(same, streams[0].generate_state(4))


def test_a_number_with_a_fraction_is_no_name():
    with pytest.raises(TypeError):
        child(0, "a", 1.0)
