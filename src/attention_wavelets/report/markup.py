"""Small pieces of HTML; every value that is not already `Markup` is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

__all__ = ["joined", "link", "paragraph", "table", "terms"]


def joined(parts: Iterable[object]) -> Markup:
    """Parts after each other, one a line."""
    return Markup("\n").join(escape(part) for part in parts)


def paragraph(text: object, kind: str = "") -> Markup:
    """A paragraph, with an optional class."""
    if kind:
        return Markup('<p class="{}">{}</p>').format(kind, text)
    return Markup("<p>{}</p>").format(text)


def table(
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    kinds: Sequence[str] | None = None,
) -> Markup:
    """A table; the first cell of a row is its heading, `kinds` are classes of the rows."""
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(head) for head in heads)
    body = []
    for place, row in enumerate(rows):
        first, *rest = row
        kind = Markup(' class="{}"').format(kinds[place]) if kinds and kinds[place] else ""
        cells = Markup("").join(Markup("<td>{}</td>").format(cell) for cell in rest)
        body.append(Markup('<tr{}><th scope="row">{}</th>{}</tr>').format(kind, first, cells))
    title = Markup("<caption>{}</caption>").format(caption) if caption else ""
    return Markup(
        '<div class="wide"><table>{}<thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table></div>'
    ).format(title, top, joined(body))


def terms(pairs: Iterable[tuple[object, object]]) -> Markup:
    """A list of terms with their explanations."""
    items = (Markup("<dt>{}</dt><dd>{}</dd>").format(term, words) for term, words in pairs)
    return Markup("<dl>{}</dl>").format(joined(items))


def link(address: str, text: object) -> Markup:
    """A link a reader may follow; anything but a web address stays plain text."""
    if not address.startswith(("https://", "http://")):
        return escape(text)
    return Markup('<a href="{}">{}</a>').format(address, text)
