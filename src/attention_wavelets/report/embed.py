"""Figures inside the page: SVG inlined, or PNG as data where the SVG is large."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from attention_wavelets.errors import PipelineError
from attention_wavelets.report.figures import figure_spec
from attention_wavelets.report.figures.spec import FigureSpec

__all__ = ["LARGEST_SVG", "EmbeddedFigure", "embed_figures", "inline_svg"]

# Above this many bytes a page opens slowly; the PNG of the same figure takes its place.
LARGEST_SVG = 1_500_000


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure ready for the page."""

    spec: FigureSpec
    image: Markup


def inline_svg(source: str, name: str, alt: str) -> Markup:
    """An SVG file's drawing with its names made its own, so that several fit in one page.

    Metadata and document type are dropped, style rules are confined to the drawing.
    """
    start = source.find("<svg")
    if start < 0:
        raise PipelineError("not an SVG file", name, "draw the figures again")
    body = re.sub(r"<metadata>.*?</metadata>", "", source[start:], flags=re.DOTALL)
    body = re.sub(r'(?<![\w-])id="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r"(<style[^>]*>)\s*\*", rf"\1#{name}-figure *", body)
    root = Markup('<svg id="{0}-figure" role="img" aria-label="{1}"').format(name, alt)
    # The drawing is matplotlib's own file; only names and text above came from elsewhere.
    return root + Markup(body[len("<svg") :])


def _png(path: Path, alt: str) -> Markup:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(alt, data)


def embed_figures(files: Iterable[Path]) -> list[EmbeddedFigure]:
    """Each figure of `files` once, in the order in which it first appears.

    Raises
    ------
    PipelineError
        If a file is missing, of an unknown figure, or in no format a page can show.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in map(Path, files):
        found.setdefault(path.stem, {})[path.suffix.lstrip(".")] = path
    return [_embedded(name, formats) for name, formats in found.items()]


def _embedded(name: str, formats: dict[str, Path]) -> EmbeddedFigure:
    spec = figure_spec(name)
    alt = f"{spec.title}. {spec.caption.split('. ')[0]}."
    svg, png = formats.get("svg"), formats.get("png")
    try:
        if svg is not None and (png is None or svg.stat().st_size <= LARGEST_SVG):
            image = inline_svg(svg.read_text(encoding="utf-8"), f"figure-{name}", alt)
        elif png is not None:
            image = _png(png, alt)
        else:
            raise PipelineError("neither SVG nor PNG", f"figure {name}", "add svg to the formats")
    except FileNotFoundError as error:
        raise PipelineError(
            "file is missing", str(error.filename), "run the rule that draws the figures"
        ) from None
    return EmbeddedFigure(spec, image)
