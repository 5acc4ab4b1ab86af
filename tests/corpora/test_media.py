"""Sound and pictures as documents, and as the numbers of positions."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attention_wavelets.config.schema import (
    Corpus,
    RepeatCondition,
    SequenceRules,
    ShuffleCondition,
    Split,
    SubsampleCondition,
)
from attention_wavelets.corpora.conditions import apply_condition
from attention_wavelets.corpora.documents import read_documents
from attention_wavelets.corpora.media import choose_media, picture_patches, sound_blocks
from attention_wavelets.errors import PipelineError
from attention_wavelets.store import documents as store
from attention_wavelets.store.sequences import read_sequences, write_sequences
from helpers.media import picture, sound

SOUND = {"kind": "sound", "rate": 1000, "hop": 8, "window": 16, "normalise": True}
PICTURES = {"kind": "pictures", "patch": 4, "special": 3, "grid": None}


def chosen(contents, given, rules):
    return choose_media(contents, [f"file {n}" for n in range(len(contents))], given, rules)


def numbered(side: int) -> np.ndarray:
    """A picture whose red is the row and whose green is the column of each pixel."""
    row, column = np.mgrid[:side, :side].astype(np.uint8)
    return np.stack([row, column, np.zeros_like(row)], axis=-1)


@pytest.mark.parametrize("kind", ["FLAC", "WAV", "OGG"])
def test_sound_is_cut_into_positions(kind):
    import soundfile

    content = sound(0, rate=8000, kind=kind)
    blocks = sound_blocks(content, 8000, 30)
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    assert blocks.shape == (8000 // 30, 30)
    np.testing.assert_array_equal(blocks.ravel(), whole[: blocks.size])


def test_channels_are_averaged_and_rates_brought_together():
    import soundfile

    time = np.arange(4000) / 4000
    tone = 0.5 * np.sin(2 * np.pi * 110 * time)
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone, tone / 2], axis=1), 4000, format="WAV", subtype="FLOAT")
    blocks = sound_blocks(file.getvalue(), 1000, 10)
    assert blocks.shape == (100, 10)
    expected = 0.375 * np.sin(2 * np.pi * 110 * np.arange(1000) / 1000)
    # The filter of the resampling sees the ends.
    np.testing.assert_allclose(blocks.ravel()[50:-50], expected[50:-50], atol=2e-3)


def test_patches_are_counted_row_by_row():
    patches = picture_patches(picture(numbered(12)), 3, 4)
    assert patches.shape == (9, 48)
    pixels = np.rint(patches * 255).reshape(9, 4, 4, 3)
    for number in range(9):
        top, left = 4 * (number // 3), 4 * (number % 3)
        np.testing.assert_array_equal(pixels[number, :, 0, 0], np.arange(top, top + 4))
        np.testing.assert_array_equal(pixels[number, 0, :, 1], np.arange(left, left + 4))


def test_the_middle_of_a_picture_is_taken_and_grey_is_coloured():
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 200
    patches = picture_patches(picture(wide), 2, 4)
    np.testing.assert_allclose(patches, 200 / 255, atol=1e-6)


def test_a_picture_lies_as_its_camera_was_held():
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 3
    file = io.BytesIO()
    Image.fromarray(numbered(8)).save(file, format="PNG", exif=exif)
    turned = picture_patches(picture(numbered(8)[::-1, ::-1].copy()), 2, 4)
    np.testing.assert_array_equal(picture_patches(file.getvalue(), 2, 4), turned)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (lambda: sound_blocks(b"RIFF no sound", 1000, 8), "not a readable sound"),
        (lambda: picture_patches(b"no picture", 2, 4), "not a readable picture"),
    ],
)
def test_other_files_are_errors(read, what):
    with pytest.raises(PipelineError, match=what):
        read()


def test_what_only_looks_healthy_is_an_error_too():
    import soundfile

    file = io.BytesIO()
    samples = np.full(4000, np.nan, dtype=np.float32)
    soundfile.write(file, samples, 1000, format="WAV", subtype="FLOAT")
    with pytest.raises(PipelineError, match="a sample is not finite"):
        sound_blocks(file.getvalue(), 1000, 8)
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    with pytest.raises(PipelineError, match="more than 8 bits a colour"):
        picture_patches(picture(deep), 2, 4)
    # Orientation is read after the picture itself, by code that raises errors of its own.
    healthy = picture(numbered(8))
    exif = b"eXIf" + b"Exif\0\0" + b"garbage"
    chunk = (len(exif) - 4).to_bytes(4, "big") + exif + zlib.crc32(exif).to_bytes(4, "big")
    with pytest.raises(PipelineError, match="not a readable picture"):
        picture_patches(healthy[:33] + chunk + healthy[33:], 2, 4)


def test_a_broken_file_is_named():
    contents = [picture(np.full((9, 9, 3), 10, np.uint8)), b"\x89PNG\r\n\x1a\n no more"]
    with pytest.raises(
        PipelineError, match=r"^document 'file 1': not a readable picture"
    ) as caught:
        chosen(contents, PICTURES, SequenceRules(tokens=19, count=2))
    assert "BytesIO" not in str(caught.value)
    with pytest.raises(PipelineError, match="document 'file 1': not a readable sound") as caught:
        chosen([sound(0), b"no sound"], SOUND, SequenceRules(tokens=30, count=2))
    assert "BytesIO" not in str(caught.value)


def test_columns_of_bytes_are_read_and_other_structs_refused(text_settings, tmp_path):
    content = sound(0)
    path = tmp_path / "rows.parquet"
    table = {"plain": [content], "paths": [{"path": "a.flac"}], "odd": [{"bytes": 3}]}
    pq.write_table(pa.table(table), path)
    (found,) = read_documents(text_settings(format="sound", field="plain"), [path])
    assert found.content == content
    for field in ("paths", "odd"):
        with pytest.raises(PipelineError, match=r"not files.*set `field` to one of: plain"):
            list(read_documents(text_settings(format="sound", field=field), [path]))


def test_files_and_columns_of_files_become_documents(text_settings, tmp_path):
    contents = [sound(number) for number in range(3)]
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.flac").write_bytes(content)
    settings = text_settings(format="sound")
    files = sorted(tmp_path.glob("*.flac"))
    loose = list(read_documents(settings, files))
    assert [(d.title, d.text, d.content) for d in loose] == [
        (str(number), "", content) for number, content in enumerate(contents)
    ]
    rows = [{"bytes": content, "path": "a.flac"} for content in contents]
    table = pa.table({"audio": [*rows, None, {"bytes": None, "path": "b.flac"}], "n": range(5)})
    path = tmp_path / "rows.parquet"
    pq.write_table(table, path)
    column = list(read_documents(text_settings(format="sound", field="audio"), [path]))
    assert [(d.title, d.content) for d in column] == [
        (f"rows {number}", content) for number, content in enumerate(contents, start=1)
    ]
    with pytest.raises(PipelineError, match="holds int64, not files") as caught:
        list(read_documents(text_settings(format="sound", field="n"), [path]))
    assert "set `field` to one of: audio" in str(caught.value)


def test_documents_keep_their_bytes_and_are_held_out_by_them(text_settings, tmp_path):
    for number in range(40):
        (tmp_path / f"{number:02d}.flac").write_bytes(sound(number, seconds=0.1))
    files = sorted(tmp_path.glob("*.flac"))
    parts = {}
    for part in ("held_out", "training"):
        settings = text_settings(format="sound", split=Split(held_out=0.4, part=part).model_dump())
        path = tmp_path / f"{part}.parquet"
        store.write_documents(path, read_documents(settings, files), settings)
        parts[part] = set(store.read_documents(path)["content"])
    assert not parts["held_out"] & parts["training"]
    assert parts["held_out"] | parts["training"] == {file.read_bytes() for file in files}
    assert 6 < len(parts["held_out"]) < 26


def test_sequences_of_sound_are_stretches_of_documents():
    contents = [sound(number) for number in range(5)]
    rules = SequenceRules(tokens=30, count=8, max_per_document=2)
    found = chosen(contents, SOUND, rules)
    assert found.content is not None
    assert found.content.shape == (8, 30, 8)
    assert not found.special.any()
    for row in range(8):
        start = found.start[row]
        whole = sound_blocks(contents[found.document[row]], 1000, 8)
        np.testing.assert_array_equal(found.content[row], whole[start : start + 30])
        np.testing.assert_array_equal(found.ids[row], np.arange(start, start + 30))


def test_a_picture_is_one_sequence_behind_special_positions():
    contents = [picture(np.full((9, 9, 3), 10 * number, np.uint8)) for number in range(6)]
    found = chosen(contents, PICTURES, SequenceRules(tokens=19, count=6))
    assert found.content is not None
    assert found.content.shape == (6, 19, 48)
    assert found.special[:, :3].all()
    assert not found.special[:, 3:].any()
    assert (found.ids[:, :3] == -1).all()
    np.testing.assert_allclose(found.content[:, 3, 0] * 255, 10 * found.document, atol=1e-4)
    with pytest.raises(PipelineError, match="it can give 6 sequences"):
        chosen(contents, PICTURES, SequenceRules(tokens=19, count=7, max_per_document=2))


@pytest.mark.parametrize(
    ("tokens", "grid", "words"),
    [
        (20, None, "17 patches make no square picture.*1 less or 8 more"),
        (19, 5, "5 x 5 patches only.*set `tokens` to 28"),
        (4, None, "at least 8 are needed"),
    ],
)
def test_pictures_that_a_model_does_not_read_are_errors(tokens, grid, words):
    contents = [picture(numbered(8))]
    with pytest.raises(PipelineError, match=words):
        chosen(contents, {**PICTURES, "grid": grid}, _rules(tokens))


def _rules(tokens):
    return SequenceRules.model_construct(
        count=1, tokens=tokens, min_documents=1, max_per_document=1, seed=0
    )


def test_conditions_move_the_content_with_its_position(tmp_path):
    contents = [sound(number) for number in range(4)]
    full = chosen(contents, SOUND, SequenceRules(tokens=40, count=4))
    half = SubsampleCondition(kind="subsample", fraction=0.5, method="stride")
    made = {
        "full": full,
        "half": apply_condition(full, half, None),
        "shuffled": apply_condition(full, ShuffleCondition(kind="shuffle"), None),
    }
    assert full.content is not None
    for name, sequences in made.items():
        assert sequences.content is not None
        rows = np.arange(4)[:, None]
        np.testing.assert_array_equal(
            sequences.content, full.content[rows, sequences.source_position], err_msg=name
        )
    assert made["half"].ids.shape == (4, 20)
    assert (made["shuffled"].source_position != full.source_position).any()
    path = tmp_path / "sequences.zarr.zip"
    write_sequences(path, made, {})
    for name, sequences in made.items():
        np.testing.assert_array_equal(read_sequences(path, name)["content"], sequences.content)


def test_conditions_of_tokens_are_refused():
    full = chosen([sound(0)], SOUND, SequenceRules(tokens=40, count=1))
    with pytest.raises(PipelineError, match="it needs tokens, which sounds and pictures do not"):
        apply_condition(full, RepeatCondition(kind="repeat"), None)


@pytest.mark.parametrize(
    ("kind", "rules", "words"),
    [
        ("sound", {"special_tokens": "never"}, "special_tokens: auto"),
        ("pictures", {"max_per_document": 3}, "max_per_document: 1"),
        ("pictures", {"special_tokens": "always"}, "special_tokens: auto"),
    ],
)
def test_rules_of_tokens_are_refused(text_settings, kind, rules, words):
    text = text_settings(format=kind).model_dump()
    with pytest.raises(ValueError, match=words):
        Corpus(text=text, sequences={"tokens": 30, "count": 2, **rules})
    with pytest.raises(ValueError, match="`min_characters` is for texts"):
        Corpus(text={**text, "min_characters": 10}, sequences=SequenceRules(tokens=30, count=2))
