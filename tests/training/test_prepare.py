"""Stage prepare_recipe: the tokens of all texts, which are read a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attention_wavelets.config.schema import LocalSource, Text
from attention_wavelets.corpora.documents import Document
from attention_wavelets.errors import PipelineError
from attention_wavelets.stages import training
from attention_wavelets.stages.training import prepare_recipe
from attention_wavelets.store.documents import (
    read_documents,
    read_lengths,
    read_texts,
    text_bytes,
    write_documents,
)
from attention_wavelets.store.training import read_tokens
from attention_wavelets.training.tokens import learn_tokenizer

TEXT = Text(
    source=LocalSource(kind="local", path="x"),
    format="text",
    language="en",
    title="Letters",
    licence="CC0-1.0",
)
CONFIG = {"name": "tiny", "tokenizer": {"merges": 20}, "context": 32}


def corpus(folder: Path, name: str, letters: str, count: int) -> Path:
    """Documents of 10 to 60 letters in a file of several groups of rows."""
    random = np.random.default_rng(len(letters))
    bodies = ["".join(random.choice(list(letters), random.integers(10, 60))) for _ in range(count)]
    write_documents(folder / name, (Document("x", body) for body in bodies), TEXT)
    return folder / name


@pytest.fixture
def texts(tmp_path: Path) -> list[Path]:
    """Two corpora, of which the second is shorter: documents to learn from, and held out."""
    return [
        corpus(tmp_path, "a.parquet", "abc de", 700),
        corpus(tmp_path, "b.parquet", "где вод", 300),
    ]


def test_tokens_are_those_of_all_texts_at_once(texts: list[Path], tmp_path: Path):
    prepare_recipe(CONFIG, texts, texts[:1], tmp_path / "tokenizer", tmp_path / "tokens.npz")
    every = [read_documents(path)["text"].tolist() for path in texts]
    most = sum(map(len, every[1]))
    ends = np.cumsum([len(text) for text in every[0]])
    # The document in which the shorter corpus ends is taken whole.
    chosen = [*every[0][: int((ends < most).sum()) + 1], *every[1]]
    tokenizer = learn_tokenizer([chosen], 20, 32)
    expected = [
        token for text in chosen for token in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    found = read_tokens(tmp_path / "tokens.npz")
    assert found["training"].dtype == np.int32
    assert found["training"].tolist() == expected
    assert found["held_out_bytes"].sum() == sum(len(text.encode()) for text in every[0])


def test_texts_are_not_all_in_memory(texts: list[Path], tmp_path: Path, monkeypatch):
    """A text is asked for when those before it have been encoded."""
    read, most = [0], [0]

    def counted(path: Path):
        for text in read_texts(path):
            read[0] += 1
            yield text

    def encode(_tokenizer, documents):
        ids = []
        for taken, text in enumerate(documents, start=1):
            most[0] = max(most[0], read[0] - taken)
            ids += [0] * len(text)
        read[0] = 0
        return np.array(ids, dtype=np.int32)

    monkeypatch.setattr(training, "read_texts", counted)
    monkeypatch.setattr("attention_wavelets.training.tokens.encode", encode)
    monkeypatch.setattr(
        "attention_wavelets.training.tokens.learn_tokenizer",
        lambda *_: learn_tokenizer([["ab"]], 0, 32),
    )
    prepare_recipe(CONFIG, texts, texts, tmp_path / "tokenizer", tmp_path / "tokens.npz")
    assert most == [0]


def test_lengths_and_bytes_are_known_without_the_texts(texts: list[Path], tmp_path: Path):
    every = read_documents(texts[1])["text"].tolist()
    assert read_lengths(texts[1]) == [len(text) for text in every]
    assert list(read_texts(texts[1])) == every
    size = sum(len(text.encode()) for text in every)
    # Parquet adds a length to every text.
    assert size <= text_bytes(texts[1]) <= size + 8 * len(every) + 1000
    assert text_bytes(tmp_path / "none.parquet") is None


@pytest.mark.parametrize("read", [read_lengths, lambda path: list(read_texts(path))])
def test_a_damaged_file_is_one_line(texts: list[Path], tmp_path: Path, read):
    (tmp_path / "broken.parquet").write_bytes(texts[0].read_bytes()[:-50])
    for name, expected in (("broken", "not a readable Parquet file"), ("none", "is missing")):
        with pytest.raises(PipelineError, match=expected):
            read(tmp_path / f"{name}.parquet")
