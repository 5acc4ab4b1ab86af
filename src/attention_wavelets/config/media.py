"""What cannot be asked of sounds and pictures, which have no tokens: refused before any job."""

from __future__ import annotations

from collections.abc import Iterator

from attention_wavelets.config.schema import Experiment, Facts, Measurement
from attention_wavelets.errors import PipelineError

__all__ = ["check_media"]

# A part of a picture is no smaller picture of the same, so that pictures are never subsampled.
_CONDITIONS = {"sound": ("full", "subsample", "shuffle"), "pictures": ("full", "shuffle")}
# About steps along a sequence, which patches are not.
_OF_STEPS = ("locality", "logit_lags")


def check_media(experiment: Experiment, where: str) -> None:
    """Refuse a study of several kinds, or one that asks sounds or pictures for what texts have.

    `where` names the study's file in errors, which are `PipelineError`s.
    """
    study = experiment.study
    cells: list[Measurement | Facts] = [*study.measurements, *study.facts]
    corpora = list(dict.fromkeys(cell.corpus for cell in cells))
    first, read = corpora[0], experiment.corpus[corpora[0]].text.read
    for what, todo in _of_other_kinds(experiment, corpora, first, read):
        raise PipelineError(what, where, todo)
    if read == "tokens":
        return
    for what, todo in _not_asked(experiment, cells, read):
        raise PipelineError(what, where, todo)


def _of_other_kinds(
    experiment: Experiment, corpora: list[str], first: str, read: str
) -> Iterator[tuple[str, str]]:
    for corpus in corpora:
        other = experiment.corpus[corpus].text.read
        if other != read:
            yield (
                f"corpus '{first}' has {read}, '{corpus}' has {other}, and every model reads every "
                "corpus",
                "put them into two studies",
            )
    for name in experiment.study.models:
        model = experiment.model[name]
        if model.source.kind == "trained" and read != "tokens":
            yield (
                f"model '{name}' is trained here on tokens, corpus '{first}' has {read}",
                "put them into two studies",
            )
        sizes = model.architecture
        if sizes and (sizes.vocabulary_size is None) is (read == "tokens"):
            has = "has no" if sizes.vocabulary_size is None else "has a"
            yield (
                f"model '{name}' {has} vocabulary, corpus '{first}' has {read}",
                "name models and corpora of one kind",
            )


def _not_asked(
    experiment: Experiment, cells: list[Measurement | Facts], read: str
) -> Iterator[tuple[str, str]]:
    kinds = _CONDITIONS[read]
    for cell in cells:
        for name in cell.conditions:
            kind = experiment.condition[name].kind
            if kind not in kinds:
                yield (
                    f"condition '{name}' of kind `{kind}` is not for {read}",
                    f"leave it out; {read} have conditions of kind {', '.join(kinds)}",
                )
        for name in cell.probes:
            if experiment.probe[name].kind == "character_lag":
                yield (
                    f"probe '{name}' counts characters, '{cell.corpus}' has {read}",
                    "leave it out",
                )
        for fact in cell.facts if isinstance(cell, Facts) else ():
            if read == "pictures" and fact in _OF_STEPS:
                yield (
                    f"fact '{fact}' is about steps along a sequence, which patches are not",
                    "leave it out",
                )
    if experiment.study.causal is not None:
        yield f"causal: losses are of tokens, the corpora have {read}", "leave `causal` out"
