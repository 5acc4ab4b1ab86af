"""Rows of attention with a band of frequencies removed, and what such a change is compared with.

A row of query q is filtered over the keys that it may see, q + 1 or as many as a window holds, by
the discrete Fourier transform of that length. The mean is never touched. Filtered rows can be
negative: they are cut off at 0 and scaled to the mass they had, which puts some of the removed
power back.

Transforms of many short lengths are one product of matrices, several times faster than a fast
transform of each; long rows have the fast transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

__all__ = ["BLOCK", "DRAWN", "EVERYTHING", "LONGEST", "Method", "Waves", "edit_rows"]

Method = Literal["band", "band_part", "random_band", "random_phase"]
# Methods that read frequencies outside the band too, and those that draw.
EVERYTHING = frozenset({"band_part", "random_band"})
DRAWN = frozenset({"random_band", "random_phase"})

# Rows that are transformed and drawn together.
BLOCK = 32
# Keys up to which rows are transformed by matrices: 179 MiB for all blocks and all frequencies.
LONGEST = 512


@dataclass(frozen=True, eq=False)
class Waves:
    """Orthonormal real Fourier transforms of R lengths, without the mean.

    A transform is M cosines and then M sines, 0 where a length has no such wave.

    counts
        The lengths.
    bins
        (M,), cycles of each frequency in a row.
    inside
        Boolean (R, M): which frequencies are in the band.
    used
        Boolean (R, M): which frequencies a length has and are asked for.
    matrices
        (R, K, 2 * M) float32 for rows of up to `LONGEST` keys; else None.
    """

    counts: tuple[int, ...]
    bins: Tensor
    inside: Tensor
    used: Tensor
    matrices: Tensor | None = field(repr=False)

    @classmethod
    def of(cls, counts: Sequence[int], low: float, high: float, everything: bool) -> Waves:
        """Of rows of `counts` numbers, for a band [low, high) of Nyquist.

        Frequencies are shares of the Nyquist frequency, 0 to 1; the highest belongs to a band that
        ends at 1. Those outside the band are left out unless `everything` is asked for.
        """
        lengths = torch.tensor(counts, dtype=torch.float64)[:, None]
        bins = torch.arange(1, max(counts) // 2 + 1, dtype=torch.float64)
        share = 2 * bins / lengths
        there = share <= 1
        inside = there & (share >= low) & ((share < high) | ((high >= 1) & (share == 1)))
        used = there if everything else inside
        kept = used.any(0)
        bins, used, inside = bins[kept], used[:, kept], inside[:, kept]
        matrices = _matrices(lengths, bins, used) if max(counts) <= LONGEST else None
        return cls(tuple(counts), bins.long(), inside, used, matrices)

    def to(self, device: torch.device) -> Waves:
        """The same on a device."""
        parts = (self.bins, self.inside, self.used)
        matrices = None if self.matrices is None else self.matrices.to(device)
        return Waves(self.counts, *(part.to(device) for part in parts), matrices)

    def part(self, start: int, stop: int) -> Waves:
        """That of some of the rows."""
        rows = slice(start, stop)
        counts = self.counts[rows]
        matrices = None if self.matrices is None else self.matrices[rows, : max(counts)]
        return Waves(counts, self.bins, self.inside[rows], self.used[rows], matrices)

    @cached_property
    def real(self) -> Tensor:
        """Boolean (R, M): the Nyquist frequency, which has no sine."""
        lengths = torch.tensor(self.counts, device=self.bins.device)[:, None]
        return 2 * self.bins == lengths

    def transformed(self, rows: Tensor) -> Tensor:
        """(R, N, K) to (R, N, 2 * M)."""
        if self.matrices is not None:
            return torch.bmm(rows, self.matrices.to(rows.dtype))
        found = rows.new_zeros((*rows.shape[:2], 2 * len(self.bins)))
        for count, row, out in zip(self.counts, rows, found, strict=True):
            first, last = self._range(count)
            part = torch.fft.rfft(row[:, :count])[:, first:last] * (2 / count) ** 0.5
            out[:, : last - first] = part.real
            torch.neg(part.imag, out=out[:, len(self.bins) :][:, : last - first])
        # The Nyquist frequency has half the energy that others have, and no sine.
        height = torch.where(self.real, 0.5**0.5, 1.0) * self.used
        return found.mul_(height.repeat(1, 2)[:, None])

    def added(self, rows: Tensor, change: Tensor) -> Tensor:
        """Rows with the waves of a change (R, N, 2 * M) on top."""
        if self.matrices is not None:
            back = self.matrices.to(rows.dtype).transpose(1, 2)
            return torch.baddbmm(rows, change, back)
        even, odd = change.chunk(2, dim=-1)
        # All but the Nyquist frequency stand for two of the whole transform.
        height = torch.where(self.real, 2**0.5, 1.0)[:, None]
        spectra = torch.complex(even * height, -odd)
        found = rows.clone()
        for count, row, part in zip(self.counts, found, spectra, strict=True):
            first, last = self._range(count)
            whole = part.new_zeros((len(part), count // 2 + 1))
            torch.mul(part[:, : last - first], (count / 2) ** 0.5, out=whole[:, first:last])
            row[:, :count] += torch.fft.irfft(whole, n=count)
        return found

    def _range(self, count: int) -> tuple[int, int]:
        """The bins that a transform of that length has: they follow each other."""
        first, last = self._ends
        return min(first, count // 2 + 1), min(last, count // 2) + 1

    @cached_property
    def _ends(self) -> tuple[int, int]:
        return int(self.bins[0]), int(self.bins[-1])


def _matrices(lengths: Tensor, bins: Tensor, used: Tensor) -> Tensor:
    time = torch.arange(int(lengths.max()), dtype=torch.float64)[:, None]
    # Whole turns are taken away first, so that angles are exact to the last digits.
    angle = 2 * torch.pi * ((bins * time) % lengths[:, :, None] / lengths[:, :, None])
    # The cosine of the Nyquist frequency has twice the energy of others, its sine none.
    real = 2 * bins == lengths
    size = (torch.where(real, 1.0, 2.0) / lengths * used).sqrt()
    height = size[:, None] * (time < lengths[:, :, None])
    sines = angle.sin() * height * ~real[:, None]
    return torch.cat([angle.cos() * height, sines], dim=-1).float()


def edit_rows(
    rows: Tensor, waves: Waves, method: Method, drawn: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Rows with a band changed.

    Parameters
    ----------
    rows
        (R, N, K), N of each length; non-negative, 0 beyond their length.
    waves
        Of these lengths and the band; of all frequencies for methods in `EVERYTHING`.
    method
        `band` removes it. `random_band` takes as much energy from the other frequencies, in random
        shares and as far as they have it: the control for the amount. `band_part` scales the band
        down until as much energy has gone as `random_band` takes of the same row: where the others
        have enough it is `band`. `random_phase` keeps every magnitude in the band and draws its
        phases: the spectrum stays, where attention falls does not; the difference has about twice
        the energy of the band.
    drawn
        (R, N, M), uniform in [0, 1), for methods in `DRAWN`.

    Returns
    -------
    tuple
        The rows, non-negative, with the mass they had; a row without a frequency in the band stays
        as it is. And (R, N), the energy of the difference before it is cut off at 0, over that of
        removing the band; NaN where the band has none.
    """
    touched = waves.inside.any(1)
    share = rows.new_full(rows.shape[:2], torch.nan)
    if not bool(touched.any()):
        return rows, share
    found = waves.transformed(rows)
    if method == "band":
        share[touched] = 1.0
        change = found.neg_()
    else:
        energy = _energy(found)
        energy *= waves.inside[:, None]
        asked = energy.sum(-1, keepdim=True)
        if method == "band_part":
            change, given = _as_much_as_elsewhere(found, waves.inside[:, None], asked)
        elif drawn is None:
            raise ValueError(f"{method} needs random numbers")
        elif method == "random_band":
            change, given = _as_much_elsewhere(found, waves.inside[:, None], asked, drawn)
        else:
            change = _other_phases(found, waves.real[:, None], drawn)
            given = _energy(change).sum(-1, keepdim=True)
        # 0 / 0 where the band has no energy.
        share = torch.where(touched[:, None], (given / asked).squeeze(-1), share)
    filtered = waves.added(rows, change).clamp_(min=0)
    mass, now = rows.sum(-1, keepdim=True), filtered.sum(-1, keepdim=True)
    filtered *= mass / now.clamp(min=torch.finfo(rows.dtype).tiny)
    if not bool(touched.all()):
        filtered = torch.where(touched[:, None, None], filtered, rows)
    return filtered, share


def _energy(waves: Tensor) -> Tensor:
    """Of each frequency, cosine and sine together."""
    even, odd = waves.chunk(2, dim=-1)
    return (even * even).addcmul_(odd, odd)


def _as_much_as_elsewhere(found: Tensor, inside: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """The difference that scaling the band makes, with no more energy than others have."""
    there = _energy(found).masked_fill_(inside, 0).sum(-1, keepdim=True)
    given = torch.minimum(asked, there)
    # Scaled by 1 - s the band loses s^2 of its energy.
    size = (given / asked.clamp(min=1e-30)).clamp_(max=1.0).sqrt_().neg_()
    found *= (size * inside).repeat(1, 1, 2)
    return found, given


def _as_much_elsewhere(
    found: Tensor, inside: Tensor, asked: Tensor, drawn: Tensor
) -> tuple[Tensor, Tensor]:
    """The difference that scaling others in random shares makes: as much energy as the band has."""
    even, odd = found.chunk(2, dim=-1)
    there = _energy(found).masked_fill_(inside, 0)
    # In two rounds: first in the drawn shares, then evenly from what is left of each frequency.
    taken = there * drawn
    taken *= (asked / taken.sum(-1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    gone = taken.sum(-1, keepdim=True)
    left = (there.sum(-1, keepdim=True) - gone).clamp(min=1e-30)
    share = ((asked - gone).clamp(min=0) / left).clamp(max=1.0)
    taken.addcmul_(there - taken, share)
    given = taken.sum(-1, keepdim=True)
    # Of a frequency scaled by 1 - s the difference has s^2 of its energy.
    size = taken.div_(there.clamp_(min=1e-30)).clamp_(max=1.0).sqrt_().neg_()
    even *= size
    odd *= size
    return found, given


def _other_phases(found: Tensor, real: Tensor, drawn: Tensor) -> Tensor:
    """The difference that another phase makes; at the Nyquist frequency a sign is all there is."""
    even, odd = found.chunk(2, dim=-1)
    angle = 2 * torch.pi * drawn
    sine, cosine = angle.sin(), angle.cos_()
    if bool(real.any()):
        cosine = torch.where(real, torch.where(cosine < 0, -1.0, 1.0), cosine)
        sine = sine.masked_fill(real, 0)
    cosine -= 1
    change = torch.empty_like(found)
    middle = even.shape[-1]
    torch.mul(even, cosine, out=change[..., :middle]).addcmul_(odd, sine, value=-1)
    torch.mul(odd, cosine, out=change[..., middle:]).addcmul_(even, sine)
    return change
