"""Which measures a protocol offers and which its settings choose; no numpy is needed for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attention_wavelets.errors import PipelineError, unknown_name
from attention_wavelets.measures.registry import Measure
from attention_wavelets.measures.registry_paper import paper_measures
from attention_wavelets.measures.registry_rigorous import rigorous_measures

__all__ = ["OFFERED", "protocol_measures"]

OFFERED: dict[str, Callable[[Any], tuple[Measure, ...]]] = {
    "paper": paper_measures,
    "rigorous": rigorous_measures,
}
"""Kind of a protocol -> protocol -> its measures, in the order of the columns."""


def protocol_measures(protocol: Any, where: str = "protocol") -> tuple[Measure, ...]:
    """The measures of any protocol that its settings choose, in the order of the columns.

    Raises PipelineError, which names `where`, for an unknown kind, an unknown measure, or `all`
    beside others.
    """
    if protocol.kind not in OFFERED:
        raise unknown_name("protocol", protocol.kind, OFFERED)
    offered = OFFERED[protocol.kind](protocol)
    if protocol.measures == ["all"]:
        return offered
    if "all" in protocol.measures:
        raise PipelineError(
            "`all` stands beside other measures", where, "write [all] alone, or leave it out"
        )
    names = [measure.name for measure in offered]
    for name in protocol.measures:
        if name not in names:
            raise unknown_name("measure", name, ["all", *names], where)
    return tuple(measure for measure in offered if measure.name in protocol.measures)
