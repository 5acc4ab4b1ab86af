"""A text that a tiny model learns in forty steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from attention_wavelets.config.schema import Optimiser
from attention_wavelets.training.batches import Rows, held_out_rows
from attention_wavelets.training.loop import HeldOut, Task

__all__ = ["CONTEXT", "STEPS", "VOCABULARY", "task"]

VOCABULARY, CONTEXT, STEPS = 32, 32, 40
# A text that can be learned: every token follows from the one before it, and few there are.
STREAM = (3 + (7 * np.arange(4000)) % 5).astype(np.int32)
LENGTHS = np.ones(len(STREAM), dtype=np.int32)


def task(masked: float | None = None, **more: Any) -> Task:
    settings = {"learning_rate": 0.01, "warmup": 4} | more
    return Task(
        rows=Rows(STREAM, CONTEXT, seed=1),
        held_out=HeldOut(*held_out_rows(STREAM, LENGTHS, CONTEXT, 6)),
        batch=4,
        last_step=STEPS,
        masked=masked,
        optimiser=Optimiser.model_validate(settings),
        keep=[0, 1, 10, STEPS],
    )
