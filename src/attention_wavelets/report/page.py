"""report.html: one file that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from attention_wavelets.errors import unknown_name
from attention_wavelets.report.embed import embed_figures
from attention_wavelets.report.sections import SECTIONS, ReportInput
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.store.atomic import write_text

__all__ = ["render_page", "write_report"]


@cache
def _template() -> Template:
    source = (files("attention_wavelets.report") / "page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(source)


def render_page(page: ReportInput, names: Sequence[str] | None = None) -> str:
    """The page with the named sections, those that apply in registry order unless told."""
    fitting = [name for name, section in SECTIONS.items() if section.applies(page)]
    chosen = fitting if names is None else list(names)
    for name in chosen:
        if name not in SECTIONS:
            raise unknown_name("report section", name, SECTIONS)
    study = page.context.get("study", {})
    return _template().render(
        title=study.get("title", "Attention study"),
        description=study.get("description", ""),
        name=study.get("name", ""),
        sections=[
            {"name": name, "title": SECTIONS[name].title, "body": SECTIONS[name].build(page)}
            for name in chosen
        ],
    )


def write_report(
    path: Path, tables: StudyTables, figure_files: Iterable[Path], context: Mapping[str, Any]
) -> None:
    """Write the report of a study; it appears whole or not at all.

    Parameters
    ----------
    path
        HTML file to write.
    tables
        The study's tables.
    figure_files
        SVG and PNG files named after their figures; order is the order in the page.
    context
        `study` {title, description, name}; `models`, a list of manifests; `corpora`, name ->
        {title, language, licence, licence_url, source, tokens, count}; `conditions`, name -> plain
        dict; `protocol` and `provenance`, plain dicts. What is absent is shown as a dash.
    """
    page = ReportInput(tables, embed_figures(figure_files), context)
    write_text(path, render_page(page))
