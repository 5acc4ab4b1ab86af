"""Sums that are made without a matrix equal those of the whole matrix, at every shape."""

import itertools

import numpy as np
import pytest
import torch

from attention_wavelets.attention.detectors import _lag_sums
from attention_wavelets.attention.facts import plain_moments
from attention_wavelets.attention.rows import Call, Rows


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 300])
def test_causal_moments_equal_those_of_the_whole_matrix(length):
    query, key = _states(length, length)
    cross, first = plain_moments(query, key, causal=True)
    weight = torch.tril(torch.einsum("bkgqd,bknd->bkgqn", query, key))
    expected = torch.einsum("bkgqn,bkgqd,bknd->bkgd", weight, query, key)
    allowed = torch.ones(length, length, dtype=torch.float64).tril()
    seen = torch.einsum("qn,bkgqd,bknd->bkgd", allowed, query, key)
    torch.testing.assert_close(cross, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(first, seen, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (20, 20), (7, 30), (30, 7)])
def test_moments_without_a_mask_equal_those_of_the_whole_matrix(queries, keys):
    query, key = _states(queries, keys)
    cross, first = plain_moments(query, key, causal=False)
    weight = torch.einsum("bkgqd,bknd->bkgqn", query, key)
    expected = torch.einsum("bkgqn,bkgqd,bknd->bkgd", weight, query, key)
    seen = torch.einsum("bkgqd,bknd->bkgd", query, key)
    torch.testing.assert_close(cross, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(first, seen, rtol=1e-11, atol=1e-11)


def _states(queries, keys):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, 2, queries, 8, generator=generator, dtype=torch.float64)
    return query, torch.randn(2, 3, keys, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("queries", "keys", "causal"),
    [(12, 12, True), (12, 12, False), (5, 17, False), (17, 5, False), (9, 1, False), (1, 9, False)],
)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 17])
def test_sums_by_lag_equal_a_loop_for_every_shape_and_chunk(queries, keys, causal, count):
    matrix = torch.rand(2, 1, queries, keys, generator=torch.Generator().manual_seed(0))
    if causal:
        matrix = matrix.tril()
    call = Call(torch.nn.Identity(), 2, 1, queries, keys, causal)
    found = np.zeros((2, queries + keys - 1))
    for start in range(0, queries, count):
        stop = min(start + count, queries)
        part = matrix[:, :, start:stop, : stop if causal else keys].contiguous()
        for sums, lowest in _lag_sums(Rows(call, start, part)):
            place = keys - 1 + lowest
            found[:, place : place + sums.shape[-1]] += sums[:, 0].numpy()
    expected = np.zeros_like(found)
    for q, k in itertools.product(range(queries), range(keys)):
        expected[:, keys - 1 + q - k] += matrix[:, 0, q, k].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
