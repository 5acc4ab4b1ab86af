"""`measure` on arrays of one's own, and the names it can take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.cli import main
from attention_wavelets.config.compose import load_member, options
from attention_wavelets.measures.offered import OFFERED

CONF = Path(__file__).parents[2] / "conf"


def measured(tmp_path: Path, rows: np.ndarray, *arguments: str) -> pd.DataFrame:
    """The table of an array of rows."""
    np.save(tmp_path / "signals.npy", rows)
    files = (str(tmp_path / "signals.npy"), "--out", str(tmp_path / "out.parquet"))
    assert main(["measure", *arguments, *files, "--conf", str(CONF)]) == 0
    return pd.read_parquet(tmp_path / "out.parquet")


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What `ls` prints."""
    assert main(["ls", *arguments, "--conf", str(CONF)]) == 0
    return capsys.readouterr().out.split()


def test_rows_by_lag_have_a_kernel_and_rows_by_position_have_none(tmp_path: Path):
    decay = np.exp(-np.arange(64) / 4)
    rows = np.stack([decay, np.ones(64)])
    by_position = measured(tmp_path, rows, "--protocol", "rigorous")
    by_lag = measured(tmp_path, rows, "--protocol", "rigorous", "--by-lag")
    kernel = [name for name in by_lag if name.startswith(("kernel_", "lag_"))]
    assert kernel
    assert by_position[kernel].isna().all(axis=None)
    assert by_position["reason"].str.contains("axis").all()
    np.testing.assert_allclose(by_lag["kernel_kl_exponential"], [0, 0], atol=1e-9)
    # An exponential law's divergence from the uniform one: ln N - H.
    weights = decay / decay.sum()
    expected = np.log(64) + (weights * np.log(weights)).sum()
    np.testing.assert_allclose(by_lag["kernel_kl_uniform"], [expected, 0], rtol=1e-9, atol=1e-12)
    assert not by_lag["reason"].str.contains("axis").any()
    rest = [name for name in by_lag if name not in (*kernel, "lost_mass", "reason")]
    pd.testing.assert_frame_equal(by_lag[rest], by_position[rest])


def test_by_lag_leaves_lag_0_where_the_sink_of_positions_is_dropped(tmp_path: Path):
    rows = np.exp(-np.arange(64) / 4)[None]
    dropped = measured(tmp_path, rows, "--protocol", "rigorous-no-sink")
    kept = measured(tmp_path, rows, "--protocol", "rigorous-no-sink", "--by-lag")
    assert dropped["lost_mass"][0] == pytest.approx(rows[0, 0] / rows.sum())
    # What a row by lag leaves out is not in the row.
    assert np.isnan(kept["lost_mass"][0])
    assert "unknown: lost_mass" in kept["reason"][0]
    assert kept["participation_ratio"][0] == pytest.approx(rows.sum() ** 2 / (rows**2).sum())


@pytest.mark.parametrize("protocol", ["paper", "rigorous"])
def test_true_and_false_are_one_and_zero(tmp_path: Path, protocol: str):
    rows = np.random.default_rng(3).random((4, 32)) < 0.5
    of_bool = measured(tmp_path, rows, "--protocol", protocol)
    of_float = measured(tmp_path, rows.astype(float), "--protocol", protocol)
    pd.testing.assert_frame_equal(of_bool, of_float)


def test_ls_measures_lists_what_a_protocol_may_choose(capsys: pytest.CaptureFixture[str]):
    every = listed(capsys, "measures")
    assert len(set(every)) == len(every)
    for name in options(CONF, "protocol"):
        protocol = load_member("protocol", name, CONF, {})
        # Also those that its own list leaves out.
        offered = [m.name for m in OFFERED[protocol.kind](protocol)]
        assert listed(capsys, "measures", "--protocol", name) == offered
        assert set(offered) <= set(every)


def test_help_says_where_the_protocols_are_listed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["measure", "--help"])
    assert "attention-wavelets ls protocols" in " ".join(capsys.readouterr().out.split())
    assert listed(capsys, "protocols") == options(CONF, "protocol")
