"""Wikitext to prose: what a reader of the page would read, without its furniture."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["FILE_NAMES", "strip_markup"]

# Link prefixes that show a picture or file the page, on every wiki; exports name the local ones.
FILE_NAMES = frozenset({"file", "image", "media", "category"})

# Elements whose content is no prose: tables, notes, formulas, pictures, listings.
DROPPED_TAGS = frozenset(
    {"table", "tr", "td", "th", "caption", "ref", "references", "gallery", "imagemap", "math"}
    | {"chem", "ce", "timeline", "score", "hiero", "syntaxhighlight", "source", "pre", "graph"}
    | {"mapframe", "maplink", "inputbox", "categorytree", "templatedata", "style", "script"}
)
BREAKING_TAGS = frozenset({"br", "hr", "p", "div", "blockquote", "center"})

# Templates that stand for words of the sentence: which parameter the reader sees. All others go.
WORD_TEMPLATES = {"nowrap": (1,), "lang": (2,), "transl": (2,), "convert": (1, 2), "cvt": (1, 2)}

INTERWIKI = re.compile(r"[a-z]{2,3}(-[a-z]+)*:")
MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
# What damaged markup leaves: unpaired brackets, table lines, runs of apostrophes, lone tags.
STRAY_MARKS = re.compile(
    r"""\[\[[^\[\]\n|]*\| | \[\[ | \]\] | \{\{ | \}\} | '{2,}
    | ^[ \t]*(?:\{\||\|\}|\|).*$
    | </?(?:b|big|blockquote|br|center|cite|code|dd|div|dl|dt|em|font|gallery|h[1-6]|hr|i
      |includeonly|li|math|noinclude|nowiki|ol|onlyinclude|p|poem|ref|references|s|small|span|strong|sub|sup
      |table|td|th|tr|tt|u|ul|var)\b[^<>\n]{0,200}>""",
    re.MULTILINE | re.VERBOSE,
)
# Headings carry this mark, once per level, until those with nothing below them are gone. Unicode
# sets the character aside for use inside a program.
HEADING = "\ufdd0"
HEADING_LINE = re.compile(rf"^({HEADING}+).*$", re.MULTILINE)
EMPTY_BRACKETS = re.compile(r"[ \t]*(?:\([\s,;:]*\)|\[[\s,;:]*\])")
BRACKET_START = re.compile(r"\(\s*[,;][\s,;]*")
SPACES = re.compile(r"[ \t\u00a0\u200b]+")
SPACE_BEFORE_STOP = re.compile(r" +([,;:)]|[.!?](?![.]))(?=\s|$)", re.MULTILINE)
LINE_START = re.compile(r"^[,;:|*#]+[ ]+")
BLANK_LINES = re.compile(r"\n{3,}")


def strip_markup(wikitext: str, file_names: frozenset[str] = FILE_NAMES) -> str:
    """Return the prose of one page.

    Templates, tables, notes, formulas, comments and links to pictures or categories go; links and
    formatted text leave what the reader sees. Lines without a letter or digit go too, and at most
    one blank line stands between paragraphs. `file_names` holds the lower-case names of the picture
    and category namespaces.
    """
    import mwparserfromhell

    # Apostrophes are left to a pattern below: unpaired ones would make the parser take whole
    # paragraphs for one bold phrase.
    code = mwparserfromhell.parse(wikitext, skip_style_tags=True)
    return _tidy(_prose(code, file_names))


def _prose(code: Any, file_names: frozenset[str]) -> str:
    """The visible text of parsed wikitext.

    One pass over the nodes. `Wikicode.strip_code` keeps the captions of pictures and the cells of
    tables, and removing those nodes first searches the whole page once for each of them.
    """
    if code is None:
        return ""
    return "".join(
        VISIBLE.get(type(node).__name__, _nothing)(node, file_names) for node in code.nodes
    )


def _nothing(_node: Any, _file_names: frozenset[str]) -> str:
    return ""


def _text(node: Any, _file_names: frozenset[str]) -> str:
    return str(node.value)


def _heading(node: Any, file_names: frozenset[str]) -> str:
    return HEADING * int(node.level) + _prose(node.title, file_names).strip()


def _entity(node: Any, _file_names: frozenset[str]) -> str:
    return str(node.normalize())


def _external_link(node: Any, file_names: frozenset[str]) -> str:
    return _prose(node.title, file_names)


def _wikilink(node: Any, file_names: frozenset[str]) -> str:
    title = str(node.title).strip()
    prefix = title.partition(":")[0].strip().lower()
    if ":" in title and prefix in file_names:
        return ""
    if node.text is not None:
        return _prose(node.text, file_names)
    if INTERWIKI.match(title):
        return ""  # "[[de:Titel]]" on its own links to another language in the margin.
    return _prose(node.title, file_names).lstrip(":")


def _tag(node: Any, file_names: frozenset[str]) -> str:
    name = str(node.tag).strip().lower()
    if name in DROPPED_TAGS:
        return ""
    inner = _prose(node.contents, file_names)
    return f"\n{inner}\n" if name in BREAKING_TAGS else inner


def _template(node: Any, file_names: frozenset[str]) -> str:
    positions = WORD_TEMPLATES.get(str(node.name).strip().lower(), ())
    words = [
        _prose(node.get(position).value, file_names).strip()
        for position in positions
        if node.has(position)
    ]
    return " ".join(words)


VISIBLE: dict[str, Callable[[Any, frozenset[str]], str]] = {
    "Text": _text,
    "Heading": _heading,
    "HTMLEntity": _entity,
    "ExternalLink": _external_link,
    "Wikilink": _wikilink,
    "Tag": _tag,
    "Template": _template,
}


def _tidy(text: str) -> str:
    """Clear what stripping leaves behind: stray marks, empty brackets, surplus white space."""
    text = STRAY_MARKS.sub("", MAGIC_WORD.sub("", text))
    text = BRACKET_START.sub("(", EMPTY_BRACKETS.sub("", text))
    text = SPACE_BEFORE_STOP.sub(r"\1", SPACES.sub(" ", text))
    lines = (LINE_START.sub("", line.strip()) for line in text.split("\n"))
    text = _without_empty_sections("\n".join(line for line in lines if _is_prose(line)))
    return BLANK_LINES.sub("\n\n", text).replace(HEADING, "").strip()


def _is_prose(line: str) -> bool:
    """Whether a line is blank or has a letter or digit; bare punctuation is left-over markup."""
    return not line or any(character.isalnum() for character in line)


def _without_empty_sections(text: str) -> str:
    """Drop headings that nothing but a heading of the same or a higher level follows.

    Notes and reference lists are headings of that kind once their templates are gone.
    """
    pieces = []
    level_below: float = 0  # The end of the page closes every section.
    end = len(text)
    for heading in reversed(list(HEADING_LINE.finditer(text))):
        body = text[heading.end() : end]
        level = len(heading.group(1))
        if body.strip() or level_below > level:
            pieces.append(heading.group() + body)
            level_below = level
        end = heading.start()
    return text[:end] + "".join(reversed(pieces))
