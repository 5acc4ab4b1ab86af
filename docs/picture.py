"""Draw docs/measures.svg: known signals and what protocol `rigorous` says of them.

`python docs/picture.py`
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from attention_wavelets.measures.sparsity import coefficient_entropy
from attention_wavelets.measures.two_sided import octave_shares, two_sided_power
from attention_wavelets.measures.uncertainty import arrangement, draw_permutations, excess

__all__ = ["main", "signals"]

LENGTH = 128


def signals() -> dict[str, np.ndarray]:
    """Signals by lag whose answer is known, each summing to 1."""
    lag = np.arange(LENGTH)
    random = np.random.default_rng(np.random.SeedSequence(0))
    decay = np.exp(-lag / 8)
    found = {
        "one token": np.eye(LENGTH)[1],
        "uniform": np.ones(LENGTH),
        "exponential decay": decay,
        "the same, shuffled": random.permutation(decay),
        "independent": random.gamma(1.0, size=LENGTH),
    }
    return {name: values / values.sum() for name, values in found.items()}


def _words(value: float | np.ndarray, digits: int) -> str:
    return "–" if np.isnan(value) else f"{float(value):.{digits}f}"


def main() -> None:
    """Write the picture."""
    mpl.rcParams.update({"svg.hashsalt": "measures", "font.size": 8})
    order = draw_permutations(LENGTH, 99, 0)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(2, len(signals()))
    for (above, below), (name, a) in zip(panels.T, signals().items(), strict=True):
        above.fill_between(np.arange(LENGTH), a, step="mid", color="#00306f", linewidth=0)
        gain = arrangement(a, order).gain
        nearness = f"excess {abs(excess(a).sqrt):.2f}, gain {_words(gain, 2)}"
        above.set_title(f"{name}\n{nearness}", fontsize=8)
        above.set_xlabel("lag (tokens)")
        above.set_yticks([])
        shares = octave_shares(two_sided_power(a), LENGTH, 6)[:-1]
        noise = 2.0 ** -np.arange(1, 7)
        below.bar(range(1, 7), np.nan_to_num(shares), color="#7c7b78")
        below.step(np.arange(1, 7), noise, where="mid", color="black", linewidth=1)
        identity, haar = (_words(coefficient_entropy(a, b), 1) for b in ("identity", "haar"))
        below.set_title(f"positions {identity}, Haar {haar}", fontsize=8)
        below.set_xlabel("octave, finest first")
        below.set_ylim(0, 1)
    panels[0, 0].set_ylabel("attention")
    panels[1, 0].set_ylabel("share of power beside DC")
    path = Path(__file__).with_name("measures.svg")
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
