"""The table of measures says what the code computes."""

from __future__ import annotations

import numpy as np
import pytest

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.paper import (
    compare_signals,
    measure_layers,
    measure_locality,
    measure_signals,
)
from attention_wavelets.measures.protocols import KINDS, protocol_measures
from attention_wavelets.measures.registry import by_name, markdown_table
from attention_wavelets.measures.registry_paper import paper_measures


def names(protocol, level):
    return [m.name for m in paper_measures(protocol) if m.level == level]


def test_the_table_lists_exactly_what_is_measured_in_that_order(rows, protocol):
    single = measure_signals(rows, protocol)
    local = measure_locality(rows, np.full(60, 0.9), np.arange(96), protocol)
    assert names(protocol, "head") == [*single.values, *local.values]
    pair = compare_signals(rows, rows, protocol)
    assert names(protocol, "pair_of_conditions") == list(pair.values)
    assert names(protocol, "layer") == list(measure_layers(single.values, protocol).values)


def test_families_follow_the_settings_of_the_protocol(rows, protocol):
    settings = protocol.model_dump()
    settings["window_entropy"] = [8]
    settings["wavelet"] |= {"name": "haar", "scales": 2}
    settings["local_global"] |= {"distances": [3, 5], "headline": 5}
    settings["spectrum"] |= {"window": "none", "nfft": "length"}
    other = PaperProtocol(**settings)
    listed = {m.name for m in protocol_measures(other)}
    assert {"window_entropy_8_nats", "wavelet_entropy_raw_1", "local_global_ratio_3"} <= listed
    assert not {"window_entropy_16", "wavelet_entropy_2", "local_global_ratio_8"} & listed
    assert set(measure_signals(rows, other).values) <= listed


def test_all_beside_other_measures_is_refused_in_one_line(rigorous):
    both = rigorous.model_copy(update={"measures": ["excess_sqrt", "all"]})
    with pytest.raises(PipelineError, match="here: `all` stands beside other measures"):
        protocol_measures(both, "here")


def test_a_name_given_twice_is_refused(protocol):
    measure = paper_measures(protocol)[0]
    with pytest.raises(ValueError, match="positional_entropy"):
        by_name([measure, measure])
    settings = protocol.model_dump() | {"window_entropy": [16, 16]}
    with pytest.raises(ValueError, match=r"twice in \[16, 16\]"):
        PaperProtocol(**settings)


UNITS = {"nats", "share", "ratio", "1", "positions", "cycles/token", "tokens", "tokens^2"}
UNITS |= {"octaves", "heads", "pairs"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_measure_says_everything_about_itself(kind, protocol, rigorous):
    chosen = {"paper": protocol, "rigorous": rigorous}[kind]
    for measure in protocol_measures(chosen):
        texts = [measure.unit, measure.direction, measure.formula, measure.source]
        assert all([*texts, measure.undefined, measure.summary]), measure.name
        assert measure.range[0] < measure.range[1]
        assert measure.unit in UNITS


def test_the_markdown_table_has_one_whole_row_per_measure(protocol):
    measures = paper_measures(protocol)
    lines = markdown_table(measures).splitlines()
    assert len(lines) == len(measures) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {9}
    for measure, line in zip(measures, lines[2:], strict=True):
        assert line.startswith(f"| `{measure.name}`")
