"""Rows with a band changed: what is taken, what stays, and what the controls share with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attention_wavelets.causal import rows as module
from attention_wavelets.causal.rows import EVERYTHING, Waves, edit_rows

COUNTS = [2, 3, 16, 31, 64]
METHODS = ["band", "band_part", "random_band", "random_phase"]


def ragged(counts: list[int], spread: float = 200.0, number: int = 12) -> torch.Tensor:
    """Rows of several lengths, (R, number, K); with the default far from 0: nothing is cut off."""
    random = np.random.default_rng(0)
    found = np.zeros((len(counts), number, max(counts)))
    for row, count in zip(found, counts, strict=True):
        row[:, :count] = random.dirichlet(np.full(count, spread), number)
    return torch.from_numpy(found)


def inside(count: int, low: float, high: float) -> np.ndarray:
    """Which bins of numpy's transform are in the band."""
    share = np.arange(count // 2 + 1) * 2 / count
    return (share > 0) & (share >= low) & ((share < high) | ((high >= 1) & (share >= 1)))


def changed(counts: list[int], low: float, high: float, method: str, **given) -> tuple:
    """Rows before and after, one pair of numpy arrays (number, count) of each length."""
    before = ragged(counts, **given)
    waves = Waves.of(counts, low, high, method in EVERYTHING)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(*before.shape[:2], len(waves.bins), generator=generator)
    after, _ = edit_rows(before, waves, method, drawn.double())
    for count, row in zip(counts, after, strict=True):
        assert not row[:, count:].any()
    return tuple(
        [row[:, :count].numpy() for count, row in zip(counts, part, strict=True)]
        for part in (before, after)
    )


@pytest.mark.parametrize("edges", [(0, 0.25), (0.25, 0.75), (0.75, 1), (0, 1)])
def test_waves_are_orthonormal_and_those_of_the_band(edges):
    found = Waves.of(COUNTS, *edges, everything=False)
    assert found.matrices is not None
    for row, count in enumerate(COUNTS):
        waves = found.matrices[row].double()
        assert not waves[count:].any()
        used = waves[:, waves.abs().sum(0) > 0]
        bins = inside(count, *edges)
        sines = bins & (np.arange(len(bins)) * 2 < count)
        assert used.shape[1] == bins.sum() + sines.sum()
        one = torch.eye(used.shape[1], dtype=torch.float64)
        torch.testing.assert_close(used.T @ used, one, atol=1e-6, rtol=0)
        spectrum = np.abs(np.fft.rfft(used[:count].numpy(), axis=0))
        assert spectrum[~bins].max(initial=0) < 1e-5


@pytest.mark.parametrize("count", COUNTS)
def test_bands_share_the_frequencies_among_them(count):
    edges = ((0, 0.25), (0.25, 0.75), (0.75, 1))
    bands = [Waves.of([count], *band, True).inside for band in edges]
    assert (torch.stack(bands).sum(0) == 1).all()
    assert bands[0].shape == (1, count // 2)


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_band_changes_no_number(method):
    before = ragged(COUNTS)
    waves = Waves.of(COUNTS, 0.5, 0.5, method in EVERYTHING)
    after, share = edit_rows(before, waves, method)
    assert after is before
    assert share.isnan().all()


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_a_frequency_in_the_band_stay_as_they_are(method):
    before, after = changed(COUNTS, 0.1, 0.3, method)
    untouched = [not inside(count, 0.1, 0.3).any() for count in COUNTS]
    assert untouched == [True, True, False, False, False]
    for same, one, two in zip(untouched, before, after, strict=True):
        assert np.array_equal(one, two) is same


def test_a_band_is_gone_and_the_rest_is_as_it_was():
    for one, two in zip(*changed(COUNTS, 0.25, 0.75, "band"), strict=True):
        spectrum = np.fft.rfft(one)
        spectrum[:, inside(one.shape[1], 0.25, 0.75)] = 0
        expected = np.fft.irfft(spectrum, n=one.shape[1])
        np.testing.assert_allclose(two, expected, atol=1e-7)


def test_the_control_takes_as_much_energy_from_elsewhere():
    counts = [16, 31, 64]
    before, taken = changed(counts, 0.1, 0.3, "band")
    _, control = changed(counts, 0.1, 0.3, "random_band")
    for one, two, other in zip(before, taken, control, strict=True):
        asked, given = (np.square(one - x).sum(-1) for x in (two, other))
        there = np.square(one - one.mean(-1, keepdims=True)).sum(-1)
        # Where the band has most of the energy, all others have is taken.
        expected = np.minimum(asked, there - asked)
        assert (expected == asked).mean() > 0.9
        np.testing.assert_allclose(given, expected, rtol=1e-4)
        within = np.fft.rfft(one - other)[:, inside(one.shape[1], 0.1, 0.3)]
        assert np.abs(within).max() < 1e-7


@pytest.mark.parametrize("edges", [(0, 0.25), (0.25, 0.75), (0, 1)])
def test_part_of_a_band_has_the_energy_that_is_taken_elsewhere(edges):
    """In every row, also where the band has most of the energy; nothing is cut off here."""
    counts = [16, 31, 64]
    smooth = ragged(counts)
    for row, count in zip(smooth, counts, strict=True):
        # Slow rises: nearly all energy lies in the low band, as in real attention.
        rise = torch.linspace(1, 2, count, dtype=torch.float64)
        row[:6, :count] = rise / rise.sum() + 0.01 * (row[:6, :count] - 1 / count)
    waves = Waves.of(counts, *edges, everything=True)
    drawn = torch.rand(3, 12, len(waves.bins), generator=torch.Generator().manual_seed(1))
    found = {
        method: edit_rows(smooth, waves, method, drawn.double())
        for method in ("band_part", "random_band", "random_phase")
    }
    whole, full_share = edit_rows(smooth, Waves.of(counts, *edges, everything=False), "band")
    asked = (whole - smooth).square().sum(-1)
    energy = {m: (rows - smooth).square().sum(-1) for m, (rows, _) in found.items()}
    torch.testing.assert_close(energy["band_part"], energy["random_band"], rtol=1e-4, atol=1e-10)
    assert (energy["band_part"] <= asked * 1.0001).all()
    if edges != (0.25, 0.75):
        assert (energy["random_band"] < 0.5 * asked).any(), "others have less than the band"
    assert (full_share == 1).all()
    for method, (_, share) in found.items():
        torch.testing.assert_close(share, energy[method] / asked, rtol=1e-4, atol=1e-6)
    # Every row of the band keeps its shape.
    kept = found["band_part"][0] - smooth
    size = (energy["band_part"] / asked).sqrt()[..., None]
    torch.testing.assert_close(kept, size * (whole - smooth), rtol=1e-4, atol=1e-8)


def test_drawn_phases_have_about_twice_the_energy_of_the_band():
    rows = ragged([64], number=400)
    drawn = torch.rand(1, 400, 32, generator=torch.Generator().manual_seed(1)).double()
    _, share = edit_rows(rows, Waves.of([64], 0, 1, False), "random_phase", drawn)
    assert share.mean().item() == pytest.approx(2, abs=0.1)


def test_other_phases_keep_the_spectrum():
    for one, two in zip(*changed([16, 31, 64], 0, 1, "random_phase"), strict=True):
        np.testing.assert_allclose(
            *(np.abs(np.fft.rfft(x)) for x in (two, one)), rtol=1e-3, atol=1e-6
        )
        assert np.abs(two - one).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_out_is_attention(method):
    """Of peaked rows much is cut off; mass stays, and some of the removed power comes back."""
    before, after = changed([40, 64], 0.25, 0.75, method, spread=0.05)
    for one, two in zip(before, after, strict=True):
        assert (two >= 0).all()
        np.testing.assert_allclose(two.sum(-1), one.sum(-1), rtol=1e-5)
        if method == "band":
            kept = inside(one.shape[1], 0.25, 0.75)
            old, new = (np.square(np.abs(np.fft.rfft(x)))[:, kept].sum(-1) for x in (one, two))
            assert (new > 0.001 * old).any()
            assert (new < 0.8 * old).all()


def test_random_methods_need_random_numbers():
    with pytest.raises(ValueError, match="random_phase needs random numbers"):
        edit_rows(ragged([8, 9]), Waves.of([8, 9], 0, 1, False), "random_phase")


@pytest.mark.parametrize("edges", [(0, 0.25), (0.25, 0.75), (0.75, 1), (0, 1)])
@pytest.mark.parametrize("everything", [True, False])
def test_long_rows_have_the_same_transform(monkeypatch, edges, everything):
    """By a fast transform of each row, what matrices give."""
    counts = list(range(2, 34))
    rows = ragged(counts)
    short = Waves.of(counts, *edges, everything)
    monkeypatch.setattr(module, "LONGEST", 0)
    long = Waves.of(counts, *edges, everything)
    assert short.matrices is not None
    assert long.matrices is None
    one, two = (waves.transformed(rows) for waves in (short, long))
    torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    random = torch.from_numpy(np.random.default_rng(0).standard_normal(one.shape))
    random *= (short.matrices.abs().sum(1) > 0)[:, None]
    one, two = (waves.added(rows, random) for waves in (short, long))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_long_rows_are_changed_alike(monkeypatch, method):
    short = changed(COUNTS, 0.2, 0.7, method)[1]
    monkeypatch.setattr(module, "LONGEST", 0)
    for one, two in zip(short, changed(COUNTS, 0.2, 0.7, method)[1], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6)
