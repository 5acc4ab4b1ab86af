"""Articles of a MediaWiki XML export as plain prose, one page in memory at a time."""

from __future__ import annotations

import bz2
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from attention_wavelets.corpora.wikitext import FILE_NAMES, strip_markup
from attention_wavelets.errors import PipelineError

__all__ = ["read_mediawiki"]

CHUNK_BYTES = 1 << 16
BZIP2_MAGIC = b"BZh"

# Numbers of the namespaces whose links show a picture or file the page, and say nothing in prose.
FILE_NAMESPACES = frozenset({"6", "14"})


@dataclass
class _Page:
    """One <page> while it is read."""

    redirect: bool = False
    values: dict[str, str] = field(default_factory=dict)

    def is_article(self) -> bool:
        """Whether this is wikitext of the main namespace, and no redirect."""
        return (
            self.values.get("ns", "0").strip() == "0"
            and self.values.get("model", "wikitext") == "wikitext"
            and not self.redirect
            # Exports before 2012 carry no <redirect/>; "#REDIRECT" works on every wiki.
            and self.values.get("text", "").lstrip()[:9].upper() != "#REDIRECT"
        )


class _Pages:
    """Parser target that collects pages; no element tree is ever built.

    A document type declaration is refused as soon as it begins, before the entities it may declare
    can expand ("billion laughs") or name a file. MediaWiki never writes one, so nothing is lost and
    no further package is needed; ElementTree itself fetches no external entities.
    """

    FIELDS = frozenset({"title", "ns", "model", "text"})

    def __init__(self) -> None:
        self.finished: list[_Page] = []
        self.file_names: set[str] = set(FILE_NAMES)
        self._page: _Page | None = None
        self._pieces: list[str] | None = None
        self._file_namespace = False
        self._root_seen = False

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise ValueError(f"it declares a document type ({name}), which is refused")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if not self._root_seen:
            if name != "mediawiki":
                raise ValueError(f"its first element is <{name}>, not <mediawiki>")
            self._root_seen = True
        if name == "page":
            self._page = _Page()
        elif name == "redirect" and self._page is not None:
            self._page.redirect = True
        elif name == "namespace" and attributes.get("key") in FILE_NAMESPACES:
            self._pieces, self._file_namespace = [], True
        elif name in self.FIELDS and self._page is not None:
            self._pieces = []

    def data(self, data: str) -> None:
        if self._pieces is not None:
            self._pieces.append(data)

    def end(self, tag: str) -> None:
        name = tag.rpartition("}")[2]
        if self._pieces is not None and self._page is not None and name in self.FIELDS:
            # A page with its history: a later revision replaces an earlier one.
            self._page.values[name] = "".join(self._pieces)
            self._pieces = None
        elif self._file_namespace:
            self.file_names.add("".join(self._pieces or []).strip().lower())
            self._pieces, self._file_namespace = None, False
        elif name == "page" and self._page is not None:
            self.finished.append(self._page)
            self._page = None

    def close(self) -> None:
        return None


def read_mediawiki(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (title, prose) of each article of a MediaWiki XML export, bzip2 or plain.

    Only pages of namespace 0 that are no redirects; their markup is stripped by `strip_markup`.
    The file is streamed. A file that is missing, damaged, cut short or no MediaWiki export is a
    `PipelineError` that names it, raised when the damage is reached.
    """
    pages = _Pages()
    parser = ElementTree.XMLParser(target=pages)
    try:
        with _opened(path) as handle:
            while chunk := handle.read(CHUNK_BYTES):
                parser.feed(chunk)
                yield from _articles(pages)
        parser.close()
    except (OSError, EOFError, ElementTree.ParseError, ValueError) as error:
        raise PipelineError(
            f"not a readable MediaWiki XML export: {error}",
            str(path),
            "fetch the file again, or correct `format` in the corpus",
        ) from None
    yield from _articles(pages)


def _opened(path: Path) -> IO[bytes]:
    """The file as uncompressed bytes; told by its first bytes, since names mislead."""
    with path.open("rb") as handle:
        compressed = handle.read(len(BZIP2_MAGIC)) == BZIP2_MAGIC
    return bz2.open(path, "rb") if compressed else path.open("rb")


def _articles(pages: _Pages) -> Iterator[tuple[str, str]]:
    finished, pages.finished = pages.finished, []
    names = frozenset(pages.file_names)
    for page in finished:
        if page.is_article():
            yield (
                page.values.get("title", "").strip(),
                strip_markup(page.values.get("text", ""), names),
            )
