"""`snakemake --report` builds from a finished run."""

from __future__ import annotations

import zipfile
from pathlib import Path

from helpers.tiny_study import Project


def test_snakemakes_own_report_holds_figures_and_page(finished: Project, tmp_path: Path):
    out = tmp_path / "report.zip"
    done = finished.snakemake("--report", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        everything = b"".join(archive.read(n) for n in names if n.endswith((".html", ".js")))
    for figure in (finished.study / "figures").iterdir():
        assert any(name.endswith(figure.name) for name in names), figure.name
    assert any(name.endswith("/report.html") for name in names)
    assert b"band shares" in everything
