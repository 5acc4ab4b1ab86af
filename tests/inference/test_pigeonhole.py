"""Pigeonhole bootstrap: a slow loop, seeds and chunks, missing values, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference import pigeonhole
from attention_wavelets.inference.crossed import crossed
from attention_wavelets.inference.pigeonhole import (
    pigeonhole_interval,
    pigeonhole_means,
    pigeonhole_weights,
)
from attention_wavelets.inference.resample import BLOCK

DOCUMENTS = np.array([3, 1, 1, 0, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10])


def cells(seed, shape=(14, 7, 3, 4), missing=0.0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) + generator.normal(size=(1, shape[1], 1, 1))
    values[generator.random(shape) < missing] = np.nan
    return values


def slow(values, documents, resamples, seed):
    """Each resample as a list of copies of cells, averaged one by one."""
    rows = []
    for _, of_sequences, of_heads in pigeonhole_weights(
        crossed(values, documents), resamples, seed
    ):
        for sequences, heads in zip(of_sequences, of_heads, strict=True):
            copies = [
                values[s, layer, h]
                for s in range(values.shape[0])
                for layer in range(values.shape[1])
                for h in range(values.shape[2])
                for _ in range(int(sequences[s] * heads[layer, h]))
            ]
            rows.append(np.nanmean(copies, axis=0))
    return np.array(rows)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_means_are_those_of_a_loop_over_copies(missing):
    values = cells(0, missing=missing)
    np.testing.assert_allclose(
        pigeonhole_means(values, DOCUMENTS, 9, 1), slow(values, DOCUMENTS, 9, 1), rtol=1e-10
    )


def test_weights_draw_documents_layers_and_heads_as_often_as_there_are():
    for rows, of_sequences, of_heads in pigeonhole_weights(
        crossed(cells(1), DOCUMENTS), BLOCK + 20, 2
    ):
        assert rows.stop - rows.start == len(of_sequences) == len(of_heads)
        first = np.unique(DOCUMENTS, return_index=True)[1]
        assert (of_sequences[:, first].sum(axis=1) == 11).all()
        # Sequences of a document are drawn together.
        np.testing.assert_array_equal(of_sequences[:, 0], of_sequences[:, 5])
        np.testing.assert_array_equal(of_sequences[:, 1], of_sequences[:, 2])
        by_layer = of_heads.sum(axis=2)
        assert (by_layer % 3 == 0).all()
        assert (by_layer.sum(axis=1) == 21).all()


def test_results_do_not_depend_on_chunks_or_on_how_many_are_drawn(monkeypatch):
    values = cells(2, missing=0.1)
    whole = pigeonhole_means(values, DOCUMENTS, 2 * BLOCK, 3)
    np.testing.assert_allclose(
        pigeonhole_means(values, DOCUMENTS, BLOCK + 11, 3), whole[: BLOCK + 11], rtol=1e-12
    )
    for measure in range(4):
        np.testing.assert_allclose(
            pigeonhole_means(values[..., measure], DOCUMENTS, 20, 3),
            whole[:20, measure],
            rtol=1e-12,
        )
    monkeypatch.setattr(pigeonhole, "_BUDGET", 1)
    np.testing.assert_allclose(pigeonhole_means(values, DOCUMENTS, 2 * BLOCK, 3), whole, rtol=1e-12)
    assert not np.allclose(pigeonhole_means(values, DOCUMENTS, 20, 4), whole[:20])


def test_the_order_of_sequences_does_not_matter():
    values = cells(3)
    order = np.random.default_rng(0).permutation(14)
    np.testing.assert_allclose(
        pigeonhole_means(values[order], DOCUMENTS[order], 30, 5),
        pigeonhole_means(values, DOCUMENTS, 30, 5),
        rtol=1e-10,
    )


def test_the_spread_is_that_of_the_factor_that_varies():
    # Values of one factor only: the bootstrap variance is (1 - 1/k) s^2 / k, s of divisor k - 1.
    generator = np.random.default_rng(4)
    level = generator.normal(size=12)
    of_documents = np.broadcast_to(level[:, None, None], (12, 12, 2))
    of_layers = np.broadcast_to(level[None, :, None], (12, 12, 2))
    expected = np.sqrt(level.var() / 12)
    values = np.stack([of_documents, of_layers], axis=-1)
    draws = pigeonhole_means(values, np.arange(12), 20000, 6)
    np.testing.assert_allclose(draws.std(axis=0), expected, rtol=0.03)


def test_intervals_are_quantiles_or_t():
    values = cells(5)
    draws = pigeonhole_means(values, DOCUMENTS, 400, 7)
    percentile = pigeonhole_interval(values, DOCUMENTS, draws, 0.9, "percentile")
    np.testing.assert_allclose(percentile.low, np.quantile(draws, 0.05, axis=0), rtol=1e-12)
    np.testing.assert_allclose(percentile.high, np.quantile(draws, 0.95, axis=0), rtol=1e-12)
    t = pigeonhole_interval(values, DOCUMENTS, draws, 0.9, "t")
    half = stats.t.ppf(0.95, 6) * draws.std(axis=0, ddof=1) * np.sqrt(7 / 6)
    np.testing.assert_allclose(t.mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(t.high - t.mean, half, rtol=1e-12)
    np.testing.assert_allclose(t.mean - t.low, half, rtol=1e-12)
    assert t.clusters.tolist() == [11] * 4
    assert t.layers.tolist() == [7] * 4
    assert t.degrees.tolist() == [6.0] * 4


@pytest.mark.parametrize("kind", ["percentile", "t"])
def test_what_is_undefined_has_a_reason(kind):
    values = cells(6)
    values[..., 1] = np.nan
    values[:, 5:, :, 2] = np.nan
    values[:5, :, :, 3] = np.nan
    draws = pigeonhole_means(values, DOCUMENTS, 50, 8)
    result = pigeonhole_interval(values, DOCUMENTS, draws, 0.95, kind)
    assert result.reason.tolist() == ["", "undefined", "layers", "documents"]
    np.testing.assert_array_equal(np.isnan(result.low), [False, True, True, True])
    np.testing.assert_array_equal(np.isnan(result.high), [False, True, True, True])
    np.testing.assert_array_equal(np.isnan(result.mean), [False, True, False, False])
    # A mean that a fifth of the resamples cannot have.
    rare = pigeonhole_interval(
        values[..., 0], DOCUMENTS, np.where(np.arange(50) < 40, 1.0, np.nan), 0.95, kind
    )
    assert rare.reason == "draws"
    assert np.isnan(rare.low)


def test_constant_values_give_an_interval_of_no_width():
    values = np.full((14, 7, 3), 0.25)
    draws = pigeonhole_means(values, DOCUMENTS, 30, 9)
    np.testing.assert_allclose(draws, 0.25, rtol=1e-12)
    result = pigeonhole_interval(values, DOCUMENTS, draws, 0.95, "t")
    assert result.high - result.low < 1e-12


def test_one_document_gives_a_mean_and_no_interval():
    values = cells(7)
    one = np.zeros(14)
    draws = pigeonhole_means(values, one, 20, 10)
    result = pigeonhole_interval(values, one, draws, 0.95, "t")
    assert result.reason.tolist() == ["documents"] * 4
    assert np.isfinite(result.mean).all()


def test_bad_arguments_are_refused_and_inputs_are_left_alone():
    values = cells(8)
    values.flags.writeable = False
    draws = pigeonhole_means(values, DOCUMENTS, 20, 11)
    with pytest.raises(ValueError, match="sequences"):
        pigeonhole_means(values, DOCUMENTS[1:], 20, 1)
    with pytest.raises(ValueError, match="infinity"):
        pigeonhole_means(np.where(values > 1, np.inf, values), DOCUMENTS, 20, 1)
    with pytest.raises(ValueError, match="draws"):
        pigeonhole_interval(values, DOCUMENTS, draws[:, 1:], 0.95, "t")
    with pytest.raises(ValueError, match="kind"):
        pigeonhole_interval(values, DOCUMENTS, draws, 0.95, "T")
