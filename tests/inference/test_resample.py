"""Cluster bootstrap: weights are counts of documents, intervals are those of t, seeds hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.inference.resample import (
    BLOCK,
    bootstrap_interval,
    document_weights,
    resampled_heads,
    weighted_means,
)

DOCUMENTS = np.array(["b", "a", "a", "c", "b", "d", "e", "e", "e", "f", "g", "h", "i", "j", "k"])


def test_weights_are_whole_counts_of_documents():
    weights = document_weights(DOCUMENTS, 300, 1)
    assert weights.shape == (300, 15)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    for row in weights[:20]:
        by_document = [set(row[name == DOCUMENTS].tolist()) for name in np.unique(DOCUMENTS)]
        assert all(len(part) == 1 for part in by_document)
        counts = np.array([part.pop() for part in by_document])
        # Scaled so that they sum to the number of documents, they are whole.
        counts = counts * len(counts) / counts.sum()
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    # A document is absent with probability (1 - 1/11)^11 = 0.350; 4 standard errors of 300 x 11.
    absent = (weights[:, np.unique(DOCUMENTS, return_index=True)[1]] == 0).mean()
    assert abs(absent - (10 / 11) ** 11) < 4 * np.sqrt(0.35 * 0.65 / 3300)


def test_fewer_resamples_are_the_first_of_more():
    many = document_weights(DOCUMENTS, 3 * BLOCK + 7, 5)
    for count in (1, BLOCK - 1, BLOCK, BLOCK + 3):
        np.testing.assert_array_equal(document_weights(DOCUMENTS, count, 5), many[:count])
    assert not np.array_equal(many[:BLOCK], many[BLOCK : 2 * BLOCK])
    assert not np.array_equal(document_weights(DOCUMENTS, 5, 6), many[:5])
    layers, heads = resampled_heads(4, 3, 2 * BLOCK, 5)
    fewer = resampled_heads(4, 3, BLOCK + 9, 5)
    np.testing.assert_array_equal(fewer[0], layers[: BLOCK + 9])
    np.testing.assert_array_equal(fewer[1], heads[: BLOCK + 9])


def test_the_order_of_rows_moves_weights_with_their_documents():
    order = np.random.default_rng(0).permutation(len(DOCUMENTS))
    plain, moved = document_weights(DOCUMENTS, 50, 2), document_weights(DOCUMENTS[order], 50, 2)
    np.testing.assert_allclose(moved, plain[:, order], rtol=1e-12)


def test_weighted_means_leave_missing_values_out():
    generator = np.random.default_rng(3)
    values = generator.normal(size=(15, 2, 3))
    values[generator.random(values.shape) < 0.3] = np.nan
    values[:, 1, 2] = np.nan
    weights = document_weights(DOCUMENTS, 40, 4)
    means = weighted_means(weights, values)
    assert means.shape == (40, 2, 3)
    assert np.isnan(means[:, 1, 2]).all()
    for b, i, j in [(0, 0, 0), (7, 1, 0), (39, 0, 2)]:
        kept = ~np.isnan(values[:, i, j])
        expected = np.average(values[kept, i, j], weights=weights[b, kept])
        np.testing.assert_allclose(means[b, i, j], expected, rtol=1e-12)


def test_the_interval_of_a_mean_is_that_of_its_closed_form():
    # Documents of one size: the bootstrap variance of a mean is (1 - 1/G) s^2 / G exactly, so the
    # interval is the clustered t-interval but for 20,000 draws (spread of a variance 1 %).
    generator = np.random.default_rng(5)
    documents = np.repeat(np.arange(12), 3)
    values = generator.normal(size=(36, 2)) + np.repeat(generator.normal(size=(12, 2)), 3, axis=0)
    weights = document_weights(documents, 20000, 6)
    actual = bootstrap_interval(
        values.mean(axis=0), weighted_means(weights, values), documents, 0.95
    )
    expected = clustered_t(values, documents, 0.95, 10)
    np.testing.assert_allclose(actual.standard_error, expected.standard_error, rtol=0.02)
    half = stats.t.ppf(0.975, 11) * actual.standard_error
    # A mean has no bias: what is allowed for it is what chance leaves of 20,000 draws.
    for end in (actual.high - actual.mean, actual.mean - actual.low):
        assert (end >= half * (1 - 1e-12)).all()
        assert (end < half + 2 * 4 * actual.standard_error / np.sqrt(20000)).all()
    assert actual.clusters.tolist() == [12, 12]


def test_the_interval_allows_for_twice_the_bias_that_resampling_shows():
    # Of the square of a mean resampling adds the variance of the mean, (1 - 1/G) s^2 / G.
    generator = np.random.default_rng(11)
    values = generator.normal(size=(16, 3)) + np.array([0.0, 0.0, 1.0])
    documents = np.arange(16)
    draws = np.square(weighted_means(document_weights(documents, 20000, 12), values))
    sign = np.array([1, -1, 1])
    centre = sign * np.square(values.mean(axis=0))
    found = bootstrap_interval(centre, sign * draws, documents, 0.95)
    half = stats.t.ppf(0.975, 15) * found.standard_error
    added = sign * values.var(axis=0, ddof=1) / 16
    # 4 standard errors of the mean of the draws, twice.
    near = 2 * 4 * found.standard_error / np.sqrt(20000)
    low, high = centre - half - found.low, found.high - centre - half
    assert (np.abs(low - np.maximum(2 * added, 0)) < near).all()
    assert (np.abs(high - np.maximum(-2 * added, 0)) < near).all()
    assert (near < np.abs(added)).all()


def test_a_difference_to_a_null_of_the_same_weights_has_no_shared_spread():
    # The null moves with the observed table; only their difference of 1 stays.
    generator = np.random.default_rng(7)
    documents = np.repeat(np.arange(15), 2)
    null = generator.normal(size=(30, 5))
    observed = null + 1
    weights = document_weights(documents, 200, 8)
    both = weighted_means(weights, observed), weighted_means(weights, null)
    together = bootstrap_interval(1.0, both[0].mean(axis=1) - both[1].mean(axis=1), documents, 0.95)
    assert together.high - together.low < 1e-12
    alone = bootstrap_interval(observed.mean(), both[0].mean(axis=1), documents, 0.95)
    assert alone.high - alone.low > 0.1


def test_heads_are_drawn_within_drawn_layers():
    layers, heads = resampled_heads(5, 3, 4000, 9)
    assert layers.shape == (4000, 5)
    assert heads.shape == (4000, 5, 3)
    assert layers.min() == heads.min() == 0
    assert (layers.max(), heads.max()) == (4, 2)
    # A cell is as likely as any other: 4 standard errors of 60,000 draws.
    share = np.bincount((layers[:, :, None] * 3 + heads).ravel(), minlength=15) / 60000
    assert np.abs(share - 1 / 15).max() < 4 * np.sqrt(3 * 14 / 15 / 15 / 60000)
    table = np.arange(15).reshape(5, 3)
    picked = table[layers[0][:, None], heads[0]]
    np.testing.assert_array_equal(picked // 3, np.repeat(layers[0][:, None], 3, axis=1))


def test_what_is_undefined_has_a_reason():
    documents = np.arange(12)
    draws = np.random.default_rng(10).normal(size=(100, 4))
    draws[:4, 1] = np.nan
    draws[:6, 2] = np.nan
    draws[:, 3] = np.nan
    result = bootstrap_interval([0.0, 0.0, 0.0, np.nan], draws, documents, 0.9)
    assert result.reason.tolist() == ["", "", "draws", "undefined"]
    np.testing.assert_array_equal(np.isnan(result.low), [False, False, True, True])
    np.testing.assert_allclose(
        result.standard_error[1], draws[4:, 1].std(ddof=1) * np.sqrt(12 / 11), rtol=1e-12
    )
    few = bootstrap_interval(0.0, draws[:, 0], np.arange(9), 0.9)
    assert few.reason == "documents"
    assert np.isnan(few.low)
    one = bootstrap_interval(0.0, np.zeros(5), np.zeros(4), 0.9)
    assert one.reason == "documents"


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="resample"):
        document_weights(DOCUMENTS, 0, 1)
    with pytest.raises(ValueError, match="documents"):
        document_weights([], 5, 1)
    with pytest.raises(ValueError, match="draws"):
        bootstrap_interval(np.zeros(2), np.zeros((9, 3)), DOCUMENTS, 0.95)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval(0.0, np.zeros(9), DOCUMENTS, 95)
