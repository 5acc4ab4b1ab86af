"""Variance components: the analysis of variance, missing values, the interval of the mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.components import satterthwaite_interval, variance_components
from attention_wavelets.inference.intervals import clustered_t


def mean_squares(x):
    """Sequences, layers, heads in layers, sequences x layers, rest: by the textbook."""
    s, m, h = x.shape
    grand, row, layer = x.mean(), x.mean(axis=(1, 2)), x.mean(axis=(0, 2))
    head, both = x.mean(axis=0), x.mean(axis=2)
    rest = x - head[None] - both[:, :, None] + layer[None, :, None]
    return (
        m * h * ((row - grand) ** 2).sum() / (s - 1),
        s * h * ((layer - grand) ** 2).sum() / (m - 1),
        s * ((head - layer[:, None]) ** 2).sum() / (m * (h - 1)),
        h * ((both - row[:, None] - layer[None] + grand) ** 2).sum() / ((s - 1) * (m - 1)),
        (rest**2).sum() / (m * (h - 1) * (s - 1)),
    )


def drawn(seed, shape=(12, 8, 4), sds=(0.3, 0.5, 0.6, 0.2, 0.4), more=()):
    generator = np.random.default_rng(seed)
    s, m, h = shape
    sizes = ((s, 1, 1), (1, m, 1), (1, m, h), (s, m, 1), (s, m, h))
    return sum(
        sd * generator.normal(size=(*size, *more)) for sd, size in zip(sds, sizes, strict=True)
    )


def test_components_of_a_complete_design_are_those_of_the_analysis_of_variance():
    x = drawn(0)
    s, m, h = x.shape
    ms_s, ms_m, ms_h, ms_sm, ms_e = mean_squares(x)
    expected = [
        (ms_s - ms_sm) / (m * h),
        (ms_m - ms_sm - ms_h + ms_e) / (s * h),
        (ms_h - ms_e) / s,
        (ms_sm - ms_e) / h,
        ms_e,
    ]
    np.testing.assert_allclose(variance_components(x), expected, rtol=1e-9)
    np.testing.assert_allclose(variance_components(x + 1e4), expected, rtol=1e-6)
    np.testing.assert_allclose(variance_components(3 * x), 9 * np.array(expected), rtol=1e-9)


def test_components_stay_unbiased_where_values_are_missing():
    sds = np.array([0.3, 0.5, 0.6, 0.2, 0.4])
    x = drawn(1, (9, 7, 3), more=(3000,))
    gone = np.random.default_rng(2).random((9, 7, 3)) < 0.3
    x[gone] = np.nan
    found = np.array(variance_components(x))
    error = found.std(axis=1) / np.sqrt(3000)
    np.testing.assert_array_less(np.abs(found.mean(axis=1) - sds**2), 4 * error)
    assert (error < 0.1 * sds**2).all()


def test_pairs_that_do_not_exist_leave_a_component_undefined():
    x = drawn(3, (12, 8, 1))
    found = variance_components(x)
    # One head to a layer: what is the layer's and what the head's cannot be told apart.
    assert np.isnan(found[1:]).all()
    assert np.isfinite(found.sequence)
    assert np.isnan(variance_components(np.full((4, 3, 2), np.nan))).all()
    np.testing.assert_allclose(variance_components(np.full((4, 3, 2), 0.1)), 0, atol=1e-20)


def test_the_interval_of_a_complete_design_is_the_textbooks():
    x = drawn(4)
    s, m, _ = x.shape
    ms_s, ms_m, _, ms_sm, _ = mean_squares(x)
    assert ms_s > ms_sm < ms_m
    variance = (ms_s + ms_m - ms_sm) / x.size
    parts = ms_s**2 / (s - 1) + ms_m**2 / (m - 1) + ms_sm**2 / ((s - 1) * (m - 1))
    degrees = (ms_s + ms_m - ms_sm) ** 2 / parts
    found = satterthwaite_interval(x, np.arange(s), 0.9)
    np.testing.assert_allclose(found.standard_error, np.sqrt(variance), rtol=1e-10)
    np.testing.assert_allclose(found.degrees, max(degrees, min(s, m) - 1), rtol=1e-10)
    half = stats.t.ppf(0.95, found.degrees) * np.sqrt(variance)
    np.testing.assert_allclose([found.low, found.high], x.mean() + np.array([-half, half]))


def test_a_difference_below_zero_counts_as_zero():
    # Sequences do not differ but in their layers: what is left is the spread of layers.
    x = drawn(5, sds=(0.0, 1.0, 0.1, 0.5, 0.1))
    x -= x.mean(axis=(1, 2), keepdims=True)
    found = satterthwaite_interval(x, np.arange(12), 0.95)
    expected = clustered_t(x.mean(axis=(0, 2)), np.arange(8), 0.95, 2)
    np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-10)
    assert found.degrees == 7


def test_documents_alone_give_the_clustered_interval():
    # Layers and heads do not differ: documents of unequal size are all that is uncertain.
    generator = np.random.default_rng(6)
    documents = np.repeat(np.arange(14), generator.integers(1, 5, size=14))
    of_sequence = generator.normal(size=len(documents))
    x = np.broadcast_to(of_sequence[:, None, None], (len(documents), 6, 2))
    found = satterthwaite_interval(x, documents, 0.95)
    expected = clustered_t(of_sequence, documents, 0.95, 10)
    np.testing.assert_allclose(found.low, expected.low, rtol=1e-8)
    np.testing.assert_allclose(found.degrees, 13, rtol=1e-8)
    assert found.clusters == 14


def test_order_and_names_do_not_matter():
    x = drawn(7, more=(2,))
    documents = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9])
    x[3, 2, 1, 0] = np.nan
    plain = satterthwaite_interval(x, documents, 0.95)
    generator = np.random.default_rng(8)
    rows, layers = generator.permutation(12), generator.permutation(8)
    names = np.array([f"d{20 - number}" for number in documents])
    heads = generator.permutation(4)
    moved = satterthwaite_interval(x[rows][:, layers][:, :, heads], names[rows], 0.95)
    for name in ("mean", "standard_error", "low", "high", "degrees"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), rtol=1e-9)
    np.testing.assert_allclose(
        variance_components(x[rows][:, layers][:, :, heads]), variance_components(x), rtol=1e-9
    )


def test_measures_do_not_see_each_other():
    x = drawn(9, more=(3,))
    x[:, 2, :, 1] = np.nan
    together = satterthwaite_interval(x, np.arange(12), 0.95)
    for column in range(3):
        alone = satterthwaite_interval(x[..., column], np.arange(12), 0.95)
        np.testing.assert_allclose(together.low[column], alone.low, rtol=1e-12)
    assert together.layers.tolist() == [8, 7, 8]


def test_too_few_layers_or_documents_give_a_mean_and_no_interval():
    x = drawn(10)
    cases = {
        "layers": satterthwaite_interval(x[:, :5], np.arange(12), 0.95),
        "documents": satterthwaite_interval(x[:9], np.arange(9), 0.95),
        "undefined": satterthwaite_interval(np.full((12, 8, 4), np.nan), np.arange(12), 0.95),
    }
    for reason, found in cases.items():
        assert found.reason == reason
        assert np.isnan(found.low)
        assert np.isnan(found.standard_error)
        assert np.isnan(found.mean) == (reason == "undefined")
    assert satterthwaite_interval(x, np.zeros(12), 0.95).reason == "documents"
    # Six layers of which one has no value are five.
    x[:, 5] = np.nan
    assert satterthwaite_interval(x[:, :6], np.arange(12), 0.95).reason == "layers"


def test_constant_values_give_an_interval_of_no_width():
    found = satterthwaite_interval(np.full((12, 8, 4), 0.3), np.arange(12), 0.95)
    assert found.reason == ""
    assert found.high - found.low < 1e-12


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="sequence, layer, head"):
        satterthwaite_interval(np.zeros((12, 8)), np.arange(12), 0.95)
    with pytest.raises(ValueError, match="confidence"):
        satterthwaite_interval(np.zeros((12, 8, 2)), np.arange(12), 95)
    with pytest.raises(ValueError, match="finite"):
        variance_components(np.full((3, 3, 3), np.inf))
