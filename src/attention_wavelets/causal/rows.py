"""Rows of attention with a band of frequencies removed, and what such a change is compared with.

A row of query q is filtered over the q + 1 keys that it may see, by its own discrete Fourier
transform. The mean is never touched. Filtered rows can be negative: they are cut off at 0 and
scaled to the mass they had, which puts some of the removed power back; `removed_share` says what
was really taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Method", "band_of", "edit_row", "removed_share"]

Method = Literal["band", "random_band", "random_phase"]


@lru_cache(maxsize=4096)
def band_of(count: int, low: float, high: float) -> Tensor:
    """Which bins of a real transform of `count` numbers lie in [low, high) of Nyquist, DC never.

    Frequencies are shares of the Nyquist frequency, 0 to 1; the highest bin belongs to a band that
    ends at 1. Kept, for every layer asks for the same: do not change it.
    """
    bins = torch.arange(count // 2 + 1) * 2.0 / count
    inside = (bins >= low) & (bins < high)
    if high >= 1:
        inside |= bins >= 1
    inside[0] = False
    return inside


def edit_row(
    rows: Tensor, band: Tensor, method: Method, generator: torch.Generator | None = None
) -> Tensor:
    """Rows (..., n) with a band changed.

    Parameters
    ----------
    rows
        Non-negative, at least two numbers each.
    band
        Boolean (n // 2 + 1,), as `band_of` gives.
    method
        `band` removes it. `random_band` takes as much energy from the other bins, in random shares
        and as far as they have it: the control for the amount. `random_phase` keeps every magnitude
        in the band and draws its phases: the spectrum stays, where attention falls does not.
    generator
        For the random methods.

    Returns
    -------
    Tensor
        Non-negative, with the mass of `rows`. Without a bin in the band, `rows` itself.
    """
    if not bool(band.any()):
        return rows
    count = rows.shape[-1]
    spectrum = torch.fft.rfft(rows)
    band = band.to(rows.device)
    if method == "band":
        changed = spectrum.masked_fill(band, 0)
    elif method == "random_band":
        changed = _as_much_elsewhere(spectrum, band, count, generator)
    else:
        changed = _other_phases(spectrum, band, count, generator)
    filtered = torch.fft.irfft(changed, n=count).clamp(min=0)
    mass = rows.sum(-1, keepdim=True)
    return filtered * mass / filtered.sum(-1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)


def removed_share(before: Tensor, after: Tensor, band: Tensor) -> Tensor:
    """Share of the band's energy that is gone, (...); NaN where there was none."""
    kept = band.to(before.device)
    old, new = (torch.fft.rfft(x).abs().square()[..., kept].sum(-1) for x in (before, after))
    return 1 - new / old


def _weights(count: int, like: Tensor) -> Tensor:
    """How often a bin of the half spectrum stands in the whole: twice, but for DC and Nyquist."""
    found = torch.full((count // 2 + 1,), 2.0, dtype=like.dtype, device=like.device)
    found[0] = 1
    if count % 2 == 0:
        found[-1] = 1
    return found


def _as_much_elsewhere(
    spectrum: Tensor, band: Tensor, count: int, generator: torch.Generator | None
) -> Tensor:
    """Other bins scaled down in random shares: as much energy is removed as the band has."""
    weights = _weights(count, spectrum.real)
    energy = spectrum.abs().square() * weights
    asked = energy[..., band].sum(-1, keepdim=True)
    others = ~band
    others[0] = False
    there = energy * others
    drawn = torch.rand(spectrum.shape, generator=generator, dtype=weights.dtype).to(spectrum.device)
    wanted = there * drawn
    # In two rounds: first in the drawn shares, then evenly from what is left of each bin.
    share = (asked / wanted.sum(-1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    taken = wanted * share
    left = there - taken
    lacking = (asked - taken.sum(-1, keepdim=True)).clamp(min=0)
    taken = taken + left * (lacking / left.sum(-1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    # Of a bin scaled by s the difference has |1 - s|^2 of its energy.
    scale = 1 - (taken / there.clamp(min=1e-30)).clamp(max=1.0).sqrt()
    return torch.where(others, spectrum * scale, spectrum)


def _other_phases(
    spectrum: Tensor, band: Tensor, count: int, generator: torch.Generator | None
) -> Tensor:
    # Of the band alone: turning numbers is what takes longest.
    size = (*spectrum.shape[:-1], int(band.sum()))
    turn = torch.rand(size, generator=generator, dtype=spectrum.real.dtype)
    angle = 2 * torch.pi * turn.to(spectrum.device)
    phase = torch.polar(torch.ones_like(angle), angle)
    if count % 2 == 0 and bool(band[-1]):
        # The highest bin of a real row is real: its sign is all that can be drawn.
        phase[..., -1] = torch.where(phase[..., -1].real < 0, -1.0, 1.0)
    changed = spectrum.clone()
    changed[..., band] *= phase
    return changed
