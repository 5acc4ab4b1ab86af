"""pyproject.toml, environment.yml and constraints.txt say the same."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import yaml

from helpers.tiny_study import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def plain(name: str) -> str:
    """A package name as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    """The package of a requirement such as `zarr>=3`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return plain(match.group())


PINS = dict(line.split("==") for line in LINES)
DEPENDENCIES = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]


def test_every_constraint_is_one_exact_version():
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*", line), line


def test_every_package_is_pinned_once():
    names = [plain(line.split("==")[0]) for line in LINES]
    assert sorted(names) == sorted(set(names))


def test_every_dependency_is_pinned():
    pinned = {plain(name) for name in PINS}
    assert {named(dependency) for dependency in DEPENDENCIES} <= pinned


def test_dependencies_are_named_once_and_bounded_only_where_a_pin_keeps_it():
    names = [named(dependency) for dependency in DEPENDENCIES]
    assert sorted(names) == sorted(set(names))
    pins = {plain(name): version for name, version in PINS.items()}
    for dependency in DEPENDENCIES:
        if bound := re.search(r">=(\d+)", dependency):
            assert int(pins[named(dependency)].split(".")[0]) >= int(bound.group(1)), dependency
        else:
            assert dependency == re.match(r"[A-Za-z0-9._-]+", dependency).group(), dependency


def test_torch_has_the_version_of_the_parity_tests():
    assert PINS["torch"] == "2.13.0"


def test_conda_gives_only_python_and_pip():
    *packages, pip = CONDA["dependencies"]
    assert packages == [f"python {PROJECT['requires-python']}", "pip"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert CONDA["name"] == PROJECT["name"]


def test_the_tests_run_with_the_pinned_versions():
    wrong = {}
    for dependency in DEPENDENCIES:
        name = named(dependency)
        pin = next(version for key, version in PINS.items() if plain(key) == name)
        # A local label such as +cpu tells builds of one version apart.
        found = importlib.metadata.version(name).split("+")[0]
        if found != pin:
            wrong[name] = (found, pin)
    assert wrong == {}
