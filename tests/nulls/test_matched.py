"""That nulls have what they are matched in, against closed forms and slow independent versions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import softmax
from scipy.stats import beta, gamma, kstest

from attention_wavelets.config.compose import load_member
from attention_wavelets.measures.paper import measure_signals
from attention_wavelets.nulls.gamma import draw_gamma, iid, sink_random
from attention_wavelets.nulls.iid import iid_closed_form, iid_curve
from attention_wavelets.nulls.kernels import exponential, power_law
from attention_wavelets.nulls.mask import mask_signal, uniform_causal
from attention_wavelets.nulls.permuted import iaaft, permuted, spectrum_error
from attention_wavelets.nulls.seeds import child
from attention_wavelets.nulls.surrogates import Axis
from helpers.tiny_study import ROOT

POSITIONS = Axis("received")
LAGS = Axis("lag", lags=np.arange(24))
LAWS = {"exponential": (exponential, lambda d: d), "power_law": (power_law, np.log1p)}


def unevenness(rows):
    """CV^2 by the standard deviation, another way than the code's."""
    return (rows.std(axis=-1) / rows.mean(axis=-1)) ** 2


def two_levels(length, heavy, cv2):
    """A row of that CV^2: `heavy` keys share a larger level."""
    raised = np.arange(length) < heavy
    light = 1 - np.sqrt(cv2 * heavy / (length - heavy))
    row = np.where(raised, (length - (length - heavy) * light) / heavy, light)
    return row / length


def dirichlet_shape(length, cv2):
    """Shape at which sum w^2 of normalised gamma weights is that of the CV^2, on average."""
    return ((length - 1) / cv2 - 1) / length


def test_iid_rows_have_the_unevenness_of_the_observed_ones(rows, streams):
    null = iid(rows, streams, POSITIONS)
    assert not null.unmatched.any()
    # The exactly uniform row has no unevenness to compare.
    np.testing.assert_array_equal(null.signals[7, 0], rows[7, 0])
    uneven = np.ones(rows.shape[:-1], dtype=bool)
    uneven[7, 0] = False
    ours, theirs = unevenness(null.signals[uneven]), unevenness(rows[uneven])
    np.testing.assert_allclose(ours, theirs, rtol=0.002)
    np.testing.assert_allclose(null.matched[uneven], np.abs(ours / theirs - 1), atol=1e-6)


def test_iid_rows_of_a_point_are_points_at_random_places():
    point = np.zeros((400, 8))
    point[:, 0] = 1.0
    null = iid(point, child(0, "point"), POSITIONS).signals
    np.testing.assert_allclose(null.max(axis=-1), 1.0, rtol=1e-12)
    counts = np.bincount(null.argmax(axis=-1), minlength=8)
    assert counts.min() > 25
    assert counts.max() < 85


def test_iid_rows_know_no_place():
    # 4000 draws of one uneven row: each position gets the same mean mass.
    row = np.tile(two_levels(12, 3, 2.0), (4000, 1))
    mean = iid(row, child(1, "place"), POSITIONS).signals.mean(axis=0)
    np.testing.assert_allclose(mean, 1 / 12, atol=0.009)


@pytest.mark.parametrize("shape", [0.02, 0.3, 1.0, 4.0, 50.0])
def test_drawn_weights_are_gamma(shape):
    generator = np.random.default_rng(2)
    normal = generator.standard_normal((1, 100_000))
    exponential = generator.standard_exponential((1, 100_000))
    weights = np.exp(draw_gamma(normal, exponential, np.array([shape])))[0]
    weights *= shape / weights.mean()
    # 0.004 is chance at this number of draws.
    assert kstest(weights, gamma(shape).cdf).statistic < 0.01


@pytest.mark.parametrize(("heavy", "cv2"), [(48, 0.25), (24, 1.0), (16, 3.0)])
def test_iid_rows_measure_like_the_closed_form_on_average(heavy, cv2):
    protocol = load_member("protocol", "paper", ROOT / "conf", {})
    rows = np.tile(two_levels(96, heavy, cv2), (3000, 1))
    np.testing.assert_allclose(unevenness(rows), cv2, rtol=1e-9)
    signals = iid(rows, child(3, "average"), POSITIONS).signals
    measured = {k: v.mean() for k, v in measure_signals(signals, protocol).values.items()}
    theory = iid_closed_form(cv2, 96, 128)
    np.testing.assert_allclose(measured["band_low"], theory["band_low"], atol=0.02)
    np.testing.assert_allclose(measured["band_mid"], theory["band_mid"], atol=0.02)
    np.testing.assert_allclose(measured["selectivity"], theory["selectivity"], atol=0.06)
    # The curve is by the law's CV^2, of which a sample of 96 shows less on average. Its samples
    # scatter in CV^2, and the entropy is concave in it: that lowers the curve's mean a little.
    curve = iid_curve(96, [1 / dirichlet_shape(96, cv2)], protocol, draws=3000, seed=1)
    np.testing.assert_allclose(measured["spectral_entropy"], curve["spectral_entropy"], atol=0.05)


@pytest.mark.parametrize(("heavy", "cv2"), [(48, 0.25), (24, 1.0), (16, 3.0)])
def test_weights_of_iid_rows_are_those_of_normalised_gamma_draws(heavy, cv2):
    rows = np.tile(two_levels(96, heavy, cv2), (2000, 1))
    weights = iid(rows, child(4, "law"), POSITIONS).signals
    shape = dirichlet_shape(96, cv2)
    assert kstest(weights.ravel(), beta(shape, 95 * shape).cdf).statistic < 0.02


def test_a_random_rest_beside_the_sink_has_the_rests_unevenness(rows, streams):
    null = sink_random(rows, streams, POSITIONS)
    assert not null.unmatched.any()
    np.testing.assert_array_equal(null.signals[..., 0], rows[..., 0])
    rest = rows[..., 1:].sum(axis=-1) > 0
    np.testing.assert_array_equal(null.signals[~rest], rows[~rest])
    assert (~rest).sum() == 1
    # The floor: of two rows the remainder is uniform.
    ours, theirs = (unevenness(a[rest][:, 1:]) for a in (null.signals, rows))
    np.testing.assert_allclose(ours, theirs, rtol=0.002, atol=1e-25)


def test_one_position_is_its_own_null():
    one = np.ones((3, 1))
    for null in (iid, sink_random, permuted, iaaft, uniform_causal, exponential, power_law):
        np.testing.assert_array_equal(null(one, child(0, "one"), POSITIONS).signals, one)


def test_permuted_rows_keep_values_and_the_sink_if_told_to(rows, streams):
    free = permuted(rows, streams, POSITIONS).signals
    kept = permuted(rows, streams, POSITIONS, sink="keep").signals
    np.testing.assert_array_equal(np.sort(free), np.sort(rows))
    np.testing.assert_array_equal(np.sort(kept), np.sort(rows))
    np.testing.assert_array_equal(kept[..., 0], rows[..., 0])
    assert (free[:6, :, 0] != rows[:6, :, 0]).mean() > 0.8


def test_every_order_is_equally_likely():
    row = np.tile(np.array([0.1, 0.2, 0.3, 0.4]), (6000, 1))
    orders = permuted(row, child(5, "order"), POSITIONS).signals.argsort(axis=-1) @ [64, 16, 4, 1]
    counts = np.unique(orders, return_counts=True)[1]
    assert len(counts) == 24
    np.testing.assert_allclose(counts, 250, atol=70)
    kept = permuted(row, child(5, "order"), POSITIONS, sink="keep").signals
    assert (kept[:, 0] == 0.1).all()
    np.testing.assert_allclose((kept[:, 1:] == 0.2).mean(axis=0), 1 / 3, atol=0.03)


def slow_uniform(queries):
    """Attention of a causal model whose queries do not tell keys apart."""
    return np.tril(np.ones((queries, queries))) / np.arange(1, queries + 1)[:, None]


@pytest.mark.parametrize("length", [1, 2, 9, 24])
def test_the_masks_signals_are_those_of_uniform_attention(length):
    attention = slow_uniform(length)
    received = mask_signal(length, POSITIONS)
    np.testing.assert_allclose(received, attention.mean(axis=0), rtol=1e-12)
    last = mask_signal(length, Axis("last_query"))
    np.testing.assert_allclose(last, attention[-1], rtol=1e-12)
    whole = slow_uniform(2 * length)
    lags = np.arange(length)
    by_lag = np.mean([whole[q, q - lags] for q in range(length, 2 * length)], axis=0)
    np.testing.assert_allclose(
        mask_signal(length, Axis("lag", lags=lags)), by_lag / by_lag.sum(), rtol=1e-12
    )
    np.testing.assert_allclose(mask_signal(length, Axis("received", causal=False)), 1 / length)


def test_uniform_attention_of_single_rows_is_refused():
    with pytest.raises(Exception, match="unknown probe 'query_rows'"):
        mask_signal(24, Axis("query_rows"))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("axis", [POSITIONS, LAGS, Axis("lag", False, np.arange(-12, 12))])
def test_kernels_are_as_wide_as_their_rows(law, axis, rows):
    function, _ = LAWS[law]
    distance = np.arange(24)[::-1] if axis.lags is None else np.abs(axis.lags)
    for match, quantity in (
        ("mean_lag", lambda a: a @ distance),
        ("participation_ratio", lambda a: 1 / np.square(a).sum(axis=-1)),
    ):
        null = function(rows, None, axis, match=match)
        wanted, given = quantity(rows), quantity(null.signals)
        good = ~null.unmatched
        np.testing.assert_allclose(given[good], wanted[good], rtol=0.01, atol=1e-8)
        # Only what is wider than the uniform signal has no match.
        np.testing.assert_array_equal(
            null.unmatched, wanted > 1.0101 * quantity(np.full(24, 1 / 24))
        )


@pytest.mark.parametrize("law", LAWS)
def test_kernels_agree_with_a_root_found_row_by_row(law, rows):
    function, statistic = LAWS[law]
    distance = np.arange(24.0)

    def kernel(rate):
        return softmax(-rate * statistic(distance))

    def excess(rate, mean):
        return kernel(rate) @ distance - mean

    null = function(rows, None, LAGS, rate="any").signals
    for place in np.ndindex(rows.shape[:-1]):
        mean = rows[place] @ distance
        if not 0.01 < mean < 22.9:
            continue
        rate = brentq(excess, -200, 200, args=(mean,), xtol=1e-12)
        np.testing.assert_allclose(null[place], kernel(rate), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_rows_farther_away_than_uniform_need_a_kernel_that_grows(law):
    function, _ = LAWS[law]
    far = np.linspace(0, 1, 24) / 12
    near = far[::-1]
    both = np.stack([far, near])
    decay = function(both, None, LAGS)
    np.testing.assert_array_equal(decay.unmatched, [True, False])
    assert (np.diff(decay.signals[1]) < 0).all()
    grown = function(both, None, LAGS, rate="any")
    assert not grown.unmatched.any()
    assert (np.diff(grown.signals[0]) > 0).all()
    np.testing.assert_array_equal(grown.signals[1], decay.signals[1])
    narrow = function(both, None, LAGS, rate="any", match="participation_ratio")
    np.testing.assert_array_equal(narrow.signals[0], narrow.signals[1])


def test_iaaft_keeps_values_and_brings_the_spectrum_nearer(rows, streams):
    null = iaaft(rows, streams, LAGS, cutoff=np.inf)
    np.testing.assert_array_equal(np.sort(null.signals), np.sort(rows))
    chance = spectrum_error(rows, permuted(rows, streams, LAGS).signals)
    assert null.matched[2:6].mean() < 0.5 * chance[2:6].mean()
    # The error by the two-sided spectrum, written out.
    wanted, given = (np.abs(np.fft.fft(a[:6]))[..., 1:] for a in (rows, null.signals))
    off = np.linalg.norm(given - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)
    np.testing.assert_allclose(null.matched[:6], off, rtol=1e-9, atol=1e-12)
    strict = iaaft(rows, streams, LAGS, cutoff=0.02)
    np.testing.assert_array_equal(strict.unmatched, null.matched > 0.02)
    np.testing.assert_array_equal(strict.matched, null.matched)
    assert 0 < strict.unmatched.mean() < 1


def test_iaaft_ends_where_another_turn_changes_nothing(rows, streams):
    null = iaaft(rows, streams, LAGS, cutoff=np.inf, iterations=500)
    for place in np.ndindex(6, 5):
        row, signal = rows[place], null.signals[place]
        phase = np.exp(1j * np.angle(np.fft.fft(signal)))
        turned = np.fft.ifft(np.abs(np.fft.fft(row)) * phase).real
        again = np.empty(24)
        again[np.argsort(turned)] = np.sort(row)
        np.testing.assert_allclose(again, signal, rtol=1e-9, atol=1e-15)


def test_fewer_turns_leave_a_larger_error(rows, streams):
    few, many = (
        iaaft(rows, streams, LAGS, cutoff=np.inf, iterations=count).matched for count in (1, 200)
    )
    assert few[2:6].mean() > 1.2 * many[2:6].mean()


def test_impossible_settings_of_iaaft_are_refused(rows, streams):
    for wrong in ({"iterations": 0}, {"cutoff": -1.0}, {"cutoff": np.nan}):
        with pytest.raises(ValueError, match="need iterations"):
            iaaft(rows, streams, LAGS, **wrong)
