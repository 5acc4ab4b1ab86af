"""Slices: which there are, what they hold, what they must not depend on."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attention_wavelets.config.compose import compose, options
from attention_wavelets.config.lock import LOCK_FILE, read_lock
from attention_wavelets.config.slices import canonical, slices
from attention_wavelets.config.sources import PACKAGE, STAGE_SOURCES, code_digest, stage_sources
from attention_wavelets.errors import PipelineError
from helpers.tiny_study import ROOT

CONF = ROOT / "conf"
MODELS = [
    *("smollm2-135m", "smollm2-135m-untrained-s0", "smollm2-135m-untrained-s1"),
    *("minilm-l6", "minilm-l6-untrained-s0", "minilm-l6-untrained-s1"),
]


def made(*overrides: str, conf: Path = CONF) -> dict[str, str]:
    return {key: canonical(v) for key, v in slices(compose(overrides, conf)).items()}


def changed(*overrides: str) -> set[str]:
    before, after = made(), made(*overrides)
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def test_slices_are_one_per_output_of_the_pipeline():
    corpora = ("enwiki-96", "enwiki-256")
    expected = {f"models/{m}/fetch" for m in MODELS} | {f"corpora/{c}/build" for c in corpora}
    for model in MODELS:
        for corpus in corpora:
            expected |= {f"sequences/{model}/{corpus}", f"signals/{model}/{corpus}"}
            expected |= {f"measures/{model}/{corpus}/paper"}
        for protocol in ("rigorous", "rigorous-no-sink", "rigorous-rows"):
            expected |= {f"measures/{model}/enwiki-256/{protocol}"}
    expected |= {
        f"studies/quickstart/{name}"
        for name in ("aggregate", "claims", "facts", "figures", "nearest", "report")
    }
    assert set(made()) == expected | NULLS


def test_composing_twice_gives_the_same_bytes():
    assert made() == made()


def test_another_process_with_another_hash_seed_gives_the_same_bytes():
    code = (
        "from attention_wavelets.config.compose import compose;"
        "from attention_wavelets.config.slices import canonical, slices;"
        "print(canonical(slices(compose())))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert json.loads(printed.pop()) == slices(compose([], CONF))


def test_a_slice_is_canonical_json():
    for line in made().values():
        assert json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")) == line


def test_runtime_and_run_name_are_in_no_slice():
    assert changed("runtime.batch_tokens=64", "runtime.device=cpu", "run.name=variant") == set()


# Of trained models only: what claims read of nulls is compared with them.
NULLS = {
    f"nulls/{model}/{cell}"
    for model in ("smollm2-135m", "minilm-l6")
    for cell in ("enwiki-96/paper", "enwiki-256/rigorous")
}
SMALL = ("corpus.enwiki-256.sequences.count=8", "corpus.enwiki-256.sequences.min_documents=8")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("figure.dpi=300",), {"studies/quickstart/figures"}),
        (
            ("statistics.confidence=0.9",),
            {f"studies/quickstart/{name}" for name in ("aggregate", "claims", "facts", "report")},
        ),
        (("statistics.resamples=500",), {"studies/quickstart/claims"}),
        (("statistics.null_draws=3",), NULLS),
        (("claim.H01.test.smallest_effect=0.2",), {"studies/quickstart/claims"}),
        (("null.iid.seed=3",), NULLS | {"studies/quickstart/claims"}),
        (("study.title=Other",), {"studies/quickstart/report"}),
        (
            SMALL,
            {f"sequences/{m}/enwiki-256" for m in MODELS} | {"studies/quickstart/report"},
        ),
        (
            ("corpus.enwiki-256.text.min_characters=600",),
            {"corpora/enwiki-256/build", "studies/quickstart/report"},
        ),
        (
            ("model.minilm-l6.tuning=other",),
            {f"models/{m}/fetch" for m in MODELS if m.startswith("minilm-l6")},
        ),
        (
            ("protocol.paper.wavelet.name=db4",),
            {f"measures/{m}/{c}/paper" for m in MODELS for c in ("enwiki-96", "enwiki-256")}
            | {f"nulls/{m}/enwiki-96/paper" for m in ("smollm2-135m", "minilm-l6")}
            | {
                f"studies/quickstart/{stage}"
                for stage in ("claims", "figures", "nearest", "report")
            },
        ),
    ],
)
def test_an_edit_changes_the_slices_of_the_stages_that_read_it(
    overrides: tuple[str, ...], expected: set[str]
):
    assert changed(*overrides) == expected


def test_the_order_of_conditions_and_probes_decides_nothing(tmp_path: Path):
    conf = Path(shutil.copytree(CONF, tmp_path / "conf"))
    path = conf / "study/quickstart.yaml"
    text = path.read_text()
    for old, new in (
        ("[full, half, quarter]", "[quarter, full, half]"),
        ("[received, lag]", "[lag, received]"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    before, after = made(), made(conf=conf)
    # The report tells the measurements as they are written.
    assert {k for k in before if before[k] != after[k]} == {"studies/quickstart/report"}


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_conf(tmp_path: Path) -> Path:
    """conf/ with MiniLM from a branch of the hub."""
    conf = Path(shutil.copytree(CONF, tmp_path / "conf"))
    (conf / "model/minilm-l6.yaml").write_text(
        "label: MiniLM\nsource: {kind: hub, repository: some/model, revision: main}\nlicence: MIT\n"
    )
    return conf


def test_the_lock_decides_the_revision_of_a_hub_model_and_its_twin(hub_conf: Path):
    lock = hub_conf / LOCK_FILE
    lock.write_text(f'"some/model@main": "{COMMIT}"\n"other/model@main": "{COMMIT}"\n')
    found = slices(compose([], hub_conf), read_lock(lock))
    for name in ("minilm-l6", "minilm-l6-untrained-s0", "minilm-l6-untrained-s1"):
        assert found[f"models/{name}/fetch"]["lock"] == {"some/model@main": COMMIT}
    assert found["models/smollm2-135m/fetch"]["lock"] == {}


def test_an_unlocked_branch_has_an_empty_lock(hub_conf: Path):
    found = slices(compose([], hub_conf), read_lock(hub_conf / LOCK_FILE))
    assert found["models/minilm-l6/fetch"]["lock"] == {}


def test_the_lock_file_is_no_model(hub_conf: Path):
    (hub_conf / LOCK_FILE).write_text("{}\n")
    assert options(hub_conf, "model") == options(CONF, "model")


def test_composing_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from attention_wavelets.config.compose import compose\n"
        "from attention_wavelets.config.lock import read_lock\n"
        "from attention_wavelets.config.slices import slices\n"
        "from attention_wavelets.config.sources import stage_sources\n"
        "slices(compose()), stage_sources('measure_heads')\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "transformers", "numpy", "pandas", "matplotlib", "scipy", "zarr", "xarray"}
    assert heavy & set(done.stdout.split()) == set()


def test_every_rule_with_code_has_its_sources():
    for stage in STAGE_SOURCES:
        files = stage_sources(stage)
        assert files
        assert all(Path(file).is_file() for file in files)
    for patterns in STAGE_SOURCES.values():
        for pattern in patterns:
            assert list((ROOT / "src/attention_wavelets").glob(pattern)), pattern


def imported(file: Path) -> set[Path]:
    """Modules of this package that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "attention_wavelets"
        ):
            folder = PACKAGE.joinpath(*node.module.split(".")[1:])
            places = [folder.with_suffix(".py"), *(folder / f"{a.name}.py" for a in node.names)]
            found |= {place for place in places if place.is_file()}
    return found


def test_sources_hold_what_they_import_of_the_rooms_that_compute():
    of_module: dict[Path, set[Path]] = {}
    for stage in STAGE_SOURCES:
        listed = {Path(file) for file in stage_sources(stage)}
        for file in listed:
            # Two stages of one module have half of its imports each.
            shared = file if file.parent.name == "stages" else Path(stage)
            of_module.setdefault(shared, set()).update(listed)
    rooms = {"attention", "causal", "inference", "training"}
    for stage in STAGE_SOURCES:
        listed = {Path(file) for file in stage_sources(stage)}
        own = set().union(*(of_module.get(file, set()) for file in listed), listed)
        for file in sorted(file for file in listed if file.suffix == ".py"):
            lacking = {f for f in imported(file) - own if f.relative_to(PACKAGE).parts[0] in rooms}
            assert not lacking, (stage, file, lacking)


def test_an_unknown_stage_lists_the_stages():
    with pytest.raises(PipelineError, match=r"unknown stage 'plot'.*allowed: .*plot_study"):
        stage_sources("plot")


def test_the_code_digest_tells_stages_apart():
    digests = {stage: code_digest(stage) for stage in STAGE_SOURCES}
    assert len(set(digests.values())) == len(digests)
    assert digests["extract_signals"] == code_digest("extract_signals")
