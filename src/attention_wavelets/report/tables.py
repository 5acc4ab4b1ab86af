"""The tables of one study as figures and report read them: headline rows, order, families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.errors import PipelineError

__all__ = ["Headline", "StudyTables", "family_order"]

HEAD_KEYS = ("model", "corpus", "condition", "reference", "probe", "protocol", "layer", "head")
MODEL_KEYS = ("model", "label", "trained", "of")


@dataclass(frozen=True)
class Headline:
    """Which measurement fills the figures and the first table."""

    corpus: str
    protocol: str
    condition: str = "full"


def family_order(models: pd.DataFrame) -> pd.DataFrame:
    """Rows of `models` in study order, each untrained twin moved right below its trained model.

    A twin whose trained model is not in the study keeps its place.
    """
    names = list(models["model"])
    rank = {name: place for place, name in enumerate(names)}
    twins = models["of"].fillna("").isin(names) & (models["of"].fillna("") != models["model"])
    leader = models["of"].where(twins, models["model"]).map(rank)
    order = pd.DataFrame({"leader": leader, "twin": twins, "place": range(len(models))})
    return models.iloc[order.sort_values(["leader", "twin", "place"])["place"].to_numpy()]


@dataclass(frozen=True, eq=False)
class StudyTables:
    """Everything a figure may draw from; nothing here is computed again.

    Attributes
    ----------
    heads
        One row per (model, corpus, condition, reference, probe, protocol, layer, head) with
        `<measure>_mean`, `_se`, `_low`, `_high`.
    models
        One row per model of the study (models.csv).
    pairs
        One row per pair of heads of a layer with `signal_correlation`; may be empty.
    headline
        The measurement that figures show.
    null_curves
        For a signal length in positions: what i.i.d. random weights give under the headline
        protocol, columns `selectivity` and `spectral_entropy`, from even to uneven weights, as
        made by `nulls.iid.iid_curve`.
    protocol
        The headline protocol as a plain dict; figures name its band edges and distances.
    summary
        One row per (model, corpus, condition, reference, probe, protocol, statistic) with mean and
        interval; may be empty.
    nearest
        The nearest cell of each published table (nearest.csv); may be empty.
    claims
        The verdict on each claim (claims.csv); may be empty.
    reproduction
        The published tables beside ours, number by number (reproduction.csv); may be empty.
    scales
        Subsampled condition -> `fraction` kept and `method`.
    runs, changes, phases
        Of models trained here: a row per checkpoint, per comparison, and per run and measure
        (what compare_runs wrote); may be empty. Checkpoints on the way stand in `runs` alone.
    causal
        One row per model and change of attention (what summarise_changes wrote); may be empty.
    series, spectra
        How attention answers to scales of the data that are known, and its mean spectra (what
        compare_series wrote); may be empty.
    """

    heads: pd.DataFrame
    models: pd.DataFrame
    pairs: pd.DataFrame
    headline: Headline
    null_curves: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    summary: pd.DataFrame = field(default_factory=pd.DataFrame)
    nearest: pd.DataFrame = field(default_factory=pd.DataFrame)
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)
    reproduction: pd.DataFrame = field(default_factory=pd.DataFrame)
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    changes: pd.DataFrame = field(default_factory=pd.DataFrame)
    phases: pd.DataFrame = field(default_factory=pd.DataFrame)
    causal: pd.DataFrame = field(default_factory=pd.DataFrame)
    series: pd.DataFrame = field(default_factory=pd.DataFrame)
    spectra: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        for name, frame, keys in (
            ("heads", self.heads, HEAD_KEYS),
            ("models", self.models, MODEL_KEYS),
        ):
            missing = [key for key in keys if key not in frame]
            if missing:
                raise PipelineError(
                    f"columns missing: {', '.join(missing)}", f"table {name}", "aggregate again"
                )
        if self.models.empty:
            raise PipelineError("no models", "table models", "aggregate the study first")
        object.__setattr__(self, "models", family_order(self.models))

    @property
    def local_distance(self) -> int | None:
        """Largest distance in tokens that counts as local; None where the protocol is unknown."""
        distance = self.protocol.get("local_global", {}).get("headline")
        return None if distance is None else int(distance)

    @property
    def band_edges(self) -> tuple[float, float]:
        """Edges between low, mid and high as shares of the Nyquist frequency."""
        low, high = self.protocol.get("spectrum", {}).get("band_edges", (0.25, 0.75))
        return float(low), float(high)

    @property
    def names(self) -> list[str]:
        """Models in the order of every figure and table."""
        return [str(name) for name in self.models["model"]]

    def fact(self, model: str, column: str) -> Any:
        """One cell of the models table; NaN where the column is absent."""
        if column not in self.models:
            return np.nan
        return self.models.loc[self.models["model"] == model, column].iloc[0]

    def label(self, model: str) -> str:
        """The model's printed name, with quantisation and tuning."""
        known = (self.models["model"] == model).any()
        return str(self.fact(model, "label")) if known else model

    def length(self, model: str) -> int:
        """Positions in a headline signal of this model; 0 where unknown."""
        tokens = self.fact(model, "tokens")
        return 0 if pd.isna(tokens) else int(tokens)

    def families(self) -> list[list[str]]:
        """Models grouped: a trained model first, its untrained twins after it."""
        groups: list[list[str]] = []
        for row in self.models.itertuples():
            of = row.of if isinstance(row.of, str) else ""
            if groups and of and groups[-1][0] == of:
                groups[-1].append(str(row.model))
            else:
                groups.append([str(row.model)])
        return groups

    def rows_with(self, *measures: str) -> pd.DataFrame:
        """Rows of `heads` on which all `measures` are defined, whatever corpus and protocol.

        Of the headline's condition, not compared with another; of several corpora, protocols or
        probes the first that the study names. Rows (model, layer, head), each once.
        """
        heads = self.heads
        columns = [f"{measure}_mean" for measure in measures]
        if any(column not in heads for column in columns):
            return heads.iloc[:0].reindex(columns=[*HEAD_KEYS, *columns])
        wanted = (
            (heads["condition"] == self.headline.condition)
            & (heads["reference"].fillna("") == "")
            & heads[columns].notna().all(axis=1)
        )
        return heads.loc[wanted].drop_duplicates(["model", "layer", "head"]).reset_index(drop=True)

    def statistic(self, model: str, name: str, *, condition: str, paper: bool) -> pd.Series | None:
        """The row of `summary` for one number; None where it was not measured.

        Parameters
        ----------
        model, name, condition
            As in the columns `model`, `statistic` and `condition`.
        paper
            Whether the number is one of the headline measurement or of another protocol.
        """
        if self.summary.empty:
            return None
        rows, head = self.summary, self.headline
        own = (rows["protocol"] == head.protocol) & (rows["corpus"] == head.corpus)
        wanted = (
            (rows["model"] == model)
            & (rows["statistic"] == name)
            & (rows["condition"] == condition)
            & (own if paper else rows["protocol"] != head.protocol)
            & rows["mean"].notna()
        )
        found = rows.loc[wanted]
        return None if found.empty else found.iloc[0]

    def head_rows(
        self, *measures: str, condition: str | None = None, reference: str = ""
    ) -> pd.DataFrame:
        """Headline rows of `heads` on which all `measures` are defined.

        Parameters
        ----------
        measures
            Names without `_mean`; a measure the table lacks gives no rows.
        condition
            Instead of the headline's condition.
        reference
            '' for numbers of one condition, else the condition compared with.

        Returns
        -------
        Rows (model, layer, head), each once: a measure defined on several probes is taken from
        `received` where that has it.
        """
        heads = self.heads
        columns = [f"{measure}_mean" for measure in measures]
        if any(column not in heads for column in columns):
            return heads.iloc[:0].reindex(columns=[*HEAD_KEYS, *columns])
        wanted = (
            (heads["corpus"] == self.headline.corpus)
            & (heads["protocol"] == self.headline.protocol)
            & (heads["condition"] == (condition or self.headline.condition))
            & (heads["reference"].fillna("") == reference)
            & heads[columns].notna().all(axis=1)
        )
        # With mean, interval and number of each; hundreds of other columns are not copied about.
        parts = [name for name in heads if name.rpartition("_")[0] in measures]
        rows = heads.loc[wanted, [*HEAD_KEYS, *parts]]
        first = (rows["probe"] != "received").rename("other")
        keys = ["model", "layer", "head"]
        ordered = rows.assign(other=first).sort_values([*keys, "other", "probe"], kind="stable")
        return ordered.drop_duplicates(keys).drop(columns="other").reset_index(drop=True)
