"""Tiny models saved for real, a loopback hub, and a way to fetch in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attention_wavelets.config.schema import Model

# huggingface_hub reads its environment when imported, hence a process per fetch. Printing the
# error the way the command line does lets a test see everything a user would see.
_FETCH = """
import json, sys
from attention_wavelets.errors import PipelineError
task = json.load(sys.stdin)
try:
    if task["what"] == "files":
        from attention_wavelets.config.schema import HubSource
        from attention_wavelets.sources import fetch_files
        got = fetch_files(HubSource(**task["source"]), task["pattern"], repo_type=task["type"])
        value = {"revision": got.revision, "locked": got.locked,
                 "paths": {k: str(v) for k, v in got.paths.items()}}
    elif task["what"] == "lock":
        from attention_wavelets.config.schema import Model
        from attention_wavelets.models.lock import resolve_lock
        value = resolve_lock({k: Model(**v) for k, v in task["models"].items()})
    else:
        from attention_wavelets.config.schema import Model
        from attention_wavelets.models.fetch import fetch_model
        base = Model(**task["base"]) if task["base"] else None
        value = fetch_model("tiny", Model(**task["model"]), base, task["lock"])
        if task["load"]:
            from attention_wavelets.models.load import load_model
            value = {**value, "loaded": type(load_model(value)).__name__}
except PipelineError as error:
    sys.exit(f"error: {error}")
print(json.dumps(value))
"""


def _loopback() -> Any:
    """tests/loopback_hub.py, loaded by path since tests are no package."""
    name = "loopback_hub"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).parents[1] / "loopback_hub.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def hub() -> Iterator[Any]:
    """A running loopback hub without repositories."""
    with _loopback().LoopbackHub() as running:
        yield running


@pytest.fixture
def fetch_apart(hub: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a fetch in a fresh process against the loopback hub, with its cache in tmp_path."""

    def run(task: dict[str, Any], **extra: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-c", _FETCH],
            input=json.dumps({"lock": None, "base": None, "load": False, **task}),
            env={**kept, **hub.environment(tmp_path / "cache"), "OMP_NUM_THREADS": "1", **extra},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache for this test."""
    monkeypatch.setenv("ATTENTION_WAVELETS_CACHE", str(tmp_path / "aw"))
    return tmp_path / "aw"


def _save_tokenizer(folder: Path, bert: bool) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if bert:
        raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **names).save_pretrained(folder)


def _save(folder: Path, family: str, **changes: Any) -> Path:
    import torch
    import transformers

    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 48, "vocab_size": 30, "max_position_embeddings": 64, **changes}
    with torch.random.fork_rng(devices=[]):
        if family == "llama":
            config = transformers.LlamaConfig(**{"num_key_value_heads": 2, **sizes})
        else:
            config = transformers.BertConfig(**sizes)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    _save_tokenizer(folder, bert=family == "bert")
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 2 layers x 4 heads (2 key/value heads) of size 8; do not write to it."""
    return _save(tmp_path_factory.mktemp("llama"), "llama", initializer_range=0.05)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of 2 layers x 4 heads of size 8; do not write to it."""
    return _save(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture
def model_at() -> Callable[..., Model]:
    """Make a model configuration for a local path or any source."""

    def make(source: Path | dict[str, Any], **changes: Any) -> Model:
        if isinstance(source, Path):
            source = {"kind": "local", "path": str(source)}
        return Model.model_validate(
            {"label": "tiny", "source": source, "licence": "MIT", **changes}
        )

    return make
