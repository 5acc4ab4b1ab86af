"""The loss of a language model while its attention is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from attention_wavelets.attention.capture import OutputEdit, RowEdit, editing
from attention_wavelets.attention.inputs import token_inputs
from attention_wavelets.attention.rows import Call, Rows
from attention_wavelets.causal.rows import BLOCK, DRAWN, EVERYTHING, Method, Waves, edit_rows
from attention_wavelets.errors import PipelineError

__all__ = [
    "Energies",
    "Replacement",
    "band_edit",
    "head_edit",
    "head_outputs",
    "rotary_rewritten",
    "rotary_tables",
    "rotary_zeroed",
    "sequence_losses",
]

# Keeps draws of rows apart from other uses of a seed.
_ROWS_STREAM = 0x524F5753

Replacement = Literal["mean", "resample", "zero"]


def sequence_losses(
    model: nn.Module,
    ids: NDArray[np.integer[Any]],
    *,
    rows: RowEdit | None = None,
    outputs: OutputEdit | None = None,
    first: int = 0,
) -> NDArray[np.float64]:
    """Mean loss in nats a token of each sequence, (sequence, ), the next token predicted.

    Parameters
    ----------
    model
        A causal base model whose table of tokens is its output layer too.
    ids
        (sequence, position).
    rows, outputs
        What is changed, as for `editing`; without either the plain pass.
    first
        Predictions before this position are left out, such as the first copy of repeated tokens.
    """
    targets = torch.as_tensor(np.ascontiguousarray(ids))
    with torch.inference_mode(), editing(model, rows=rows, outputs=outputs):
        states = model(**token_inputs(model, ids)).last_hidden_state
        table = model.get_input_embeddings().weight
        found = []
        for one, target in zip(states, targets, strict=True):
            logits = functional.linear(one[first:-1], table).float()
            wanted = target[first + 1 :].to(logits.device, torch.long)
            found.append(functional.cross_entropy(logits, wanted))
    return np.array([float(loss) for loss in found])


def head_outputs(model: nn.Module, ids: NDArray[np.integer[Any]]) -> dict[str, Tensor]:
    """Name of each attention module -> outputs of its heads, (sequence, head, position, size)."""
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, Tensor] = {}

    def read(module: nn.Module, output: Tensor) -> None:
        found[names[module]] = output.detach().clone()

    sequence_losses(model, ids, outputs=read)
    return found


def head_edit(
    model: nn.Module,
    heads: Mapping[str, Sequence[int]],
    known: Mapping[str, Tensor],
    replacement: Replacement,
    seed: int = 0,
) -> OutputEdit:
    """Replace what some heads give out.

    Parameters
    ----------
    model
        The model.
    heads
        Name of an attention module -> its heads that are knocked out.
    known
        Outputs on other sequences, as `head_outputs` gives: `mean` takes their mean over sequences
        at each position, `resample` one of the sequences, drawn for each head and sequence.
    replacement
        `zero` leaves nothing.
    seed
        Of the draws.
    """
    names = {module: name for name, module in model.named_modules()}

    def edit(module: nn.Module, output: Tensor) -> Tensor | None:
        chosen = list(heads.get(names[module], ()))
        if not chosen:
            return None
        changed = output.clone()
        if replacement == "zero":
            changed[:, chosen] = 0
            return changed
        stored = known[names[module]][:, :, : output.shape[2]].to(output.device)
        if replacement == "mean":
            changed[:, chosen] = stored.mean(0)[chosen].to(output.dtype)
            return changed
        random = np.random.default_rng([seed, *names[module].encode()])
        for head in chosen:
            drawn = torch.as_tensor(random.integers(len(stored), size=len(output)))
            changed[:, head] = stored[drawn.to(stored.device), head].to(output.dtype)
        return changed

    return edit


class Energies:
    """Energy of changes of rows over that of removing the band, before rows are cut off at 0."""

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] | None = None

    def add(self, shares: Tensor) -> None:
        """Of some rows, (row, sequence, head); NaN where the band has no energy."""
        # In double precision, so that a mean over millions of rows keeps its digits.
        known = torch.stack([shares.nan_to_num(0).double(), (~shares.isnan()).double()])
        sums = known.sum((1, 3)).cpu().numpy()
        self._sums = sums if self._sums is None else self._sums + sums

    def means(self) -> NDArray[np.float64]:
        """Mean over all rows that were added, (sequence, ); NaN where none had any energy."""
        assert self._sums is not None, "nothing was run"
        total, count = self._sums
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def band_edit(
    low: float, high: float, method: Method, seed: int = 0, energies: Energies | None = None
) -> RowEdit:
    """Change a band of every row of every head, over the keys that its query may see.

    Of a layer with a window these are the last ones; see `causal.rows`.

    Parameters
    ----------
    low, high
        Shares of the Nyquist frequency. An empty band changes nothing.
    method, seed
        As for `edit_rows`; draws are the same in every layer.
    energies
        Told the energy of every row's change.
    """

    known: dict[tuple[tuple[int, ...], torch.device], Waves] = {}

    def edit(rows: Rows) -> Tensor | None:
        if not low < high:
            return None
        # (row, sequence and head, key): blocks of rows are transformed together.
        given = rows.probabilities.flatten(0, 1).transpose(0, 1)
        parts, shares = [], []
        for first in range(rows.start // BLOCK * BLOCK, rows.stop, BLOCK):
            # Of the whole block, so that a row has the same draws whatever the chunks are.
            starts, counts = _seen(rows.call, first, given.device)
            key = counts, given.device
            if key not in known:
                waves = Waves.of(counts, low, high, method in EVERYTHING)
                known[key] = waves.to(given.device)
            part, share = _edited(rows, given, first, starts, known[key], method, seed)
            parts.append(part)
            shares.append(share)
        if energies is not None:
            energies.add(torch.cat(shares).unflatten(1, rows.probabilities.shape[:2]))
        return torch.cat(parts).transpose(0, 1).reshape(rows.probabilities.shape)

    return edit


def _seen(call: Call, first: int, device: torch.device) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First key and number of keys that each query of a block may see; they follow each other."""
    assert call.mask is not None
    if call.mask.plain == "causal":
        return (0,) * BLOCK, tuple(range(first + 1, first + BLOCK + 1))
    if call.mask.plain == "full":
        return (0,) * BLOCK, (call.keys,) * BLOCK
    seen = call.mask.rows(first, min(first + BLOCK, call.queries), device)[:, 0]
    counts = seen[0].sum(-1)
    starts = seen[0].to(torch.uint8).argmax(-1)
    place = torch.arange(seen.shape[-1], device=device)
    whole = (place >= starts[:, None]) & (place < (starts + counts)[:, None])
    if not bool((seen == whole).all() and counts.all()):
        raise PipelineError(
            "keys that a query may see are no stretch that all sequences share, so that rows have "
            "no bands",
            type(call.module).__name__,
            "leave its model out of study.causal.models",
        )
    # The last block of a text is drawn as a whole one.
    lacking = BLOCK - len(counts)
    return tuple((*(found := part.tolist()), *found[-1:] * lacking) for part in (starts, counts))


def _edited(
    rows: Rows,
    given: Tensor,
    first: int,
    starts: Sequence[int],
    block: Waves,
    method: Method,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Rows of one block that are in the chunk, (row, sequence and head, key), and their energy."""
    start, stop = max(first, rows.start), min(first + BLOCK, rows.stop)
    waves = block.part(start - first, stop - first)
    keys, most = given.shape[2], max(waves.counts)
    drawn = None
    if method in DRAWN:
        generator = torch.Generator().manual_seed(_drawn(seed, first))
        # Sequences come first, so that one more of them changes no draw of the others.
        size = (given.shape[1], BLOCK, len(block.bins))
        drawn = torch.rand(size, generator=generator)[:, start - first : stop - first]
        drawn = drawn.to(given.device).transpose(0, 1)
    mine = given[start - rows.start : stop - rows.start]
    places = starts[start - first : stop - first]
    if not any(places):
        changed, share = edit_rows(mine[..., :most], waves, method, drawn)
        return functional.pad(changed, (0, keys - most)), share
    # Behind a window: what a query may see is moved to the front, and back.
    far = torch.arange(most, device=given.device)
    index = torch.tensor(places, device=given.device)[:, None] + far
    beyond = far >= torch.tensor(waves.counts, device=given.device)[:, None]
    index = index[:, None].expand(-1, mine.shape[1], -1)
    stretch = functional.pad(mine, (0, most)).gather(2, index).masked_fill_(beyond[:, None], 0)
    changed, share = edit_rows(stretch, waves, method, drawn)
    moved = mine.new_zeros(*mine.shape[:2], keys + most).scatter_(2, index, changed)
    return moved[..., :keys], share


@lru_cache(maxsize=65536)
def _drawn(seed: int, first: int) -> int:
    """Seed of one block's draws, apart from those of other blocks and other uses of a seed."""
    sequence = np.random.SeedSequence([seed, _ROWS_STREAM, first])
    return int(sequence.generate_state(1, np.uint64)[0])


def rotary_tables(model: nn.Module) -> dict[str, Tensor]:
    """Name of each table of rotary frequencies -> the frequencies, cycles per token.

    Most families have one, which all layers read; some have one per kind of layer.
    """
    return {
        name: buffer / (2 * torch.pi)
        for name, buffer in model.named_buffers()
        if name.rsplit(".", 1)[-1].endswith("inv_freq") and "original" not in name
    }


def rotary_rewritten(model: nn.Module) -> bool:
    """Whether passes may write the rotary frequencies anew (`rope_type` dynamic or longrope)."""
    kinds = [getattr(module, "rope_type", "") for module in model.modules()]
    each = [k for kind in kinds for k in (kind.values() if isinstance(kind, dict) else [kind])]
    return any("dynamic" in str(kind) or kind == "longrope" for kind in each)


@contextmanager
def rotary_zeroed(
    model: nn.Module, choose: Callable[[str, Tensor], Tensor | NDArray[np.bool_]]
) -> Iterator[None]:
    """Take rotation away from some rotary pairs, in all heads: their content stays.

    Parameters
    ----------
    model
        A model with rotary positions.
    choose
        Given the name of a table and its frequencies in cycles per token, which are set to 0.

    Raises
    ------
    PipelineError
        The model wrote its frequencies anew meanwhile: what it gave is not what was asked for.
    """
    before, wanted = {}, {}
    for name, frequencies in rotary_tables(model).items():
        buffer = model.get_buffer(name)
        before[name] = buffer.clone()
        buffer[torch.as_tensor(choose(name, frequencies), device=buffer.device)] = 0
        wanted[name] = buffer.clone()
    try:
        yield
        if not all(torch.equal(model.get_buffer(name), table) for name, table in wanted.items()):
            raise PipelineError(
                "rotary frequencies that were set to 0 were written anew",
                type(model).__name__,
                "this rope_type cannot be changed here; leave the model out of study.causal.models",
            )
    finally:
        for name, found in before.items():
            model.get_buffer(name).copy_(found)
