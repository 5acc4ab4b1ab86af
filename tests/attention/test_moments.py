"""Sums that are made without a matrix equal those of the whole matrix, at every shape."""

import itertools

import numpy as np
import pytest
import torch

from attention_wavelets.attention.detectors import _lag_sums
from attention_wavelets.attention.facts import plain_covariance
from attention_wavelets.attention.rows import Call, Rows


@pytest.mark.parametrize(
    ("queries", "keys", "causal"),
    [
        *((n, n, True) for n in (1, 2, 127, 128, 129, 300)),
        *((n, k, False) for n, k in ((1, 1), (20, 20), (7, 30), (30, 7))),
    ],
)
@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_covariance_equals_that_of_the_whole_matrix(queries, keys, causal, offset):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, 2, queries, 8, generator=generator) + offset
    key = torch.randn(2, 3, keys, 8, generator=generator) + offset
    found = plain_covariance(query, key, causal)
    q, k = query.double(), key.double()
    products = torch.einsum("bkgqd,bknd->bkgqn", q, k)
    allowed = torch.ones(queries, keys, dtype=torch.bool)
    allowed = allowed.tril() if causal else allowed
    mean = products[..., allowed].mean(-1)[..., None, None]
    centred = ((products - mean) * allowed).double()
    expected = torch.einsum("bkgqn,bkgqd,bknd->bkgd", centred, q, k)
    # In units of the variance, as shares are; with this offset the mean is 100 deviations.
    scale = centred.square().sum((-2, -1))[..., None].clamp(min=1e-6)
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-5, atol=1e-5)


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
