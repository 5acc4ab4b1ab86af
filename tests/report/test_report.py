"""The page: complete, self-contained, escaped; tables in the order of families."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from attention_wavelets.config.compose import load_member
from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.errors import PipelineError
from attention_wavelets.measures.protocols import protocol_measures
from attention_wavelets.reference import CITATION, TABLES, paper_table
from attention_wavelets.report import embed
from attention_wavelets.report.causal import causal_section
from attention_wavelets.report.embed import embed_figures, inline_svg
from attention_wavelets.report.figures import FIGURES, draw_figure, save_figure
from attention_wavelets.report.headline import COLUMNS, number
from attention_wavelets.report.page import render_page, write_report
from attention_wavelets.report.partners import PARTNERS
from attention_wavelets.report.profile import write_profile
from attention_wavelets.report.sections import PROFILE_SECTIONS, SECTIONS, ReportInput
from attention_wavelets.report.summary import terminal_table
from attention_wavelets.report.tables import StudyTables, family_order
from attention_wavelets.report.words import condition_words

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects ids, links, resources and texts; complains about wrong nesting."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.resources: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(source)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def _note(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags.append(tag)
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        for key in ("href", "xlink:href"):
            target = attributes.get(key) or ""
            if target.startswith("#"):
                self.targets.append(target[1:])
            elif target and tag != "a":
                self.resources.append(target)
        if attributes.get("src"):
            self.resources.append(str(attributes["src"]))
        if tag in ("img", "svg"):
            self.images.append(attributes)


@pytest.fixture(scope="module")
def figure_files(
    study: StudyTables, settings: FigureSettings, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = tmp_path_factory.mktemp("figures")
    return [
        path
        for name in FIGURES
        for path in save_figure(draw_figure(name, study, settings), folder, name, settings)
    ]


@pytest.fixture(scope="module")
def source(
    study: StudyTables,
    context: dict[str, object],
    figure_files: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, study, figure_files, context)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_every_key_is_its_sections_name() -> None:
    assert [section.name for section in SECTIONS.values()] == list(SECTIONS)
    assert set(PROFILE_SECTIONS) <= set(SECTIONS)


def test_the_page_has_every_section_and_figure_once(source: str) -> None:
    page = Page(source)
    for name in SECTIONS:
        assert page.ids.count(f"section-{name}") == 1
    for name, spec in FIGURES.items():
        assert page.ids.count(f"section-figure-{name}") == 1
        assert spec.caption.replace("'", "&#39;") in source


def test_ids_are_unique_and_every_inner_link_has_a_target(source: str) -> None:
    page = Page(source)
    assert len(page.ids) == len(set(page.ids))
    used = {*page.targets, *re.findall(r"url\(#([^)]+)\)", source)}
    assert used <= set(page.ids)
    assert used


def test_the_page_loads_nothing(source: str) -> None:
    page = Page(source)
    assert all(resource.startswith("data:image/png;base64,") for resource in page.resources)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)
    assert "<!ENTITY" not in source


def test_every_image_has_a_text_for_those_who_do_not_see_it(source: str) -> None:
    images = [i for i in Page(source).images if i.get("role") == "img" or "alt" in i]
    assert len(images) == len(FIGURES)
    assert all(image.get("alt") or image.get("aria-label") for image in images)


def test_names_from_outside_are_escaped(source: str) -> None:
    assert "A &lt;b&gt;bold&lt;/b&gt; study" in source
    assert "<b>bold" not in source
    assert "&lt;script&gt;" in source


def test_a_licence_address_that_is_no_web_address_is_no_link(
    study: StudyTables, context: dict[str, object]
) -> None:
    corpora = {"x": {"title": "X", "licence": "L", "licence_url": "javascript:alert(1)"}}
    page = render_page(ReportInput(study, [], {**context, "corpora": corpora}))
    assert "javascript" not in page


def test_unlocked_models_are_named(source: str) -> None:
    (warning,) = re.findall(r'<p class="warning">(.*?)</p>', source)
    assert "MiniLM-L6 (sentence embedding)" in warning
    assert "SmolLM2" not in warning


def test_the_headline_table_gives_values_with_intervals(source: str, study: StudyTables) -> None:
    row = study.models.iloc[0]
    for column in COLUMNS:
        value, low, high = (number(row[column.statistic + end]) for end in ("", "_low", "_high"))
        assert f'{value} <span class="interval">[{low}, {high}]</span>' in source


def test_the_paper_checksums_and_licences_are_given(source: str) -> None:
    assert CITATION.arxiv in source
    assert "ab" * 32 in source
    assert "CC BY-SA 3.0" in source
    assert "Apache-2.0" in source


def test_checkpoints_that_were_not_run_are_listed_with_their_fault(
    study: StudyTables, context: dict[str, object]
) -> None:
    left = {"pythia-step1": "the weights are those of step0 (issue <83>)"}
    page = str(render_page(ReportInput(study, [], {**context, "left_out": left})))
    assert "pythia-step1" in page
    assert "those of step0 (issue &lt;83&gt;)" in page
    assert "Left out" not in str(render_page(ReportInput(study, [], context)))


def test_the_largest_dose_with_a_number_stands_for_its_band(study: StudyTables) -> None:
    causal = study.causal.copy()
    largest = (causal["kind"] == "heads") & (causal["count"] == 4)
    causal.loc[largest & (causal["band"] == "mid"), ["change", "beyond"]] = np.nan
    said = causal_section(dataclasses.replace(study, causal=causal))
    doses = re.findall(r"<td>(\w+)</td><td>(\d), mean</td>", said)
    assert set(doses) == {("low", "4"), ("mid", "1"), ("high", "4")}
    causal.loc[causal["kind"] == "heads", "change"] = np.nan
    assert "No model has enough heads." in causal_section(dataclasses.replace(study, causal=causal))


def test_a_report_without_context_still_says_what_was_measured(study: StudyTables) -> None:
    page = Page(render_page(ReportInput(study, [], {})))
    assert page.ids.count("section-headline") == 1


def test_an_unknown_section_is_an_error_with_the_allowed_ones(study: StudyTables) -> None:
    with pytest.raises(PipelineError, match=r"did you mean 'figures'"):
        render_page(ReportInput(study, [], {}), ["figure"])


def test_a_large_svg_gives_way_to_its_png(
    figure_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "LARGEST_SVG", 10)
    assert all(str(figure.image).startswith("<img ") for figure in embed_figures(figure_files))
    vector = [path for path in figure_files if path.suffix == ".svg"]
    assert all(str(figure.image).startswith("<svg ") for figure in embed_figures(vector))


def test_a_missing_figure_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"band_depth\.svg: file is missing"):
        embed_figures([tmp_path / "band_depth.svg"])


def test_a_failed_report_leaves_nothing_behind(
    study: StudyTables, context: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(PipelineError):
        write_report(tmp_path / "report.html", study, [tmp_path / "band_depth.svg"], context)
    assert list(tmp_path.iterdir()) == []


def test_inlined_drawings_keep_to_their_own_names() -> None:
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg width="1pt"><metadata>x</metadata>'
        '<style type="text/css">*{fill: red}</style><g id="a" data-id="a" clip-path="url(#a)">'
        '<use xlink:href="#a"/></g></svg>'
    )
    assert str(inline_svg(svg, "f", 'say "hi"')) == (
        '<svg id="f-figure" role="img" aria-label="say &#34;hi&#34;" width="1pt">'
        '<style type="text/css">#f-figure *{fill: red}</style>'
        '<g id="f-a" data-id="a" clip-path="url(#f-a)"><use xlink:href="#f-a"/></g></svg>'
    )


def test_a_profile_is_one_file_on_one_model(
    lone_study: StudyTables, settings: FigureSettings, tmp_path: Path
) -> None:
    path = tmp_path / "profile.html"
    context = {"study": {"title": "Profile of tiny"}}
    write_profile(path, lone_study, context, settings, ["band_shares", "local_global"])
    page = Page(path.read_text(encoding="utf-8"))
    assert [p.name for p in tmp_path.iterdir()] == ["profile.html"]
    for name in PROFILE_SECTIONS:
        assert page.ids.count(f"section-{name}") == 1
    assert "Tiny &lt;1&gt; &amp; co" in path.read_text(encoding="utf-8")


def test_untrained_twins_stand_right_below_their_trained_model(study: StudyTables) -> None:
    assert study.names == ["rope", "rope-s0", "rope-s1", "bert", "bert-s0"]
    assert study.families() == [["rope", "rope-s0", "rope-s1"], ["bert", "bert-s0"]]


def test_a_twin_without_its_trained_model_keeps_its_place() -> None:
    models = pd.DataFrame({"model": ["a", "b-s0", "c"], "of": ["", "b", np.nan]})
    assert list(family_order(models)["model"]) == ["a", "b-s0", "c"]


def test_the_terminal_table_fits_and_aligns(study: StudyTables) -> None:
    text = terminal_table(study.models)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 100
    assert len({len(line) for line in lines[:7]}) == 1
    assert [line.split(" ")[0] for line in lines[2:7]] == ["SmolLM2-135M"] * 3 + ["MiniLM-L6"] * 2
    entropy = study.models["spectral_entropy_mean"].iloc[0]
    assert lines[2].split()[-8] == f"{entropy:.3f}"


def test_the_terminal_table_shortens_long_names_and_marks_gaps(study: StudyTables) -> None:
    models = study.models.drop(columns="scale_sensitivity_0_5").assign(
        label="A very long name of a model indeed, untrained, seed 1"
    )
    lines = terminal_table(models).split("\n")
    assert max(map(len, lines)) <= 100
    assert "untrained, seed 1" not in lines[2] or "…" in lines[2]
    assert lines[2].split()[-3] == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.4371, "2.437"), (np.nan, "–"), (None, "–"), (1.2e-7, "1.2e-07"), (0.0, "0.000")],
)
def test_numbers_are_printed_so_that_they_show_something(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"kind": "full"}, "as it is"),
        ({"kind": "subsample", "fraction": 0.25, "method": "stride"}, "A quarter of the tokens"),
        ({"kind": "repeat", "seed": 0}, "then the same ones again"),
        ({"kind": "bos", "action": "swap", "token": "."}, "replaced by '.'"),
        ({"kind": "new", "strength": 3}, "strength: 3"),
    ],
)
def test_conditions_are_said_in_words(condition: dict[str, object], text: str) -> None:
    assert text in condition_words(condition)


def test_measures_on_several_probes_come_from_received(study: StudyTables) -> None:
    heads = study.heads[study.heads["model"] == "bert"]
    lag = heads.assign(probe="lag", band_low_mean=-1.0, local_global_ratio_mean=5.0)
    received = heads.assign(local_global_ratio_mean=np.nan)
    both = dataclasses.replace(study, heads=pd.concat([lag, received]))
    assert (both.head_rows("band_low")["band_low_mean"] > 0).all()
    assert (both.head_rows("local_global_ratio")["local_global_ratio_mean"] == 5).all()
    assert not both.head_rows("band_low").duplicated(["model", "layer", "head"]).any()


def test_tables_without_their_keys_are_refused(study: StudyTables) -> None:
    with pytest.raises(PipelineError, match="columns missing: probe"):
        dataclasses.replace(study, heads=study.heads.drop(columns="probe"))


@pytest.mark.parametrize("table", TABLES)
def test_published_tables_are_there_without_gaps(table: int) -> None:
    frame = paper_table(table)
    assert len(frame) >= 4
    assert not frame.isna().any().any()


def test_published_values_are_as_printed() -> None:
    three = paper_table(3).set_index("model")
    assert three.loc["LLaMA 3.2 (1B)", "spectral_entropy_mean"] == 2.370
    assert list(paper_table(4)["pe_type_as_labelled"]) == ["RoPE", "T5", "BERT", "No PE"]
    with pytest.raises(PipelineError, match="no table 8"):
        paper_table(8)


def test_a_published_table_cannot_be_changed_by_its_reader() -> None:
    mine = paper_table(1)
    mine["reconstruction_error_mean"] = 0.0
    assert (paper_table(1)["reconstruction_error_mean"] > 0).all()


def test_every_measure_of_the_paper_stands_above_its_partners(study):
    html = str(SECTIONS["partners"].build(ReportInput(study, [], {})))
    titles = [t for partner in PARTNERS for t in (partner.title, *partner.partners.values())]
    places = [html.index(f">{escape(title)}<") for title in titles]
    assert places == sorted(places)
    row = study.statistic("rope", "excess_sqrt_mean", condition="full", paper=False)
    assert number(row["mean"]) in html
    assert row["protocol"] == "rigorous"


def test_a_study_without_rigorous_measurements_says_so(lone_study):
    html = str(SECTIONS["partners"].build(ReportInput(lone_study, [], {})))
    assert "No measurement of this study has a protocol of kind" in html


def test_every_family_of_the_papers_measures_has_a_partner():
    conf = Path(__file__).parents[2] / "conf"

    def family(name: str) -> str:
        return re.sub(r"_\d+(_nats)?$", "", re.sub(r"_(mean|median)$", "", name))

    offered = protocol_measures(load_member("protocol", "paper", conf, {}))
    partnered = {family(partner.paper) for partner in PARTNERS}
    # What is ours needs no partner of ours.
    assert {family(m.name) for m in offered if not m.source.startswith("ours")} <= partnered
    assert partnered <= {family(m.name) for m in offered}
    assert len({partner.paper for partner in PARTNERS}) == len(PARTNERS)


def test_partners_are_statistics_that_the_protocols_have():
    conf = Path(__file__).parents[2] / "conf"
    known = {}
    for kind in ("paper", "rigorous"):
        known[kind] = set()
        for measure in protocol_measures(load_member("protocol", kind, conf, {})):
            wide = measure.level in ("layer", "model")
            known[kind] |= {measure.name} if wide else {f"{measure.name}_mean"}
            known[kind] |= {f"{measure.name}_median"} if measure.over_heads == "median" else set()
    for partner in PARTNERS:
        assert partner.paper in known["paper"]
        assert set(partner.partners) <= known["rigorous"]
