"""Streams of random numbers that are named, so that a draw does not depend on what ran before."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterator, Sequence
from types import EllipsisType

import numpy as np

__all__ = ["Streams", "child", "each_sequence"]

Streams = np.random.SeedSequence | Sequence[np.random.SeedSequence] | None
"""One stream for rows of one sequence, one per sequence for (sequence, ..., N); None: no draw."""


def child(seed: int, *names: str | int) -> np.random.SeedSequence:
    """The stream of that name below a root seed, e.g. child(0, "gpt2", "iid", layer, start, draw).

    The spawn key is 128 bits of the sha256 of the names as JSON: equal names give equal streams in
    every process, and "1" is not 1. Integers of numpy count as integers; anything else that is
    no text is a TypeError.
    """
    plain = [name if isinstance(name, str) else operator.index(name) for name in names]
    digest = hashlib.sha256(json.dumps(plain).encode()).digest()
    # "<u4": the same words on every machine.
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return np.random.SeedSequence(seed, spawn_key=tuple(words))


def each_sequence(
    shape: tuple[int, ...], streams: Streams
) -> Iterator[tuple[int | EllipsisType, np.random.Generator]]:
    """Where each sequence's rows lie in an array of that shape, and its generator.

    A generator per row would cost several times what the numbers themselves do, so the heads of
    one sequence are drawn together. How many numbers a null draws must not depend on the rows:
    then a head's draw depends on its stream and its place among the heads alone.

    Parameters
    ----------
    shape
        (..., N) with one stream, (sequence, ..., N) with one stream per sequence.
    streams
        They are left as they are: the same stream gives the same numbers again.

    Raises
    ------
    ValueError
        If there is not one stream per sequence.
    """
    if streams is None:
        raise ValueError("this null draws random numbers and needs `streams`")
    if isinstance(streams, np.random.SeedSequence):
        yield ..., np.random.default_rng(streams)
        return
    if len(shape) < 2 or len(streams) != shape[0]:
        raise ValueError(f"{len(streams)} streams do not fit rows of shape {shape}")
    for place, stream in enumerate(streams):
        yield place, np.random.default_rng(stream)
