"""What half-precision attention would have done to the high band, on a real model.

`python tests/attention/test_precision.py` prints the table of docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attention_wavelets.attention.capture import capturing
from attention_wavelets.attention.probes import lag_rows
from attention_wavelets.attention.reducers import Shape
from attention_wavelets.attention.rows import Rows
from attention_wavelets.models.load import load_model, load_tokenizer

TEXT = (
    "The history of writing traces the development of expressing language by systems of markings. "
    "In the history of how writing systems have evolved over time, more complete writing systems "
    "were preceded by proto-writing. True writing, in which the content of a linguistic utterance "
    "is encoded so that another reader can reconstruct it, is a later development. "
)
TOKENS = 256
# The upper half of all frequencies, cycles per token.
HIGH = 0.25
KINDS = {
    "float32, as captured": lambda rows, _hidden: rows.probabilities,
    "float16 probabilities": lambda rows, _hidden: rows.probabilities.half(),
    "bfloat16 probabilities": lambda rows, _hidden: rows.probabilities.bfloat16(),
    "bfloat16 logits and probabilities": lambda rows, hidden: _bfloat16(rows, hidden),
}


def _products(rows: Rows, dtype: torch.dtype) -> Tensor:
    """q k' of all query heads, (batch, head, query, key)."""
    call = rows.call
    query, key = call.query.to(dtype), call.key.to(dtype)
    return call.per_head(call.grouped(query) @ key.transpose(2, 3))


def _bfloat16(rows: Rows, hidden: Tensor) -> Tensor:
    """What eager attention does with bfloat16 queries and keys."""
    logits = _products(rows, torch.bfloat16) * rows.call.scale
    return torch.softmax(logits.masked_fill(hidden, -torch.inf).float(), -1).bfloat16()


def high_power(probabilities: Tensor) -> np.ndarray:
    """Power above `HIGH` of the Hann-windowed lag signal of each head."""
    rows = lag_rows(probabilities.double().contiguous(), 0, Shape.square(TOKENS, True))
    signal = rows.mean(2)[0] * torch.hann_window(rows.shape[-1], dtype=torch.float64)
    power = torch.fft.rfft(signal).abs().square()
    return power[:, torch.fft.rfftfreq(rows.shape[-1]) > HIGH].sum(-1).numpy()


def added_power(manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    """Each kind of rounding -> power in the high band relative to float64, less 1, per head."""
    model, tokenizer = load_model(manifest), load_tokenizer(manifest)
    ids = torch.as_tensor([tokenizer(TEXT * 6)["input_ids"][:TOKENS]])
    hidden = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    added: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}

    def compare(rows: Rows) -> None:
        logits = _products(rows, torch.float64)
        logits = (logits * rows.call.scale).masked_fill(hidden, -torch.inf)
        exact = high_power(torch.softmax(logits, -1))
        for kind, rounded in KINDS.items():
            added[kind].append(high_power(rounded(rows, hidden)) / exact - 1)

    with torch.inference_mode(), capturing(model, compare, chunk_bytes=2**30):
        model(input_ids=ids, use_cache=False)
    return {kind: np.concatenate(parts) for kind, parts in added.items()}


@pytest.fixture(scope="module")
def added(smollm2_manifest):
    return added_power(smollm2_manifest)


def test_captured_rows_have_the_high_band_of_float64(added):
    assert np.abs(added["float32, as captured"]).max() < 1e-5


def test_half_precision_changes_the_high_band_a_hundred_times_more(added):
    ours = np.abs(added["float32, as captured"]).max()
    assert np.abs(added["float16 probabilities"]).max() > 100 * ours
    assert np.abs(added["bfloat16 probabilities"]).max() > 100 * ours
    assert np.abs(added["bfloat16 logits and probabilities"]).max() > 1000 * ours


if __name__ == "__main__":
    from pathlib import Path

    from attention_wavelets.store.atomic import read_json

    print("| attention | median head | 90 % of heads below | worst head |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    manifest = read_json(Path("results/models/smollm2-135m/manifest.json"))
    for kind, values in added_power(manifest).items():
        size = 100 * np.abs(values)
        cells = (np.median(size), np.quantile(size, 0.9), size.max())
        print(f"| {kind} | " + " | ".join(f"{c:.2g} %" for c in cells) + " |")  # noqa: T201
