"""transformers without its chatter, and its errors in one line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attention_wavelets.errors import PipelineError

__all__ = ["one_line", "quiet", "translated"]

_LONGEST = 240


def one_line(error: BaseException) -> str:
    """The first sentence or line of an error's text that says something, at most 240 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.split(r"(?<=[a-z`'\")])\. (?=[A-Z])", text, maxsplit=1)[0]
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


@contextmanager
def quiet() -> Iterator[None]:
    """Progress bars, advice and warnings of transformers off inside the block only."""
    import importlib

    # The GGUF reader draws its bar with tqdm itself, which no switch of transformers reaches.
    gguf_reader: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    logging: Any = importlib.import_module("transformers.utils.logging")

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    tqdm = getattr(gguf_reader, "tqdm", None)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if tqdm is not None:
        gguf_reader.tqdm = lambda items, **_: items
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if tqdm is not None:
            gguf_reader.tqdm = tqdm


@contextmanager
def translated(what: str, where: str, todo: str) -> Iterator[None]:
    """Turn whatever a library raises inside the block into one `PipelineError`.

    Damaged files surface as almost any exception type (struct, unicode, index, key errors), so
    the net is wide on purpose; memory and keyboard interrupts pass.
    """
    try:
        yield
    except (PipelineError, MemoryError):
        raise
    except Exception as error:
        raise PipelineError(f"{what} ({one_line(error)})", where, todo) from error
