"""Rows with a band changed: what is taken, what stays, and what the controls share with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attention_wavelets.causal.rows import band_of, edit_row, removed_share

COUNTS = [2, 3, 16, 31, 64]


def rows(count: int) -> torch.Tensor:
    """Rows far from 0, so that nothing has to be cut off."""
    drawn = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(count, 200.0), (3, 4)))
    return drawn.double()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def energies(values: torch.Tensor) -> torch.Tensor:
    return torch.fft.fft(values).abs().square()


@pytest.mark.parametrize("count", COUNTS)
def test_bands_share_the_bins_among_them_and_never_take_the_mean(count):
    bands = [band_of(count, *edges) for edges in ((0, 0.25), (0.25, 0.75), (0.75, 1))]
    together = torch.stack(bands).sum(0)
    assert together[0] == 0
    assert (together[1:] == 1).all()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("method", ["band", "random_band", "random_phase"])
def test_an_empty_band_changes_no_number(count, method):
    before = rows(count)
    assert edit_row(before, band_of(count, 0.5, 0.5), method, generator()) is before


@pytest.mark.parametrize("count", [16, 31, 64])
def test_a_band_is_gone_and_the_rest_is_as_it_was(count):
    before = rows(count)
    band = band_of(count, 0.25, 0.75)
    after = edit_row(before, band, "band")
    torch.testing.assert_close(removed_share(before, after, band), torch.ones(3, 4).double())
    kept = ~band
    one, two = (torch.fft.rfft(x)[..., kept] for x in (before, after))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("count", [16, 31, 64])
def test_the_control_takes_as_much_energy_from_elsewhere(count):
    before = rows(count)
    band = band_of(count, 0.1, 0.3)
    taken, control = (
        before - edit_row(before, band, method, generator()) for method in ("band", "random_band")
    )
    # Where the band has most of the energy, all others have is taken.
    asked, there = energies(taken).sum(-1), energies(before)[..., 1:].sum(-1)
    expected = torch.minimum(asked, there - asked)
    assert (expected == asked).float().mean() > 0.9
    torch.testing.assert_close(energies(control).sum(-1), expected)
    assert float(torch.fft.rfft(control)[..., band].abs().max()) < 1e-12


@pytest.mark.parametrize("count", [16, 31, 64])
def test_other_phases_keep_the_spectrum(count):
    before = rows(count)
    after = edit_row(before, band_of(count, 0, 1), "random_phase", generator())
    torch.testing.assert_close(energies(after), energies(before))
    assert not torch.allclose(after, before, atol=1e-4)


@pytest.mark.parametrize("method", ["band", "random_band", "random_phase"])
def test_what_comes_out_is_attention(method):
    """Of peaked rows much is cut off; mass stays, and what was really taken is said."""
    before = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(64, 0.05), (3, 4)))
    band = band_of(64, 0.25, 0.75)
    after = edit_row(before, band, method, generator())
    assert (after >= 0).all()
    torch.testing.assert_close(after.sum(-1), before.sum(-1))
    if method == "band":
        share = removed_share(before, after, band)
        assert (share < 0.999).any()
        assert (share > 0.2).all()
