"""Snakemake's linter finds one thing, and that on purpose."""

from __future__ import annotations

import re

from helpers.tiny_study import ROOT, Project

# One environment for everything, pinned in constraints.txt and environment.yml: Snakemake runs in
# it too, so an environment per rule would only be a second copy of the same pins.
ALLOWED = "Specify a conda environment or container for each rule."


def test_the_linter_finds_nothing_but_missing_environments(tiny_project: Project):
    # `--lint json` of Snakemake 9 prints the same text as `--lint`.
    done = tiny_project.snakemake("--lint")
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    findings = re.findall(r"^    \* (.*?):?$", output, flags=re.MULTILINE)
    linted = re.findall(r"^Lints for rule (\w+)", output, flags=re.MULTILINE)
    rules = {
        name
        for path in (ROOT / "workflow/rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE)
    }
    assert set(linted) == rules
    assert findings == [ALLOWED] * len(rules)
    assert "Lints for snakefile" not in output
