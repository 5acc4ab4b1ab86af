"""Where the paper's text disagrees with its own tables."""

from __future__ import annotations

import pandas as pd

from attention_wavelets.reference.checks.finding import Finding, Numbers, Tables
from attention_wavelets.reference.checks.tables import (
    ENTROPY,
    HALF,
    LOW,
    QUARTER,
    RHO,
    ROTARY_LABEL,
    ROUNDED,
    SELECTIVITY,
    by_model,
    columns_with,
    sensitivities,
    sizes,
)

__all__ = ["CHECKS"]


def quarter_above_half(tables: Tables) -> Finding:
    """I-04."""
    rows = tables[6]
    reverse = rows[rows[QUARTER] < rows[HALF]]
    smallest = set(rows.loc[sizes(rows).nsmallest(3).index, "model"])
    parts = {
        "a model shows the reverse": len(reverse) > 0,
        "these are the three smallest": set(reverse["model"]) == smallest,
    }
    numbers: dict[str, Numbers] = {
        f"{row.model} at a half, a quarter": (float(row[HALF]), float(row[QUARTER]))
        for _, row in reverse.iterrows()
    }
    return Finding(parts, numbers)


def doubling(tables: Tables) -> Finding:
    """I-05."""
    values = sensitivities(tables)
    ratio = values[QUARTER] / values[HALF]
    near = int((abs(ratio / 2 - 1) <= 0.1).sum())
    numbers: dict[str, Numbers] = {
        f"T{number}, lowest and highest ratio": (float(part.min()), float(part.max()))
        for number, part in ratio.groupby(values["table"])
    }
    numbers["rows within 10 % of 2, rows"] = (float(near), float(len(ratio)))
    return Finding({"no row doubles": near == 0}, numbers)


def low_variance(tables: Tables) -> Finding:
    """I-11."""
    rows = by_model(tables, 3)
    name, std = "Pythia (2.8B)", f"{SELECTIVITY}_std"
    variation = rows[std] / rows[f"{SELECTIVITY}_mean"]
    others = variation.drop(name)
    rank = rows[f"{ENTROPY}_std"].rank()[name]
    apart = abs(rows.loc["Mistral (7B)", std] - rows.loc["Qwen 2.5 (0.5B)", std])
    parts = {
        "its selectivity varies most": variation.idxmax() == name,
        "its entropy's deviation is neither least nor most": 1 < rank < len(rows),
        "Mistral's deviation is Qwen's within 0.01": apart < 0.01,
    }
    numbers: dict[str, Numbers] = {
        "its CV": float(variation[name]),
        "lowest and highest CV of the others": (float(others.min()), float(others.max())),
        "rank of its entropy's deviation, models": (float(rank), float(len(rows))),
        "deviation of Mistral, Qwen": tuple(
            float(rows.loc[model, std]) for model in ("Mistral (7B)", "Qwen 2.5 (0.5B)")
        ),
    }
    return Finding(parts, numbers)


def zigzag(tables: Tables) -> Finding:
    """I-13."""
    rho = tables[6][RHO]
    turns = int((rho.diff().iloc[1:] * rho.diff().shift().iloc[1:] < 0).sum())
    spread = columns_with(tables, 6, "std", "iqr", "low", "high")
    parts = {
        "it is not monotone in size": turns > 0,
        "one model has almost none": abs(rho).min() < 0.2,
        "no interval is printed": not spread,
    }
    weakest = abs(rho).idxmin()
    numbers: dict[str, Numbers] = {
        "changes of direction": float(turns),
        f"weakest, {tables[6].loc[weakest, 'model']}": float(rho[weakest]),
    }
    return Finding(parts, numbers)


def error_grows(tables: Tables) -> Finding:
    """I-14."""
    rows = tables[6]
    error, size = rows["reconstruction_error"], sizes(rows)
    r = float(size.corr(error, method="spearman"))
    ratio = float(error[size.idxmax()] / error[size.idxmin()])
    parts = {"it grows with size": r > 0.5}
    return Finding(parts, {"Spearman": r, "largest over smallest model": ratio})


def listed_models(tables: Tables) -> Finding:
    """I-17."""
    first = tables[1]
    every = pd.concat([tables[n]["model"] for n in tables]).nunique()
    smallest = float(sizes(first).min())
    parts = {
        "Table 1 has neither five nor six rows": len(first) not in (5, 6),
        "its smallest is below 1 billion": smallest < 1,
        "other tables have more models": every > len(first),
    }
    numbers: dict[str, Numbers] = {
        "rows of Table 1": float(len(first)),
        "smallest, billions": smallest,
        "models of all tables": float(every),
    }
    return Finding(parts, numbers)


def gpt2_label(tables: Tables) -> Finding:
    """I-18."""
    label = str(by_model(tables, 4).loc["gpt2", "pe_type_as_labelled"])
    return Finding({f"the label is {label}, as for no position encoding": label == "No PE"}, {})


def wrong_table(tables: Tables) -> Finding:
    """I-19."""
    parts = {
        "the correlation is in Table 1": bool(columns_with(tables, 1, RHO)),
        "it is not in Table 3": not columns_with(tables, 3, RHO),
        "selectivity and entropy are in Table 3": bool(columns_with(tables, 3, SELECTIVITY))
        and bool(columns_with(tables, 3, ENTROPY)),
        "they are not in Table 1": not columns_with(tables, 1, SELECTIVITY, ENTROPY),
    }
    return Finding(parts, {})


def one_sign_two_meanings(tables: Tables) -> Finding:
    """I-21."""
    four = by_model(tables, 4)
    t5 = float(four.loc["flan-t5-base", RHO])
    labelled = four[four["pe_type_as_labelled"] == ROTARY_LABEL][RHO]
    rotary = pd.concat([tables[1][RHO], labelled, tables[6][RHO]], ignore_index=True)
    parts = {
        "T5's lies within the range of rotary models": bool(rotary.min() <= t5 <= rotary.max()),
        "the strongest of all is a rotary model's": bool(rotary.min() <= four[RHO].min()),
    }
    numbers: dict[str, Numbers] = {
        "T5": t5,
        "rotary, strongest and weakest": (float(rotary.min()), float(rotary.max())),
    }
    return Finding(parts, numbers)


def grows_with_size(tables: Tables) -> Finding:
    """I-22."""

    def spearman(number: int, column: str) -> float:
        table = tables[number]
        return float(sizes(table).corr(table[column], method="spearman"))

    first = spearman(1, HALF)
    selectivity = (spearman(3, f"{SELECTIVITY}_mean"), spearman(6, SELECTIVITY))
    parts = {
        "size and sensitivity are unrelated in Table 1": abs(first) < 0.5,
        "selectivity does not grow with size": max(selectivity) < 0,
    }
    numbers: dict[str, Numbers] = {
        "sensitivity in T1, T6": (first, spearman(6, HALF)),
        "selectivity in T3, T6": selectivity,
    }
    return Finding(parts, numbers)


def most_selective(tables: Tables) -> Finding:
    """I-23."""
    order = by_model(tables, 3)[f"{SELECTIVITY}_mean"].sort_values(ascending=False)
    pythia = [name for name in order.index if name.startswith("Pythia")]
    named = ["Gemma 2 (2B)", "LLaMA 3.2 (1B)"]
    larger = order[["LLaMA 3.1 (8B)", "Pythia (12B)"]]
    parts = {
        "Gemma-2-2B and LLaMA-3.2-1B are the two highest": set(order.index[:2]) == set(named),
        "8 and 12 billion are below both": bool(larger.max() < order[named].min()),
        "both Pythias are below all others": set(order.index[-len(pythia) :]) == set(pythia),
    }
    return Finding(parts, {str(name): float(value) for name, value in order.items()})


def quoted_correlation(tables: Tables) -> Finding:
    """I-24."""
    values = sensitivities(tables)
    cosine = 1 - values[HALF]
    first = cosine[values["table"] == 1]
    numbers: dict[str, Numbers] = {
        "Table 1, lowest and highest": (float(first.min()), float(first.max())),
        "highest of all tables": float(cosine.max()),
    }
    return Finding({"no row reaches 0.98": bool(cosine.max() < 0.98 - ROUNDED)}, numbers)


def precise_step(tables: Tables) -> Finding:
    """I-25."""
    steps = tables[5].set_index("training_step")
    extremes = {
        ENTROPY: steps[ENTROPY].idxmax(),
        SELECTIVITY: steps[SELECTIVITY].idxmin(),
        LOW: steps[LOW].idxmin(),
    }
    grid = list(steps.index)
    place = grid.index(1000)
    before, after = grid[place - 1], grid[place + 1]
    # Checkpoints are published every 1000 steps from 1000 on.
    between = len(range(1000, after, 1000)) - 1
    parts = {
        "the extremes fall on step 1000": set(extremes.values()) == {1000},
        "published checkpoints beside it were left out": between > 0,
    }
    numbers: dict[str, Numbers] = {
        "steps before and after": (float(before), float(after)),
        "checkpoints left out before the next": float(between),
    }
    return Finding(parts, numbers)


def single_runs(tables: Tables) -> Finding:
    """I-27."""
    table = tables[6]
    spread = columns_with(tables, 6, "std", "iqr", "low", "high")
    parts = {
        "one run per size": not table["model"].duplicated().any(),
        "no column of spread": not spread,
    }
    numbers: dict[str, Numbers] = {"rows": float(len(table)), "columns of spread": len(spread)}
    return Finding(parts, numbers)


def band_columns(tables: Tables) -> Finding:
    """I-28."""
    found = {n: columns_with(tables, n, "band", "power") for n in tables}
    names = {name for columns in found.values() for name in columns}
    models = {m for n, columns in found.items() if columns for m in tables[n]["model"]}
    parts = {
        "no table has the middle or the high band": names == {LOW},
        "the low band is of one model": len(models) == 1,
    }
    numbers: dict[str, Numbers] = {
        "tables with a band": tuple(float(n) for n, columns in found.items() if columns),
        "models in them": float(len(models)),
    }
    return Finding(parts, numbers)


CHECKS = {
    "I-04": quarter_above_half,
    "I-05": doubling,
    "I-11": low_variance,
    "I-13": zigzag,
    "I-14": error_grows,
    "I-17": listed_models,
    "I-18": gpt2_label,
    "I-19": wrong_table,
    "I-21": one_sign_two_meanings,
    "I-22": grows_with_size,
    "I-23": most_selective,
    "I-24": quoted_correlation,
    "I-25": precise_step,
    "I-27": single_runs,
    "I-28": band_columns,
}
