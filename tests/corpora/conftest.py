"""A small real tokenizer in three shapes, and corpus settings for files made in the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attention_wavelets.config.schema import Text

WORDS = [f"w{number}" for number in range(400)]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>"]


def _tokenizer(template: str | None, **names: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIALS, show_progress=False)
    inner.train_from_iterator([" ".join(WORDS), ". , : [ ] < > CLS SEP s"], trainer)
    if template:
        ids = [(name, inner.token_to_id(name)) for name in SPECIALS]
        inner.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    # A file may ask for truncation and padding; sequences must not be touched by either.
    inner.enable_truncation(16)
    inner.enable_padding(length=16)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        model_max_length=16,
        **names,
    )


@pytest.fixture(scope="session")
def bare_tokenizer() -> Any:
    """Neither BOS nor [CLS] and [SEP]."""
    return _tokenizer(None)


@pytest.fixture(scope="session")
def bos_tokenizer() -> Any:
    """Has a BOS token and adds none by itself, as SmolLM2's."""
    return _tokenizer(None, bos_token="<s>")


@pytest.fixture(scope="session")
def bert_tokenizer() -> Any:
    """Adds [CLS] and [SEP] by itself."""
    return _tokenizer("[CLS] $A [SEP]", cls_token="[CLS]", sep_token="[SEP]")


@pytest.fixture
def text_settings() -> Callable[..., Text]:
    """Settings of a corpus from this machine, with changes."""

    def settings(**changes: Any) -> Text:
        values = {
            "source": {"kind": "local", "path": "notes"},
            "format": "text",
            "language": "en",
            "title": "Test notes",
            "licence": "CC0-1.0",
        }
        return Text.model_validate(values | changes)

    return settings
