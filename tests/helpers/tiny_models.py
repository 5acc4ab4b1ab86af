"""The tiny models of tests/models, for rooms that cannot see its fixtures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

__all__ = ["save_model"]


def save_model(folder: Path, family: str, **changes: Any) -> Path:
    """Save a random model of 2 layers x 4 heads and a tokenizer whose words are the letters a-z.

    `family` is "llama" or "bert"; `changes` go into its configuration.
    """
    path = Path(__file__).parents[1] / "models" / "conftest.py"
    spec = importlib.util.spec_from_file_location("makers_of_tiny_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    saved: Path = module._save(folder, family, **changes)
    return saved
