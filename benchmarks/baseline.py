"""What a competent user writes today: eager attention, then NumPy and PyWavelets head by head."""

from __future__ import annotations

import numpy as np
import pywt
import torch
from torch import nn

__all__ = ["baseline"]


def baseline(model: nn.Module, ids: np.ndarray) -> np.ndarray:
    """Spectral entropy and wavelet energies of the attention each position receives.

    Returns
    -------
    numpy.ndarray
        (sequence, layer, head, 1 + levels + 1).
    """
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        tokens = torch.as_tensor(ids)
        attentions = model(tokens, output_attentions=True, use_cache=False).attentions
    model.set_attn_implementation(before)
    rows = []
    for sequence in range(len(ids)):
        layers = []
        for layer in attentions:
            heads = []
            for head in layer[sequence].numpy():
                signal = head.mean(axis=0).astype(np.float64)
                power = np.abs(np.fft.rfft(signal)) ** 2
                share = power / power.sum()
                entropy = -(share * np.log(share + 1e-12)).sum()
                energies = [
                    float((c**2).sum()) for c in pywt.wavedec(signal, "db2", "symmetric", 4)
                ]
                heads.append([entropy, *energies])
            layers.append(heads)
        rows.append(layers)
    return np.array(rows)
