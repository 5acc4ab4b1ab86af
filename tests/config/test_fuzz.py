"""1,000 small accidents in the YAML files: each is a valid plan, or one clear line and no job."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from attention_wavelets.config.compose import compose, options
from attention_wavelets.config.lock import LOCK_FILE, read_lock
from attention_wavelets.config.schema import Experiment
from attention_wavelets.config.slices import canonical, slices
from attention_wavelets.errors import PipelineError
from attention_wavelets.resources.jobs import Needs
from attention_wavelets.resources.limits import refuse_too_large
from helpers.tiny_study import ROOT, Project

CONF = ROOT / "conf"
FILES = sorted(str(path.relative_to(CONF)) for path in CONF.rglob("*.yaml"))
PARTS, EACH = 8, 125
PLANNED = 10
# Of other types, of YAML's and Hydra's own meaning, and paths and numbers that lead too far.
VALUES = ["", "null", "-1", "0", "1e400", ".nan", "true", "'", "[]", "{}", "[a, a]", "\u00e9\u4e2d"]
VALUES += ["a: b: c", "&x *x", "!!python/object/apply:os.system ['true']"]
VALUES += ["${a}", "${oc.env:HOME}", "${now:%H}"]
VALUES += ["../../../etc/passwd", "/etc/passwd", "a/../../b", "..", "~", "-n", "a b", "x\\ty"]
VALUES += ["10" * 200]


def accident(text: str, rng: np.random.Generator) -> str:
    """A line lost, doubled, moved, cut or misspelt, or a value replaced."""
    lines = text.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    line = lines[place]
    match int(rng.integers(7)):
        case 0:
            del lines[place]
        case 1:
            lines.insert(int(rng.integers(len(lines))), line)
        case 2:
            lines[place] = " " * int(rng.integers(1, 4)) + line
        case 3 | 4:
            key, colon, _ = line.partition(":")
            lines[place] = f"{key}{colon} {VALUES[int(rng.integers(len(VALUES)))]}\n"
        case 5:
            lines[place] = line[: int(rng.integers(len(line)))]
        case _:
            letter = int(rng.integers(len(line)))
            lines[place] = line[:letter] + chr(int(rng.integers(32, 127))) + line[letter + 1 :]
    return "".join(lines)


@cache
def readers() -> dict[str, str]:
    """The first study that reads a file; the default where none does, which is then ignored."""
    found: dict[str, str] = {}
    for study in sorted(options(CONF, "study"), key=lambda name: name != "quickstart"):
        experiment = compose([f"study={study}"], CONF)
        found.setdefault(f"study/{study}.yaml", study)
        listed = [*experiment.model, *experiment.families]
        used = {"model": listed} | {
            group: list(getattr(experiment, group))
            for group in ("corpus", "condition", "probe", "protocol", "null", "claim")
        }
        for group, names in used.items():
            for name in names:
                found.setdefault(f"{group}/{name}.yaml", study)
    return found


def plan(conf: Path, study: str) -> Experiment:
    """All that a parse of the Snakefile checks."""
    experiment = compose([f"study={study}"], conf)
    made = slices(experiment, read_lock(conf / LOCK_FILE))
    for key, value in made.items():
        assert not {"", ".", ".."} & set(key.split("/")), key
        json.loads(canonical(value))
    refuse_too_large(Needs(experiment, lambda model: None))
    return experiment


@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_yaml_is_a_valid_plan_or_one_line(part: int, tmp_path: Path):
    conf = Path(shutil.copytree(CONF, tmp_path / "conf"))
    outcomes: Counter[str] = Counter()
    for number in range(part * EACH, (part + 1) * EACH):
        rng = np.random.default_rng([20261125, number])
        name = FILES[int(rng.integers(len(FILES)))]
        text = (CONF / name).read_text(encoding="utf-8")
        (conf / name).write_text(accident(text, rng), encoding="utf-8")
        try:
            experiment = plan(conf, readers().get(name, "quickstart"))
        except PipelineError as error:
            said = str(error)
            assert said.isprintable(), (number, name, said)
            assert 10 < len(said) < 1000, (number, name, said)
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"accident {number} in {name}") from error
        else:
            run = Path("results", experiment.run.name or "")
            assert run.resolve().is_relative_to(Path("results").resolve()), (number, name)
            outcomes["valid"] += 1
        (conf / name).write_text(text, encoding="utf-8")
    # Neither a parser that takes everything nor one that takes nothing would tell anybody much.
    assert min(outcomes["valid"], outcomes["refused"]) > EACH / 10, outcomes


@pytest.mark.parametrize("number", range(PLANNED))
def test_a_damaged_yaml_never_starts_a_job_nor_shows_a_traceback(
    tiny_project: Project, number: int
):
    rng = np.random.default_rng([20261126, number])
    files = ["config", "study/tiny", "corpus/tiny", "model/tiny-llama", "protocol/paper"]
    path = tiny_project.yaml(files[number % len(files)])
    path.write_text(accident(path.read_text(encoding="utf-8"), rng), encoding="utf-8")
    done = tiny_project.snakemake("-n")
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    if done.returncode == 0:
        made = tiny_project.snakemake("--summary")
        outputs = [line.split("\t")[0] for line in made.stdout.splitlines()[1:]]
        assert outputs, made.stdout + made.stderr
        for output in outputs:
            assert output.startswith("results/"), output
            assert ".." not in output.split("/"), output
    else:
        # What is wrong stands in the line behind the place in the rules.
        assert re.search(r"^WorkflowError in file .*:\n[^\n]{10,}", said, re.MULTILINE), said
    assert not tiny_project.results.exists()
