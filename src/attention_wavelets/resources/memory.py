"""Bytes that the stages hold in memory."""

from __future__ import annotations

from attention_wavelets.resources.sizes import BYTES, Sizes

__all__ = [
    "CHUNK_BYTES",
    "MIB",
    "WAVES_BYTES",
    "extraction_bytes",
    "gpu_bytes",
    "judging_bytes",
    "measuring_bytes",
    "preparing_bytes",
    "rows_bytes",
    "state_bytes",
    "training_bytes",
    "training_gpu_bytes",
]

MIB = 2**20
# Bytes of one chunk of float32 probabilities: large enough that calls cost little, small enough to
# stay in a processor's cache between the passes over it.
CHUNK_BYTES = {"cpu": 4 * MIB, "cuda": 256 * MIB}
# What the transforms of rows of attention take at most while they are changed.
WAVES_BYTES = 200 * MIB

# Python with torch and transformers; with numpy, pandas and scipy; a CUDA context. The first two
# hold the two Snakemake processes as well that a cluster counts to a job (180 MiB each).
_LIBRARIES = 1000 * MIB
_TABLES = 700 * MIB
_CUDA = 600 * MIB
# Counts of the words that a tokenizer is learned from, at most; texts and their tokens at hand.
_LEARNED, _ENCODED = 400 * MIB, 300 * MIB
# Sequences whose signals are read, packed or joined at a time.
_SEQUENCES = 64


def state_bytes(
    hidden_size: int, attention_size: int, heads: int, item: float, positions: int, hooked: bool
) -> int:
    """Bytes of one layer's states for one token.

    Parameters
    ----------
    hidden_size, attention_size, heads
        Width of the model, heads x head size, and heads.
    item
        Bytes of one number.
    positions
        Tokens of a sequence.
    hooked
        Whether a layer's whole attention is in memory.
    """
    # The widest of a block's states is its feed-forward layer, about four times the hidden size,
    # twice; queries, keys and values are repeated per head and keys held in float32 as well.
    found = int(item * (10 * hidden_size + 4 * attention_size)) + 4 * attention_size
    # Eager attention: a layer's logits, masked logits, probabilities and a copy of ours.
    return found + (4 * 4 * heads * positions if hooked else 0)


def rows_bytes(chunk_bytes: int, heads: int, positions: int) -> int:
    """Bytes of the attention rows at hand: two buffers, products and probabilities."""
    return 2 * max(chunk_bytes, 4 * heads * positions)


def extraction_bytes(sizes: Sizes, dtype: str, positions: int, batch_tokens: int, row: int) -> int:
    """Peak bytes of a process that extracts signals on the processor.

    Parameters
    ----------
    sizes, dtype
        The model, and the type of its forward pass.
    positions, batch_tokens
        Tokens of the longest sequence and of a forward pass.
    row
        Numbers that the widest probe gives per head and sequence.
    """
    # Files are mapped while their numbers are copied, so that both are resident for a moment; four
    # bits become float32 on the way.
    stored = BYTES["float32"] if sizes.stored < 1 else sizes.stored
    weights = int(sizes.parameters * (BYTES[dtype] + stored))
    signals = 2 * 4 * _SEQUENCES * sizes.layers * sizes.heads * row
    return _LIBRARIES + weights + _passing(sizes, dtype, positions, batch_tokens, "cpu") + signals


def gpu_bytes(sizes: Sizes, dtype: str, positions: int, batch_tokens: int) -> int:
    """Peak bytes of all cards together while signals are extracted."""
    weights = int(sizes.parameters * BYTES[dtype])
    return _CUDA + weights + _passing(sizes, dtype, positions, batch_tokens, "cuda")


def measuring_bytes(sizes: Sizes, sequences: int, row: int, settings: int = 1) -> int:
    """Peak bytes of a process that measures signals, or their nulls, layer by layer.

    Parameters
    ----------
    sizes
        The model.
    sequences, row
        Signals of one head, and numbers of one signal.
    settings
        Protocols that are measured side by side.
    """
    layer = 8 * sequences * sizes.heads * row
    # Spectra, coefficients, windows and columns of one layer are about 16 times its signals.
    whole = 8 * _SEQUENCES * sizes.layers * sizes.heads * row
    return _TABLES + 16 * layer + 3 * whole + settings * 4 * MIB


def preparing_bytes(tokens: int) -> int:
    """Peak bytes of a process that learns a tokenizer and gives so many tokens.

    Four bytes a token, a quarter to grow into; of those held out four more.
    """
    return _TABLES + _LEARNED + _ENCODED + 5 * tokens


def training_bytes(sizes: Sizes, batch: int, context: int, tokens: int) -> int:
    """Peak bytes of a process that trains a model in float32.

    Parameters
    ----------
    sizes
        The model.
    batch, context
        Sequences of a step, and tokens of each.
    tokens
        Of the text, which lies in memory whole.
    """
    return _LIBRARIES + _learning(sizes, batch, context) + 4 * tokens


def training_gpu_bytes(sizes: Sizes, batch: int, context: int) -> int:
    """Peak bytes of the card meanwhile.

    Passes are bfloat16, but sums, norms and what they keep for the way back are float32, so that
    states take about as much as in float32.
    """
    return _CUDA + _learning(sizes, batch, context)


def judging_bytes(heads: int) -> int:
    """Peak bytes of a process that judges the claims about models with so many heads in all."""
    return 2 * _TABLES + heads * MIB // 2


def _learning(sizes: Sizes, batch: int, context: int) -> int:
    """Bytes of weights, gradients, two moments and a state being written; of every layer the
    states of a whole batch, and the logits of its tokens three times.
    """
    weights = 4 * 6 * sizes.parameters
    vocabulary = sizes.embeddings // sizes.hidden_size
    # A fused attention keeps no matrix; families with an eager one keep three.
    matrix = 3 * sizes.heads * context if sizes.hooked else 0
    per_token = sizes.layers * (16 * sizes.hidden_size + matrix) + 3 * vocabulary
    return weights + 4 * batch * context * per_token


def _passing(sizes: Sizes, dtype: str, positions: int, batch_tokens: int, device: str) -> int:
    attention = sizes.heads * sizes.head_size
    per_token = state_bytes(
        sizes.hidden_size, attention, sizes.heads, BYTES[dtype], positions, sizes.hooked
    )
    tokens = max(batch_tokens, positions)
    return tokens * per_token + rows_bytes(CHUNK_BYTES[device], sizes.heads, positions)
