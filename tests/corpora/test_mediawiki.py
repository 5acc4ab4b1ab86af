"""Articles out of MediaWiki exports: what is kept, what goes, what is refused."""

from __future__ import annotations

import bz2
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from attention_wavelets.corpora.mediawiki import read_mediawiki
from attention_wavelets.corpora.wikitext import strip_markup
from attention_wavelets.errors import PipelineError


def page(title: str, text: str, ns: int = 0, extra: str = "") -> str:
    return (
        f"<page><title>{escape(title)}</title><ns>{ns}</ns>{extra}<revision>"
        f"<model>wikitext</model><text>{escape(text)}</text></revision></page>"
    )


def export(*pages: str, namespaces: str = "") -> str:
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">'
        f"<siteinfo><namespaces>{namespaces}</namespaces></siteinfo>{''.join(pages)}</mediawiki>"
    )


EXPORT = export(
    page("Tea", "'''Tea''' is a [[drink]].<ref>A book.</ref>"),
    page("Talk:Tea", "I disagree.", ns=1),
    page("Chai", "#REDIRECT [[Tea]]", extra='<redirect title="Tea" />'),
    page("Old chai", "#redirect [[Tea]]"),
    page("Чай", "#пренасочване [[Tea]]", extra='<redirect title="Tea" />'),
    page("Milk & more", "Milk is white."),
)


@pytest.mark.parametrize("compress", [bz2.compress, bytes], ids=["bz2", "plain"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_articles_alone_are_read_from_an_export(tmp_path: Path, compress, encoding) -> None:
    path = tmp_path / "dump"  # Told by its content, not by its name.
    path.write_bytes(compress(EXPORT.encode(encoding)))
    assert list(read_mediawiki(path)) == [
        ("Tea", "Tea is a drink."),
        ("Milk & more", "Milk is white."),
    ]


def test_pages_come_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    filler = [page(f"P{number}", "word " * 4000) for number in range(20)]
    path.write_text(export(page("First", "One."), *filler).replace("</mediawiki>", "<broken"))
    articles = read_mediawiki(path)
    assert next(articles) == ("First", "One.")
    with pytest.raises(PipelineError, match=r"dump\.xml"):
        list(articles)


def test_links_to_files_are_dropped_by_the_local_name_of_their_namespace(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    names = '<namespace key="6">Файл</namespace><namespace key="1">Беседа</namespace>'
    text = "Ред.[[Файл:А.jpg|мини|Надпис]] [[Беседа:Б|дума]]"
    path.write_text(export(page("А", text), namespaces=names), encoding="utf-8")
    assert list(read_mediawiki(path)) == [("А", "Ред. дума")]


def test_the_last_revision_of_a_page_counts(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    one = page("A", "Old.").replace("</page>", "<revision><text>New.</text></revision></page>")
    path.write_text(export(one))
    assert list(read_mediawiki(path)) == [("A", "New.")]


def test_a_page_whose_text_was_deleted_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(export("<page><title>A</title><ns>0</ns><revision/></page>"))
    assert list(read_mediawiki(path)) == [("A", "")]


BOMB = '<?xml version="1.0"?><!DOCTYPE mediawiki [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + export(
    page("A", "x")
).replace(">x<", ">&b;<")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bz2.compress(EXPORT.encode())[:-20], "end-of-stream"),
        (b"BZh9" + b"\0" * 100, "Invalid data"),
        (EXPORT.encode()[:-200], "no element found|unclosed"),
        (b"", "no element found"),
        (b"<rss></rss>", "first element is <rss>"),
        (BOMB.encode(), "document type"),
        (BOMB.encode("utf-16"), "document type"),
    ],
    ids=["cut-bz2", "bad-bz2", "cut-xml", "empty", "other-xml", "entities", "entities-utf-16"],
)
def test_a_damaged_or_unsafe_export_is_one_line_naming_the_file(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=reason) as caught:
        list(read_mediawiki(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"absent\.xml"):
        list(read_mediawiki(tmp_path / "absent.xml"))


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("A '''bold''' and ''slanted'' word", "A bold and slanted word"),
        ("An ''unpaired word\n\nNext '''one", "An unpaired word\n\nNext one"),
        ("a [[drink]], [[Cup|cups]], [[:Category:Tea]]", "a drink, cups, Category:Tea"),
        ("x[[File:A.jpg|thumb|a [[link]] here]] y", "x y"),
        ("x [[Category:Tea]]\n[[de:Tee]]", "x"),
        ("a [http://a.org site] or http://b.org", "a site or"),
        ("one{{Infobox|a=1|b={{c}}}} two", "one two"),
        ("born ({{lang|fr|né}}; {{IPA|x}}) there", "born (né;) there"),
        ("it ({{IPA|x}}) is ( ; {{x}}) {{convert|5|km|mi}} long", "it is 5 km long"),
        ("word<ref name=a>note</ref>, more<ref name=a /> text", "word, more text"),
        ("before\n{| class=x\n! head\n|-\n| cell\n|}\nafter", "before\n\nafter"),
        ("x <math>y^2</math> z<!-- note -->", "x z"),
        ("a&nbsp;b &amp; c &lt; d", "a b & c < d"),
        ("__NOTOC__\nText", "Text"),
        ("* one\n* two\n*\n: three", "one\ntwo\n\nthree"),
        ("p<br />q <span class=x>r</span>", "p\n\nq r"),
        ("lost [[bracket and {{brace and <div class=x>tag", "lost bracket and brace and tag"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("He said ... yes .", "He said ... yes."),
    ],
)
def test_markup_becomes_prose(markup: str, prose: str) -> None:
    assert strip_markup(markup) == prose


def test_headings_stay_where_text_follows_and_go_where_none_does() -> None:
    page_text = (
        "Lead.\n\n== Empty ==\n\n== History ==\n=== Early ===\nLong ago.\n"
        "=== Late ===\n{{main|x}}\n== Notes ==\n<references />\n== Links ==\n"
    )
    assert strip_markup(page_text).split() == ["Lead.", "History", "Early", "Long", "ago."]
