"""The YAMLs are the manual: what someone may change has a comment above it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from helpers.tiny_study import ROOT

CONF = ROOT / "conf"
RECIPES = sorted((CONF / "recipe").glob("*.yaml"))
TRAINED = [
    path
    for path in sorted((CONF / "model").glob("*.yaml"))
    if "kind: trained" in path.read_text(encoding="utf-8")
]
CHANGED = [
    path
    for path in sorted((CONF / "study").glob("*.yaml"))
    if "causal" in yaml.safe_load(path.read_text(encoding="utf-8"))
]


def bare(path: Path) -> set[str]:
    """Keys of a YAML without a line of comment right above them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = set()
    for above, line in zip(["", *lines], lines, strict=False):
        key = re.match(r"\s*(\w+):", line)
        if key and not above.lstrip().startswith("#"):
            found.add(key[1])
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_key_of_a_recipe_has_a_comment(path: Path):
    # What stands above `corpus` speaks of both.
    assert bare(path) <= {"also", "tokenizer"}


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_every_size_of_a_trained_model_has_a_comment(path: Path):
    # As above `architecture` and `layers`; the rest is as in every model.
    beside = {"encoding", "heads"}
    assert bare(path) <= beside | {"label", "source", "kind", "tuning", "licence"}


@pytest.mark.parametrize("path", CHANGED, ids=lambda path: path.stem)
def test_every_setting_of_changed_attention_has_a_comment(path: Path):
    settings = {"shares", "replacements", "draws", "functional", "seed"}
    assert not bare(path) & {"at_least", *settings}
