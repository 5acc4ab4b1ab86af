"""Which heads are knocked out together, and which others they are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["by_layer", "doses", "matched", "strongest"]

Heads = NDArray[np.intp]


def doses(count: int, shares: Sequence[float]) -> dict[int, float]:
    """Number of heads to knock out -> the smallest share that asks for it; at least one head.

    Small models have fewer heads than shares ask for: several shares are then one number.
    """
    found: dict[int, float] = {}
    for share in sorted(shares):
        found.setdefault(max(1, round(share * count)), share)
    return found


def strongest(scores: ArrayLike, count: int, excluded: ArrayLike | None = None) -> Heads:
    """The heads with the highest scores, (count, 2): layer and head.

    Parameters
    ----------
    scores
        (layer, head), such as each head's share of power in a band; NaN is never chosen.
    count
        How many.
    excluded
        Boolean (layer, head): heads that do something else as well, and are left out.

    Raises
    ------
    ValueError
        Fewer heads are left than asked for.
    """
    table = np.array(scores, dtype=np.float64)
    if excluded is not None:
        table[np.asarray(excluded, dtype=bool)] = np.nan
    known = int(np.count_nonzero(~np.isnan(table)))
    if known < count:
        raise ValueError(f"{count} heads are asked for and {known} can be chosen")
    # Ties go to the lower layer, so that the choice does not depend on the sort.
    order = np.argsort(np.where(np.isnan(table), np.inf, -table).ravel(), kind="stable")[:count]
    return np.stack(np.unravel_index(order, table.shape), axis=1)


def matched(
    chosen: Heads,
    norms: ArrayLike,
    random: np.random.Generator,
    excluded: ArrayLike | None = None,
    *,
    factor: float = 2.0,
) -> tuple[Heads, NDArray[np.bool_]]:
    """As many other heads of the same layers whose outputs are about as large.

    For each chosen head one is drawn among those of its layer that are not chosen and whose norm is
    within `factor` of its own; without any the nearest in norm, and in a layer that is used up the
    nearest of another one.

    Parameters
    ----------
    chosen
        (count, 2), layer and head.
    norms
        (layer, head), mean norm of what each head adds to the stream.
    random
        Of the draws.
    excluded
        Boolean (layer, head): heads that are left out here too.
    factor
        At least 1.

    Returns
    -------
    tuple
        (count, 2), no head twice and none of `chosen`. And boolean (count, ): whether each is of
        the layer and the size of its own, and not the nearest that was left.

    Raises
    ------
    ValueError
        Fewer heads are left than chosen.
    """
    size = np.log(np.maximum(np.asarray(norms, dtype=np.float64), np.finfo(np.float64).tiny))
    free = np.ones(size.shape, dtype=bool)
    if excluded is not None:
        free &= ~np.asarray(excluded, dtype=bool)
    free[chosen[:, 0], chosen[:, 1]] = False
    if free.sum() < len(chosen):
        raise ValueError(f"{len(chosen)} heads are asked for and {int(free.sum())} are left")
    found, like = [], np.zeros(len(chosen), dtype=bool)
    for place, (layer, head) in enumerate(chosen):
        distance = np.abs(size - size[layer, head])
        own = free & (np.arange(len(size)) == layer)[:, None]
        near = own & (distance <= np.log(factor))
        like[place] = near.any()
        if like[place]:
            options = np.argwhere(near)
            taken = options[random.integers(len(options))]
        else:
            there = own if own.any() else free
            taken = np.array(
                np.unravel_index(np.argmin(np.where(there, distance, np.inf)), free.shape)
            )
        free[tuple(taken)] = False
        found.append(taken)
    return np.array(found, dtype=np.intp).reshape(-1, 2), like


def by_layer(heads: Heads, names: Sequence[str]) -> dict[str, list[int]]:
    """Name of an attention module -> its heads, as `causal.losses.head_edit` takes them."""
    found: dict[str, list[int]] = {}
    for layer, head in heads:
        found.setdefault(names[layer], []).append(int(head))
    return {name: sorted(each) for name, each in found.items()}
