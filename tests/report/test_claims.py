"""Verdicts on a page and in a terminal: words and shapes, escaped, with the right counts."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.claims.verdict import VERDICTS
from attention_wavelets.report.claims import MARKS, NOTHING, terminal_claims, verdict_section
from attention_wavelets.report.page import render_page
from attention_wavelets.report.sections import SECTIONS, ReportInput


def row(claim: str, literal: str, controlled: str, **more: object) -> dict[str, object]:
    return {
        "claim": claim,
        "statement": f"Statement of <b>{claim}</b> & more.",
        "source": "A paper, Table 1",
        "estimate": 0.1234,
        "low": 0.1,
        "high": 0.15,
        "documents": 36.0,
        "null_value": 0.05678,
        "null": "iid",
        "reference": "0.1 to 0.2",
        "verdict_literal": literal,
        "verdict_controlled": controlled,
        "reason": f"Reason of {claim} <i>.",
        "would_change": f"A number for {claim}.",
        **more,
    }


NONE = dict.fromkeys(("estimate", "low", "high", "documents", "null_value"), np.nan)
NOT = "not testable here"


@pytest.fixture
def claims() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row("H07", NOT, NOT, **NONE, null="", reference="", would_change=""),
            row("H01", "pass", "vacuous"),
            row("H02", "pass", "pass"),
            row("H03", "pass", "fail"),
            row("H04", "fail", "fail", null=np.nan, null_value=np.nan),
            row("H05B", "unclear", "unclear", **NONE),
        ]
    )


def test_every_verdict_has_a_shape_of_its_own():
    assert set(MARKS) == set(VERDICTS)
    assert len(set(MARKS.values())) == len(MARKS)


def test_verdicts_stand_as_shape_and_word_and_are_explained(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    for verdict in VERDICTS:
        mark = f'<span class="verdict v-{verdict.split()[0]}">{MARKS[verdict]} {verdict}</span>'
        count = (claims[["verdict_literal", "verdict_controlled"]] == verdict).to_numpy().sum()
        assert html.count(mark) == count > 0
        assert f"<dt>{MARKS[verdict]} {verdict}</dt><dd>{VERDICTS[verdict]}</dd>" in html


def test_the_sentence_counts_what_was_judged_and_what_holds(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    assert "Of 6 claims 5 can be judged with the models and measurements of this study." in html
    assert "3 hold by the paper&#39;s own number; 1 of them also hold against the nulls." in html


def test_claims_that_can_be_judged_come_first(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    order = re.findall(r'<th scope="row">(\w+)</th>', html)
    assert order == ["H01", "H02", "H03", "H04", "H05B", "H07"]


def test_texts_from_outside_are_escaped(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    assert "<summary>Statement of &lt;b&gt;H01&lt;/b&gt; &amp; more.</summary>" in html
    assert "<b>" not in html
    assert "<i>" not in html


def test_a_row_opens_to_its_reason_and_to_what_would_have_changed_it(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    details = re.findall(r"<details>.*?</details>", html, re.DOTALL)
    first, last = (next(d for d in details if f"Reason of {name}" in d) for name in ("H01", "H07"))
    assert "<dt>why</dt><dd>Reason of H01 &lt;i&gt;.</dd>" in first
    assert "<dt>what would have changed it</dt><dd>A number for H01.</dd>" in first
    assert "<dt>published</dt><dd>0.1 to 0.2</dd>" in first
    # What there is not is not shown empty.
    assert "<dt>what would have changed it</dt>" not in last
    assert "<dt>published</dt>" not in last
    assert "<dt>source</dt>" in last


def test_numbers_have_intervals_and_nulls_their_names(claims: pd.DataFrame):
    html = str(verdict_section(claims))
    assert '0.123 <span class="interval">[0.100, 0.150]</span>' in html
    assert '0.057 <span class="interval">iid</span>' in html
    rows = re.findall(r'<tr class="(\w+)"><th scope="row">(\w+)</th>(.*?)</tr>', html, re.DOTALL)
    cells = {name: re.findall(r"<td>(.*?)</td>", rest, re.DOTALL) for _, name, rest in rows}
    assert cells["H04"][3:5] == ["36", "–"]
    assert cells["H07"][2:5] == ["–"] * 3
    assert {name: kind for kind, name, _ in rows}["H01"] == "vacuous"


def test_the_section_is_the_first_table_of_the_report(study, claims: pd.DataFrame):
    page = render_page(ReportInput(dataclasses.replace(study, claims=claims), [], {}))
    assert page.count('id="section-claims"') == 1
    assert page.index('id="section-claims"') < page.index('id="section-headline"')
    assert "Statement of &lt;b&gt;H02&lt;/b&gt;" in page
    # Shape and word tell verdicts apart; colour only helps.
    assert str(verdict_section(claims)) in page


def test_a_study_without_claims_says_so(study):
    assert NOTHING in str(SECTIONS["claims"].build(ReportInput(study, [], {})))


def test_the_terminal_has_a_line_per_judged_claim(claims: pd.DataFrame):
    lines = terminal_claims(claims).split("\n")
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["claim", "literal", "controlled", "number", "null", "statement"]
    shown = {line.split()[0]: line for line in lines[2:7]}
    assert list(shown) == ["H01", "H02", "H03", "H04", "H05B"]
    assert shown["H01"].startswith("H01    ● pass    ○ vacuous       0.123    0.057  Statement of")
    assert shown["H05B"].split()[1:5] == ["?", "unclear", "?", "unclear"]
    # Every column begins at one place.
    assert {line.index("Statement of") for line in shown.values()} == {lines[0].index("statement")}
    assert "not testable here: H07" in lines
    assert "claims.csv, report.html" in lines[-1]


def test_long_names_move_the_columns_and_long_statements_are_cut(claims: pd.DataFrame):
    claims.loc[1, "claim"] = "LONGESTONE"
    claims.loc[2, "statement"] = "word " * 40
    lines = terminal_claims(claims, width=80).split("\n")
    assert lines[2].startswith("LONGESTONE ● pass ")
    assert {line.index("Statement") for line in (lines[2], lines[4])} == {
        lines[0].index("statement")
    }
    assert len(lines[3]) == 80
    assert lines[3].endswith("…")


def test_a_terminal_without_a_judged_claim_names_those_that_are_not(claims: pd.DataFrame):
    text = terminal_claims(claims.iloc[:1])
    assert "not testable here: H07" in text
    assert "not testable here" not in terminal_claims(claims.iloc[1:])
