"""A small study with the true shape of its tables, drawn from a fixed seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.config.schema import Figure as FigureSettings
from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.report.nulls import null_curves
from attention_wavelets.report.partners import PARTNERS
from attention_wavelets.report.tables import Headline, StudyTables
from attention_wavelets.report.trained import FOLLOWED

MEASURES = (
    "positional_entropy",
    "spectral_entropy",
    "spectral_entropy_sqrt",
    "selectivity",
    "band_low",
    "band_mid",
    "band_high",
    *(f"window_entropy_{width}" for width in (16, 32, 64)),
    *(f"wavelet_entropy_{scale}" for scale in range(6)),
    "reconstruction_error",
    "local_global_ratio",
    "scale_sensitivity",
    "scale_correlation",
)
CONDITIONS = ("half", "quarter", "half-prefix", "quarter-prefix")
SCALES = {
    name: {
        "fraction": 0.5 if name.startswith("half") else 0.25,
        "method": "prefix" if name.endswith("prefix") else "stride",
    }
    for name in CONDITIONS
}
STATISTICS = {
    "spectral_entropy_mean": 2.4,
    "spectral_entropy_std": 0.65,
    "spectral_entropy_iqr": 0.9,
    "frequency_selectivity_mean": 0.72,
    "frequency_selectivity_std": 0.38,
    "frequency_selectivity_iqr": 0.48,
    "scale_sensitivity_0_5": 0.06,
    "scale_sensitivity_0_25": 0.11,
    "scale_sensitivity_0_5_prefix": 0.08,
    "scale_sensitivity_0_25_prefix": 0.14,
    "position_spectrum_correlation": -0.55,
    "reconstruction_error_mean": 1.2e-7,
    "window_entropy_16_tokens": 0.87,
    "window_entropy_32_tokens": 0.88,
    "window_entropy_64_tokens": 0.88,
    "wavelet_entropy_scale_0": 0.7,
    "wavelet_entropy_scale_1": 0.35,
    "wavelet_entropy_scale_2": 0.6,
    "wavelet_entropy_scale_3": 0.7,
    "wavelet_entropy_scale_4": 0.45,
    "wavelet_entropy_scale_5": 0.3,
    "band_low_mean": 0.7,
    "band_mid_mean": 0.2,
    "band_high_mean": 0.1,
    "positional_entropy_mean": 3.3,
    "local_global_ratio_mean": 1.4,
}
MODELS = (
    # model, label, of, layers, heads, position encoding, quantisation, tuning
    ("rope", "SmolLM2-135M (Q4_1, instruct)", "", 30, 9, "rope", "Q4_1", "instruct"),
    ("bert", "MiniLM-L6 (sentence embedding)", "", 6, 12, "absolute", "none", "sentence embedding"),
    ("rope-s0", "SmolLM2-135M untrained, seed 0", "rope", 30, 9, "rope", "none", "untrained"),
    ("rope-s1", "SmolLM2-135M untrained, seed 1", "rope", 30, 9, "rope", "none", "untrained"),
    ("bert-s0", "MiniLM-L6 untrained, seed 0", "bert", 6, 12, "absolute", "none", "untrained"),
)
# One model has no prefix conditions: a study may be half done.
MISSING = {"bert": ("half-prefix", "quarter-prefix")}
TOKENS = 96
PROTOCOL = PaperProtocol.model_validate(
    {
        "kind": "paper",
        "probe": "received",
        "spectrum": {
            "window": "hann_periodic",
            "nfft": "next_power_of_two",
            "band_edges": [0.25, 0.75],
        },
        "window_entropy": [16, 32, 64],
        "wavelet": {"name": "db2", "mode": "symmetric", "scales": 6},
        "scale": {"reference": "full", "alignment": "zero_padded_concat"},
        "local_global": {"probe": "lag", "distances": [4, 8, 16], "headline": 8},
    }
)


def head_frame(
    random: np.random.Generator, layers: int, heads: int, untrained: bool
) -> pd.DataFrame:
    """Plausible means of every measure for each head, with a fixed relative uncertainty."""
    layer, head = (axis.ravel() for axis in np.mgrid[:layers, :heads])
    count = layers * heads
    low = random.beta(400, 20, count) if untrained else random.beta(4, 1.8, count)
    rest = 1 - low
    mid = rest * random.uniform(0.6, 0.72, count)
    concentration = random.gamma(2, 0.5, count) * (0.02 if untrained else 1)
    positional = np.log(TOKENS) - 0.5 * np.log1p(concentration)
    excess = random.uniform(0.02, 0.06, count) if untrained else random.gamma(4, 0.25, count)
    values = {
        "positional_entropy": positional,
        "spectral_entropy": 0.9 + 2.4 * rest**0.5 + random.normal(0, 0.05, count),
        "spectral_entropy_sqrt": np.log(TOKENS) - positional + excess,
        "selectivity": 1.8 * low**2.2,
        "band_low": low,
        "band_mid": mid,
        "band_high": rest - mid,
        "reconstruction_error": random.uniform(0.9e-7, 1.5e-7, count),
        "local_global_ratio": np.exp(random.normal(0, 1.2, count) - 0.03 * layer),
        **{f"window_entropy_{w}": random.uniform(0.8, 0.95, count) for w in (16, 32, 64)},
        **{f"wavelet_entropy_{s}": random.uniform(0.2, 1, count) for s in range(6)},
    }
    return pd.DataFrame({"layer": layer, "head": head, **values})


def with_uncertainty(frame: pd.DataFrame, **keys: str) -> pd.DataFrame:
    """The columns of heads.parquet from the columns of `head_frame`."""
    columns: dict[str, object] = {**keys, "layer": frame["layer"], "head": frame["head"]}
    columns |= {"n_sequences": 128, "n_documents": 64}
    for measure in MEASURES:
        values = frame[measure] if measure in frame else pd.Series(np.nan, index=frame.index)
        error = 0.03 * values.abs()
        columns[f"{measure}_mean"] = values
        columns[f"{measure}_se"] = error
        columns[f"{measure}_low"] = values - 2 * error
        columns[f"{measure}_high"] = values + 2 * error
    return pd.DataFrame(columns)


def model_heads(
    random: np.random.Generator, name: str, layers: int, heads: int, untrained: bool
) -> pd.DataFrame:
    """Rows of heads.parquet of one model: full, subsampled, and subsampled against full."""
    keys = {"model": name, "corpus": "enwiki-96", "probe": "received", "protocol": "paper"}
    frames = []
    for condition in ("full", *CONDITIONS):
        if condition in MISSING.get(name, ()):
            continue
        frame = head_frame(random, layers, heads, untrained)
        frames.append(with_uncertainty(frame, **keys, condition=condition, reference=""))
        if condition != "full":
            near = 1 - random.gamma(1.2, 0.03 if "half" in condition else 0.06, len(frame))
            compared = frame[["layer", "head"]].assign(
                scale_correlation=near, scale_sensitivity=1 - near
            )
            frames.append(with_uncertainty(compared, **keys, condition=condition, reference="full"))
    frames.append(rigorous_heads(random, layers, heads, untrained).assign(model=name))
    return pd.concat(frames, ignore_index=True)


def rigorous_heads(
    random: np.random.Generator, layers: int, heads: int, untrained: bool
) -> pd.DataFrame:
    """Rows of protocol `rigorous`: what the figure of the uncertainty bound reads."""
    layer, head = (axis.ravel() for axis in np.mgrid[:layers, :heads])
    share = np.full(len(layer), 0.99) if untrained else random.beta(8, 2, len(layer))
    return pd.DataFrame(
        {
            "corpus": "enwiki-256",
            "probe": "lag",
            "protocol": "rigorous",
            "condition": "full",
            "reference": "",
            "layer": layer,
            "head": head,
            "positional_entropy_share_mean": share,
            "excess_sqrt_mean": (1 - share) * random.gamma(8, 0.4, len(layer)),
        }
    )


def summary_rows(random: np.random.Generator, name: str) -> pd.DataFrame:
    """Rows of summary.parquet of one model: each of the paper's statistics and its partners."""
    rows = []
    for partner in PARTNERS:
        condition = "half" if partner.compared else "full"
        for statistic in (partner.paper, *partner.partners):
            paper = statistic == partner.paper
            mean = float(random.uniform(0.1, 0.9))
            rows.append(
                {
                    "model": name,
                    "corpus": "enwiki-96" if paper else "enwiki-256",
                    "condition": condition,
                    "reference": "full" if partner.compared else "",
                    "probe": "received" if paper else "lag",
                    "protocol": "paper" if paper else "rigorous",
                    "statistic": statistic,
                    "mean": mean,
                    "low": mean - 0.05,
                    "high": mean + 0.05,
                }
            )
    return pd.DataFrame(rows)


def model_pairs(random: np.random.Generator, name: str, layers: int, heads: int) -> pd.DataFrame:
    """Rows of pairs.parquet of one model, full condition."""
    first, second = np.triu_indices(heads, 1)
    pairs = [
        pd.DataFrame(
            {
                "model": name,
                "corpus": "enwiki-96",
                "condition": "full",
                "probe": "received",
                "protocol": "paper",
                "layer": layer,
                "head": first,
                "other": second,
                "signal_correlation": np.clip(random.normal(0.5, 0.35, len(first)), -1, 1),
            }
        )
        for layer in range(layers)
    ]
    return pd.concat(pairs, ignore_index=True)


def model_row(random: np.random.Generator, facts: tuple[object, ...]) -> dict[str, object]:
    """One row of models.csv."""
    name, label, of, layers, heads, position, quantisation, tuning = facts
    row: dict[str, object] = {
        "model": name,
        "label": label,
        "trained": not of,
        "of": of,
        "position_encoding": position,
        "causal": position == "rope",
        "quantisation": quantisation,
        "tuning": tuning,
        "parameters": 134515008,
        "layers": layers,
        "heads_per_layer": heads,
        "dtype": "float32",
        "corpus": "enwiki-96",
        "condition": "full",
        "tokens": TOKENS,
        "n_sequences": 128,
        "n_documents": 64,
    }
    for statistic, typical in STATISTICS.items():
        value = typical * random.uniform(0.8, 1.2)
        if statistic.endswith("_prefix") and name in MISSING:
            value = np.nan
        row |= {statistic: value}
        row |= {f"{statistic}_low": value - 0.05 * abs(value)}
        row |= {f"{statistic}_high": value + 0.05 * abs(value)}
    return row


def make_study(facts: tuple[tuple[object, ...], ...] = MODELS, seed: int = 20) -> StudyTables:
    """A study of the given models."""
    random = np.random.default_rng(seed)
    shape = [(str(f[0]), int(f[3]), int(f[4]), bool(f[2])) for f in facts]  # type: ignore[call-overload]
    return StudyTables(
        heads=pd.concat([model_heads(random, *item) for item in shape], ignore_index=True),
        models=pd.DataFrame([model_row(random, item) for item in facts]),
        pairs=pd.concat([model_pairs(random, *item[:3]) for item in shape], ignore_index=True),
        headline=Headline("enwiki-96", "paper", "full"),
        null_curves=null_curves(pd.DataFrame({"tokens": [TOKENS]}), PROTOCOL),
        protocol=PROTOCOL.model_dump(),
        scales=SCALES,
        summary=pd.concat([summary_rows(random, item[0]) for item in shape], ignore_index=True),
        causal=pd.concat([causal_rows(random, item[0]) for item in shape], ignore_index=True),
        **training_tables(random),
        **series_tables(random, [item[0] for item in shape]),
    )


def training_tables(random: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Two sizes with rotary positions and one without, two seeds, three steps, with comparisons."""
    kinds = (
        ("rope", "llama", 16, 1000),
        ("rope", "llama", 32, 4000),
        ("none", "smollm3", 32, 4010),
    )
    runs = pd.DataFrame(
        [
            {
                "model": f"{encoding}-{width}-s{seed}-step{step}",
                "run": f"{encoding}-{width}-s{seed}",
                "recipe": "ladder",
                "architecture": architecture,
                "block": "llama",
                "encoding": encoding,
                "objective": "causal",
                "seed": seed,
                "step": step,
                "tokens": 100 * step,
                "parameters": count,
                "layers": 2,
                "heads": 2,
                "hidden_size": width,
                "loss": 5.0,
                "held_out_loss": 5.0,
                "bits_per_byte": 3.0,
                **{followed.name: random.random() for followed in FOLLOWED},
            }
            for encoding, architecture, width, count in kinds
            for seed in (0, 1)
            for step in (0, 4, 16)
        ]
    )
    levels = {"training": "last step", "size": "4,000", "encoding": "none", "remains": "over heads"}
    changes = pd.DataFrame(
        [
            {
                "measure": followed.name,
                "title": followed.title,
                "wavelet": followed.wavelet,
                "factor": factor,
                "level": level,
                "reference": "rope",
                "block": "llama",
                "reference_block": "llama",
                "value": 0.3,
                "low": 0.1,
                "high": 0.5,
                "p": 0.001,
                "size": 2.0,
                "share": 0.9,
                "n": 4,
                "reason": "",
                "p_holm": 0.01 if followed.name == "band_low" else 0.2,
            }
            for followed in FOLLOWED
            for factor, level in levels.items()
        ]
    )
    phases = pd.DataFrame(
        [
            {
                "measure": followed.name,
                "title": followed.title,
                "wavelet": followed.wavelet,
                "run": run,
                "seed": 0,
                "step": 2.0,
                "before": 0.1,
                "after": 0.4,
                "best": "step",
                "reason": "",
            }
            for followed in FOLLOWED
            for run in runs["run"].unique()
        ]
    )
    return {"runs": runs, "changes": changes, "phases": phases}


def series_tables(random: np.random.Generator, models: list[str]) -> dict[str, pd.DataFrame]:
    """Two periods and one kind of noise, read by models and by a run's first and last step."""
    groups = (
        ("p6", "sinusoids", 6.0),
        ("p24", "sinusoids", 24.0),
        ("h02", "fractional_noise", 0.2),
    )
    readers = [("", "data"), *((model, "lag") for model in models)]
    readers += [(f"rope-16-s{seed}-step{step}", "lag") for seed in (0, 1) for step in (0, 16)]
    rows, spectra = [], []
    for model, probe in readers:
        for group, kind, truth in groups:
            keys = {"model": model, "corpus": "series", "probe": probe, "group": group}
            numbers = {
                f"{name}{end}": random.normal(4 if "16" in model else 1, 0.2)
                for name in ("response", "specific")
                for end in ("", "_low", "_high")
            }
            if kind != "sinusoids":
                numbers = {"slope": -0.5, "slope_low": -0.6, "slope_high": -0.4}
                numbers["slope_without"] = -0.1
            else:
                numbers["found"] = 0.4
            row = {**keys, "kind": kind, "truth": truth, "n": 12, "heads": 4, "reason": ""}
            rows.append(row | numbers)
            cycles = np.arange(1, 65) / 128
            spectra.append(
                pd.DataFrame({"cycles": cycles, "excess": random.normal(0, 5, 64)}).assign(**keys)
            )
    return {"series": pd.DataFrame(rows), "spectra": pd.concat(spectra, ignore_index=True)}


def causal_rows(random: np.random.Generator, model: str) -> pd.DataFrame:
    """Changes of one model on one text."""
    empty = {"count": 0, "share": np.nan, "replacement": "", "excluded": False, "control": ""}
    rows: list[dict[str, object]] = [{"kind": "plain", "band": "", "loss": 4.2, **empty}]
    for band in ("low", "mid", "high"):
        for control in ("", "matched"):
            about = empty | {"replacement": "mean", "control": control}
            rows += [{"kind": "heads", "band": band, **about, "count": n} for n in (1, 4)]
        for control in ("", "band_part", "random_band", "random_phase"):
            rows.append({"kind": "rows", "band": band, **empty, "control": control})
        pairs = empty | {"count": {"low": 30, "mid": 2, "high": 0}[band]}
        rows.append({"kind": "rotary", "band": band, **pairs})
    rows.append(
        {**rows[-2], "kind": "rotary", "band": "mid", "count": 2, "control": "random_pairs"}
    )
    frame = pd.DataFrame(rows).assign(model=model, text="full")
    chosen = (frame["kind"] == "heads") & (frame["control"] == "")
    frame["matched"], frame["rank"] = (np.where(chosen, value, np.nan) for value in (0.75, 0.2))
    frame["energy"] = np.where(frame["kind"] == "rows", 0.8, np.nan)
    for name in ("change", "beyond"):
        empty_band = (frame["kind"] == "rotary") & (frame["count"] == 0)
        undefined = (frame["kind"] == "plain") | empty_band
        value = np.where(undefined, np.nan, random.random(len(frame)))
        frame = frame.assign(
            **{name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
        )
    return frame


@pytest.fixture(scope="session")
def study() -> StudyTables:
    """Five models: two trained, three untrained twins, one without prefix conditions."""
    return make_study()


@pytest.fixture(scope="session")
def lone_study() -> StudyTables:
    """One model with a single layer of two heads, and no null curve for its length."""
    facts = (("tiny", "Tiny <1> & co", "", 1, 2, "rope", "none", "base"),)
    tables = make_study(facts)
    return StudyTables(
        tables.heads,
        tables.models,
        tables.pairs,
        tables.headline,
        causal=tables.causal,
        series=tables.series,
        spectra=tables.spectra,
    )


@pytest.fixture(scope="session")
def settings() -> FigureSettings:
    """The default look, at a low resolution."""
    return FigureSettings(formats=["svg", "png"], dpi=60)


@pytest.fixture(scope="session")
def context() -> dict[str, object]:
    """What the report says besides its tables; one name is hostile, one model unlocked."""
    manifests = [
        {
            "name": name,
            "label": label,
            "source": {"kind": "hub", "repository": f"someone/{name}", "revision": "main"},
            "revision": "main",
            "locked": name != "bert",
            "files": [{"name": "model.safetensors", "sha256": "ab" * 32, "size": 98362432}],
            "licence": "Apache-2.0",
            "quantisation": quantisation,
            "tuning": tuning,
        }
        for name, label, _, _, _, _, quantisation, tuning in MODELS
    ]
    return {
        "study": {"name": "quick", "title": "A <b>bold</b> study", "description": "Five models."},
        "models": manifests,
        "corpora": {
            "enwiki-96": {
                "title": "English Wikipedia",
                "language": "en",
                "licence": "CC BY-SA 3.0",
                "licence_url": "https://creativecommons.org/licenses/by-sa/3.0/",
                "source": {"kind": "wheel", "distribution": "gensim", "version": "4.4.0"},
                "tokens": TOKENS,
                "count": 128,
            }
        },
        "conditions": {
            "full": {"kind": "full"},
            "half": {"kind": "subsample", "fraction": 0.5, "method": "stride", "seed": 0},
            "bos-swapped": {"kind": "bos", "action": "swap", "token": "<script>"},
        },
        "protocol": PROTOCOL.model_dump(),
        "provenance": {"device": "cpu", "packages": {"torch": "2.13.0"}, "seeds": [0, 1]},
    }


@pytest.fixture(scope="session")
def many() -> StudyTables:
    """Twelve models of few heads, none of them related."""
    return make_study(
        tuple((f"m{i}", f"model {i}", "", 3, 4, "rope", "none", "base") for i in range(12))
    )
