"""What independent random weights give under a protocol, for each signal length of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.nulls.iid import iid_curve

__all__ = ["null_curves"]

# From almost uniform weights to nearly all weight on one position.
CV2_GRID = tuple(float(value) for value in np.geomspace(0.01, 40.0, 30))
DRAWS = 200


def null_curves(
    models: pd.DataFrame, protocol: PaperProtocol, seed: int = 0
) -> dict[int, Mapping[str, Any]]:
    """The i.i.d. curve for every signal length in column `tokens` of `models`.

    Returns
    -------
    dict
        Length in positions -> columns of `nulls.iid.iid_curve`, from even to uneven weights.
    """
    lengths = sorted({int(length) for length in models["tokens"].dropna()})
    return {length: iid_curve(length, CV2_GRID, protocol, DRAWS, seed) for length in lengths}
