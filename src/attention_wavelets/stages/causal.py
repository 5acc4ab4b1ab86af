"""Stages change_attention and summarise_changes: do bands of attention matter to the loss?"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attention_wavelets.causal.heads import by_layer, doses, matched, strongest
from attention_wavelets.config.slices import canonical
from attention_wavelets.config.sources import code_digest
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.intervals import clustered_t
from attention_wavelets.store.arrays import open_group
from attention_wavelets.store.kept import Kept
from attention_wavelets.store.sequences import read_sequences
from attention_wavelets.store.tables import read_table, table_writer, write_csv

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["change_attention", "summarise_changes"]

BANDS = ("low", "mid", "high")
# What is changed: heads, bands of rows, rotary pairs; `plain` is nothing.
_METHODS = ("band", "band_part", "random_band", "random_phase")
# Keep draws of heads and of rotary pairs apart from other uses of a seed.
_HEADS_STREAM = 0x48454144
_PAIRS_STREAM = 0x50414952
_KEYS = ("text", "kind", "band", "count", "share", "replacement", "excluded", "control")


@dataclass(frozen=True)
class _Text:
    """Sequences whose loss is told, others that outputs are taken from, and what counts."""

    name: str
    ids: np.ndarray
    documents: np.ndarray
    others: np.ndarray
    first: int


@dataclass(frozen=True)
class _Change:
    """One condition: its keys, and what gives the loss of every sequence under it.

    losses
        None where the change cannot be made.
    what
        All of the change that decides the losses, as JSON can say it; None of what cannot be made.
    reason
        Why not, or why nothing stands beside it.
    energy
        After the run, of rows: energy of the change over that of removing the band.
    matched
        Of control heads: share that has the layer and about the size of the heads it stands for.
    """

    keys: dict[str, Any]
    draw: int
    losses: Callable[[], np.ndarray] | None
    what: Mapping[str, Any] | None
    reason: str = ""
    energy: Callable[[], np.ndarray] | None = None
    matched: float = np.nan


def change_attention(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    sequences: Path,
    heads: Path,
    signals: Path,
    out: Path,
    work: Path,
    *,
    device: str = "cpu",
) -> None:
    """Write the loss of every sequence under every change of attention.

    A job that was stopped goes on with the changes that it has not made; one that is asked for more
    makes only those.

    Parameters
    ----------
    config
        The slice: shares of heads, replacements, draws, band edges, texts.
    manifest, sequences, heads, signals
        What fetch_model (or describe_checkpoint), encode_sequences, measure_heads and
        extract_signals wrote.
    out
        Parquet file to write: a row per text, change, draw and sequence.
    work
        Folder that keeps what changes gave, under keys of what decides it.
    device
        Where the model runs.

    Raises
    ------
    PipelineError
        A model that predicts no next token, or whose attention can be read and not changed.
    """
    from tqdm import tqdm

    from attention_wavelets.causal.output import refuse_other_output
    from attention_wavelets.models.load import load_model

    name = manifest["name"]
    if not manifest["facts"]["causal"]:
        raise PipelineError("predicts no next token", name, "leave it out of study.causal.models")
    model = load_model(dict(manifest), device=device)
    texts = _texts(config, sequences)
    refuse_other_output(model, texts[0].ids, name)
    scores = _scores(config, heads, signals)
    kept = Kept(work)
    with table_writer(out) as writer:
        for text in texts:
            decided = _decided(manifest, text, device)
            changes = list(_changes(config, manifest, model, text, scores))
            bar = tqdm(changes, desc=f"{name}, {text.name}", disable=not sys.stderr.isatty())
            for change in bar:
                run = partial(_ran, change, len(text.ids))
                if change.what is None:
                    found = run()
                else:
                    found = kept.get(canonical({**decided, "change": change.what}), run)
                writer.append(_told(change, text.documents, found))
    kept.pack()


def _decided(manifest: Mapping[str, Any], text: _Text, device: str) -> dict[str, Any]:
    """What decides all losses of one text: weights, tokens, code, and how a device rounds."""
    return {
        # A change is a loss less the plain one: rounded otherwise, the two are not compared.
        "device": device,
        "code": code_digest("change_attention"),
        "files": [[file["name"], file["sha256"]] for file in manifest["files"]],
        "untrained": manifest["untrained"],
        "dtype": manifest["dtype"],
        "first": text.first,
        "tokens": [
            [*ids.shape, hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()]
            for ids in (text.ids, text.others)
        ],
    }


def _ran(change: _Change, sequences: int) -> pd.DataFrame:
    """Loss and energy of every sequence under one change, which is run here; NaN without them."""
    unknown = np.full(sequences, np.nan)
    losses = change.losses() if change.losses else unknown
    return pd.DataFrame({"loss": losses, "energy": change.energy() if change.energy else unknown})


def _told(change: _Change, documents: np.ndarray, found: pd.DataFrame) -> pd.DataFrame:
    """A row per sequence of one change."""
    told = {"sequence": np.arange(len(found)), "document": documents, **found}
    told["matched"] = np.full(len(documents), change.matched)
    return pd.DataFrame({**change.keys, "draw": change.draw, **told, "reason": change.reason})


def _texts(config: Mapping[str, Any], sequences: Path) -> list[_Text]:
    """Every second sequence is changed, from the others outputs are taken."""
    found = []
    for name in (config["condition"], config["repeated"]):
        if name is None:
            continue
        arrays = read_sequences(sequences, name)
        ids, documents = arrays["ids"], arrays["document"]
        # Of tokens that come twice, the second time is what a head can know.
        first = ids.shape[1] // 2 if name == config["repeated"] else 0
        found.append(_Text(name, ids[1::2], documents[1::2], ids[::2], first))
    return found


def _scores(config: Mapping[str, Any], heads: Path, signals: Path) -> dict[str, np.ndarray]:
    """(layer, head) means: shares of power in each band, and whether it does what is known."""
    table = read_table(heads)
    rows = table[(table["condition"] == config["condition"]) & (table["probe"] == config["probe"])]
    found = {
        band: rows.pivot_table(f"band_{band}", "layer", "head", aggfunc="mean").to_numpy()
        for band in BANDS
    }
    known = np.zeros(found["low"].shape, dtype=bool)
    for condition, names in (
        (config["condition"], ("sink_importance", "previous_token")),
        (config["repeated"], ("induction",)),
    ):
        if condition is not None:
            with open_group(signals, condition) as group:
                for number in names:
                    known |= np.nanmean(group[number].values, axis=0) > config["functional"]
    return {**found, "functional": known}


def _changes(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    model: nn.Module,
    text: _Text,
    scores: Mapping[str, np.ndarray],
) -> Iterator[_Change]:
    """Everything that is done to one text."""
    from attention_wavelets.causal.losses import head_outputs, sequence_losses

    losses = partial(sequence_losses, model, text.ids, first=text.first)
    yield _Change(_keys(text, "plain"), 0, losses, {})
    known = head_outputs(model, text.others)
    yield from _knockouts(config, model, text, known, scores, losses)
    yield from _row_bands(config, text, losses)
    if manifest["facts"]["position_encoding"] == "rotary":
        yield from _rotary_bands(config, model, text, losses)


def _keys(text: _Text, kind: str, **more: Any) -> dict[str, Any]:
    """What names a change, in the order of the columns; what is not said does not apply."""
    empty = {"band": "", "count": 0, "share": np.nan, "replacement": ""}
    return {"text": text.name, "kind": kind, **empty, "excluded": False, "control": "", **more}


def _knockouts(
    config: Mapping[str, Any],
    model: nn.Module,
    text: _Text,
    known: Mapping[str, Tensor],
    scores: Mapping[str, np.ndarray],
    losses: Callable[..., np.ndarray],
) -> Iterator[_Change]:
    """Heads of a band, and others like them; with and without those that do what is known."""
    from attention_wavelets.causal.losses import head_edit

    names = list(known)
    norms = _norms(model, known)
    counts = doses(norms.size, config["shares"])

    def without(heads: np.ndarray, replacement: Any) -> tuple[Any, dict[str, Any]]:
        out = by_layer(heads, names)
        edit = head_edit(model, out, known, replacement, config["seed"])
        what = {"heads": out, "replacement": replacement, "seed": config["seed"]}
        return partial(losses, outputs=edit), what

    for excluded, band, (count, share), replacement in product(
        (False, True), BANDS, counts.items(), config["replacements"]
    ):
        left_out = scores["functional"] & excluded
        keys = _keys(
            text,
            "heads",
            band=band,
            count=count,
            share=share,
            replacement=replacement,
            excluded=excluded,
        )
        # As many again must be left for the control.
        if 2 * count > np.count_nonzero(~left_out):
            yield _Change(keys, 0, None, None, "heads")
            continue
        chosen = strongest(scores[band], count, left_out)
        yield _Change(keys, 0, *without(chosen, replacement))
        for draw in range(config["draws"]):
            random = np.random.default_rng([config["seed"], _HEADS_STREAM, draw])
            others, like = matched(chosen, norms, random, left_out)
            beside = {**keys, "control": "matched"}
            share = float(like.mean())
            yield _Change(beside, draw, *without(others, replacement), matched=share)


def _norms(model: nn.Module, known: Mapping[str, Tensor]) -> np.ndarray:
    """(layer, head) mean norm of what each head adds to the stream, or gives out where unknown."""
    from attention_wavelets.attention.value_output import value_output

    rows = []
    for name, outputs in known.items():
        weights = value_output(model, name, outputs.shape[1])
        given = outputs.float()
        if weights is not None:
            given = given @ weights.output.float().transpose(1, 2)
        rows.append(given.norm(dim=-1).mean(dim=(0, 2)).cpu().numpy())
    return np.stack(rows).astype(np.float64)


def _row_bands(
    config: Mapping[str, Any], text: _Text, losses: Callable[..., np.ndarray]
) -> Iterator[_Change]:
    """Each band of every row: removed whole, as far as others have its energy, and the controls."""
    from attention_wavelets.causal.losses import Energies, band_edit
    from attention_wavelets.causal.rows import DRAWN

    for (band, edges), method in product(_edges(config).items(), _METHODS):
        control = "" if method == "band" else method
        for draw in range(config["draws"] if method in DRAWN else 1):
            energies = Energies()
            seed = config["seed"] + draw
            edit = band_edit(*edges, method, seed, energies)
            keys = _keys(text, "rows", band=band, control=control)
            what = {"band": edges, "method": method, "seed": seed}
            yield _Change(keys, draw, partial(losses, rows=edit), what, energy=energies.means)


def _rotary_bands(
    config: Mapping[str, Any],
    model: nn.Module,
    text: _Text,
    losses: Callable[..., np.ndarray],
) -> Iterator[_Change]:
    """Rotary pairs of each band, and all of them, no longer turn; beside them as many others."""
    from attention_wavelets.causal.losses import rotary_rewritten, rotary_tables, rotary_zeroed

    # Cycles per token as shares of the Nyquist frequency, which is 1 / 2.
    tables = {name: 2 * table.cpu().numpy() for name, table in rotary_tables(model).items()}

    def zeroed(chosen: Mapping[str, np.ndarray]) -> np.ndarray:
        with rotary_zeroed(model, lambda name, _: chosen[name]):
            return losses()

    def at_rest(chosen: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Any]]:
        pairs = {name: np.flatnonzero(part).tolist() for name, part in chosen.items()}
        return partial(zeroed, chosen), {"pairs": pairs}

    for band, (low, high) in {**_edges(config), "all": (0.0, np.inf)}.items():
        inside = {name: (table >= low) & (table < high) for name, table in tables.items()}
        count = sum(int(part.sum()) for part in inside.values())
        keys = _keys(text, "rotary", band=band, count=count)
        if rotary_rewritten(model) or not count:
            yield _Change(keys, 0, None, None, "pairs" if not count else "rewritten")
            continue
        fewer = any(2 * part.sum() > part.size for part in inside.values())
        reason = "others" if fewer and band != "all" else ""
        yield _Change(keys, 0, *at_rest(inside), reason)
        for draw in range(0 if fewer else config["draws"]):
            random = np.random.default_rng([config["seed"], _PAIRS_STREAM, draw])
            others = {name: _as_many_others(part, random) for name, part in inside.items()}
            yield _Change({**keys, "control": "random_pairs"}, draw, *at_rest(others))


def _as_many_others(chosen: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Boolean (pair, ): as many of those that are not chosen."""
    found = np.zeros(chosen.shape, dtype=bool)
    found[random.choice(np.flatnonzero(~chosen), int(chosen.sum()), replace=False)] = True
    return found


def _edges(config: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    low, high = config["band_edges"]
    return {"low": (0.0, low), "mid": (low, high), "high": (high, 1.0)}


def summarise_changes(config: Mapping[str, Any], tables: Sequence[Path], out: Path) -> None:
    """Write the change of loss for every model and change, with intervals over documents.

    Parameters
    ----------
    config
        The slice: models and statistics.
    tables
        What change_attention wrote for each of them, in order.
    out
        CSV file to write.
    """
    frames = []
    for model, path in zip(config["models"], tables, strict=True):
        table = read_table(path)
        plain = table[table["kind"] == "plain"].set_index(["text", "sequence"])["loss"]
        at = pd.MultiIndex.from_frame(table[["text", "sequence"]])
        table["change"] = table["loss"].to_numpy() - plain.loc[at].to_numpy()
        # A control is the mean over its draws, sequence by sequence.
        own = table.groupby([*_KEYS, "sequence", "document"], dropna=False, sort=False)
        draws = table.groupby([*_KEYS, "draw"], dropna=False, sort=False)
        each = draws[["change", "matched"]].mean().reset_index()
        mean = own.agg({"change": "mean", "energy": "mean", "reason": "first"}).reset_index()
        for key, rows in mean.groupby(list(_KEYS), dropna=False, sort=False):
            row = dict(zip(_KEYS, key, strict=True))
            if row["kind"] == "plain":
                loss = plain.loc[row["text"]].to_numpy()
                frames.append({"model": model, **row, "loss": float(loss.mean())})
                continue
            found = _interval(rows["change"], rows["document"], "change", config)
            found["energy"] = float(rows["energy"].mean())
            said = rows["reason"].iloc[0]
            # Why there is no number says more than that there is none.
            reasons = [said] if found["reason"] == "undefined" else [found["reason"], said]
            found["reason"] = "; ".join(filter(None, reasons))
            beyond = _beyond(mean, each, row, rows, config)
            frames.append({"model": model, **row, **found, **beyond})
    write_csv(out, pd.DataFrame(frames, columns=_COLUMNS))


# Kind and control of a change -> the control that it is compared with.
_BESIDE = {
    ("heads", ""): "matched",
    ("rows", "band_part"): "random_band",
    ("rotary", ""): "random_pairs",
}
_COLUMNS = (
    *("model", *_KEYS, "loss"),
    *("change", "change_low", "change_high", "energy"),
    *("beyond", "beyond_low", "beyond_high", "matched", "rank", "n", "reason"),
)


def _interval(
    values: pd.Series, documents: pd.Series, name: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    rules = config["statistics"]
    found = clustered_t(
        values.to_numpy(dtype=np.float64),
        documents.to_numpy(),
        rules["confidence"],
        min_clusters=rules["min_documents"],
    )
    numbers = {name: float(found.mean), f"{name}_low": float(found.low)}
    numbers[f"{name}_high"] = float(found.high)
    return {**numbers, "n": int(found.n), "reason": str(found.reason)}


def _beyond(
    mean: pd.DataFrame,
    each: pd.DataFrame,
    row: Mapping[str, Any],
    rows: pd.DataFrame,
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """Change less that of the control, the same sequences for both; nothing without a control.

    Beside it where the change stands among the draws of the control, and how alike its heads are.
    """
    control = _BESIDE.get((row["kind"], row["control"]))

    def beside(table: pd.DataFrame) -> pd.DataFrame:
        same = table["control"] == control
        for key in set(_KEYS) - {"control", "share"}:
            same &= table[key] == row[key]
        return table[same]

    drawn = beside(each)
    if control is None or drawn.empty:
        return {}
    other = beside(mean).set_index("sequence")["change"]
    paired = rows.set_index("sequence")["change"] - other
    found = _interval(paired, rows.set_index("sequence")["document"], "beyond", config)
    return {
        **{key: found[key] for key in ("beyond", "beyond_low", "beyond_high")},
        "matched": float(drawn["matched"].mean()),
        "rank": float((drawn["change"] >= rows["change"].mean()).mean()),
    }
