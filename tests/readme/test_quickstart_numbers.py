"""The README's five lines say what models.csv of the default study says."""

import re
from pathlib import Path

import pandas as pd
import pytest

from attention_wavelets.store.tables import read_csv

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "quickstart_models.csv"
TRAINED, FRESH = "smollm2-135m", "smollm2-135m-untrained-s0"
BERT, FRESH_BERT = "minilm-l6", "minilm-l6-untrained-s0"


@pytest.fixture(scope="module")
def models() -> pd.DataFrame:
    return read_csv(TABLE).set_index("model")


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def five_lines(models: pd.DataFrame) -> str:
    """The README's lines, with every number taken from the table."""

    def of(model: str, column: str) -> float:
        return float(models.loc[model, column])

    low, half, rho = "band_low_mean", "scale_sensitivity_0_5", "position_spectrum_correlation"
    errors = models["reconstruction_error_mean"]
    return "\n".join(
        [
            f"1. {percent(of(TRAINED, low))} of the power of SmolLM2's attention profiles is in "
            f"the low band, {percent(of(FRESH, low))} with fresh weights: training moves power "
            "out of the low band, so a large low band alone is no sign of learning.",
            f"2. MiniLM, which has no rotary positions, has {percent(of(BERT, low))} "
            f"({percent(of(FRESH_BERT, low))} with fresh weights): the split into bands is not "
            "peculiar to rotary positions.",
            f"3. Dropping every second token changes SmolLM2's wavelet coefficients by "
            f"{of(TRAINED, half):.3f} on a scale where 0 is no change, its untrained twin's by "
            f"{of(FRESH, half):.3f}: scale invariance in this sense needs no training.",
            f"4. Heads that are spread over positions are concentrated in frequency (correlation "
            f"{of(TRAINED, rho):.2f} in SmolLM2), but an untrained BERT shows it most "
            f"({of(FRESH_BERT, rho):.2f}, trained {of(BERT, rho):.2f}): the sign proves nothing.",
            f"5. The wavelet reconstruction error is between {errors.min():.1e} and "
            f"{errors.max():.1e} for every model, trained or not: it is the rounding of 32-bit "
            "numbers, not a property of attention.",
        ]
    )


def test_readme_shows_the_numbers_of_the_table(models):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- quickstart:begin -->\n(.*?)<!-- quickstart:end -->", text, re.S)
    assert block, "README.md has lost its quickstart block"
    assert block.group(1).strip() == five_lines(models)


def test_what_the_lines_conclude_follows_from_the_numbers(models):
    low, half = models["band_low_mean"], models["scale_sensitivity_0_5"]
    rho = models["position_spectrum_correlation"]
    for trained, fresh in (
        (TRAINED, FRESH),
        (TRAINED, f"{TRAINED}-untrained-s1"),
        (BERT, FRESH_BERT),
    ):
        assert models.loc[trained, "band_low_mean_high"] < models.loc[fresh, "band_low_mean_low"]
        assert half[fresh] < half[trained]
    assert low[BERT] < low[FRESH_BERT]
    assert (rho < 0).all()
    assert rho[FRESH_BERT] == rho.min()
    assert models["reconstruction_error_mean"].between(1e-8, 1e-6).all()


def test_the_table_is_of_the_default_study(models):
    from attention_wavelets.config.compose import compose

    study = compose([], ROOT / "conf").study
    rules = compose([], ROOT / "conf").corpus[study.headline.corpus].sequences
    assert list(models.index) == study.models
    assert (models["n_sequences"] == rules.count).all()
    assert (models["tokens"] == rules.tokens).all()


if __name__ == "__main__":
    # python tests/readme/test_quickstart_numbers.py prints the block for README.md.
    print(five_lines(read_csv(TABLE).set_index("model")))  # noqa: T201
