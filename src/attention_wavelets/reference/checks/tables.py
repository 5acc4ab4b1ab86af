"""Where the published tables disagree with one another: arithmetic on the printed numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from attention_wavelets.reference.checks.finding import Finding, Numbers, Tables

__all__ = [
    "CHECKS",
    "HALF",
    "QUARTER",
    "RHO",
    "by_model",
    "columns_with",
    "pairs_of",
    "sensitivities",
    "sizes",
]

HALF, QUARTER = "scale_sensitivity_0_5", "scale_sensitivity_0_25"
RHO = "position_spectrum_correlation"
ENTROPY, SELECTIVITY = "spectral_entropy", "frequency_selectivity"
LOW = "low_frequency_power_percent"
LAST_STEP = 143000
# What two roundings to the last printed digit can differ by.
ROUNDED = 1e-3
# Families of Tables 1 to 3, 6 and 7, and the label of Table 4.
ROTARY_LABEL = "RoPE"


def by_model(tables: Tables, number: int) -> pd.DataFrame:
    """A table of one row per model, by the model's name."""
    return tables[number].set_index("model")


def sizes(table: pd.DataFrame) -> pd.Series:
    """Parameters in billions, out of the column `params` as printed (`410M`, `2.8B`)."""
    unit = {"M": 1e-3, "B": 1.0}
    return table["params"].map(lambda text: float(text[:-1]) * unit[text[-1]])


def columns_with(tables: Tables, number: int, *words: str) -> tuple[str, ...]:
    """Columns whose name holds one of the words."""
    return tuple(c for c in tables[number].columns if any(word in c for word in words))


def sensitivities(tables: Tables, numbers: tuple[int, ...] = (1, 4, 5, 6)) -> pd.DataFrame:
    """Every row's scale sensitivities: `table`, `model`, half, quarter."""
    parts = [
        tables[n]
        .rename(columns={f"{name}_mean": name for name in (HALF, QUARTER)})
        .assign(table=n)[["table", "model", HALF, QUARTER]]
        for n in numbers
    ]
    return pd.concat(parts, ignore_index=True)


def pairs_of(tables: Tables) -> pd.DataFrame:
    """Distinct pairs of spectral entropy and selectivity in Tables 3 to 6."""
    parts = []
    for number in (3, 4, 5, 6):
        suffix = "_mean" if number in (3, 4) else ""
        found = tables[number][[f"{ENTROPY}{suffix}", f"{SELECTIVITY}{suffix}"]]
        parts.append(found.set_axis([ENTROPY, SELECTIVITY], axis=1))
    return pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)


def _numbers(values: pd.Series | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def finished_pythia(tables: Tables) -> Finding:
    """I-01."""
    steps = tables[5]
    last = steps[steps["training_step"] == LAST_STEP].iloc[0]
    other = by_model(tables, 6).loc[last["model"]]
    shared = (ENTROPY, SELECTIVITY, HALF, QUARTER)
    numbers: dict[str, Numbers] = {
        f"{name} in T5, T6": (float(last[name]), float(other[name])) for name in shared
    }
    numbers["ratio of sensitivities at a half"] = float(last[HALF] / other[HALF])
    apart = {f"{name} differs": abs(last[name] - other[name]) > ROUNDED for name in shared}
    return Finding(apart, numbers)


def pythia_12b(tables: Tables) -> Finding:
    """I-03."""
    numbers: dict[str, Numbers] = {}
    parts = {}
    for name in ("Pythia (12B)", "Pythia (2.8B)"):
        first, other = by_model(tables, 1).loc[name], by_model(tables, 6).loc[name]
        numbers[f"correlation of {name} in T1, T6"] = (float(first[RHO]), float(other[RHO]))
        if name == "Pythia (12B)":
            parts["the correlations differ"] = abs(first[RHO] - other[RHO]) > ROUNDED
            same = all(abs(first[c] - other[c]) < ROUNDED for c in (HALF, QUARTER))
            parts["the scale sensitivities agree"] = same
    return Finding(parts, numbers)


def same_numbers(tables: Tables) -> Finding:
    """I-06."""
    values = sensitivities(tables, (1, 4))
    numbers: dict[str, Numbers] = {}
    parts = {}
    for column, words, expected in ((HALF, "half", 4), (QUARTER, "quarter", 3)):
        shared = values[column].value_counts()
        numbers[f"most frequent value at a {words}, models"] = (
            float(shared.index[0]),
            float(shared.iloc[0]),
        )
        parts[f"{expected} models share one value at a {words}"] = shared.iloc[0] >= expected
    return Finding(parts, numbers)


def gpt2_and_pythia(tables: Tables) -> Finding:
    """I-07."""
    rotary, absolute = by_model(tables, 6).loc["Pythia (160M)"], by_model(tables, 4).loc["gpt2"]
    pairs = {
        name: (float(rotary[name]), float(absolute[f"{name}_mean"]))
        for name in (HALF, SELECTIVITY, ENTROPY)
    }
    parts = {
        "Pythia-160M is more sensitive to scale": pairs[HALF][0] > pairs[HALF][1],
        "it is less selective": pairs[SELECTIVITY][0] < pairs[SELECTIVITY][1],
        "its spectral entropy is higher": pairs[ENTROPY][0] > pairs[ENTROPY][1],
    }
    return Finding(parts, {f"{name}, Pythia-160M and GPT-2": pair for name, pair in pairs.items()})


def untrained_like_trained(tables: Tables) -> Finding:
    """I-08."""
    start = tables[5].iloc[0]
    far = {}
    for name in ("LLaMA 3.2 (1B)", "Gemma 2 (2B)"):
        row = by_model(tables, 3).loc[name]
        far[name] = max(
            abs(start[c] - row[f"{c}_mean"]) / row[f"{c}_std"] for c in (ENTROPY, SELECTIVITY)
        )
    parts = {f"step 0 equals {name}": value < 0.25 for name, value in far.items()}
    return Finding(parts, {f"SDs from {name}": float(value) for name, value in far.items()})


def low_band_in_training(tables: Tables) -> Finding:
    """I-09."""
    steps, low = tables[5]["training_step"], tables[5][LOW]
    inside = low.between(60, 80)
    parts = {
        "steps 0 and 128 are inside": bool(inside[steps <= 128].all()),
        "every later step is below 60 %": bool((low[steps > 128] < 60).all()),
    }
    numbers: dict[str, Numbers] = {
        "steps inside": _numbers(steps[inside]),
        "lowest and highest of the others, per cent": (
            float(low[~inside].min()),
            float(low[~inside].max()),
        ),
    }
    return Finding(parts, numbers)


def outlier(tables: Tables) -> Finding:
    """I-10."""
    rows = by_model(tables, 6)
    one, below, above = (rows.loc[f"Pythia ({size})"] for size in ("2.8B", "1.4B", "6.9B"))
    far = {
        name: abs(one[name] - (below[name] + above[name]) / 2) / abs(above[name] - below[name])
        for name in (ENTROPY, SELECTIVITY)
    }
    parts = {f"{name} is an outlier": value > 5 for name, value in far.items()}
    return Finding(parts, {f"{n}, in gaps of its neighbours": float(v) for n, v in far.items()})


def lowest_and_highest(tables: Tables) -> Finding:
    """I-12."""
    name = "Pythia (2.8B)"
    window = by_model(tables, 2)[list(columns_with(tables, 2, "window_entropy"))]
    wavelet = by_model(tables, 7)[list(columns_with(tables, 7, "wavelet_entropy"))]
    parts = {
        "its window entropies are the lowest": bool((window.idxmin() == name).all()),
        "its spectral entropy is the highest": by_model(tables, 3)[f"{ENTROPY}_mean"].idxmax()
        == name,
        "its wavelet entropy summed over scales is the highest": wavelet.sum(axis=1).idxmax()
        == name,
        "its wavelet entropy is the highest at every scale": bool((wavelet.idxmax() == name).all()),
    }
    highest = np.flatnonzero(wavelet.idxmax() == name)
    numbers: dict[str, Numbers] = {
        "window entropies": _numbers(window.loc[name]),
        "summed wavelet entropy, next highest": tuple(
            float(v) for v in wavelet.sum(axis=1).nlargest(2)
        ),
        "scales at which it is the highest": _numbers(highest),
    }
    return Finding(parts, numbers)


def one_axis(tables: Tables) -> Finding:
    """I-15."""
    pairs, steps = pairs_of(tables), tables[5]
    r = {
        "entropy and selectivity": pairs[ENTROPY].corr(pairs[SELECTIVITY]),
        "entropy and low band in T5": steps[ENTROPY].corr(steps[LOW]),
        "selectivity and low band in T5": steps[SELECTIVITY].corr(steps[LOW]),
    }
    parts = {f"{name}: |r| above 0.95": abs(value) > 0.95 for name, value in r.items()}
    numbers: dict[str, Numbers] = {name: float(value) for name, value in r.items()}
    return Finding(parts, numbers | {"distinct rows": float(len(pairs))})


def joint_movement(tables: Tables) -> Finding:
    """I-16."""
    one, two, three, seven = (by_model(tables, n) for n in (1, 2, 3, 7))
    wavelet = seven[list(columns_with(tables, 7, "wavelet_entropy"))].sum(axis=1)
    spectral = three[f"{ENTROPY}_mean"]
    # Series align by model, whatever the order of a table's rows.
    r = {
        "summed wavelet entropy and sensitivity at a half": wavelet.corr(one[HALF]),
        "window entropy (16) and spectral entropy": two["window_entropy_16_tokens"].corr(spectral),
        "correlation and spectral entropy": one[RHO].corr(spectral),
    }
    parts = {f"{name}: |r| above 0.8": abs(value) > 0.8 for name, value in r.items()}
    return Finding(parts, {name: float(value) for name, value in r.items()})


CHECKS = {
    "I-01": finished_pythia,
    "I-03": pythia_12b,
    "I-06": same_numbers,
    "I-07": gpt2_and_pythia,
    "I-08": untrained_like_trained,
    "I-09": low_band_in_training,
    "I-10": outlier,
    "I-12": lowest_and_highest,
    "I-15": one_axis,
    "I-16": joint_movement,
}
