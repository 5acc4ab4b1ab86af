"""From an estimate to a verdict: sides, edges, ranges, p-values, and what would change it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from scipy import stats

from attention_wavelets.claims.verdict import (
    VERDICTS,
    Estimate,
    Verdict,
    combined,
    edge,
    literal_verdict,
    one_sided_p,
    said,
)
from attention_wavelets.claims.words import would_change
from helpers.claims import claim

ABOVE = claim(bound=1.0, smallest_effect=0.25).test
BELOW = claim(claimed="below", bound=1.0, smallest_effect=0.25).test
WITHIN = claim("equivalence", claimed="within", range=[-1.0, 2.0], smallest_effect=0.25).test


def between(low: float, high: float, degrees: float = 11) -> Estimate:
    """An estimate with this t-interval at 0.95."""
    error = (high - low) / 2 / float(stats.t.ppf(0.975, degrees))
    return Estimate((low + high) / 2, low, high, error, degrees, 12, 12)


UNKNOWN = Estimate(0.3, math.nan, math.nan, math.nan, math.nan, 7, 7, "too few documents")


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (1.3, 2.0, "pass", "fail"),
        (1.2, 2.0, "unclear", "fail"),
        (1.0, 1.2, "fail", "fail"),
        (0.5, 1.0, "fail", "unclear"),
        (0.5, 0.7, "fail", "pass"),
        (0.0, 9.0, "unclear", "unclear"),
        # The line itself belongs to neither side.
        (1.25, 2.0, "unclear", "fail"),
        (0.0, 0.75, "fail", "unclear"),
        (0.75, 1.25, "unclear", "unclear"),
    ],
)
def test_the_whole_interval_must_clear_the_line(low: float, high: float, above: str, below: str):
    assert literal_verdict(between(low, high), ABOVE) == above
    assert literal_verdict(between(low, high), BELOW) == below


def test_the_line_is_the_bound_with_the_smallest_effect():
    assert edge(ABOVE, ABOVE.bound) == 1.25
    assert edge(BELOW, BELOW.bound) == 0.75
    # Differences to nulls: how much nearer to the middle of a range.
    assert edge(WITHIN, 0.0) == 0.25


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.9, 1.9, "pass"),
        (-1.1, 0.0, "unclear"),
        (1.0, 2.1, "unclear"),
        (-3.0, 5.0, "unclear"),
        (-3.0, -1.1, "fail"),
        (2.1, 3.0, "fail"),
        (-1.0, 0.0, "unclear"),
        (2.0, 3.0, "unclear"),
    ],
)
def test_a_range_must_hold_the_whole_interval(low: float, high: float, verdict: str):
    assert literal_verdict(between(low, high), WITHIN) == verdict


@pytest.mark.parametrize("test", [ABOVE, BELOW, WITHIN], ids=["above", "below", "within"])
def test_a_difference_has_a_bound_of_its_own(test):
    sign = -1 if test.claimed == "below" else 1
    for gain, verdict in ((0.4, "pass"), (0.26, "unclear"), (0.0, "fail")):
        ends = sorted((sign * (gain - 0.1), sign * (gain + 0.1)))
        assert literal_verdict(between(*ends), test, bound=0.0) == verdict


@pytest.mark.parametrize("test", [ABOVE, BELOW, WITHIN], ids=["above", "below", "within"])
def test_without_an_interval_nothing_is_decided(test):
    assert literal_verdict(UNKNOWN, test) == "unclear"
    assert math.isnan(one_sided_p(UNKNOWN, test))


@pytest.mark.parametrize("test", [ABOVE, BELOW, WITHIN], ids=["above", "below", "within"])
def test_an_interval_passes_where_the_p_value_is_below_half_its_level(test):
    generator = np.random.default_rng(0)
    verdicts = set()
    for _ in range(400):
        low = generator.uniform(-3, 3)
        estimate = between(low, low + generator.uniform(0.01, 3), generator.integers(4, 30))
        verdict = literal_verdict(estimate, test)
        p = one_sided_p(estimate, test)
        assert (verdict == "pass") == (p < 0.025)
        # Only of a line: beyond one end of a range is p near 1, at both ends it is not.
        assert verdict != "fail" or p > 0.9
        verdicts.add(verdict)
    assert verdicts == {"pass", "fail", "unclear"}


def test_a_p_value_is_that_of_t():
    estimate = Estimate(1.75, 1.5, 2.0, 0.2, 9, 10, 10)
    assert one_sided_p(estimate, ABOVE) == pytest.approx(stats.t.sf(0.5 / 0.2, 9))
    assert one_sided_p(estimate, BELOW) == pytest.approx(stats.t.sf(-1.0 / 0.2, 9))
    # Of the two ends of a range the nearer one decides.
    assert one_sided_p(estimate, WITHIN) == pytest.approx(stats.t.sf(0.25 / 0.2, 9))


@pytest.mark.parametrize("test", [ABOVE, BELOW, WITHIN], ids=["above", "below", "within"])
def test_an_allowance_for_bias_enters_the_p_value_as_it_does_the_interval(test):
    generator = np.random.default_rng(1)
    passed = 0
    for _ in range(400):
        low, bias = generator.uniform(-3, 3), generator.normal() / 4
        plain = between(low, low + generator.uniform(0.01, 1), generator.integers(4, 30))
        ends = plain.low + min(bias, 0.0), plain.high + max(bias, 0.0)
        estimate = replace(plain, low=ends[0], high=ends[1])
        p = one_sided_p(estimate, test)
        assert (literal_verdict(estimate, test) == "pass") == (p < 0.025)
        assert p >= one_sided_p(plain, test) * (1 - 1e-9)
        passed += p < 0.025
    assert passed > 20


@pytest.mark.parametrize(
    ("value", "test", "p"),
    [(1.3, ABOVE, 0.0), (1.25, ABOVE, 1.0), (0.7, BELOW, 0.0), (1.9, WITHIN, 0.0), (2, WITHIN, 1)],
)
def test_a_number_without_spread_is_certain(value: float, test, p: float):
    exact = Estimate(value, value, value, 0.0, 11, 12, 12)
    assert one_sided_p(exact, test) == p
    assert (literal_verdict(exact, test) == "pass") == (p == 0.0)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "not testable here"),
        (["pass", "pass"], "pass"),
        (["pass", "vacuous"], "vacuous"),
        (["vacuous", "unclear", "pass"], "unclear"),
        (["unclear", "pass", "fail", "vacuous"], "fail"),
    ],
)
def test_a_claim_holds_if_it_holds_for_every_model(verdicts: list[Verdict], expected: str):
    assert combined(verdicts) == expected


@pytest.mark.parametrize(
    ("low", "high", "test", "words"),
    [
        (1.3, 2.0, ABOVE, "with the lower end not above 1.25 it would not pass"),
        (0.5, 1.0, ABOVE, "wholly above 1.25 it would pass"),
        (0.5, 2.0, ABOVE, "wholly above 1.25 it would pass, wholly below it would fail"),
        (0.3, 0.6, BELOW, "with the upper end not below 0.75 it would not pass"),
        (0.8, 1.2, BELOW, "wholly below 0.75 it would pass"),
        (0.5, 2.0, BELOW, "wholly below 0.75 it would pass, wholly above it would fail"),
        (0.0, 1.0, WITHIN, "an end outside [-1, 2] would undo it"),
        (3.0, 4.0, WITHIN, "an interval inside [-1, 2] would pass"),
        (1.0, 4.0, WITHIN, "an interval inside [-1, 2] would pass, one wholly outside it would"),
    ],
)
def test_a_sentence_names_the_number_that_would_have_changed_it(low, high, test, words):
    estimate = between(low, high)
    sentence = would_change(estimate, test, literal_verdict(estimate, test))
    assert sentence.startswith(words)
    assert sentence.endswith(f"the interval is [{said(low)}, {said(high)}]")


def test_what_the_sentence_says_is_so():
    """Moving the interval to where the sentence says gives the verdict it says."""
    for test in (ABOVE, BELOW):
        line, sign = edge(test, test.bound), -1 if test.claimed == "below" else 1
        beyond = sorted((line + sign * 0.01, line + sign * 0.02))
        assert literal_verdict(between(*beyond), test) == "pass"
        short = sorted((line - sign * 0.01, line + sign * 0.02))
        assert literal_verdict(between(*short), test) == "unclear"


def test_without_an_interval_the_sentence_says_what_is_missing():
    assert would_change(UNKNOWN, ABOVE, "unclear") == (
        "an interval would be needed first; too few documents"
    )


def test_every_verdict_is_explained():
    assert set(VERDICTS) == set(get_args(Verdict))


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-1234.5, "-1.23e+03"), (math.nan, "undefined")]
)
def test_numbers_have_three_digits(value: float, text: str):
    assert said(value) == text
