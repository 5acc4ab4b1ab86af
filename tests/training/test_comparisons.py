"""What compare_runs writes, from tables made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attention_wavelets.stages.runs import compare_runs

# The steps that conf/recipe/ladder.yaml keeps, and the last.
KEPT = (0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 732)
Level = Callable[[int, int], float]


class Study:
    """Runs of models trained here, with the tables that the stage reads.

    Each run has one measure, the spectral entropy, whose heads lie 0 to 4 around it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests: dict[str, dict] = {}
        self.runs: dict[str, list[str]] = {}
        self.summary: list[dict] = []
        self.facts: list[dict] = []
        self.heads: list[pd.DataFrame] = []

    def add(
        self,
        name: str,
        level: Level,
        *,
        encoding: str = "rope",
        seeds: tuple[int, ...] = (0, 1, 2),
        steps: tuple[int, ...] = (0, 732),
        parameters: int = 1000,
        **source: object,
    ) -> None:
        """A model YAML: a run per seed, whose entropy at a step is `level(seed, step)`."""
        sizes = {"layers": 4, "heads": 5, "hidden_size": 64, **source}
        for seed in seeds:
            run = f"{name}-s{seed}"
            for step in steps:
                model = f"{run}-step{step}"
                self.runs.setdefault(run, []).append(model)
                self.manifests[model] = {
                    "source": {"recipe": "ladder", "architecture": "llama", **sizes},
                    "training": {
                        **{"run": run, "encoding": encoding, "objective": "causal"},
                        **{"seed": seed, "step": step, "tokens": 8 * step},
                        **{"loss": 5.0, "held_out_loss": 5.0, "bits_per_byte": 3.0},
                    },
                    "facts": {
                        "non_embedding_parameters": parameters,
                        **{key: sizes[key] for key in ("layers", "heads", "hidden_size")},
                    },
                }
                where = {"model": model, "corpus": "text", "protocol": "paper", "condition": "full"}
                self.summary.append(
                    where | {"statistic": "spectral_entropy_mean", "mean": level(seed, step)}
                )
                order = np.random.default_rng([seed, step]).permutation(5)
                self.heads.append(
                    pd.DataFrame(
                        [
                            where
                            | {"probe": "received", "layer": 0, "head": head}
                            | {"spectral_entropy_mean": float(value)}
                            for head, value in enumerate(order)
                        ]
                    )
                )

    def add_fact(self, number: str, corpus: str, mean: float) -> None:
        """One head of every model, that does something to this degree."""
        for model in self.manifests:
            where = {"model": model, "corpus": corpus, "condition": "full"}
            self.facts.append(where | {"number": number, "mean": mean})

    def compare(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """runs.csv, changes.csv and phases.csv."""
        inputs = {"heads": pd.concat(self.heads), "summary": pd.DataFrame(self.summary)}
        if self.facts:
            inputs["facts"] = pd.DataFrame(self.facts)
        for name, table in inputs.items():
            table.to_parquet(self.folder / f"{name}.parquet")
        outputs = [self.folder / f"{name}.csv" for name in ("runs", "changes", "phases")]
        compare_runs(
            {
                "runs": self.runs,
                "protocols": {"paper": "paper"},
                **{"corpus": "text", "condition": "full"},
                "statistics": {"confidence": 0.95},
            },
            self.manifests,
            self.folder / "heads.parquet",
            self.folder / "summary.parquet",
            self.folder / "facts.parquet" if self.facts else None,
            *outputs,
        )
        runs, changes, phases = (pd.read_csv(path, keep_default_na=False) for path in outputs)
        chosen = (table[table["measure"] == "spectral_entropy"] for table in (changes, phases))
        return runs, *chosen


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def test_growth_with_the_tokens_is_no_phase_and_a_step_is(study: Study):
    noise = np.random.default_rng(20261126).normal(0, 0.02, (3, 733))
    study.add("steady", lambda seed, step: step / 732 + noise[seed, step], steps=KEPT)
    study.add("sudden", lambda seed, step: (step > 64) + noise[seed, step], steps=KEPT)
    _, _, phases = study.compare()
    found = phases.set_index("run")
    for seed in range(3):
        assert found.loc[f"steady-s{seed}", "best"] == "smooth"
        assert found.loc[f"sudden-s{seed}", "best"] == "step"
        assert 64 < float(found.loc[f"sudden-s{seed}", "step"]) < 96


def grown(study: Study, sizes: int) -> np.ndarray:
    """Rotary runs of some sizes, whose entropy grows by (size, seed)."""
    gains = np.random.default_rng(20261126).normal(1, 0.1, (sizes, 3))
    for place in range(sizes):
        study.add(
            f"rope-{place}",
            lambda seed, step, place=place: gains[place, seed] * (step > 0),
            parameters=1000 * 2**place,
        )
    return gains


def test_the_interval_of_training_and_of_what_remains_is_over_seeds(study: Study):
    gains = grown(study, sizes=5)
    _, changes, _ = study.compare()
    training = changes[changes["factor"] == "training"].iloc[0]
    expected = stats.ttest_1samp(gains.mean(axis=0), 0)
    low, high = expected.confidence_interval(0.95)
    assert int(training["n"]) == 3
    assert float(training["value"]) == pytest.approx(gains.mean())
    assert (float(training["low"]), float(training["high"])) == pytest.approx((low, high))
    assert float(training["p"]) == pytest.approx(expected.pvalue)
    remains = changes[changes["factor"] == "remains"].iloc[0]
    assert int(remains["n"]) == 3


def test_what_remains_is_a_correlation_and_so_are_its_limits(study: Study):
    study.add("rope", lambda seed, step: float(seed + step), seeds=(0, 1))
    _, changes, _ = study.compare()
    remains = changes[changes["factor"] == "remains"].iloc[0]
    assert -1 < float(remains["value"]) < 1
    assert float(remains["low"]) == -1
    assert float(remains["high"]) <= 1


def encodings(study: Study) -> pd.DataFrame:
    changes = study.compare()[1]
    return changes[changes["factor"] == "encoding"].set_index("level")


def test_encodings_are_compared_between_runs_that_differ_in_nothing_else(study: Study):
    """A longer training, more layers, more heads or another width is not the encoding."""
    noise = np.random.default_rng(20261126).normal(0, 0.1, (3, 3))
    for place, name in enumerate(("rope", "none", "alibi")):
        study.add(
            name,
            lambda seed, step, place=place: (step > 0) * (1 + place) + noise[place, seed],
            encoding=name,
        )
    expected = encodings(study)
    assert len(expected) == 2
    assert (expected["reason"] == "").all()
    for key, value in {"recipe": "long", "layers": 8, "heads": 8, "hidden_size": 96}.items():
        study.add(f"other-{key}", lambda seed, step: 9.0 + 0.1 * seed, **{key: value})
    found = encodings(study)
    for column in ("value", "low", "high", "p", "share"):
        assert found[column].tolist() == expected[column].tolist()


def test_an_encoding_is_compared_within_its_block_and_the_block_by_itself(study: Study):
    """A block lifts the entropy by 5; a quarter of a rotation in that block by 1 more."""
    noise = np.random.default_rng(20261126).normal(0, 0.1, (4, 3))
    made = (("rope", "llama", 0), ("none", "smollm3", 2))
    made += (("rope", "gpt_neox", 5), ("rope_quarter", "gpt_neox", 6))
    for place, (name, architecture, level) in enumerate(made):
        study.add(
            f"{architecture}-{name}",
            lambda seed, step, place=place, level=level: (step > 0) * level + noise[place, seed],
            encoding=name,
            architecture=architecture,
        )
    study.add("other-rope", lambda seed, step: (step > 0) * (1 + 0.1 * seed), hidden_size=96)
    _, changes, _ = study.compare()
    found = changes[changes["factor"].isin(["encoding", "block"])].set_index(["factor", "level"])
    means = noise.mean(axis=1)
    for key, blocks, value in (
        (("encoding", "none"), ("llama", "llama"), 2 + means[1] - means[0]),
        (("encoding", "rope_quarter"), ("gpt_neox", "gpt_neox"), 1 + means[3] - means[2]),
        (("block", "rope"), ("gpt_neox", "llama"), 5 + means[2] - means[0]),
    ):
        row = found.loc[key]
        assert (row["block"], row["reference_block"]) == blocks
        assert row["reference"] == "rope"
        assert float(row["value"]) == pytest.approx(value), key
    # Training and size are those of one block.
    training = changes[changes["factor"] == "training"].iloc[0]
    assert (training["block"], training["reason"]) == ("llama", "")
    assert float(training["value"]) == pytest.approx(0.55)


def test_without_a_reference_of_its_block_an_encoding_is_compared_across_blocks(study: Study):
    noise = np.random.default_rng(20261126).normal(0, 0.1, (2, 3))
    for place, (name, architecture) in enumerate((("rope", "llama"), ("alibi", "bloom"))):
        study.add(
            name,
            lambda seed, step, place=place: place + noise[place, seed],
            encoding=name,
            architecture=architecture,
        )
    row = encodings(study).loc["alibi"]
    assert (row["block"], row["reference_block"], row["reason"]) == ("bloom", "llama", "")


def test_two_runs_of_one_encoding_block_and_seed_are_not_compared(study: Study):
    noise = np.random.default_rng(20261126).normal(0, 0.1, (3, 3))
    for place, (name, architecture) in enumerate(
        (("rope", "llama"), ("rope", "smollm3"), ("none", "smollm3"))
    ):
        study.add(
            f"{architecture}-{name}",
            lambda seed, step, place=place: (step > 0) * (1 + place) + noise[place, seed],
            encoding=name,
            architecture=architecture,
        )
    row = encodings(study).loc["none"]
    assert (row["value"], row["p"], row["reason"]) == ("", "", "duplicates")


def test_the_best_of_more_heads_is_not_compared_between_sizes(study: Study):
    for place in range(4):
        study.add(
            f"rope-{place}",
            lambda seed, step, place=place: 0.1 * seed + place**2,
            parameters=1000 * 2**place,
            heads=2 + place,
        )
    study.add_fact("induction", "text", 0.25)
    study.add_fact("sink_importance", "text", 0.25)
    study.compare()
    changes = pd.read_csv(study.folder / "changes.csv", keep_default_na=False)
    sizes = changes[changes["factor"] == "size"].set_index("measure")
    assert sizes.loc["induction", ["value", "reason"]].tolist() == ["", "best"]
    assert sizes.loc["sink", "reason"] == "constant"
    assert float(sizes.loc["spectral_entropy", "value"]) > 0


def test_each_factor_is_corrected_by_itself(study: Study):
    """What other factors find does not decide whether training counts."""
    grown(study, sizes=3)
    study.compare()
    changes = pd.read_csv(study.folder / "changes.csv")
    for _, rows in changes.groupby("factor"):
        known = rows["p"].notna().sum()
        at = rows["p"].idxmin()
        assert rows.loc[at, "p_holm"] == pytest.approx(min(1, known * rows.loc[at, "p"]))


def test_facts_are_those_of_the_headline_corpus(study: Study):
    study.add("rope", lambda seed, step: 0.0 + step)
    for number in ("sink_importance", "previous_token", "induction"):
        study.add_fact(number, "text", 0.25)
        # Another language, on which heads do it more.
        study.add_fact(number, "other", 0.75)
    runs = study.compare()[0]
    for column in ("sink", "previous_token", "induction"):
        assert (runs[column] == 0.25).all(), column
