"""The commands and code of the pages do what the pages say."""

from __future__ import annotations

import pytest

from attention_wavelets.attention import probes


def test_the_tutorial_runs_from_top_to_bottom(run_page):
    assert run_page("docs/tutorial.md") >= 8


def test_the_probe_of_the_guide_works_on_real_attention(run_page):
    # The class is pasted into probes.py, so it sees that module's names; the registry is a copy.
    names = {**vars(probes), "PROBES": dict(probes.PROBES)}
    assert run_page("docs/adding_a_probe.md", names) >= 3
    assert "diagonal" in names["PROBES"]
    assert "diagonal" not in probes.PROBES


def test_the_page_of_inconsistencies_shows_what_a_check_gives(run_page):
    assert run_page("docs/inconsistencies.md") == 1


def test_the_claim_of_the_page_is_valid(run_page):
    assert run_page("docs/claims.md") == 2


@pytest.mark.parametrize("page", ["docs/adding_a_model.md", "docs/why_did_it_rerun.md"])
def test_plans_are_those_of_snakemake(page, run_page_after_quickstart):
    assert run_page_after_quickstart(page) >= 3


@pytest.mark.parametrize(
    ("block", "printed", "message"),
    [
        ("```bash\necho one; echo two\n```", "one", "printed instead:\\s+one\\s+two"),
        ("```python\nprint(1 + 1)\n```", "...\n3", "printed instead:\\s+2"),
        ("```bash\nfalse\n```", "", "line 1"),
    ],
)
def test_a_page_that_is_wrong_fails(block, printed, message, run_page, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{block}\n```text\n{printed}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=message):
        run_page(str(page))


def test_dots_stand_for_lines_and_a_marked_block_is_left_alone(run_page, tmp_path):
    page = tmp_path / "page.md"
    shown = "```bash\nseq 5\n```\n```text\n1\n...\n5\n```\n"
    text = f"{shown}<!-- not run: fails -->\n```bash\nfalse\n```\n"
    page.write_text(text, encoding="utf-8")
    assert run_page(str(page)) == 1
