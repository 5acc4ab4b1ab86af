"""Sections of the report: functions from tables and context to HTML, in one ordered registry.

A later section is one more function and one more entry in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from attention_wavelets.reference import CITATION
from attention_wavelets.report.causal import causal_section
from attention_wavelets.report.claims import verdict_section
from attention_wavelets.report.embed import EmbeddedFigure
from attention_wavelets.report.headline import COLUMNS, with_interval
from attention_wavelets.report.ladder import ladder_section
from attention_wavelets.report.markup import joined, link, paragraph, table, terms
from attention_wavelets.report.nearest import nearest_cells
from attention_wavelets.report.partners import PARTNERS
from attention_wavelets.report.reproduction import side_by_side
from attention_wavelets.report.series import series_section
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.words import condition_words, flat, model_state, source_words

__all__ = ["PROFILE_SECTIONS", "SECTIONS", "ReportInput", "Section"]


PROTOCOL_NOTE = (
    "The paper leaves several of these open; its text and our choices are told apart line by line "
    "in conf/protocol."
)


@dataclass(frozen=True, eq=False)
class ReportInput:
    """What a section may show.

    Attributes
    ----------
    tables
        The study's tables.
    figures
        Figures ready for the page, in order.
    context
        Plain data: study, models (manifests), corpora, conditions, protocol, provenance.
    """

    tables: StudyTables
    figures: list[EmbeddedFigure]
    context: Mapping[str, Any]

    def manifests(self) -> list[Mapping[str, Any]]:
        """The manifests, in the order of the tables; others after them."""
        known = {str(m.get("name")): m for m in self.context.get("models", [])}
        first = [known.pop(name) for name in self.tables.names if name in known]
        return [*first, *known.values()]


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    name: str
    title: str
    build: Callable[[ReportInput], Markup]
    applies: Callable[[ReportInput], bool] = lambda _page: True


# What the page's words mean where a model reads no tokens.
_OF_MEDIA = {
    "sound": "sound: where this page says token, it is a frame of the model.",
    "pictures": "pictures: where this page says token, it is a patch. Patches are counted row by "
    "row, so that what lies in one column shows as a period of one row.",
}


def what_was_run(page: ReportInput) -> Markup:
    """Models with their facts, corpora, conditions in words, protocol."""
    context = page.context
    parts = [
        _models_table(page),
        _left_out(context.get("left_out", {})),
        Markup("<h3>Texts</h3>"),
        table(
            ("text", "title", "language", "tokens per sequence", "sequences", "special tokens"),
            [
                (
                    name,
                    c.get("title", "–"),
                    c.get("language", "–"),
                    c.get("tokens", "–"),
                    c.get("count", "–"),
                    c.get("special_tokens", "–"),
                )
                for name, c in context.get("corpora", {}).items()
            ],
        ),
        *(
            paragraph(f"{name} holds {_OF_MEDIA[c['format']]}")
            for name, c in context.get("corpora", {}).items()
            if c.get("format") in _OF_MEDIA
        ),
        Markup("<h3>Conditions: what is done to a sequence first</h3>"),
        terms((n, condition_words(c)) for n, c in context.get("conditions", {}).items()),
        Markup("<h3>Protocol: how attention becomes numbers</h3>"),
        paragraph(PROTOCOL_NOTE),
        terms(flat(context.get("protocol", {}))),
    ]
    return joined(parts)


def _left_out(found: Mapping[str, str]) -> Markup:
    """Checkpoints of the study that were not run, each with what is known to be wrong."""
    if not found:
        return Markup("")
    return Markup("<h3>Left out: checkpoints known to be wrong</h3>") + terms(found.items())


def _models_table(page: ReportInput) -> Markup:
    heads = (
        "model",
        "weights",
        "positions",
        "attention",
        "parameters",
        "layers × heads",
        "computed in",
    )
    rows = [
        (
            row["label"],
            model_state(row),
            str(row.get("position_encoding", "–")).replace("_", " "),
            _direction(row.get("causal")),
            _count(row.get("parameters")),
            f"{_count(row.get('layers'))} × {_count(row.get('heads_per_layer'))}",
            row.get("dtype", "–"),
        )
        for row in page.tables.models.to_dict("records")
    ]
    return table(heads, rows, kinds=_kinds(page.tables))


def headline_numbers(page: ReportInput) -> Markup:
    """The first table, with intervals, and a guide to reading it."""
    head = page.tables.headline
    where = (
        f"Text {head.corpus}, condition {head.condition}, protocol {head.protocol}. Each number is "
        "measured per sequence, then averaged; in brackets the confidence interval over documents. "
        "A dash means undefined or not measured."
    )
    rows = [
        (row["label"], *(_with_interval(row, column.statistic) for column in COLUMNS))
        for row in page.tables.models.to_dict("records")
    ]
    heads = ("model", *(column.title for column in COLUMNS))
    guide = (
        "How to read it: compare each trained model with its untrained twin, indented right "
        "below it: what the twin shows too comes from the architecture, the mask and the length, "
        "not from training. Differences between models mix size, training data, tokenizer, "
        "quantisation and tuning."
    )
    return joined(
        [
            paragraph(where),
            table(heads, rows, kinds=_kinds(page.tables)),
            paragraph(guide),
            terms((column.title, column.meaning) for column in COLUMNS),
        ]
    )


def partners(page: ReportInput) -> Markup:
    """Each of the paper's measures, and below it those that can show what it is said to show."""
    tables = page.tables
    rows, kinds = [], []
    for partner in PARTNERS:
        condition = "half" if partner.compared else tables.headline.condition
        names = [(partner.paper, partner.title, True)]
        names += [(name, title, False) for name, title in partner.partners.items()]
        lines = [
            (title, *(_statistic(tables, model, name, condition, paper) for model in tables.names))
            for name, title, paper in names
        ]
        # Without a partner there is nothing to compare.
        if any(cell != "–" for line in lines[1:] for cell in line[1:]):
            rows += lines
            kinds += ["", *["twin"] * (len(lines) - 1)]
    if not rows:
        return paragraph("No measurement of this study has a protocol of kind `rigorous`.")
    note = (
        "Indented below each of the paper's measures: measures that can show what it is said to "
        "show. The paper's are of the headline text, the others of attention by lag where the "
        "study measures it so. Means over heads and sequences, in brackets the confidence interval "
        "over documents."
    )
    heads = ("measure", *(tables.label(name) for name in tables.names))
    return joined(
        [
            paragraph(note),
            table(heads, rows, kinds=kinds),
            terms((partner.title, partner.why) for partner in PARTNERS),
        ]
    )


def _statistic(tables: StudyTables, model: str, name: str, condition: str, paper: bool) -> Markup:
    row = tables.statistic(model, name, condition=condition, paper=paper)
    if row is None:
        return Markup("–")
    return _with_interval({"v": row["mean"], "v_low": row["low"], "v_high": row["high"]}, "v")


def figures(page: ReportInput) -> Markup:
    """Every figure with its caption."""
    if not page.figures:
        return paragraph("No figures were drawn.")
    one = Markup('<figure id="section-figure-{}"><h3>{}</h3>{}<figcaption>{}</figcaption></figure>')
    return joined(
        one.format(f.spec.name, f.spec.title, f.image, f.spec.caption) for f in page.figures
    )


def provenance(page: ReportInput) -> Markup:
    """Revisions, checksums, seeds, versions and device."""
    manifests = page.manifests()
    texts = [{**c, "label": c.get("title")} for c in page.context.get("corpora", {}).values()]
    fetched = [*manifests, *texts]
    loose = [str(m.get("label") or m.get("name")) for m in fetched if m.get("locked") is False]
    warning = paragraph(
        f"Not locked to a commit, so a later run may read other files: {', '.join(loose)}. "
        "`attention-wavelets lock` writes the commits down.",
        "warning",
    )
    rows = [
        (
            m.get("label") or m.get("name"),
            source_words(m.get("source", "–")),
            _revision(m),
            file.get("name", "–"),
            _count(file.get("size")),
            Markup("<code>{}</code>").format(file.get("sha256", "–")),
        )
        for m in fetched
        for file in m.get("files") or [{}]
    ]
    heads = ("model or text", "source", "revision", "file", "bytes", "sha256")
    return joined(
        [
            *([warning] if loose else []),
            table(heads, rows),
            Markup("<h3>Software and machine</h3>"),
            terms(flat(page.context.get("provenance", {}))),
        ]
    )


def licences(page: ReportInput) -> Markup:
    """Under which terms the weights and texts may be used."""
    models = [
        (m.get("label") or m.get("name"), m.get("licence", "–"), "–") for m in page.manifests()
    ]
    texts = [
        (
            c.get("title") or name,
            link(str(c.get("licence_url") or ""), c.get("licence", "–")),
            source_words(c.get("source", "–")),
        )
        for name, c in page.context.get("corpora", {}).items()
    ]
    return table(("model or text", "licence", "source"), [*models, *texts])


def citation(_page: ReportInput) -> Markup:
    """The paper whose measures and published values are used."""
    note = (
        "Protocol and published values follow this paper. Its text leaves several conventions "
        "open; the ones chosen here are listed in the protocol. Its Table 4 labels GPT-2 "
        '"No PE"; GPT-2 has learned absolute positions.'
    )
    return joined([paragraph(CITATION.sentence()), paragraph(note)])


def _kinds(tables: StudyTables) -> list[str]:
    twins = {name for family in tables.families() for name in family[1:]}
    return ["twin" if name in twins else "" for name in tables.names]


def _with_interval(row: Mapping[Any, Any], statistic: str) -> Markup:
    return with_interval(row, statistic, f"{statistic}_low", f"{statistic}_high")


def _direction(causal: Any) -> str:
    if causal is None or causal != causal:
        return "–"
    return "causal" if str(causal) == "True" else "bidirectional"


def _count(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{int(value):,}"


def _revision(manifest: Mapping[str, Any]) -> str:
    revision = str(manifest.get("revision") or "–")
    return f"{revision} (not locked)" if manifest.get("locked") is False else revision


SECTIONS: dict[str, Section] = {
    section.name: section
    for section in (
        Section(
            "trained",
            "What training, size and position encoding change",
            lambda p: ladder_section(p.tables),
            lambda p: not p.tables.runs.empty,
        ),
        Section(
            "scales",
            "Do heads find the scales of the data?",
            lambda p: series_section(p.tables),
            lambda p: not p.tables.series.empty,
        ),
        Section(
            "causes",
            "Do bands matter?",
            lambda p: causal_section(p.tables),
            lambda p: not p.tables.causal.empty,
        ),
        Section("claims", "Verdicts", lambda p: verdict_section(p.tables.claims)),
        Section("run", "What was run", what_was_run),
        Section("headline", "Headline numbers", headline_numbers),
        Section("partners", "Beside the paper's measures", partners),
        Section("nearest", "Nearest to the published tables", lambda p: nearest_cells(p.tables)),
        Section("reproduction", "The published tables", lambda p: side_by_side(p.tables)),
        Section("figures", "Figures", figures),
        Section("provenance", "Provenance", provenance),
        Section("licences", "Licences", licences),
        Section("citation", "The paper", citation),
    )
}

# A page on one model of one's own: the numbers first.
PROFILE_SECTIONS = ("headline", "figures", "run", "provenance", "citation")
