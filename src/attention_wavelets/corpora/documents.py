"""Documents: titled texts read from the files of a corpus, whatever their format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from attention_wavelets.config.schema import Split, Text
from attention_wavelets.corpora.media import read_media
from attention_wavelets.corpora.mediawiki import read_mediawiki
from attention_wavelets.corpora.plain import read_jsonl, read_parquet, read_text
from attention_wavelets.corpora.series import draw_series, read_csv
from attention_wavelets.errors import PipelineError, unknown_name

__all__ = ["READERS", "Document", "read_documents"]


@dataclass(frozen=True)
class Document:
    """One text with its title; statistics cluster on documents.

    `group` names what is known of a drawn series; of other texts it is empty. A sound or a picture
    has no text but `content`, the bytes of its file.
    """

    title: str
    text: str
    group: str = ""
    content: bytes | None = None


Reader = Callable[[Path, Text], Iterator[tuple[str, str]]]

# One entry per value of `format`: how a file gives pairs of title and text.
READERS: dict[str, Reader] = {
    "mediawiki": lambda path, _text: read_mediawiki(path),
    "text": lambda path, _text: read_text(path),
    "jsonl": lambda path, text: read_jsonl(path, text.field),
    "parquet": lambda path, text: read_parquet(path, text.field),
    "series": read_csv,
}


def read_documents(text: Text, files: list[Path]) -> Iterator[Document]:
    """Yield the documents of `files`, in order, one in memory at a time.

    Documents shorter than `text.min_characters` (characters of the text without white space at its
    ends) and those of white space alone are dropped, sounds and pictures never. No file, a missing
    or damaged file and a format without reader are `PipelineError`s; damage may be met after
    documents were yielded.
    """
    if text.source.kind == "synthetic":
        return _series(text)
    if not files:
        raise PipelineError(
            f"no file matches '{text.files}'", text.title, "correct `files` or `source`"
        )
    if text.read != "tokens":
        return _media(text, files)
    if text.format not in READERS:
        raise unknown_name("format", text.format, READERS, "corpus")
    return _documents(READERS[text.format], text, files)


def _series(text: Text) -> Iterator[Document]:
    assert text.source.kind == "synthetic"
    assert text.samples is not None, "checked by the schema"
    for title, body, group in draw_series(text.source, text.samples.levels):
        if _wanted(body, text.split):
            yield Document(title, body, group)


def _media(text: Text, files: list[Path]) -> Iterator[Document]:
    for path in files:
        for title, content in read_media(path, text.field):
            if _wanted(content, text.split):
                yield Document(title, "", content=content)


def _documents(reader: Reader, text: Text, files: list[Path]) -> Iterator[Document]:
    # A document without a character has nothing to cut sequences from.
    least = max(text.min_characters, 1)
    for path in files:
        for title, body in reader(path, text):
            if len(body.strip()) >= least and _wanted(body, text.split):
                yield Document(title, body)


def _wanted(body: str | bytes, split: Split | None) -> bool:
    """Whether a document belongs to the part: by its own content, so that no other moves it."""
    if split is None:
        return True
    content = body.encode() if isinstance(body, str) else body
    digest = hashlib.sha256(f"{split.seed}\0".encode() + content).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2**64
    return (drawn < split.held_out) == (split.part == "held_out")
