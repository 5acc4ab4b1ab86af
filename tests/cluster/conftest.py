"""One throw-away cluster for all tests of this folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _slurm() -> Any:
    """slurm.py beside this file, loaded by path since tests are no package."""
    name = "cluster_slurm"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / "slurm.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A running SLURM with accounting; a skip without one or among parallel tests, or a failure
    if REQUIRE_SLURM=1."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("one SLURM at a time: make test-cluster")
    slurm = _slurm()
    if why := slurm.why_not():
        if os.environ.get("REQUIRE_SLURM") == "1":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    # Not in pytest's own folder, which its services' own users may not enter.
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    running = slurm.Cluster(root, accounting=True)
    try:
        running.up()
        yield running
    finally:
        running.down()
        shutil.rmtree(root, ignore_errors=True)
