"""Intervals: the textbook case, clusters, missing values, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.intervals import clustered_t


def slow(x, clusters, confidence):
    """One column, by the formula, one cluster at a time."""
    keep = ~np.isnan(x)
    x, clusters = x[keep], np.asarray(clusters)[keep]
    names = sorted(set(clusters.tolist()))
    mean = sum(x) / len(x)
    squared = sum(sum(x[i] - mean for i in np.flatnonzero(clusters == g)) ** 2 for g in names)
    error = np.sqrt(len(names) / (len(names) - 1) * squared / len(x) ** 2)
    t = stats.t.ppf(0.5 + confidence / 2, len(names) - 1)
    return mean, error, mean - t * error, mean + t * error


def test_clusters_of_one_give_the_ordinary_t_interval():
    x = np.random.default_rng(0).normal(size=(23, 3, 2))
    result = clustered_t(x, np.arange(23), 0.95, 2)
    low, high = stats.t.interval(0.95, 22, loc=x.mean(axis=0), scale=stats.sem(x, axis=0))
    np.testing.assert_allclose(result.low, low, rtol=1e-10)
    np.testing.assert_allclose(result.high, high, rtol=1e-10)
    assert (result.n == 23).all()
    assert (result.clusters == 23).all()
    assert (result.reason == "").all()


def test_every_column_equals_the_formula_with_its_own_missing_rows():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(40, 12))
    x[generator.random(x.shape) < 0.2] = np.nan
    x[:, 0] = generator.normal(size=40)
    clusters = np.array([f"doc-{i}" for i in generator.integers(0, 15, size=40)])
    result = clustered_t(x, clusters, 0.9, 2)
    for column in range(12):
        expected = slow(x[:, column], clusters, 0.9)
        actual = [
            part[column] for part in (result.mean, result.standard_error, result.low, result.high)
        ]
        np.testing.assert_allclose(actual, expected, rtol=1e-10)
        kept = ~np.isnan(x[:, column])
        assert result.n[column] == kept.sum()
        assert result.clusters[column] == len(set(clusters[kept]))


def test_copies_of_an_observation_in_its_cluster_add_no_certainty():
    x = np.random.default_rng(2).normal(size=20)
    once = clustered_t(x, np.arange(20), 0.95, 2)
    thrice = clustered_t(np.repeat(x, 3), np.repeat(np.arange(20), 3), 0.95, 2)
    np.testing.assert_allclose(thrice.low, once.low, rtol=1e-10)
    naive = clustered_t(np.repeat(x, 3), np.arange(60), 0.95, 2)
    assert naive.high - naive.low < 0.7 * (once.high - once.low)


def test_row_order_does_not_matter():
    generator = np.random.default_rng(3)
    x, clusters = generator.normal(size=(30, 4)), generator.integers(0, 9, size=30)
    order = generator.permutation(30)
    plain, shuffled = (
        clustered_t(x, clusters, 0.95, 2),
        clustered_t(x[order], clusters[order], 0.95, 2),
    )
    np.testing.assert_allclose(plain.standard_error, shuffled.standard_error, rtol=1e-10)


def test_too_few_clusters_keep_the_mean_and_give_no_interval():
    x = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan], [4.0, np.nan]])
    result = clustered_t(x, ["a", "a", "b", "b"], 0.95, 3)
    assert result.reason.tolist() == ["documents", "undefined"]
    np.testing.assert_array_equal(result.mean, [2.5, np.nan])
    for part in (result.standard_error, result.low, result.high):
        assert np.isnan(part).all()
    assert result.n.tolist() == [4, 0]
    assert result.clusters.tolist() == [2, 0]


def test_clusters_are_counted_per_column_after_missing_rows_are_left_out():
    x = np.ones((4, 2))
    x[2:, 1] = np.nan
    result = clustered_t(x, [0, 0, 1, 1], 0.95, 2)
    assert result.reason.tolist() == ["", "documents"]
    assert result.standard_error[0] == 0


def test_no_rows_and_no_columns_are_allowed():
    assert clustered_t(np.empty((0, 3)), [], 0.95, 2).reason.tolist() == ["undefined"] * 3
    assert clustered_t(np.empty((4, 0)), [0, 1, 2, 3], 0.95, 2).mean.shape == (0,)
    assert clustered_t(np.arange(4.0), [0, 1, 2, 3], 0.95, 2).mean.shape == ()


def test_coverage_is_nominal_where_sequences_share_documents():
    # 24 documents of two sequences each; half of the variance is the document's.
    generator = np.random.default_rng(4)
    documents = np.repeat(generator.normal(size=(24, 4000)), 2, axis=0)
    x = documents + generator.normal(size=(48, 4000))
    clusters = np.repeat(np.arange(24), 2)
    result = clustered_t(x, clusters, 0.95, 10)
    covered = ((result.low < 0) & (result.high > 0)).mean()
    assert 0.94 < covered < 0.96
    naive = clustered_t(x, np.arange(48), 0.95, 10)
    assert ((naive.low < 0) & (naive.high > 0)).mean() < 0.92


def test_bad_arguments_are_refused_and_inputs_are_left_alone():
    x = np.ones((4, 2))
    x.flags.writeable = False
    clustered_t(x, np.arange(4), 0.95, 2)
    with pytest.raises(ValueError, match="clusters"):
        clustered_t(x, np.arange(3), 0.95, 2)
    with pytest.raises(ValueError, match="confidence"):
        clustered_t(x, np.arange(4), 95, 2)
    with pytest.raises(ValueError, match="infinity"):
        clustered_t(np.array([1.0, np.inf]), [0, 1], 0.95, 2)
