"""Every probe keeps the reducer contract and gives known answers on synthetic attention."""

import itertools
import pickle

import numpy as np
import pytest
import torch

from attention_wavelets.attention.probes import PROBES as KINDS
from attention_wavelets.attention.probes import get_probe, lag_axis, lag_queries
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.errors import PipelineError

PROBES = {name: get_probe(name) for name in KINDS if name != "query_rows"}
PROBES["query_rows"] = get_probe("query_rows", rows=4)
POSITIONS = (8, 9, 13, 24)


def attention(positions, causal, batch=2, heads=3, seed=0):
    """Random attention whose rows sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(batch, heads, positions, positions, generator=generator)
    if causal:
        above = torch.ones(positions, positions, dtype=torch.bool).triu(1)
        logits = logits.masked_fill(above, float("-inf"))
    return torch.softmax(logits, dim=-1)


def chunk(matrix, start, stop, causal):
    """Rows start:stop as the capture hands them out: of a causal layer without later keys."""
    batch, heads, queries, keys = matrix.shape
    call = Call(torch.nn.Identity(), batch, heads, queries, keys, causal)
    end = stop if causal else keys
    return Rows(call, start, matrix[:, :, start:stop, :end].contiguous())


def reduced(spec, matrix, causal, pieces=None):
    """The probe's raw signal, rows fed in pieces at the given cuts."""
    reducer = spec.reducer(Shape.square(matrix.shape[2], causal))
    cuts = [0, *(pieces or []), matrix.shape[2]]
    for start, stop in itertools.pairwise(cuts):
        reducer.update(chunk(matrix, start, stop, causal))
    return reducer


@pytest.fixture(params=sorted(PROBES))
def spec(request):
    return PROBES[request.param]


@pytest.fixture(params=[True, False], ids=["causal", "bidirectional"])
def causal(request, spec):
    if spec.causal_only and not request.param:
        return True
    return request.param


@pytest.mark.parametrize("positions", POSITIONS)
def test_rows_in_pieces_give_what_all_rows_give(spec, causal, positions):
    matrix = attention(positions, causal)
    whole = reduced(spec, matrix, causal).finalize()
    rng = np.random.default_rng(positions)
    for _ in range(4):
        cuts = sorted(rng.choice(np.arange(1, positions), size=3, replace=False).tolist())
        pieces = reduced(spec, matrix, causal, cuts).finalize()
        np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-9)


def test_merging_parts_in_any_order_gives_the_whole(spec, causal):
    matrix = attention(13, causal)
    whole = reduced(spec, matrix, causal).finalize()
    shape = Shape.square(13, causal)
    parts = []
    for start, stop in ((0, 4), (4, 9), (9, 13)):
        part = spec.reducer(shape)
        part.update(chunk(matrix, start, stop, causal))
        parts.append(part)
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        merged = spec.reducer(shape)
        for index in order:
            merged.merge(parts[index])
        np.testing.assert_allclose(merged.finalize(), whole, rtol=1e-6, atol=1e-9)


def test_merge_leaves_the_other_as_it_was_and_updates_go_on(spec, causal):
    matrix = attention(12, causal)
    first, second = spec.reducer(Shape.square(12, causal)), spec.reducer(Shape.square(12, causal))
    first.update(chunk(matrix, 0, 7, causal))
    second.update(chunk(matrix, 7, 12, causal))
    before = second.finalize().clone()
    first.merge(second)
    first.merge(spec.reducer(Shape.square(12, causal)))
    np.testing.assert_array_equal(second.finalize(), before)
    np.testing.assert_allclose(first.finalize(), reduced(spec, matrix, causal).finalize(), 1e-6)


def test_finalize_twice_and_after_pickling_agrees(spec, causal):
    reducer = reduced(spec, attention(12, causal), causal)
    once = reducer.finalize()
    np.testing.assert_array_equal(reducer.finalize(), once)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reducer)).finalize(), once)


def test_finalize_without_rows_is_refused(spec, causal):
    with pytest.raises(ValueError, match="before any row"):
        spec.reducer(Shape.square(12, causal)).finalize()


def test_update_does_not_change_its_input(spec, causal):
    matrix = attention(12, causal)
    copy = matrix.clone()
    reduced(spec, matrix, causal)
    np.testing.assert_array_equal(matrix, copy)


def test_signal_runs_along_the_announced_axis(spec, causal):
    shape = Shape.square(13, causal)
    signal = reduced(spec, attention(13, causal), causal).finalize()
    sizes = [len(values) for values in spec.axis_values(shape).values()]
    assert signal.shape == (2, 3, *sizes)
    assert list(spec.axis_values(shape)) == list(spec.axes)
    assert signal.dtype == torch.float64


@pytest.mark.parametrize("positions", POSITIONS)
def test_received_is_the_mean_over_queries(positions):
    matrix = attention(positions, True)
    expected = matrix.double().mean(dim=2)
    np.testing.assert_allclose(
        reduced(PROBES["received"], matrix, True).finalize(), expected, rtol=1e-6
    )


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("causal", [True, False])
def test_lag_equals_a_loop_over_queries_and_lags(positions, causal):
    matrix = attention(positions, causal).double().numpy()
    shape = Shape.square(positions, causal)
    queries = lag_queries(shape)
    expected = np.stack(
        [np.mean([matrix[..., q, q - lag] for q in queries], axis=0) for lag in lag_axis(shape)],
        axis=-1,
    )
    found = reduced(PROBES["lag"], attention(positions, causal), causal).finalize()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("positions", POSITIONS)
def test_every_lag_is_seen_by_the_same_queries_and_stays_inside(positions):
    for causal in (True, False):
        shape = Shape.square(positions, causal)
        keys = np.array(lag_queries(shape))[:, None] - lag_axis(shape)[None, :]
        assert len(lag_axis(shape)) == positions // 2
        assert keys.min() >= 0
        assert keys.max() < positions


def test_lag_queries_are_the_second_half_or_the_middle():
    assert lag_queries(Shape.square(96, True)) == range(48, 96)
    assert lag_queries(Shape.square(96, False)) == range(24, 72)
    assert lag_axis(Shape.square(96, False))[[0, -1]].tolist() == [-24, 23]


def test_previous_token_head_has_all_lag_mass_at_one():
    matrix = torch.zeros(1, 1, 16, 16)
    matrix[..., 0, 0] = 1
    matrix[..., torch.arange(1, 16), torch.arange(15)] = 1
    found = reduced(PROBES["lag"], matrix, True).finalize()[0, 0]
    np.testing.assert_array_equal(found, np.eye(8)[1])


def test_sink_head_gives_all_attention_to_the_first_token():
    matrix = torch.zeros(1, 1, 16, 16)
    matrix[..., 0] = 1
    np.testing.assert_array_equal(
        reduced(PROBES["received"], matrix, True).finalize()[0, 0], np.eye(16)[0]
    )
    # Key 0 lies M or more tokens before the queries of the lag probe, but for the first one.
    assert float(reduced(PROBES["lag"], matrix, True).finalize().sum()) == 0.0


def test_uniform_causal_attention_receives_harmonic_sums():
    matrix = (torch.ones(16, 16).tril() / torch.arange(1, 17)[:, None])[None, None]
    expected = np.array([sum(1 / (q + 1) for q in range(k, 16)) / 16 for k in range(16)])
    np.testing.assert_allclose(
        reduced(PROBES["received"], matrix, True).finalize()[0, 0], expected, rtol=1e-6
    )


def test_last_query_is_the_last_row():
    matrix = attention(12, True)
    np.testing.assert_array_equal(
        reduced(PROBES["last_query"], matrix, True, [5]).finalize(), matrix[:, :, -1].double()
    )


def test_unknown_probe_lists_the_known_ones():
    known = r"did you mean 'received'\? allowed: character_lag, lag, last_query"
    with pytest.raises(PipelineError, match=known):
        get_probe("recieved")


def by_hand(matrix, places, causal):
    """Attention by characters, one query and key at a time."""
    batch, heads, count, _ = matrix.shape
    shape = Shape.square(count, causal)
    lags = lag_axis(shape)
    found = np.full((batch, heads, len(lags)), np.nan)
    for one in range(batch):
        text = [p for p in range(count) if places[one][p] >= 0]
        low, high = (f(places[one][p] for p in text) for f in (min, max))
        asked = [
            q
            for q in lag_queries(shape)
            if q in text and places[one][q] - lags[-1] >= low and places[one][q] - lags[0] <= high
        ]
        for column, lag in enumerate(lags):
            pairs = [(q, k) for q in asked for k in text if places[one][q] - places[one][k] == lag]
            if asked:
                total = sum(matrix[one, :, q, k].numpy() for q, k in pairs)
                found[one, :, column] = total / len(asked)
    return found


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("cuts", [[], [5, 11, 12, 17]])
def test_attention_by_characters_is_the_sum_over_pairs(causal, cuts):
    matrix = attention(20, causal)
    rng = np.random.default_rng(5)
    lengths = rng.integers(0, 4, (2, 20))
    places = np.cumsum(lengths, axis=1) - lengths
    places[:, 0] = -1
    places[1, 14] = -1
    shape = Shape(20, 20, causal, places=torch.as_tensor(places))
    reducer = PROBES["character_lag"].reducer(shape)
    for start, stop in itertools.pairwise([0, *cuts, 20]):
        reducer.update(chunk(matrix, start, stop, causal))
    expected = by_hand(matrix, places, causal)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(reducer.finalize(), expected, rtol=1e-5, atol=1e-8)
    assert float(reducer.finalize().sum(-1).max()) <= 1 + 1e-6


def test_where_tokens_are_characters_the_probe_is_lag():
    for ahead in (True, False):
        matrix = attention(24, ahead)
        lag, character = (reduced(PROBES[n], matrix, ahead) for n in ("lag", "character_lag"))
        np.testing.assert_allclose(character.finalize(), lag.finalize(), rtol=1e-5, atol=1e-9)


def test_a_sink_outside_the_axis_does_not_enter_where_tokens_are_short():
    matrix = torch.zeros(1, 1, 64, 64)
    matrix[..., 0] = 0.9
    matrix[0, 0].diagonal().fill_(0.1)
    # Half a character a token: only the last queries' text reaches 31 characters back.
    places = torch.arange(64)[None] // 2
    reducer = PROBES["character_lag"].reducer(Shape(64, 64, True, places=places))
    reducer.update(chunk(matrix, 0, 64, True))
    found = reducer.finalize()[0, 0]
    assert float(found.sum()) == pytest.approx(1)
    assert float(found[0]) == pytest.approx(0.1)
    assert float(found[31]) == pytest.approx(0.9)


def test_a_text_that_no_query_has_at_every_distance_is_unknown():
    places = torch.tensor([[-1] + [0] * 9 + list(range(1, 7)), list(range(16))])
    reducer = PROBES["character_lag"].reducer(Shape(16, 16, True, places=places))
    reducer.update(chunk(attention(16, True), 0, 16, True))
    found = reducer.finalize()
    assert torch.isnan(found[0]).all()
    assert torch.isfinite(found[1]).all()
