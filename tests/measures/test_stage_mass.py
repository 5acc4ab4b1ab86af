"""The stage reads what each stored signal held, and says what was lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attention_wavelets.stages.measure import measure_heads
from attention_wavelets.store.arrays import Group, Variable, write_store

N, CHOSEN = 16, np.array([9, 12, 15])


@pytest.fixture
def store(tmp_path):
    """Two sequences, one layer, three heads: (path, lag mass, whole rows)."""
    random = np.random.default_rng(0)
    heads = ("sequence", "layer", "head")
    held = random.uniform(0.2, 0.9, (2, 1, 3)).astype(np.float32)
    rows = random.dirichlet(np.ones(N), (2, 1, 3, 3)).astype(np.float32)
    ones = np.ones((2, 1, 3), dtype=np.float32)
    signals = {
        "received": (random.dirichlet(np.ones(N), (2, 1, 3)), ("position",), ones),
        "lag": (random.dirichlet(np.ones(N // 2), (2, 1, 3)), ("lags",), held),
        "query_rows": (rows, ("row", "position"), np.repeat(ones[..., None], 3, axis=-1)),
    }
    variables = {
        "document": Variable.of(np.arange(2, dtype=np.int32), ("sequence",)),
        "lags": Variable.of(np.arange(N // 2), ("lags",)),
        "row": Variable.of(CHOSEN, ("row",)),
    }
    for name, (values, axes, mass) in signals.items():
        variables[name] = Variable.of(values.astype(np.float32), (*heads, *axes), key=name)
        variables[f"{name}_mass"] = Variable.of(mass, (*heads, *axes[:-1]), key=name)
    path = tmp_path / "signals.zarr.zip"
    write_store(path, {"full": Group(variables, {"tokens": N})}, {"model": "tiny"})
    return path, held, rows


def lost(path, protocol, probe):
    config = {
        "conditions": ["full"],
        "scaled": [],
        "probes": [probe],
        "protocol": protocol.model_dump(),
    }
    names = ("heads", "layers", "model", "pairs")
    out = [path.with_name(f"{name}.parquet") for name in names]
    measure_heads(config, path, *out)
    return pd.read_parquet(out[0])["lost_mass"].to_numpy().reshape(2, 1, 3)


def test_attention_beyond_the_lags_is_lost(store, rigorous):
    path, held, _ = store
    np.testing.assert_allclose(lost(path, rigorous, "lag"), 1 - held, rtol=1e-6)


def test_whole_rows_read_by_lag_lose_their_far_keys(store, rigorous):
    path, _, rows = store
    near = [rows[..., i, query - N // 2 + 1 : query + 1].sum(-1) for i, query in enumerate(CHOSEN)]
    np.testing.assert_allclose(
        lost(path, rigorous, "query_rows"), 1 - np.mean(near, axis=0), rtol=1e-5
    )


def test_rows_by_position_lose_the_first_where_it_is_dropped(store, rigorous):
    path, _, _ = store
    assert (lost(path, rigorous, "received") == 0).all()
    dropped = lost(path, rigorous.model_copy(update={"sink": "drop"}), "received")
    assert (dropped > 0).all()
