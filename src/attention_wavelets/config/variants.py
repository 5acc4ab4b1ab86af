"""Measurements under many settings of one protocol, spelled out one by one.

`vary: {spectrum.window: [none, hann_periodic], spectrum.dc: [keep, drop_bin]}` measures under every
combination. Each becomes a protocol of its own, named after what differs from the one in conf/.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from attention_wavelets.config import schema
from attention_wavelets.config.check import check
from attention_wavelets.errors import PipelineError, unknown_name

__all__ = ["chunks", "vary"]

LONGEST_NAME = 100

Cells = list[schema.Measurement]


def vary(
    measurements: Sequence[schema.Measurement], named: Mapping[str, Any], where: str
) -> tuple[Cells, dict[str, Any]]:
    """Every measurement under one protocol each, and those protocols by name.

    Parameters
    ----------
    measurements
        As the study lists them.
    named
        Name -> protocol in conf/, for every name in `measurements`.
    where
        The study's file, for messages.

    Returns
    -------
    cells
        Measurements without `vary`. Where two lists of settings meet in one protocol, their
        conditions and probes are joined.
    protocols
        Name -> protocol, exactly those that the cells name.
    """
    cells: Cells = []
    protocols: dict[str, Any] = {}
    spelled: dict[tuple[str, str], int] = {}
    for cell in measurements:
        base = named[cell.protocol]
        if not cell.vary:
            cells.append(cell)
            protocols[cell.protocol] = base
            continue
        for values in itertools.product(*cell.vary.values()):
            settings = dict(zip(cell.vary, values, strict=True))
            name, protocol = _variant(cell.protocol, base, settings, where)
            protocols[name] = protocol
            own = cell.model_copy(update={"protocol": name, "vary": {}})
            place = spelled.setdefault((cell.corpus, name), len(cells))
            if place == len(cells):
                cells.append(own)
            else:
                cells[place] = _joined(cells[place], own)
    return cells, protocols


def chunks(
    measurements: Sequence[schema.Measurement], variants: Sequence[str], size: int
) -> list[tuple[str, list[str]]]:
    """Corpus and varied protocols of each job that measures several of them, `size` at most."""
    found: dict[str, list[str]] = {}
    for cell in measurements:
        if cell.protocol in variants:
            found.setdefault(cell.corpus, []).append(cell.protocol)
    return [
        (corpus, names[start : start + size])
        for corpus, names in found.items()
        for start in range(0, len(names), size)
    ]


def _variant(
    name: str, base: Any, settings: Mapping[str, Any], where: str
) -> tuple[str, schema.Protocol]:
    plain = base.model_dump(mode="json")
    for key, value in settings.items():
        node, last = _node(plain, key, where)
        if node[last] != value:
            node[last] = value
            name += f".{last}-{value}"
    if len(name) > LONGEST_NAME:
        raise PipelineError(
            f"the name '{name}' has more than {LONGEST_NAME} characters",
            f"vary in {where}",
            "vary fewer settings at once, or give the protocol a shorter name",
        )
    return name, check(type(base), plain, f"vary in {where}")


def _node(plain: dict[str, Any], key: str, where: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds a setting written with dots, and the setting's last name."""
    holder, node = plain, plain
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node or part == "kind":
            raise unknown_name("setting", key, _settings(plain), f"vary in {where}")
        holder, node = node, node[part]
    return holder, key.rpartition(".")[2]


def _settings(plain: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Names of all settings, with dots."""
    found: list[str] = []
    for key, value in plain.items():
        if isinstance(value, dict):
            found += _settings(value, f"{prefix}{key}.")
        elif key != "kind":
            found.append(prefix + key)
    return found


def _joined(one: schema.Measurement, other: schema.Measurement) -> schema.Measurement:
    return one.model_copy(
        update={
            key: list(dict.fromkeys([*getattr(one, key), *getattr(other, key)]))
            for key in ("conditions", "probes")
        }
    )
