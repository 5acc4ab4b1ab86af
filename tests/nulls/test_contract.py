"""What every null promises, whatever it keeps."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from attention_wavelets.errors import PipelineError
from attention_wavelets.nulls.registry import NULLS, get_null
from attention_wavelets.nulls.seeds import child
from attention_wavelets.nulls.surrogates import TOLERANCE, Axis

POSITIONS = Axis("received")
LAGS = Axis("lag", lags=np.arange(24))
SIGNED = Axis("lag", causal=False, lags=np.arange(-12, 12))

CASES = [
    *((name, {}, POSITIONS) for name in NULLS),
    *((name, {}, LAGS) for name, null in NULLS.items() if null.by_lag),
    *((name, {}, SIGNED) for name, null in NULLS.items() if null.by_lag),
    ("permuted", {"sink": "keep"}, POSITIONS),
    ("iaaft", {"cutoff": np.inf}, LAGS),
    *((name, {"rate": "any"}, POSITIONS) for name in ("exponential", "power_law")),
    *(
        (name, {"match": "participation_ratio"}, axis)
        for name in ("exponential", "power_law")
        for axis in (POSITIONS, SIGNED)
    ),
]
every_null = pytest.mark.parametrize(
    ("name", "options", "axis"),
    CASES,
    ids=["-".join([n, *map(str, o.values()), a.probe, str(a.causal)]) for n, o, a in CASES],
)


def draw(name, options, axis, rows, streams):
    return NULLS[name].function(rows, streams, axis, **options)


@every_null
def test_a_null_is_a_signal_or_says_that_it_is_not(name, options, axis, rows, streams):
    before = rows.copy()
    null = draw(name, options, axis, rows, streams)
    np.testing.assert_array_equal(rows, before)
    assert null.signals.dtype == null.matched.dtype == np.float64
    assert null.signals.shape == rows.shape
    assert null.matched.shape == null.unmatched.shape == rows.shape[:-1]
    good = null.signals[~null.unmatched]
    assert len(good) > 0
    assert (good >= 0).all()
    np.testing.assert_allclose(good.sum(axis=-1), 1.0, rtol=1e-12)
    assert np.isnan(null.signals[null.unmatched]).all()
    limit = options.get("cutoff", 0.05 if name == "iaaft" else TOLERANCE)
    np.testing.assert_array_equal(null.unmatched, null.matched > limit)


@every_null
def test_what_is_no_signal_has_no_null_and_changes_no_other(name, options, axis, rows, streams):
    spoilt = rows.copy()
    spoilt[2, 1, 3] = np.nan
    spoilt[2, 3] = 0.0
    spoilt[4, 0, 5] = -0.1
    bad = np.zeros(rows.shape[:-1], dtype=bool)
    bad[[2, 2, 4], [1, 3, 0]] = True
    clean, null = (draw(name, options, axis, r, streams) for r in (rows, spoilt))
    assert np.isnan(null.signals[bad]).all()
    assert np.isnan(null.matched[bad]).all()
    assert not null.unmatched[bad].any()
    for field in ("signals", "matched", "unmatched"):
        np.testing.assert_array_equal(getattr(null, field)[~bad], getattr(clean, field)[~bad])


@every_null
def test_a_sequence_has_its_null_whatever_stands_beside_it(name, options, axis, rows, streams):
    whole = draw(name, options, axis, rows, streams)
    chosen = [5, 0, 6]
    some = draw(name, options, axis, rows[chosen], [streams[s] for s in chosen])
    np.testing.assert_array_equal(some.signals, whole.signals[chosen])
    np.testing.assert_array_equal(some.matched, whole.matched[chosen])
    alone = draw(name, options, axis, rows[3], streams[3])
    np.testing.assert_array_equal(alone.signals, whole.signals[3])
    extra = draw(name, options, axis, rows[:, :, None], streams)
    np.testing.assert_array_equal(extra.signals[:, :, 0], whole.signals)
    single, first = (draw(name, options, axis, r, streams) for r in (rows[:, 0], rows[:, :1]))
    np.testing.assert_array_equal(single.signals, first.signals[:, 0])
    none = draw(name, options, axis, rows[:0], [])
    assert none.signals.shape == (0, *rows.shape[1:])
    assert none.unmatched.shape == (0, rows.shape[1])


@every_null
def test_many_sequences_give_what_few_do(name, options, axis, rows, streams):
    # More rows than are worked on at once.
    many = np.concatenate([rows] * 80)
    long = draw(name, options, axis, many, streams * 80)
    np.testing.assert_array_equal(
        long.signals, np.concatenate([draw(name, options, axis, rows, streams).signals] * 80)
    )


@every_null
def test_another_stream_gives_another_null_if_anything_is_drawn(name, options, axis, rows, streams):
    first = draw(name, options, axis, rows, streams).signals
    others = [child(0, "model", 3, sequence, "null", 1) for sequence in range(len(rows))]
    second = draw(name, options, axis, rows, others).signals
    if NULLS[name].random:
        # Rows of different values, in which a new order shows.
        first, second = first[1:6], second[1:6]
        defined = ~np.isnan(first + second)
        assert (first != second)[defined].mean() > 0.5
    else:
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, draw(name, options, axis, rows, None).signals)


@pytest.mark.parametrize("name", [name for name, null in NULLS.items() if null.random])
def test_streams_that_do_not_fit_are_refused(name, rows, streams):
    with pytest.raises(ValueError, match="7 streams"):
        draw(name, {}, POSITIONS, rows, streams[:7])
    with pytest.raises(ValueError, match="needs `streams`"):
        draw(name, {}, POSITIONS, rows, None)


@every_null
def test_rows_of_float32_and_of_another_sum_are_measured_as_shares(
    name, options, axis, rows, streams
):
    single = rows.astype(np.float32)
    whole = single.astype(np.float64)
    whole /= whole.sum(axis=-1, keepdims=True)
    first = draw(name, options, axis, single, streams)
    second = draw(name, options, axis, whole, streams)
    np.testing.assert_array_equal(first.unmatched, second.unmatched)
    # Not of nearly uniform rows, whose deviations are rounding.
    np.testing.assert_allclose(first.signals[:6], second.signals[:6], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("null", NULLS.values(), ids=NULLS)
def test_a_record_says_everything_about_its_null(null):
    assert NULLS[null.name] is null
    assert get_null(null.name) is null
    assert all([null.keeps, null.destroys, null.question])
    assert null.question.endswith("?")
    given = inspect.signature(null.function).parameters.values()
    own = [p for p in given if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert tuple(p.name for p in own) == null.options
    assert all(p.default is not inspect.Parameter.empty for p in own)
    with pytest.raises(AttributeError):
        null.name = "other"


def test_an_unknown_null_or_setting_lists_the_options(rows, streams):
    with pytest.raises(PipelineError, match=r"unknown null 'idd'; did you mean 'iid'\? allowed: "):
        get_null("idd")
    with pytest.raises(PipelineError, match="allowed: free, keep"):
        draw("permuted", {"sink": "kept"}, POSITIONS, rows, streams)
    with pytest.raises(PipelineError, match="allowed: mean_lag, participation_ratio"):
        draw("exponential", {"match": "mean"}, POSITIONS, rows, streams)
    with pytest.raises(PipelineError, match="allowed: any, decay"):
        draw("power_law", {"rate": "growth"}, POSITIONS, rows, streams)


def test_signals_by_lag_have_no_sink_to_keep(rows, streams):
    with pytest.raises(PipelineError, match="no sink"):
        draw("permuted", {"sink": "keep"}, LAGS, rows, streams)
    with pytest.raises(PipelineError, match="no sink"):
        draw("sink_random", {}, LAGS, rows, streams)
