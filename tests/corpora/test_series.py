"""Series of known scale: what is drawn, how it is quantised, and that its scales are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from attention_wavelets.config.schema import SyntheticSource, Text
from attention_wavelets.corpora.documents import read_documents
from attention_wavelets.corpora.series import draw_series, levels_of, quantised
from attention_wavelets.errors import PipelineError
from attention_wavelets.inference.series import power_shares, slope
from attention_wavelets.training.tokens import encode, learn_tokenizer, token_bytes

GROUPS = {
    "p8": {"kind": "sinusoids", "periods": [8], "noise": 0.3},
    "two": {"kind": "sinusoids", "periods": [6, 32], "noise": 0.3},
    "rough": {"kind": "fractional_noise", "hurst": 0.2},
    "white": {"kind": "fractional_noise", "hurst": 0.5},
    "slow": {"kind": "fractional_noise", "hurst": 0.9},
}


def source(groups: dict | None = None, **changes: int) -> SyntheticSource:
    plain = {"kind": "synthetic", "groups": groups or GROUPS, "count": 30, "length": 512, "seed": 3}
    return SyntheticSource.model_validate(plain | changes)


def text(**changes: object) -> Text:
    plain = {
        "source": {"kind": "local", "path": "."},
        "format": "series",
        "field": "y",
        "samples": {"levels": 8},
        "language": "none",
        "title": "T",
        "licence": "CC0",
    }
    return Text.model_validate(plain | changes)


def drawn(group: str, count: int = 30) -> np.ndarray:
    found = draw_series(source(count=count), 64)
    return np.stack([levels_of(body) for _, body, name in found if name == group])


def test_levels_are_equal_steps_of_three_standard_deviations():
    values = np.array([-9.0, 9.0] + [0.0] * 98)
    assert quantised(values, 4)[:3] == "!$#"
    ramp = np.linspace(-1, 1, 1001)
    levels = levels_of(quantised(ramp, 60))
    # A ramp ends at 1.73 standard deviations; steps are a tenth of one.
    assert (levels[0], levels[-1]) == (12, 47)
    assert np.array_equal(np.sort(levels), levels)
    assert set(quantised(np.ones(20), 10)) == {"&"}


def test_a_sample_is_a_token_of_a_tokenizer_without_merges():
    bodies = [
        "".join(map(chr, range(33, 127))),
        *(body for _, body, _ in draw_series(source(length=64), 64)),
    ]
    tokenizer = learn_tokenizer([bodies], 0, 32)
    ids = encode(tokenizer, bodies)
    assert len(ids) == sum(map(len, bodies))
    assert set(token_bytes(tokenizer, ids).tolist()) == {1}
    assert len(set(ids[:94].tolist())) == 94


def test_known_periods_are_the_peaks():
    shares = power_shares(drawn("p8")).mean(0)
    assert shares.argmax() + 1 == 512 // 8
    shares = power_shares(drawn("two")).mean(0)
    # 512 / 32 = 16 and 512 / 6 = 85.3: the window spreads each over its neighbours.
    around = {place: shares[place - 3 : place + 2].sum() for place in (16, 85)}
    assert around[16] == pytest.approx(around[85], rel=0.1)
    assert sum(around.values()) > 0.85


@pytest.mark.parametrize(("group", "hurst"), [("rough", 0.2), ("white", 0.5), ("slow", 0.9)])
def test_noise_has_the_spectrum_of_its_exponent(group: str, hurst: float):
    count = 512
    lag = np.arange(count, dtype=float)
    cov = 0.5 * (abs(lag - 1) ** (2 * hurst) - 2 * lag ** (2 * hurst) + (lag + 1) ** (2 * hurst))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)
    overlap = np.correlate(window, window, "full")[count - 1 :]
    bins = np.arange(1, count // 2 + 1)
    waves = np.cos(2 * np.pi * np.outer(bins, lag) / count)
    expected = 2 * (waves * cov * overlap).sum(1) - cov[0] * overlap[0]
    found = power_shares(drawn(group, 150)).mean(0)
    # Octave by octave; what is left is the scatter of 150 series and of 64 levels.
    for low in (4, 8, 16, 32, 64, 128):
        octave = slice(low - 1, 2 * low - 1)
        ratio = found[octave].sum() / found[3:255].sum()
        assert ratio == pytest.approx(expected[octave].sum() / expected[3:255].sum(), rel=0.15)
    # Of slow noise the power falls as frequency to the 1 - 2 H.
    if hurst >= 0.5:
        assert slope(found) == pytest.approx(1 - 2 * hurst, abs=0.1)


def test_a_series_depends_on_seed_group_and_number_alone():
    few = list(draw_series(source(count=2), 64))
    many = list(draw_series(source({"p8": GROUPS["p8"]}, count=5), 64))
    assert many[:2] == few[:2]
    other = list(draw_series(source(count=2, seed=4), 64))
    assert all(a != b for a, b in zip(few, other, strict=True))


def test_documents_carry_their_group_and_are_split():
    parts = [
        text(
            source=source().model_dump(),
            split={"held_out": 0.3, "part": part},
        )
        for part in ("held_out", "training")
    ]
    held, training = (list(read_documents(part, [])) for part in parts)
    assert {d.group for d in held + training} == set(GROUPS)
    assert len(held) + len(training) == 30 * len(GROUPS)
    assert not {d.text for d in held} & {d.text for d in training}
    assert 20 < len(held) < 75


def test_a_column_becomes_one_document(tmp_path: Path):
    rows = "t,y\n" + "".join(f"{i},{i % 5}\n" for i in range(40))
    (tmp_path / "d.csv").write_text(rows)
    (only,) = read_documents(text(), [tmp_path / "d.csv"])
    assert only.title == "d"
    assert len(only.text) == 40
    assert only.text[:35] == only.text[5:]
    assert len(set(only.text)) == 4


def test_a_column_without_a_number_is_no_document(tmp_path: Path):
    (tmp_path / "d.csv").write_text("t,y\n")
    assert list(read_documents(text(), [tmp_path / "d.csv"])) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("t,z\n1,2\n", "column 'y' is missing"),
        ("t,y\n1,2\n2,\n", "d.csv, line 3: '' is no finite number"),
        ("t,y\n1,inf\n", "d.csv, line 2: 'inf' is no finite number"),
        ("t,y\n1,a b\n", "d.csv, line 2: 'a b' is no finite number"),
        ("", "column 'y' is missing"),
    ],
)
def test_a_bad_column_is_one_line_with_its_place(tmp_path: Path, rows: str, words: str):
    (tmp_path / "d.csv").write_text(rows)
    with pytest.raises(PipelineError) as caught:
        list(read_documents(text(), [tmp_path / "d.csv"]))
    line = str(caught.value)
    assert words in line
    assert "d.csv" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": None}, "`samples` is needed"),
        ({"format": "text"}, "`samples` is needed"),
        ({"samples": {"levels": 95}}, "less than or equal to 94"),
        ({"samples": {"periods": [1]}}, "greater than or equal to 2"),
        ({"samples": {"periods": [5, 5]}}, "5"),
        ({"source": source().model_dump(), "format": "text", "samples": None}, "has format"),
        ({"source": source().model_dump(), "samples": {"periods": [4]}}, "in their groups"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict, words: str):
    with pytest.raises(ValidationError, match=words):
        text(**changes)


def test_scales_are_told_by_the_settings():
    assert text().known == {}
    assert text(samples={"periods": [5]}).known[""].periods == [5]
    assert set(text(source=source().model_dump()).known) == set(GROUPS)
