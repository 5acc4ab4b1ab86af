"""Least squares: SciPy's line, the normal equations, shares of variance, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.inference.regression import regress


def data(seed, n=40):
    generator = np.random.default_rng(seed)
    covariates = generator.normal(size=(n, 2))
    x = generator.normal(size=(n, 2)) + covariates
    y = 3 + x @ [1.0, -0.5] + covariates @ [0.7, 0.0] + generator.normal(size=n)
    return y, x, covariates


def slow(y, x, confidence):
    """Normal equations with an intercept: coefficients, half widths, p, RSS."""
    full = np.column_stack([np.ones(len(y)), x])
    inverse = np.linalg.inv(full.T @ full)
    b = inverse @ full.T @ y
    rss = ((y - full @ b) ** 2).sum()
    df = len(y) - full.shape[1]
    se = np.sqrt(np.diag(inverse) * rss / df)
    return b, stats.t.ppf(0.5 + confidence / 2, df) * se, 2 * stats.t.sf(np.abs(b / se), df), rss


def test_one_column_is_scipys_line():
    y, x, _ = data(0)
    found, expected = regress(y, x[:, 0]), stats.linregress(x[:, 0], y)
    np.testing.assert_allclose(found.coefficients, [expected.slope], rtol=1e-10)
    np.testing.assert_allclose(found.p, [expected.pvalue], rtol=1e-8)
    np.testing.assert_allclose(found.r2, expected.rvalue**2, rtol=1e-10)
    np.testing.assert_allclose(found.partial_r2, expected.rvalue**2, rtol=1e-10)


def test_columns_with_covariates_follow_the_normal_equations():
    y, x, covariates = data(1)
    found = regress(y, x, covariates, confidence=0.9)
    b, half, p, rss = slow(y, np.column_stack([x, covariates]), 0.9)
    np.testing.assert_allclose(found.coefficients, b[1:3], rtol=1e-9)
    np.testing.assert_allclose(found.high - found.coefficients, half[1:3], rtol=1e-9)
    np.testing.assert_allclose(found.coefficients - found.low, half[1:3], rtol=1e-9)
    np.testing.assert_allclose(found.p, p[1:3], rtol=1e-7)
    np.testing.assert_allclose(found.r2, 1 - rss / ((y - y.mean()) ** 2).sum(), rtol=1e-10)
    without = slow(y, covariates, 0.9)[3]
    np.testing.assert_allclose(found.partial_r2, (without - rss) / without, rtol=1e-10)
    assert (found.n, found.degrees, found.reason) == (40, 35, "")


def test_partial_share_of_one_column_is_that_of_its_t():
    y, x, covariates = data(2)
    found = regress(y, x[:, 0], covariates)
    t = stats.t.isf(found.p[0] / 2, found.degrees)
    np.testing.assert_allclose(found.partial_r2, t**2 / (t**2 + found.degrees), rtol=1e-8)


def test_rows_and_units_do_not_matter():
    y, x, covariates = data(3)
    order = np.random.default_rng(4).permutation(len(y))
    plain = regress(y, x, covariates)
    moved = regress(y[order], 1e6 * x[order] + 5, covariates[order] - 1e3)
    np.testing.assert_allclose(1e6 * moved.coefficients, plain.coefficients, rtol=1e-6)
    np.testing.assert_allclose(moved.p, plain.p, rtol=1e-6)
    np.testing.assert_allclose(moved.partial_r2, plain.partial_r2, rtol=1e-8)


def test_rows_with_missing_values_are_left_out():
    y, x, covariates = data(5)
    y[0], x[1, 1], covariates[2, 0] = np.nan, np.nan, np.nan
    found = regress(y, x, covariates)
    kept = regress(y[3:], x[3:], covariates[3:])
    assert found.n == 37
    np.testing.assert_allclose(found.low, kept.low, rtol=1e-12)


def test_an_exact_fit_explains_everything():
    x = np.arange(6.0)
    found = regress(2 * x + 1, x)
    np.testing.assert_allclose([found.r2, found.coefficients[0]], [1, 2], rtol=1e-12)
    assert found.p[0] < 1e-10


def test_what_is_undefined_has_a_reason():
    y, x, covariates = data(6, 20)
    cases = {
        "few": regress(y[:5], x[:5], covariates[:5]),
        "constant": regress(np.full(20, 0.1), x),
        "collinear": regress(y, x, x @ [[1.0], [2.0]]),
    }
    cases_constant_column = regress(y, np.column_stack([x[:, 0], np.full(20, 0.1)]))
    assert cases_constant_column.reason == "collinear"
    for reason, found in cases.items():
        assert found.reason == reason
        assert np.isnan(found.coefficients).all()
        assert np.isnan(found.r2)
    assert regress(np.full(5, np.nan), np.ones(5)).reason == "few"


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="rows"):
        regress(np.zeros(4), np.zeros(5))
    with pytest.raises(ValueError, match="confidence"):
        regress(np.zeros(4), np.zeros(4), confidence=95)
