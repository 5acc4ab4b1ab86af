"""What each job of an experiment asks for: memory, minutes, cards.

Requests are upper bounds with room to spare; they grow with the attempt, so that a job killed for
its memory or time succeeds when it is tried again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attention_wavelets.config.evidence import null_cells
from attention_wavelets.config.schema import Condition, Experiment, Measurement, Probe
from attention_wavelets.resources.memory import (
    MIB,
    WAVES_BYTES,
    extraction_bytes,
    gpu_bytes,
    judging_bytes,
    measuring_bytes,
    preparing_bytes,
    training_bytes,
    training_gpu_bytes,
)
from attention_wavelets.resources.sizes import Sizes
from attention_wavelets.resources.work import (
    extraction_minutes,
    measuring_minutes,
    preparing_minutes,
    training_minutes,
)

__all__ = [
    "CORES",
    "Need",
    "Needs",
    "built_texts",
    "fetched_facts",
    "numbers",
    "positions",
    "sizes_of",
]

# Cores of an extraction on a cluster whose profile does not say.
CORES = 4
# A second attempt gets half as much memory more, and twice the time.
_MEMORY_GROWTH, _TIME_GROWTH = 1.5, 2
# What is asked for where the sizes of a model are not known: a model of about one billion
# parameters, for an hour.
_UNKNOWN_MIB, _UNKNOWN_MINUTES, _UNKNOWN_HEADS = 12_000, 60, 500
# Operations per second that a slow core, or a slow card, reaches in a large product of matrices.
_CORE, _CARD = 20e9, 20e12
# A request in minutes is that many times the forecast, and at least so many.
_SPARE, _LEAST = 3, 10

# Bytes of text behind a token of a tokenizer with merges: at least, and where it is not built yet.
_LEAST_BYTES, _USUAL_BYTES = 2, 4

Facts = Callable[[str], Mapping[str, Any] | None]
Texts = Callable[[str], int | None]


@dataclass(frozen=True)
class Need:
    """A request: MiB of memory, minutes, and cards."""

    mem_mb: int
    runtime: int
    gpu: int = 0

    def grown(self, attempt: int) -> Need:
        """The request of the n-th attempt, counted from 1."""
        return Need(
            math.ceil(self.mem_mb * _MEMORY_GROWTH ** (attempt - 1)),
            math.ceil(self.runtime * _TIME_GROWTH ** (attempt - 1)),
            self.gpu,
        )


def fetched_facts(results: Path) -> Facts:
    """Facts of the models below a results folder: what the manifest of a fetched one says."""

    def facts(model: str) -> Mapping[str, Any] | None:
        # A damaged manifest is found where it is used; a forecast does without.
        try:
            text = (results / "models" / model / "manifest.json").read_text(encoding="utf-8")
            return dict(json.loads(text)["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    return facts


def built_texts(results: Path) -> Texts:
    """Bytes of the texts of a corpus below a results folder, None until it is built."""
    found: dict[str, int] = {}

    def texts(corpus: str) -> int | None:
        path = results / "corpora" / corpus / "documents.parquet"
        if corpus not in found and path.is_file():
            # Planning loads no such library as long as nothing is built.
            from attention_wavelets.store.documents import text_bytes

            if (size := text_bytes(path)) is not None:
                found[corpus] = size
        return found.get(corpus)

    return texts


def sizes_of(experiment: Experiment, name: str, facts: Facts) -> Sizes | None:
    """Sizes of a model: from its manifest, else from its YAML or its base's; None if unknown."""
    model = experiment.model[name]
    if known := facts(name):
        return Sizes.of_facts(known, model.dtype)
    source = model.source
    if source.kind == "trained":
        return Sizes.of_trained(source, experiment.recipe[source.recipe].tokenizer.size)
    given = experiment.model[source.of] if source.kind == "untrained" else model
    if given.architecture is None:
        return None
    # Fresh weights are drawn in float32 and then rounded.
    dtype = "float32" if source.kind == "untrained" else model.dtype
    return Sizes.of_architecture(given.architecture, dtype)


# MiB to cut texts into tokens, and for the files of a corpus of sounds or pictures besides; bytes
# of the convolutions before an encoder of sound, a position.
_ENCODING, _FILES, _CONVOLVED = 1500, 2000, 350_000
# Probes that keep half as many numbers as there are tokens.
_BY_LAG = ("lag", "character_lag")


def positions(condition: Condition, tokens: int) -> int:
    """Tokens of a sequence under a condition, at most."""
    return math.ceil(condition.fraction * tokens) if condition.kind == "subsample" else tokens


def numbers(probe: Probe, tokens: int) -> int:
    """Numbers that a probe gives per head and sequence."""
    if probe.kind in _BY_LAG:
        return tokens // 2
    return (probe.rows or 1) * tokens


class Needs:
    """Requests of the jobs of one experiment.

    Parameters
    ----------
    experiment
        What `config.compose.compose` returned.
    facts
        Architecture facts of a model that has been fetched, else None.
    texts
        Bytes of the texts of a corpus that has been built, else None.
    """

    def __init__(
        self, experiment: Experiment, facts: Facts, texts: Texts = lambda _corpus: None
    ) -> None:
        self.experiment = experiment
        self.facts = facts
        self.texts = texts
        self._nulls = {(c.model, c.corpus, c.protocol): c for c in null_cells(experiment)}

    def preparing(self, recipe: str) -> Need:
        """Of prepare_recipe."""
        corpora = self.experiment.recipe[recipe].corpora
        splits = [self.experiment.corpus[corpus].text.split for corpus in corpora]
        # Held-out documents are read beside those to train on.
        share = max(split.held_out for split in splits if split is not None)
        size, tokens = (math.ceil(n / (1 - share)) for n in self._text(recipe))
        return Need(_mib(preparing_bytes(tokens)), _minutes(preparing_minutes(size)))

    def _text(self, recipe: str) -> tuple[int, int]:
        """Bytes and tokens of the text that a recipe trains on, at most.

        Until it is built it is taken to have as many tokens as the recipe trains on.
        """
        found = self.experiment.recipe[recipe]
        merged = found.tokenizer.merges > 0
        sizes = [self.texts(f"{corpus}.training") for corpus in found.corpora]
        if None in sizes:
            return found.tokens * (_USUAL_BYTES if merged else 1), found.tokens
        size = sum(size or 0 for size in sizes)
        return size, size // (_LEAST_BYTES if merged else 1)

    def training(self, model: str) -> Need:
        """Of train_model, for any checkpoint of the run."""
        gpus = 0 if self.experiment.runtime.device == "cpu" else 1
        minutes = self.training_minutes(model, _CARD if gpus else _CORE)
        return Need(self.training_memory(model), _minutes(minutes), gpus)

    def training_memory(self, model: str) -> int:
        """MiB of memory of a training on the processor."""
        sizes, name = self._trained(model)
        recipe, (_, tokens) = self.experiment.recipe[name], self._text(name)
        return _mib(training_bytes(sizes, recipe.batch, recipe.context, tokens))

    def training_card_memory(self, model: str) -> int:
        """MiB on the card of a training."""
        sizes, name = self._trained(model)
        recipe = self.experiment.recipe[name]
        return _mib(training_gpu_bytes(sizes, recipe.batch, recipe.context))

    def training_minutes(self, model: str, rate: float) -> float:
        """Forecast for the run of a checkpoint, at a rate in operations per second."""
        sizes, name = self._trained(model)
        recipe = self.experiment.recipe[name]
        return training_minutes(sizes, recipe.tokens, recipe.context, recipe.last_step, rate)

    def _trained(self, model: str) -> tuple[Sizes, str]:
        """Sizes of a model that is trained here, and the name of its recipe."""
        sizes = sizes_of(self.experiment, model, self.facts)
        source = self.experiment.model[model].source
        assert sizes is not None
        assert source.kind == "trained"
        return sizes, source.recipe

    def extraction(
        self, model: str, corpus: str, threads: int, shards: int = 1, times: int = 1
    ) -> Need:
        """Of one of `shards`, on a card where the settings ask for one, else on `threads`.

        `times` models of one size may follow each other in one process.
        """
        runtime = self.experiment.runtime
        gpus = 0 if runtime.device == "cpu" else runtime.gpus
        sizes = sizes_of(self.experiment, model, self.facts)
        if sizes is None:
            return Need(_UNKNOWN_MIB, _UNKNOWN_MINUTES, gpus)
        rate = _CARD if gpus else _CORE * threads
        minutes = times * extraction_minutes(sizes, self.passes(corpus), rate) / shards
        return Need(self.memory(model, corpus, sizes), _minutes(minutes), gpus)

    def changing(self, model: str, corpus: str, threads: int) -> Need:
        """Of change_attention: a pass of half the sequences for every change and text."""
        asked = self.experiment.study.causal
        assert asked is not None, "asked for by the rule of a study that has it"
        heads = 2 * 3 * len(asked.shares) * len(asked.replacements) * (1 + asked.draws)
        # Filtering rows takes up to five times as long as the rest of a small model.
        passes = heads + 5 * 3 * (2 + 2 * asked.draws) + 4 + 3 * asked.draws
        times = math.ceil(passes / 2 / max(1, len(self._conditions(corpus))))
        found = self.extraction(model, corpus, threads, times=times)
        found = replace(found, mem_mb=found.mem_mb + WAVES_BYTES // MIB)
        if sizes_of(self.experiment, model, self.facts) is None:
            return replace(found, runtime=found.runtime * times // _SPARE)
        return found

    def packing(self, model: str, corpus: str, threads: int, shards: int = 1) -> Need:
        """Of extract_signals: the extraction itself, or what is left once all shards are done."""
        found = self.extraction(model, corpus, threads, shards)
        return found if shards == 1 else replace(found, gpu=0)

    def memory(self, model: str, corpus: str, sizes: Sizes) -> int:
        """MiB of memory of an extraction on the processor, which a card's weights pass through."""
        tokens = self.experiment.corpus[corpus].sequences.tokens
        row = max((numbers(p, tokens) for p in self._probes(corpus)), default=tokens)
        dtype = self.experiment.model[model].dtype
        passing = self.experiment.runtime.batch_tokens
        found = extraction_bytes(sizes, dtype, tokens, passing, row)
        if self.experiment.corpus[corpus].text.read == "sound":
            found += _CONVOLVED * max(tokens, passing)
        return _mib(found + 2 * self.content(model, corpus))

    def content(self, model: str, corpus: str) -> int:
        """Bytes of the samples or pixels that a model is given, all conditions; 0 of tokens."""
        read = self.experiment.corpus[corpus].text.read
        if read == "tokens":
            return 0
        given = (self.facts(model) or {}).get("input", {})
        each = given.get("hop", 320) if read == "sound" else 3 * given.get("patch", 16) ** 2
        return 4 * each * sum(tokens * count for tokens, count in self.passes(corpus).items())

    def encoding(self, model: str, corpus: str) -> Need:
        """Of encode_sequences; files of sounds and pictures are read whole, three times over."""
        media = self.experiment.corpus[corpus].text.read != "tokens"
        more = _mib(3 * self.content(model, corpus)) + _FILES if media else 0
        return Need(_ENCODING + more, _UNKNOWN_MINUTES)

    def card_memory(self, model: str, corpus: str, sizes: Sizes) -> int:
        """MiB on the cards of an extraction, all together."""
        tokens = self.experiment.corpus[corpus].sequences.tokens
        dtype = self.experiment.model[model].dtype
        return _mib(gpu_bytes(sizes, dtype, tokens, self.experiment.runtime.batch_tokens))

    def measuring(self, model: str, corpus: str, protocols: list[str], times: int = 1) -> Need:
        """Of measure_heads under some protocols, for `times` models of a size, in one process."""
        sizes = sizes_of(self.experiment, model, self.facts)
        if sizes is None:
            return Need(_UNKNOWN_MIB // 4, _UNKNOWN_MINUTES)
        rules = self.experiment.corpus[corpus].sequences
        cells = [
            cell
            for cell in self.experiment.study.measurements
            if cell.corpus == corpus and cell.protocol in protocols
        ]
        minutes = times * sum(self._measuring_minutes(sizes, cell) for cell in cells)
        row = max(numbers(self.experiment.probe[p], rules.tokens) for c in cells for p in c.probes)
        return Need(_mib(measuring_bytes(sizes, rules.count, row)), _minutes(minutes))

    def nulls(self, model: str, corpus: str, protocol: str) -> Need:
        """Of measure_nulls."""
        sizes = sizes_of(self.experiment, model, self.facts)
        if sizes is None:
            return Need(_UNKNOWN_MIB // 4, 4 * _UNKNOWN_MINUTES)
        cell = self._nulls[model, corpus, protocol]
        rules = self.experiment.corpus[corpus].sequences
        draws = len(cell.nulls) * self.experiment.statistics.null_draws
        kind = self.experiment.protocol[protocol].kind
        rows = [numbers(self.experiment.probe[p], rules.tokens) for p in cell.probes]
        each = rules.count * sizes.layers * sizes.heads * len(cell.conditions) * draws
        minutes = sum(measuring_minutes(kind, each, row) for row in rows)
        return Need(_mib(measuring_bytes(sizes, rules.count, max(rows))), _minutes(minutes))

    def judging(self) -> Need:
        """Of judge_claims."""
        found = [sizes_of(self.experiment, m, self.facts) for m in self.experiment.study.models]
        heads = sum(_UNKNOWN_HEADS if s is None else s.layers * s.heads for s in found)
        return Need(_mib(judging_bytes(heads)), _minutes(2 + heads / 250))

    def extractions(self) -> list[tuple[str, str]]:
        """Every model with every corpus."""
        corpora = dict.fromkeys(cell.corpus for cell in self.experiment.study.measurements)
        return [(model, corpus) for model in self.experiment.study.models for corpus in corpora]

    def passes(self, corpus: str) -> dict[int, int]:
        """Tokens of a sequence -> how many sequences of a corpus go through a model."""
        rules = self.experiment.corpus[corpus].sequences
        found: dict[int, int] = {}
        for name in self._conditions(corpus):
            tokens = positions(self.experiment.condition[name], rules.tokens)
            found[tokens] = found.get(tokens, 0) + rules.count
        return found

    def numbers(self, corpus: str) -> int:
        """Numbers that are stored per head: of all conditions, sequences and probes."""
        return sum(
            count * numbers(probe, tokens)
            for tokens, count in self.passes(corpus).items()
            for probe in self._probes(corpus)
        )

    def signals(self, corpus: str) -> int:
        """Signals that are measured per head: of all measurements of a corpus."""
        rules = self.experiment.corpus[corpus].sequences
        return sum(
            rules.count * len(cell.conditions) * (self.experiment.probe[probe].rows or 1)
            for cell in self._cells(corpus)
            for probe in cell.probes
        )

    def _measuring_minutes(self, sizes: Sizes, cell: Measurement) -> float:
        rules = self.experiment.corpus[cell.corpus].sequences
        kind = self.experiment.protocol[cell.protocol].kind
        each = rules.count * sizes.layers * sizes.heads * len(cell.conditions)
        probes = [self.experiment.probe[name] for name in cell.probes]
        return sum(
            measuring_minutes(
                kind, each * (p.rows or 1), rules.tokens // (2 if p.kind in _BY_LAG else 1)
            )
            for p in probes
        )

    def _cells(self, corpus: str) -> list[Measurement]:
        return [c for c in self.experiment.study.measurements if c.corpus == corpus]

    def _conditions(self, corpus: str) -> list[str]:
        named = [name for cell in self._cells(corpus) for name in cell.conditions]
        for entry in self.experiment.study.facts:
            named += entry.conditions if entry.corpus == corpus else []
        return list(dict.fromkeys(named))

    def _probes(self, corpus: str) -> list[Probe]:
        named = [name for cell in self._cells(corpus) for name in cell.probes]
        for cell in self._cells(corpus):
            named += self.experiment.protocol[cell.protocol].also_read
        for entry in self.experiment.study.facts:
            named += entry.probes if entry.corpus == corpus else []
        return [self.experiment.probe[name] for name in dict.fromkeys(named)]


def _mib(size: float) -> int:
    return math.ceil(size / MIB / 100) * 100


def _minutes(forecast: float) -> int:
    return max(_LEAST, math.ceil(_SPARE * forecast))
