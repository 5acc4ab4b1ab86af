"""Registries are plain dictionaries whose keys are their records' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from attention_wavelets.attention.facts import FACTS, get_fact
from attention_wavelets.attention.probes import PROBES, get_probe
from attention_wavelets.config.compose import load_member
from attention_wavelets.config.schema import FactName, FigureName, Probe, ScaleComparison
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.registry import by_name
from attention_wavelets.measures.registry_paper import paper_measures
from attention_wavelets.measures.scaling import ALIGNMENTS, alignment
from attention_wavelets.report.figures import FIGURES, figure_spec
from helpers.tiny_study import ROOT

PAPER = load_member("protocol", "paper", ROOT / "conf", {})


@dataclass(frozen=True)
class Registry:
    """A dictionary, how it is asked, and the names that YAML may give."""

    name: str
    entries: Mapping[str, Any]
    ask: Callable[[str], Any] | None
    allowed: tuple[str, ...]


REGISTRIES = [
    Registry("probe", PROBES, get_probe, get_args(Probe.model_fields["kind"].annotation)),
    Registry("fact", FACTS, get_fact, get_args(FactName)),
    Registry("figure", FIGURES, figure_spec, get_args(FigureName)),
    Registry(
        "alignment",
        ALIGNMENTS,
        alignment,
        get_args(ScaleComparison.model_fields["alignment"].annotation),
    ),
]
each_registry = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda r: r.name)


@each_registry
def test_a_key_is_its_records_name(registry: Registry):
    assert registry.entries
    for key, record in registry.entries.items():
        assert record.name == key


@each_registry
def test_yaml_can_name_every_entry_and_nothing_else(registry: Registry):
    assert set(registry.allowed) == set(registry.entries)


@each_registry
def test_an_entry_is_found_by_name(registry: Registry):
    for key, record in registry.entries.items():
        assert registry.ask(key) is record


@each_registry
def test_an_unknown_name_lists_the_options(registry: Registry):
    wrong = f"{next(iter(registry.entries))}x"
    with pytest.raises(PipelineError) as caught:
        registry.ask(wrong)
    said = str(caught.value)
    assert f"'{wrong}'" in said
    assert f"did you mean '{wrong[:-1]}'?" in said
    assert said.endswith("allowed: " + ", ".join(sorted(registry.entries)))


@each_registry
def test_a_record_cannot_be_changed(registry: Registry):
    record = next(iter(registry.entries.values()))
    with pytest.raises(AttributeError):
        record.name = "other"


def test_a_fact_is_read_from_rows_or_from_weights_and_not_from_both():
    for fact in FACTS.values():
        assert (fact.make is None) != (fact.weights is None)


def test_measures_have_one_name_each():
    measures = paper_measures(PAPER)
    assert list(by_name(measures)) == [measure.name for measure in measures]
    with pytest.raises(ValueError, match="two records are called"):
        by_name([measures[0], measures[0]])
