"""Operations, and the minutes that they take at a given rate."""

from __future__ import annotations

import math

from attention_wavelets.resources.sizes import Sizes

__all__ = [
    "START_MINUTES",
    "extraction_minutes",
    "extraction_operations",
    "measuring_minutes",
    "preparing_minutes",
    "training_minutes",
]

# Part of a machine's best rate that a forward pass with the capture keeps.
_EFFICIENCY = 0.45
# The same of training.
_TRAINING = 0.35
# Minutes before the first pass: libraries, and weights from the disk, bytes a minute.
START_MINUTES = 0.5
# Seconds a layer and step of training, however small it is: calls, and the optimiser.
_STEP = 0.005
_READ = 20e9
# Bytes of text that a tokenizer is learned from, or encodes, in a second.
_TEXT = 1e6
# Seconds for one signal of 128 numbers, measured and drawn by one core: `paper`, and the
# permutations of `rigorous`.
_SIGNAL = {"paper": 1e-4, "rigorous": 1e-3}


def extraction_operations(sizes: Sizes, passes: dict[int, int]) -> float:
    """Floating-point operations of forward passes and of the attention taken beside them.

    Parameters
    ----------
    sizes
        The model. Two operations per weight and token, without the table of tokens; four per
        layer, head, channel, query and key in the model's own attention, two more in the capture.
    passes
        Tokens of a sequence -> how many sequences.
    """
    weights = sizes.parameters - sizes.embeddings
    attention = 6 * sizes.layers * sizes.heads * sizes.head_size
    return float(
        sum(count * tokens * (2 * weights + attention * tokens) for tokens, count in passes.items())
    )


def extraction_minutes(sizes: Sizes, passes: dict[int, int], rate: float) -> float:
    """Minutes of an extraction.

    Parameters
    ----------
    sizes, passes
        As above.
    rate
        Operations per second that the device reaches in a large product of matrices.
    """
    seconds = extraction_operations(sizes, passes) / (rate * _EFFICIENCY)
    return START_MINUTES + sizes.parameters * sizes.stored / _READ + seconds / 60


def preparing_minutes(size: int) -> float:
    """Minutes of one core to learn a tokenizer on texts of so many bytes, and to encode them."""
    return START_MINUTES + size / _TEXT / 60


def training_minutes(sizes: Sizes, tokens: int, context: int, steps: int, rate: float) -> float:
    """Minutes to train on so many tokens: a pass forward, and twice as much backward."""
    weights = sizes.parameters
    attention = 4 * sizes.layers * sizes.heads * sizes.head_size * context
    seconds = 3 * tokens * (2 * weights + attention) / (rate * _TRAINING)
    seconds += steps * _STEP * sizes.layers
    return START_MINUTES + seconds / 60


def measuring_minutes(kind: str, signals: int, row: int) -> float:
    """Minutes to measure so many signals of `row` numbers under a protocol of this kind."""
    numbers = max(row, 16)
    seconds = signals * _SIGNAL[kind] * numbers / 128 * math.log2(numbers) / 7
    return START_MINUTES + seconds / 60
