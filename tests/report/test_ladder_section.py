"""What the first screen says of models trained here, from tables made by hand."""

from __future__ import annotations

import dataclasses
import html
import re

import pandas as pd
import pytest

from attention_wavelets.report.ladder import ladder_section
from attention_wavelets.report.tables import StudyTables
from attention_wavelets.report.trained import coincidences

# measure, title, wavelet-like, value, low, high, p corrected, size
ROWS = {
    "training": [
        ("band_low", "low band", True, -0.125, -0.15, -0.1, 0.01, -12.5),
        ("octave_1", "finest octave", True, 0.5, -0.5, 1.5, 0.3, 1.0),
        # Known to come with training: no wavelet-like measure, whatever it does.
        ("sink", "attention to the first token", False, 0.5, 0.4, 0.6, 0.001, 50.0),
    ],
    "size": [
        # Small before the correction for all measures, and not after it.
        ("band_low", "low band", True, 0.25, 0.125, 0.375, 0.06, 2.0),
        ("octave_1", "finest octave", True, 0.25, -0.5, 1.0, 0.3, 0.5),
    ],
    "encoding": [("band_low", "low band", True, 2.0, 1.0, 3.0, 0.04, 4.0)],
    "block": [("band_low", "low band", True, 1.0, -1.0, 3.0, 0.4, 2.0)],
    "remains": [
        ("band_low", "low band", True, 0.25, 0.0, 0.5, 0.5, 1.0),
        ("octave_1", "finest octave", True, -0.5, -1.0, 0.0, 0.5, 1.0),
    ],
}
ABOUT = {
    "training": ("last step", "step 0", "llama", "llama", 3),
    "size": ("1,189,760", "25,056", "llama", "llama", 15),
    "encoding": ("alibi", "rope", "bloom", "llama", 6),
    "block": ("rope", "rope", "gpt_neox", "llama", 6),
    "remains": ("rank correlation over heads", "0", "llama", "llama", 3),
}


def changes() -> pd.DataFrame:
    columns = ("measure", "title", "wavelet", "value", "low", "high", "p_holm", "size")
    names = ("level", "reference", "block", "reference_block", "n")
    return pd.DataFrame(
        [
            {
                **dict(zip(columns, row, strict=True)),
                **dict(zip(names, ABOUT[factor], strict=True)),
                **{"factor": factor, "p": row[6] / 2, "share": 0.5, "reason": ""},
            }
            for factor, rows in ROWS.items()
            for row in rows
        ]
    )


def text(study: StudyTables, **tables: pd.DataFrame) -> str:
    page = str(ladder_section(dataclasses.replace(study, changes=changes(), **tables)))
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.mark.parametrize(
    "sentence",
    [
        "Training? 1 of 2 wavelet-like measures change between fresh weights and the last step "
        "(3 seeds). Most: low band, by -0.125 [-0.150, -0.100]. Not seen is not shown to be "
        "absent: one comparison does not count, with intervals that leave room for up to 3.0 "
        "standard deviations between runs.",
        "Size? 0 of 2 wavelet-like measures change from 25,056 to 1,189,760 parameters (15 runs). "
        "Not seen is not shown to be absent: 2 comparisons do not count, with intervals that leave "
        "room for up to 3.0 standard deviations",
        "Position encoding? 1 of 1 wavelet-like measures change when RoPE is replaced (ALiBi with "
        "the block of bloom; 3 seeds each). Most: low band with ALiBi, by 2.000 [1.000, 3.000].",
        "The block of layers alone? 0 of 1 wavelet-like measures change when only the block does: "
        "RoPE in that of gpt_neox, not of llama (3 seeds each).",
        "rank correlations of -0.50 to 0.25, by measure",
    ],
)
def test_each_question_is_answered_from_its_own_rows(study: StudyTables, sentence: str) -> None:
    assert sentence in text(study)


def steps(measure: str, wavelet: bool, run: str, step: float, best: str = "step") -> dict:
    about = {"measure": measure, "title": measure, "wavelet": wavelet, "run": run, "seed": 0}
    return about | {"step": step, "before": 0.0, "after": 1.0, "best": best, "reason": ""}


def test_phases_coincide_as_often_as_steps_lie_near_each_other(study: StudyTables) -> None:
    """Kept steps 0, 1, 2, 4, 8, 16 have five gaps; a step is known to its gap."""
    runs = pd.DataFrame(
        [
            study.runs.iloc[0].to_dict() | {"run": run, "step": step}
            for run in ("a", "b")
            for step in (0, 1, 2, 4, 8, 16)
        ]
    )
    phases = pd.DataFrame(
        [
            # In the first gap, to which the second is near: two of five by chance.
            steps("induction", False, "a", 0.4),
            steps("band_low", True, "a", 1.4),
            steps("octave_1", True, "a", 2.8),
            # No step, and no neighbour.
            steps("selectivity", True, "a", 0.4, best="smooth"),
            # In the middle one, to which three are near.
            steps("induction", False, "b", 2.8),
            steps("band_low", True, "b", 5.6),
            # Never beside a step of a wavelet-like measure of its own run.
            steps("sink", False, "c", 5.6),
        ]
    )
    (found,) = coincidences(phases, runs)
    assert (found.title, found.near, found.count) == ("induction", 2, 3)
    assert found.chance == pytest.approx((2 / 5 + 2 / 5 + 3 / 5) / 3)
    said = (
        "Do phases coincide? Steps of wavelet-like measures within one kept checkpoint of the "
        "step, in the same run, of: induction 2 of 3 (67%; by chance 47%). Chance:"
    )
    assert said in text(study, runs=runs, phases=phases)
    assert "Do phases coincide?" not in text(study, runs=runs, phases=phases.iloc[1:3])
