"""docs/outputs.md names every file and every column of a real run, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from attention_wavelets.attention.facts import FACTS
from attention_wavelets.config.compose import load_member
from attention_wavelets.measures.protocols import protocol_measures
from attention_wavelets.store.arrays import open_group, read_attributes

ROOT = Path(__file__).parents[2]
MEASURES = protocol_measures(load_member("protocol", "paper", ROOT / "conf", {}))


def alternatives(names):
    return f"(?:{'|'.join(map(re.escape, names))})"


PLACES = {
    "head measure": alternatives(m.name for m in MEASURES if m.level != "layer"),
    "layer measure": alternatives(m.name for m in MEASURES if m.level == "layer"),
    "dispersed measure": alternatives(m.name for m in MEASURES if m.over_heads == "spread"),
    "probe": alternatives(["received", "lag", "last_query"]),
    "fact": alternatives(n for spec in FACTS.values() for n in spec.variables),
    "method": alternatives(["prefix", "suffix", "random"]),
    "fraction": r"\d+(?:_\d+)?",
    "width": r"\d+",
    "scale": r"\d+",
    "model": r"[^/]+",
    "corpus": r"[^/]+",
    "protocol": r"[^/]+",
    "study": r"[^/]+",
    "figure": r"[^/]+",
    "format": r"\w+",
}


def pattern(name):
    """A documented name as a regular expression; `{...}` is a place to fill."""
    parts = re.split(r"\{([^}]+)\}", name)
    return "".join(PLACES[p] if i % 2 else re.escape(p) for i, p in enumerate(parts))


@pytest.fixture(scope="module")
def documented():
    """File pattern -> documented names of its columns, variables or keys."""
    text = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        body = part.split("\n## ")[0]
        cells = re.findall(r"^\| (`.*?`) \|", body, flags=re.MULTILINE)
        names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
        found[re.match(r"`([^`]+)`", part)[1]] = names
    return found


def check(names, actual):
    """Each actual name is documented and each documented one occurs."""
    plain = [name for name in names if "{statistic}" not in name]
    unknown = [a for a in actual if not any(re.fullmatch(pattern(n), a) for n in plain)]
    if len(plain) < len(names):
        # The limits of a statistic are documented with the statistic itself.
        ends = r"_(?:low|high)$"
        unknown = [a for a in unknown if re.sub(ends, "", a) not in set(actual) - set(unknown)]
    assert not unknown
    absent = [n for n in plain if not any(re.fullmatch(pattern(n), a) for a in actual)]
    assert not absent


def columns(path):
    if path.suffix == ".csv":
        return list(pd.read_csv(path, nrows=1).columns)
    if path.suffix == ".json":
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return [
            *(key for key in manifest if key != "facts"),
            *(f"facts.{k}" for k in manifest.get("facts", {})),
        ]
    if path.suffix == ".zip":
        names = set()
        for group in read_attributes(path)["groups"]:
            with open_group(path, group) as dataset:
                names |= set(map(str, dataset.variables))
        return sorted(names)
    return list(pd.read_parquet(path).columns)


def test_every_file_of_a_run_is_documented(finished, documented):
    slices = r"(?:models|corpora|sequences|signals|measures|nulls|studies)/.+\.json"
    rest = [slices, r"logs/.+", r"signals/[^/]+/\.[^/]+\.work/.+"]
    patterns = [*map(pattern, documented), *rest]
    files = [p for p in finished.results.rglob("*") if p.is_file()]
    names = [p.relative_to(finished.results).as_posix() for p in files]
    assert names
    assert not [n for n in names if not any(re.fullmatch(p, n) for p in patterns)]


def test_every_column_of_a_run_is_documented(finished, documented):
    checked = 0
    for name, names in documented.items():
        if not names:
            continue
        files = [
            p
            for p in finished.results.rglob("*")
            if re.fullmatch(pattern(name), p.relative_to(finished.results).as_posix())
        ]
        assert files, f"the run wrote no {name}"
        check(names, sorted({column for path in files for column in columns(path)}))
        checked += 1
    assert checked == 21


def test_an_undocumented_column_is_noticed():
    with pytest.raises(AssertionError, match="surprise"):
        check(["layer"], ["layer", "surprise"])
    with pytest.raises(AssertionError, match="gone"):
        check(["layer", "gone"], ["layer"])
    with pytest.raises(AssertionError, match="stray_low"):
        check(["a", "{statistic}_low"], ["a", "a_low", "stray_low"])


def test_every_measure_and_reason_has_a_row():
    text = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    for measure in MEASURES:
        assert f"| `{measure.name}` |" in text
