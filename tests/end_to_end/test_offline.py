"""Which stages ask the network: nodes of a cluster have none."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from helpers.tiny_study import ROOT

ONLINE = {"fetch-model", "fetch-weights", "build-corpus", "audit-checkpoints"}
STAGES = {
    match
    for path in (ROOT / "workflow/rules").glob("*.smk")
    for match in re.findall(r"-m attention_wavelets ([a-z-]+)", path.read_text())
}
SHOW = """
import os, sys
from attention_wavelets import cli
def show(arguments): print(os.environ.get("HF_HUB_OFFLINE"))
real = cli._command
def command(commands, name, run, text): return real(commands, name, show, text)
cli._command = command
sys.exit(cli.main(sys.argv[1:]))
"""


def needed(stage: str) -> list[str]:
    """Options that the stage cannot do without, each with some value."""
    told = subprocess.run(
        [sys.executable, "-m", "attention_wavelets", stage, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    usage = told[: told.index("\n\n")]
    flags = re.findall(r"(?<!\[)--([a-z-]+)\s", re.sub(r"\[--[^\]]*\]", "", usage))
    # Of `each` the line of another stage comes last.
    last = ["--", "1"] if "stage [stage ...]" in usage else []
    return [*(word for flag in flags for word in (f"--{flag}", "1")), *last]


def test_there_are_stages_of_both_kinds():
    assert STAGES > ONLINE
    assert len(STAGES) >= 14


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_only_stages_that_fetch_may_ask_the_hub(stage: str):
    kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, stage, *needed(stage)],
        capture_output=True,
        text=True,
        env=kept,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("None" if stage in ONLINE else "1")
