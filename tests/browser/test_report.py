"""The report in a real browser: offline, by keyboard, on a phone, on paper, without colour."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from attention_wavelets.report.claims import MARKS
from helpers.tiny_study import Project

DESKTOP, PHONE, SCREEN = 1280, 390, 800
# A4 less Chromium's margins of 1 cm, in CSS pixels.
PAPER = 718
# Ratio that WCAG 2.2 asks of text (success criterion 1.4.3).
CONTRAST = 4.5
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Colour and background, as written by the browser, of every element that holds text itself.
COLOURS = """() => [...document.querySelectorAll("body *")].filter(element =>
    !element.closest("svg") && [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())
  ).map(element => {
    const clear = node => getComputedStyle(node).backgroundColor === "rgba(0, 0, 0, 0)";
    let behind = element;
    while (behind.parentElement && clear(behind)) behind = behind.parentElement;
    return [element.className, getComputedStyle(element).color,
            clear(behind) ? "none" : getComputedStyle(behind).backgroundColor];
  })"""


@dataclass(frozen=True)
class Opened:
    """A page and all that it asked for or complained of since it was opened."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; where there is none, a skip, or a failure if REQUIRE_BROWSER=1."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        missing = f"no browser: none of {', '.join(CHROMIUM)} is installed"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    # As root Chromium starts only without its sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        yield chromium
        chromium.close()


# `browser` first: without one the study is not run.
@pytest.fixture(scope="session")
def report(browser: Browser, finished: Project) -> Path:
    return finished.study / "report.html"


@pytest.fixture(scope="module")
def claims(report: Path) -> pd.DataFrame:
    return pd.read_csv(report.with_name("claims.csv"), keep_default_na=False)


@pytest.fixture(scope="module")
def opened(browser: Browser, report: Path) -> Iterator[Opened]:
    context = browser.new_context(offline=True)
    opened = Opened(context.new_page())
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda said: opened.complaints.append(f"{said.type}: {said.text}"))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.goto(report.as_uri())
    yield opened
    context.close()


@pytest.fixture
def page(opened: Opened) -> Page:
    """The open page on a desktop's screen, every row closed."""
    opened.page.set_viewport_size({"width": DESKTOP, "height": SCREEN})
    opened.page.emulate_media(media="screen", color_scheme="light")
    opened.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = false })")
    return opened.page


def test_the_page_asks_for_itself_alone_and_complains_of_nothing(opened: Opened, report: Path):
    assert [url for url in opened.requests if not url.startswith("data:")] == [report.as_uri()]
    assert opened.complaints == []


def test_there_is_one_title_and_no_heading_skips_a_level(page: Page):
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all(
        "found => found.map(heading => Number(heading.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


def test_the_verdicts_are_the_first_table_and_within_two_screens(page: Page):
    first = page.locator("table").first
    assert first.locator("thead th").all_inner_texts()[:3] == ["claim", "literal", "controlled"]
    box = first.bounding_box()
    assert box is not None
    assert box["y"] < 2 * SCREEN


def test_shape_and_word_of_each_verdict_are_visible_text(page: Page, claims: pd.DataFrame):
    rows = page.locator("#section-claims tbody tr")
    names = rows.locator("th").all_inner_texts()
    assert sorted(names) == sorted(claims["claim"])
    shown = [rows.nth(i).locator(".verdict").all_inner_texts() for i in range(len(names))]
    verdicts = claims.set_index("claim")[["verdict_literal", "verdict_controlled"]]
    assert shown == [[f"{MARKS[v]} {v}" for v in verdicts.loc[name]] for name in names]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_row_opens_by_keyboard_to_what_would_have_changed_it(
    page: Page, claims: pd.DataFrame, width: int
):
    page.set_viewport_size({"width": width, "height": SCREEN})
    by_name = claims.set_index("claim")
    assert (by_name["would_change"] != "").any()
    for row in page.locator("#section-claims tbody tr").all():
        claim = by_name.loc[row.locator("th").inner_text()]
        details = row.locator("details")
        assert claim["reason"] not in details.inner_text()
        row.locator("summary").focus()
        page.keyboard.press("Enter")
        said = details.inner_text()
        assert claim["reason"] in said
        if claim["would_change"]:
            assert f"what would have changed it\n{claim['would_change']}" in said
        # Lines as long as a newspaper's at the least, and nothing beyond the edge.
        for box in filter(None, (words.bounding_box() for words in details.locator("dd").all())):
            assert box["width"] > 250
            assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_makes_the_page_scroll_sideways(page: Page, width: int):
    page.set_viewport_size({"width": width, "height": SCREEN})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    # Wide tables scroll in their own box; on a desktop none has to.
    boxes = page.locator(".wide").evaluate_all(
        "found => found.map(box => [box.scrollWidth - box.clientWidth,"
        " getComputedStyle(box).overflowX])"
    )
    assert {overflow for _, overflow in boxes} == {"auto"}
    assert any(beyond > 0 for beyond, _ in boxes) == (width == PHONE)


def test_on_a_phone_the_verdicts_are_still_a_table_and_whole(page: Page):
    page.set_viewport_size({"width": PHONE, "height": SCREEN})
    section = page.locator("#section-claims")
    assert section.locator(".wide").evaluate("box => box.scrollWidth <= box.clientWidth")
    tree = section.aria_snapshot()
    for role in ("table", "columnheader", "rowheader", "cell"):
        assert re.search(rf"^ *- {role}\b", tree, flags=re.MULTILINE), role


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page: Page, scheme: str):
    page.emulate_media(color_scheme=scheme)
    # A small study does not have every verdict.
    kinds = [f"verdict v-{verdict.split()[0]}" for verdict in MARKS]
    page.locator("#section-claims td").first.evaluate(
        "(cell, kinds) => kinds.forEach(kind =>"
        " cell.append(Object.assign(document.createElement('b'), {className: kind,"
        " textContent: kind})))",
        kinds,
    )
    found = {tuple(item) for item in page.evaluate(COLOURS)}
    page.locator("#section-claims td > b").evaluate_all("all => all.forEach(one => one.remove())")
    assert {kind for kind, _, _ in found} >= {*kinds, "interval"}
    weak = {item for item in found if contrast(*item[1:]) < CONTRAST}
    assert weak == set()


def test_on_paper_every_reason_is_printed_and_no_column_is_cut(page: Page, claims: pd.DataFrame):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": SCREEN})
    said = page.locator("#section-claims").inner_text()
    for text in (*claims["reason"], *claims["would_change"]):
        assert text in said
    assert page.locator("#section-claims dd").first.is_visible()
    edges = page.locator("table, figure > *").evaluate_all(
        "found => found.map(element => element.getBoundingClientRect().right)"
    )
    assert max(edges) <= PAPER


def test_every_figure_has_a_size_and_a_text(page: Page):
    images = page.locator("figure").locator("svg[role=img], img")
    assert images.count() == page.locator("figure").count() > 0
    for image in images.all():
        box = image.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 100
        assert image.evaluate("one => one.tagName !== 'IMG' || one.naturalWidth > 0")
        assert image.get_attribute("aria-label") or image.get_attribute("alt")


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two opaque colours written as `rgb(r, g, b)`, 1 to 21 (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
        assert found, f"not opaque: {colour}"
        parts = [int(part) / 255 for part in found.groups()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_is_that_of_known_pairs():
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21, abs=1e-9)
    # #777 on white: just too weak, #767676: just enough.
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.005)
    assert contrast("rgb(118, 118, 118)", "rgb(255, 255, 255)") == pytest.approx(4.54, abs=0.005)
