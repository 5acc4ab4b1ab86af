"""Small encoders of sound and of pictures, and files for them to read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["RATE", "picture", "picture_config", "save_encoder", "sound", "sound_config"]

RATE = 1000


def sound_config(positions: str | None, **more: Any) -> Any:
    """A Wav2Vec2-Conformer of 3 layers x 4 heads: a position is 8 samples and sees 16."""
    from transformers import Wav2Vec2ConformerConfig

    return Wav2Vec2ConformerConfig(
        position_embeddings_type=positions,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16, 16),
        conv_stride=(4, 2),
        conv_kernel=(8, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        conv_depthwise_kernel_size=5,
        **more,
    )


def picture_config(**more: Any) -> Any:
    """A DINOv3 of 3 layers x 4 heads: patches of 8 x 8 pixels behind [CLS] and two registers."""
    from transformers import DINOv3ViTConfig

    return DINOv3ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        num_register_tokens=2,
        **more,
    )


def save_encoder(folder: Path, config: Any, **scaling: Any) -> Path:
    """Save an encoder with drawn weights and the file that says how its input is scaled."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(scaling))
    return folder


def sound(seed: int, seconds: float = 1.0, rate: int = RATE, kind: str = "FLAC") -> bytes:
    """A file of a rising tone with noise, of one channel."""
    import soundfile

    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (20 + 60 * time) * time + random.uniform(0, 6))
    file = io.BytesIO()
    soundfile.write(file, 0.3 * tone + 0.05 * random.standard_normal(len(time)), rate, format=kind)
    return file.getvalue()


def picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """A file of a picture (row, column, colour) of bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()
