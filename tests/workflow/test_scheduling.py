"""How often Snakemake looks for work while jobs run."""

from __future__ import annotations

from helpers.tiny_study import Project

# Seconds that each job lasts longer, while others wait for its core.
WAIT = 3


def test_work_is_looked_for_when_a_job_has_ended(tiny_project: Project):
    """By itself Snakemake looks each second if jobs wait, and more often the more have ended."""
    rules = tiny_project.folder / "workflow/rules/models.smk"
    text = rules.read_text(encoding="utf-8")
    command = "python -m attention_wavelets fetch-model"
    waits = text.replace(command, f"sleep {WAIT}; {command}")
    assert waits != text
    rules.write_text(waits, encoding="utf-8")
    done = tiny_project.snakemake("--cores", "1", "--verbose", "--until", "fetch_model")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    looks, ends = (
        said.count(words) for words in ("Resources before job selection", "Finished jobid")
    )
    assert 0 < looks < ends + WAIT
