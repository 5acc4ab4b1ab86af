"""Rows of attention with a band of frequencies removed, and what such a change is compared with.

A row of query q is filtered over the q + 1 keys that it may see, by the discrete Fourier transform
of that length. The mean is never touched. Filtered rows can be negative: they are cut off at 0 and
scaled to the mass they had, which puts some of the removed power back.

Transforms of many lengths are one product of matrices for a block of rows, which on short rows is
several times faster than a fast transform of each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from attention_wavelets.resources.memory import BASES_BYTES

__all__ = ["BLOCK", "Bases", "Basis", "Method", "edit_rows"]

Method = Literal["band", "random_band", "random_phase"]

# Rows that are transformed and drawn together.
BLOCK = 32


class Basis(NamedTuple):
    """Real Fourier transforms of R lengths, without the mean.

    waves
        (R, K, 2 * M), orthonormal waves of each length, M cosines before M sines; 0 beyond a
        length, and where a length has no such wave.
    inside
        Boolean (R, M): which frequencies are in the band.
    real
        Boolean (R, M): those at the Nyquist frequency, which have no sine.
    """

    waves: Tensor
    inside: Tensor
    real: Tensor

    @classmethod
    def of(cls, counts: Sequence[int], low: float, high: float, everything: bool) -> Basis:
        """Of rows of `counts` numbers, for a band [low, high) of Nyquist.

        Frequencies are shares of the Nyquist frequency, 0 to 1; the highest belongs to a band that
        ends at 1. Those outside the band are left out unless `everything` is asked for.
        """
        lengths = torch.tensor(counts, dtype=torch.float64)[:, None]
        most = int(lengths.max())
        bins = torch.arange(1, most // 2 + 1, dtype=torch.float64)
        share = 2 * bins / lengths
        there = share <= 1
        inside = there & (share >= low) & ((share < high) | ((high >= 1) & (share == 1)))
        real = share == 1
        kept = (there if everything else inside).any(0)
        bins, there, inside, real = bins[kept], there[:, kept], inside[:, kept], real[:, kept]
        used = there if everything else inside
        time = torch.arange(most, dtype=torch.float64)
        # Whole turns are taken away first, so that angles are exact to the last digits.
        turns = (bins * time[:, None]) % lengths[:, :, None] / lengths[:, :, None]
        size = torch.where(real, 1.0, 2.0) / lengths
        size = (size * used).sqrt()[:, None] * (time[:, None] < lengths[:, :, None])
        angle = 2 * torch.pi * turns
        waves = torch.cat([angle.cos() * size, angle.sin() * size * ~real[:, None]], dim=-1)
        return cls(waves.float(), inside, real)

    def to(self, device: torch.device) -> Basis:
        """The same on a device."""
        return Basis(*(part.to(device) for part in self))

    def part(self, start: int, stop: int, most: int) -> Basis:
        """That of some of the rows, none of them longer than `most`."""
        rows = slice(start, stop)
        return Basis(self.waves[rows, :most], self.inside[rows], self.real[rows])


class Bases:
    """The bases of a band's blocks, kept for the next layer as far as there is room."""

    def __init__(self, low: float, high: float, method: Method) -> None:
        """Of a band of Nyquist; the amount of other bins needs all of them."""
        self._edges = low, high, method == "random_band"
        self._known: OrderedDict[tuple[tuple[int, ...], torch.device], Basis] = OrderedDict()

    def of(self, counts: Sequence[int], device: torch.device) -> Basis:
        """The basis of rows of so many numbers."""
        key = tuple(counts), device
        if key not in self._known:
            self._known[key] = Basis.of(counts, *self._edges).to(device)
            held = sum(basis.waves.nbytes for basis in self._known.values())
            while held > BASES_BYTES and len(self._known) > 1:
                held -= self._known.popitem(last=False)[1].waves.nbytes
        return self._known[key]


def edit_rows(rows: Tensor, basis: Basis, method: Method, drawn: Tensor | None = None) -> Tensor:
    """Rows with a band changed.

    Parameters
    ----------
    rows
        (R, N, K), N of each length; non-negative, 0 beyond their length.
    basis
        Of these lengths and the band; of all frequencies for `random_band`.
    method
        `band` removes it. `random_band` takes as much energy from the other frequencies, in random
        shares and as far as they have it: the control for the amount. `random_phase` keeps every
        magnitude in the band and draws its phases: the spectrum stays, where attention falls does
        not.
    drawn
        (R, N, M), uniform in [0, 1), for the random methods.

    Returns
    -------
    Tensor
        Non-negative, with the mass of `rows`. A row without a frequency in the band stays as it is.
    """
    if not bool(basis.inside.any()):
        return rows
    waves = basis.waves.to(rows.dtype)
    found = torch.bmm(rows, waves)
    if method == "band":
        change = found.neg_()
    elif drawn is None:
        raise ValueError(f"{method} needs random numbers")
    elif method == "random_band":
        change = _as_much_elsewhere(found, basis.inside[:, None], drawn)
    else:
        change = _other_phases(found, basis.real[:, None], drawn)
    filtered = torch.baddbmm(rows, change, waves.transpose(1, 2)).clamp_(min=0)
    mass, now = rows.sum(-1, keepdim=True), filtered.sum(-1, keepdim=True)
    filtered *= mass / now.clamp(min=torch.finfo(rows.dtype).tiny)
    touched = basis.inside.any(1)[:, None, None]
    return filtered if bool(touched.all()) else torch.where(touched, filtered, rows)


def _as_much_elsewhere(found: Tensor, inside: Tensor, drawn: Tensor) -> Tensor:
    """The difference that scaling others in random shares makes: as much energy as the band has."""
    even, odd = found.chunk(2, dim=-1)
    there = (even * even).addcmul_(odd, odd)
    asked = (there * inside).sum(-1, keepdim=True)
    there.masked_fill_(inside, 0)
    # In two rounds: first in the drawn shares, then evenly from what is left of each frequency.
    taken = there * drawn
    share = (asked / taken.sum(-1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)
    taken *= share
    gone = taken.sum(-1, keepdim=True)
    left = (there.sum(-1, keepdim=True) - gone).clamp(min=1e-30)
    even_share = ((asked - gone).clamp(min=0) / left).clamp(max=1.0)
    taken.addcmul_(there - taken, even_share)
    # Of a frequency scaled by 1 - s the difference has s^2 of its energy.
    size = taken.div_(there.clamp_(min=1e-30)).clamp_(max=1.0).sqrt_().neg_()
    even *= size
    odd *= size
    return found


def _other_phases(found: Tensor, real: Tensor, drawn: Tensor) -> Tensor:
    """The difference that another phase makes; at the Nyquist frequency a sign is all there is."""
    even, odd = found.chunk(2, dim=-1)
    angle = 2 * torch.pi * drawn
    sine, cosine = angle.sin(), angle.cos_()
    if bool(real.any()):
        cosine = torch.where(real, torch.where(cosine < 0, -1.0, 1.0), cosine)
    cosine -= 1
    change = torch.empty_like(found)
    torch.mul(even, cosine, out=change[..., : even.shape[-1]]).addcmul_(odd, sine, value=-1)
    torch.mul(odd, cosine, out=change[..., even.shape[-1] :]).addcmul_(even, sine)
    return change
