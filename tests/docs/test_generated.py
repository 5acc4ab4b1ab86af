"""What the pages say of the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generate():
    # The scripts of docs/ import one another, as they do when run.
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_generated_parts_are_up_to_date(path):
    text = path.read_text(encoding="utf-8")
    assert generate().render(text) == text, "run: python docs/generate.py"


def test_every_generated_part_stands_on_a_page():
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert set(re.findall(r"<!-- generated: (\S+) -->", pages)) == set(generate().PARTS)


def test_a_stale_part_is_replaced_and_the_rest_kept():
    page = "before\n<!-- generated: reasons -->\nstale text\n<!-- end -->\nafter\n"
    new = generate().render(page)
    assert new.startswith("before\n")
    assert new.endswith("<!-- end -->\nafter\n")
    assert "stale text" not in new
    assert "| `length` |" in new


def test_an_unknown_part_is_an_error():
    with pytest.raises(KeyError):
        generate().render("<!-- generated: nothing -->\n<!-- end -->")


def test_links_between_files_lead_somewhere():
    root = DOCS.parent
    pages = [*DOCS.glob("*.md"), root / "CONTRIBUTING.md", root / "CHANGELOG.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
