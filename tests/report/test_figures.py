"""Figures: registry, labels, determinism, gaps."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import get_args

import docutils.core
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.config.schema import FigureName
from attention_wavelets.errors import PipelineError
from attention_wavelets.report.figures import FIGURES, caption_rst, draw_figure, save_figure
from attention_wavelets.report.figures.bands import depth_profile
from attention_wavelets.report.figures.decay import PANELS, decay_points
from attention_wavelets.report.figures.heads import correlation_matrix, spaced_layers
from attention_wavelets.report.figures.style import figure_style, wrapped
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import FOLLOWED

RST = Path(__file__).parents[2] / "workflow" / "report"
# What may stand in an axis label as its unit; names of counted or listed things are units too.
UNITS = re.compile(
    r"\((nats|number|cosine|Pearson|ratio|0 to 1|0 = coarsest|1 − cosine|same order|"
    r"share of ln \d+|numerical precision|[a-z ,]*\((nats|ratio)\)|largest power / all other power|"
    r"% of tokens|Hellinger distance|cycles a sample|dB|"
    r"Pearson, over positions|from largest to smallest low share|attention .* / the rest)\)|"
    r"\(nats\)|share of power|^(model|position encoding|change|series)$"
)


def drawn_axes(figure: Figure) -> list[Axes]:
    """Axes of a figure and of its parts."""
    return [axes for axes in figure.axes if axes.get_visible()]


def words(figure: Figure) -> str:
    """Every text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def label_in(axes: Axes, figure: Figure, way: str) -> str:
    """The label that serves an axis: its own, its column's or row's, or the whole figure's."""
    own = getattr(axes, f"get_{way}label")()
    if own:
        return own
    box = axes.get_position()
    for other in drawn_axes(figure):
        if other.get_subplotspec() is None or axes.get_subplotspec() is None:
            continue
        place, mine = other.get_subplotspec(), axes.get_subplotspec()
        line = place.rowspan == mine.rowspan if way == "y" else place.colspan == mine.colspan
        same = place.get_gridspec() is mine.get_gridspec() and line
        label = getattr(other, f"get_{way}label")()
        if same and label and (way == "y" or other.get_position().y0 <= box.y0):
            return label
    return figure.get_supxlabel() if way == "x" else figure.get_supylabel()


@pytest.fixture(params=list(FIGURES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_key_is_its_figures_name() -> None:
    assert [spec.name for spec in FIGURES.values()] == list(FIGURES)


def test_the_registry_is_what_a_study_may_list() -> None:
    assert set(FIGURES) == set(get_args(FigureName))


def test_an_unknown_figure_is_answered_with_the_allowed_ones(
    study: StudyTables, settings: FigureSettings
) -> None:
    with pytest.raises(PipelineError, match=r"did you mean 'band_depth'.*head_correlation"):
        draw_figure("band_dept", study, settings)


def test_every_axis_has_a_label_with_a_unit(
    name: str, study: StudyTables, settings: FigureSettings
) -> None:
    figure = draw_figure(name, study, settings)
    figure.draw_without_rendering()
    for axes in drawn_axes(figure):
        bar = axes.get_label() == "<colorbar>"
        labels = [label_in(axes, figure, way) for way in "xy"]
        if bar:
            labels = [max(axes.get_xlabel(), axes.get_ylabel(), key=len)]
        if name == "head_correlation" and not bar:
            # The side of a block of panels names the model; the figure's side names the heads.
            labels[1] = figure.get_supylabel()
        for label in labels:
            assert UNITS.search(label), f"{name}: no unit in {label!r}"


def test_no_panel_or_label_leaves_the_page(
    name: str, study: StudyTables, settings: FigureSettings
) -> None:
    figure = draw_figure(name, study, settings)
    # As it is saved: under another style ticks are chosen anew, of another size.
    with figure_style(settings):
        drawn = figure.get_tightbbox()
    assert min(drawn.min) >= -0.02
    assert drawn.x1 <= figure.get_figwidth() + 0.02
    assert drawn.y1 <= figure.get_figheight() + 0.02


def test_panels_do_not_overlap(name: str, study: StudyTables, settings: FigureSettings) -> None:
    figure = draw_figure(name, study, settings)
    with figure_style(settings):
        boxes = [axes.get_tightbbox().padded(-1.5) for axes in drawn_axes(figure)]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])


def of_models(name: str) -> bool:
    """Whether a figure names the models: those of training runs name sizes and encodings."""
    return not name.startswith("ladder_")


def test_one_model_with_one_layer_is_drawn(
    name: str, lone_study: StudyTables, settings: FigureSettings, tmp_path: Path
) -> None:
    figure = draw_figure(name, lone_study, settings)
    assert [p.suffix for p in save_figure(figure, tmp_path, name, settings)] == [".svg", ".png"]
    assert "Tiny <1> & co" in words(figure) or not of_models(name)


def test_many_models_are_drawn(
    name: str, settings: FigureSettings, many: StudyTables, tmp_path: Path
) -> None:
    figure = draw_figure(name, many, settings)
    save_figure(figure, tmp_path, name, settings)
    assert "model 11" in words(figure).replace("\n", " ") or not of_models(name)


def test_equal_tables_give_equal_bytes(
    name: str, study: StudyTables, settings: FigureSettings, tmp_path: Path
) -> None:
    every = settings.model_copy(update={"formats": ["svg", "png", "pdf"]})
    first, second = (
        [p.read_bytes() for p in save_figure(draw_figure(name, study, every), folder, name, every)]
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert first == second
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        f"{name}.pdf",
        f"{name}.png",
        f"{name}.svg",
    ]


def test_drawing_leaves_the_settings_of_matplotlib_alone(
    study: StudyTables, settings: FigureSettings
) -> None:
    before = dict(mpl.rcParams)
    draw_figure("band_shares", study, settings)
    assert dict(mpl.rcParams) == before


def test_drawing_leaves_the_tables_alone(
    name: str, study: StudyTables, settings: FigureSettings
) -> None:
    before = [frame.copy() for frame in (study.heads, study.models, study.pairs)]
    draw_figure(name, study, settings)
    for old, new in zip(before, (study.heads, study.models, study.pairs), strict=True):
        pd.testing.assert_frame_equal(old, new)


def test_a_missing_condition_is_said(study: StudyTables, settings: FigureSettings) -> None:
    # bert has no prefix conditions, at half and at quarter.
    assert words(draw_figure("scale_correlation", study, settings)).count("not measured") == 2


def with_gap(study: StudyTables, gap: str) -> StudyTables:
    """The study with one model or all numbers taken away."""
    heads, models, pairs = study.heads, study.models.copy(), study.pairs
    statistics = [c for c in models if pd.api.types.is_float_dtype(models[c])]
    measured = [c for c in heads if c.endswith(("_mean", "_se", "_low", "_high"))]
    lost = heads["model"] == "bert"
    if gap == "nan":
        heads = heads.copy()
        heads.loc[lost, measured] = np.nan
    elif gap == "rows":
        heads = heads[~lost]
    elif gap == "columns":
        heads, pairs = heads.drop(columns=measured), pairs.iloc[:0]
        models = models.drop(columns=statistics)
    else:
        heads, pairs = heads.iloc[:0], pairs.iloc[:0]
    if gap in ("nan", "rows"):
        models.loc[models["model"] == "bert", statistics] = np.nan
        pairs = pairs[pairs["model"] != "bert"]
    elif gap == "everything":
        models[statistics] = np.nan
    runs, causal = study.runs.copy(), study.causal.copy()
    spectra = study.spectra.copy()
    followed = [f.name for f in FOLLOWED]
    if gap == "nan":
        spectra.loc[spectra["model"] == "bert", "excess"] = np.nan
        runs[followed[0]] = np.nan
        # Undefined of fresh weights only.
        runs.loc[runs["step"] == 0, followed[1]] = np.nan
        changes = ["change", "change_low", "change_high"]
        causal.loc[causal["model"] == "bert", changes] = np.nan
    elif gap == "columns":
        runs, causal = runs.drop(columns=followed), causal.iloc[:0]
        spectra = spectra.iloc[:0]
    else:
        runs, causal, spectra = runs.iloc[:0], pd.DataFrame(), pd.DataFrame()
    changed = {"heads": heads, "models": models, "pairs": pairs, "runs": runs, "causal": causal}
    changed["spectra"] = spectra
    return dataclasses.replace(study, **changed)


@pytest.mark.filterwarnings("error::UserWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("gap", ["nan", "rows", "columns", "everything"])
def test_gaps_are_said_not_fatal(
    name: str, gap: str, study: StudyTables, settings: FigureSettings, tmp_path: Path
) -> None:
    figure = draw_figure(name, with_gap(study, gap), settings)
    save_figure(figure, tmp_path, name, settings)
    assert "not measured" in words(figure)


def test_a_caption_tells_of_quantisation_and_tuning_and_limits(name: str) -> None:
    caption = FIGURES[name].caption
    assert "quantis" in caption.lower()
    assert "tun" in caption.lower()
    assert caption.endswith(".")


def test_captions_for_snakemake_are_the_captions(name: str) -> None:
    assert (RST / f"{name}.rst").read_text(encoding="utf-8") == caption_rst(FIGURES[name])


@pytest.mark.parametrize("path", sorted(RST.glob("*.rst")), ids=lambda path: path.stem)
def test_captions_are_valid_rst_without_surprises_for_jinja(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"{{|{%|{#", source)
    strict = {"halt_level": 2, "report_level": 2}
    assert docutils.core.publish_parts(source, writer="html5", settings_overrides=strict)


def test_there_are_no_captions_without_a_figure() -> None:
    assert {path.stem for path in RST.glob("*.rst")} == {*FIGURES, "workflow"}


def test_published_values_are_named_as_other_models(
    study: StudyTables, settings: FigureSettings
) -> None:
    assert "published: other models, lengths unknown" in words(
        draw_figure("paper_tables", study, settings)
    )


def test_the_bound_is_drawn_where_the_theorem_holds_only(
    study: StudyTables, settings: FigureSettings
) -> None:
    figure = draw_figure("position_spectrum", study, settings)
    left, right = figure.axes[:2]
    assert not any(line.get_linestyle() == "-" for line in left.lines)
    (bound,) = [line for line in right.lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(bound.get_ydata() + bound.get_xdata(), np.log(96), rtol=1e-12)


SHARES = (0.9, 0.75, 0.5, 0.25)


def decaying(study: StudyTables) -> StudyTables:
    """The study's heads with sensitivities 0.04 h^0.8, half of the heads 50 % above and below."""
    rows = []
    for seed in (0, 1):
        for share in SHARES:
            law = 0.04 * (-np.log2(share)) ** 0.8
            keys = {"condition": f"stride-{share}-{seed}", "reference": "full", "probe": "received"}
            for head, factor in enumerate((0.5, 1.5)):
                value = law * factor if seed == 0 else 9.0
                rows.append({**keys, "head": head, "scale_sensitivity_mean": value})
    own = pd.DataFrame(rows).assign(model="rope", corpus="enwiki-96", protocol="paper", layer=0)
    elsewhere = own.assign(corpus="enwiki-256", scale_sensitivity_mean=7.0)
    by_lag = own.assign(probe="lag", scale_sensitivity_mean=8.0)
    scales = {
        f"stride-{x}-{i}": {"fraction": x, "method": "stride"} for i in (0, 1) for x in SHARES
    }
    heads = pd.concat([by_lag, elsewhere, own])
    return dataclasses.replace(study, heads=heads, scales=scales)


def test_change_is_the_mean_over_heads_of_the_first_condition_of_each_share(
    study: StudyTables,
) -> None:
    points = decay_points(decaying(study), PANELS[0])
    assert list(points["kept"]) == list(SHARES)
    expected = 0.04 * (-np.log2(SHARES)) ** 0.8
    np.testing.assert_allclose(points["mean"].to_numpy(float), expected, rtol=1e-12)


def test_the_law_of_decay_stands_in_the_legend_and_is_drawn(
    study: StudyTables, settings: FigureSettings
) -> None:
    figure = draw_figure("scale_decay", decaying(study), settings)
    assert "0.040 h$^{0.80}$ ± 0 %" in words(figure)
    marks, line = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), marks.get_ydata()[[0, -1]], rtol=1e-9)
    np.testing.assert_allclose(line.get_xdata(), marks.get_xdata()[[0, -1]], rtol=1e-12)


def test_two_shares_have_no_law(study: StudyTables, settings: FigureSettings) -> None:
    assert "no law: fewer than three shares" in words(draw_figure("scale_decay", study, settings))


def test_the_null_curve_is_drawn_with_each_family(
    study: StudyTables, settings: FigureSettings
) -> None:
    figure = draw_figure("entropy_selectivity", study, settings)
    for axes in figure.axes:
        (curve,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        np.testing.assert_array_equal(curve.get_xdata(), study.null_curves[96]["selectivity"])


@pytest.mark.parametrize(
    ("layers", "shown"), [(1, [0]), (4, [0, 1, 2, 3]), (30, [0, 6, 12, 17, 23, 29])]
)
def test_layers_are_evenly_spaced_from_first_to_last(layers: int, shown: list[int]) -> None:
    assert spaced_layers(layers) == shown


def test_correlations_stand_in_the_order_of_the_heads() -> None:
    pairs = pd.DataFrame(
        {"head": [0, 0, 1], "other": [1, 2, 2], "signal_correlation": [0.1, 0.2, -0.3]}
    )
    expected = [[1, 0.2, -0.3], [0.2, 1, 0.1], [-0.3, 0.1, 1]]
    np.testing.assert_array_equal(correlation_matrix(pairs, [2, 0, 1]), expected)


def test_depth_runs_from_zero_to_one_and_one_layer_stands_at_zero() -> None:
    parts = [
        f"{band}_{p}"
        for band in ("band_low", "band_mid", "band_high")
        for p in ("mean", "low", "high")
    ]
    rows = pd.DataFrame(0.5, index=range(6), columns=parts).assign(layer=[0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(depth_profile(rows).index, [0, 0.5, 1])
    np.testing.assert_array_equal(depth_profile(rows[:2]).index, [0])


@pytest.mark.parametrize("text", ["MiniLM-L6 untrained, seed 0", "x" * 60, "a b c", "short"])
def test_wrapping_keeps_the_text_within_the_width(text: str) -> None:
    lines = wrapped(text, 20).split("\n")
    assert max(map(len, lines)) <= 20
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
