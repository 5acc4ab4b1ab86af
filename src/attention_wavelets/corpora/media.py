"""Sound and pictures: whole files of a corpus, and the numbers of their positions.

A position of sound is as many samples as lie between two frames of the model; a position of a
picture is one patch, counted row by row.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attention_wavelets.config.schema import SequenceRules
from attention_wavelets.corpora.plain import parquet_rows
from attention_wavelets.corpora.sequences import Sequences, choose_sequences
from attention_wavelets.corpora.tokens import SpecialTokens
from attention_wavelets.errors import PipelineError

__all__ = [
    "choose_media",
    "picture_grid",
    "picture_patches",
    "read_media",
    "sound_blocks",
]

Blocks = NDArray[np.float32]


def read_media(path: Path, field: str) -> Iterator[tuple[str, bytes]]:
    """Yield (title, content) of a file, or of each row of a Parquet file, as the hub keeps them.

    `field` names the column of a Parquet file: bytes, or structs of `bytes` and `path`. Contents
    stay as they are, compressed; rows without any are passed over.
    """
    if path.suffix != ".parquet":
        try:
            yield path.stem, path.read_bytes()
        except OSError as error:
            raise PipelineError(
                f"not readable ({error.strerror})", str(path), "check `source` of the corpus"
            ) from None
        return
    for title, value in parquet_rows(path, field, _is_media, "files"):
        content = value["bytes"] if isinstance(value, dict) else value
        if content:
            yield title, content


def _is_media(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        kind = kind.field(place).type if place >= 0 else None
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def sound_blocks(content: bytes, rate: int, hop: int, where: str = "sound") -> Blocks:
    """The samples of a sound, float32 (positions, hop); what does not fill a position is left out.

    Parameters
    ----------
    content
        A file that libsndfile reads (WAV, FLAC, Ogg, MP3); several channels are averaged.
    rate
        Samples a second that are wanted; other rates are resampled (polyphase filter).
    hop
        Samples of one position.
    where
        How an error names the file.

    Raises
    ------
    PipelineError
        The file cannot be read, or holds a number that is not finite.
    """
    import soundfile
    from scipy.signal import resample_poly

    try:
        samples, own = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        # It names the object in memory, which says nothing to anybody.
        words = getattr(error, "error_string", str(error))
        raise _unreadable("sound", words, where) from None
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise _unreadable("sound", "a sample is not finite", where)
    if own != rate and len(mono):
        ratio = Fraction(rate, own)
        mono = resample_poly(mono, ratio.numerator, ratio.denominator)
    count = len(mono) // hop
    return mono[: count * hop].reshape(count, hop).astype(np.float32)


def picture_grid(patches: int) -> int:
    """Patches on a side of a square picture of so many; another number is a `PipelineError`."""
    side = isqrt(patches)
    if side * side != patches:
        below, above = side * side, (side + 1) ** 2
        raise PipelineError(
            f"{patches} patches make no square picture",
            "sequences",
            f"set `tokens` to {patches - below} less or {above - patches} more",
        )
    return side


def picture_patches(content: bytes, grid: int, patch: int, where: str = "picture") -> Blocks:
    """The pixels of a picture, float32 (grid * grid, patch * patch * 3), 0 to 1, row by row.

    The largest square in the middle is scaled (bicubic) to `grid` patches of `patch` pixels on a
    side; each patch holds its rows, of each its pixels, of each red, green and blue. Grey pictures
    are coloured and transparency is dropped. A file that cannot be read, or has more than 8 bits a
    colour, is a `PipelineError` that names `where`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    size = (grid * patch, grid * patch)
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode[0] in "IF":
                raise ValueError("it has more than 8 bits a colour")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            fitted = ImageOps.fit(upright, size, Image.Resampling.BICUBIC)
    # Of damaged files its readers raise errors of many kinds.
    except Exception as error:
        words = "no known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise _unreadable("picture", words, where) from None
    pixels = np.asarray(fitted, dtype=np.float32) / 255
    tiles = pixels.reshape(grid, patch, grid, patch, 3).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(grid * grid, patch * patch * 3))


def _unreadable(kind: str, words: str, where: str) -> PipelineError:
    return PipelineError(
        f"not a readable {kind} ({words.rstrip('.')})",
        where,
        "remove the file, or correct `format` or `files` of the corpus",
    )


def choose_media(
    contents: Sequence[bytes],
    titles: Sequence[str],
    given: Mapping[str, Any],
    rules: SequenceRules,
) -> Sequences:
    """Cut sequences from sounds or pictures, as `choose_sequences` does from texts.

    Parameters
    ----------
    contents, titles
        Files, one per document, and their names for errors.
    given
        The manifest's `facts.input` of the model: how positions are cut, and the rate of sound.
    rules
        `tokens` are positions, special ones of pictures included. A picture gives one sequence.

    Raises
    ------
    PipelineError
        A file cannot be read, the corpus is too small, or the model reads no picture of so many
        patches.
    """
    frame = SpecialTokens(prefix=(-1,) * given.get("special", 0))
    length = rules.tokens - len(frame)
    blocks = _blocks(given, length)
    names = dict(zip(contents, titles, strict=True))

    def read(file: bytes) -> Blocks:
        return blocks(file, where=f"document '{names[file]}'")

    def places(file: bytes) -> range:
        # A picture has as many as are asked for: none is read only to count them.
        return range(length if given["kind"] == "pictures" else len(read(file)))

    chosen = choose_sequences(contents, places, frame, rules)
    # Copies, so that the rest of a long recording need not stay in memory.
    cut = [
        read(contents[document])[start : start + length].copy()
        for document, start in zip(chosen.document, chosen.start, strict=True)
    ]
    content = np.pad(np.stack(cut), ((0, 0), (len(frame), 0), (0, 0)))
    return replace(chosen, content=content)


def _blocks(given: Mapping[str, Any], length: int) -> Callable[..., Blocks]:
    """From a file to all its positions."""
    if given["kind"] == "sound":
        return partial(sound_blocks, rate=given["rate"], hop=given["hop"])
    grid = picture_grid(max(length, 0))
    if given["grid"] not in (None, grid):
        raise PipelineError(
            f"the model reads pictures of {given['grid']} x {given['grid']} patches only",
            "sequences",
            f"set `tokens` to {given['grid'] ** 2 + given['special']}",
        )
    return partial(picture_patches, grid=grid, patch=given["patch"])
