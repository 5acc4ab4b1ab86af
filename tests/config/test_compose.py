"""What YAML and overrides can say, and the one line that answers what they cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from attention_wavelets.config.compose import (
    MEMBER_GROUPS,
    ROOT_GROUPS,
    compose,
    load_member,
    options,
    overrides_from_config,
)
from attention_wavelets.config.schema import Experiment, FigureName
from attention_wavelets.errors import PipelineError
from helpers.tiny_study import ROOT

CONF = ROOT / "conf"
MEMBERS = [(group, name) for group in MEMBER_GROUPS for name in options(CONF, group)]
CHOICES = [(group, name) for group in ROOT_GROUPS for name in options(CONF, group)]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of conf/ that a test may spoil."""
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def refusal(*overrides: str, conf: Path = CONF) -> str:
    with pytest.raises(PipelineError) as caught:
        compose(overrides, conf)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_yaml_file_lies_in_a_known_group():
    groups = {path.parent.name for path in CONF.glob("*/*.yaml")}
    assert groups == {*MEMBER_GROUPS, *ROOT_GROUPS}


@pytest.mark.parametrize(("group", "name"), MEMBERS)
def test_every_member_is_valid(group: str, name: str):
    assert load_member(group, name, CONF, {}).model_dump(mode="json")


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_option_composes(group: str, name: str):
    assert isinstance(compose([f"{group}={name}"], CONF), Experiment)


def test_an_experiment_holds_what_its_study_names_and_nothing_else():
    experiment = compose([], CONF)
    assert list(experiment.model) == experiment.study.models
    assert set(experiment.corpus) == {"enwiki-96", "enwiki-256"}
    assert set(experiment.probe) == {"received", "lag", "query_rows"}
    assert "random_tokens" not in experiment.condition


def test_the_base_of_an_untrained_model_is_loaded_but_not_studied():
    experiment = compose(["study.models=[minilm-l6-untrained-s0]"], CONF)
    assert experiment.study.models == ["minilm-l6-untrained-s0"]
    assert set(experiment.model) == {"minilm-l6-untrained-s0", "minilm-l6"}


def test_figure_names_of_the_schema_are_those_that_can_be_drawn():
    from attention_wavelets.report.figures import FIGURES

    assert list(get_args(FigureName)) == list(FIGURES)


def test_a_member_is_changed_by_its_name():
    changed = compose(
        ["corpus.enwiki-96.sequences.count=8", "corpus.enwiki-96.sequences.min_documents=4"], CONF
    )
    assert changed.corpus["enwiki-96"].sequences.count == 8
    assert changed.corpus["enwiki-256"].sequences.count == 32


def test_the_longest_name_is_meant_where_names_hold_dots(conf: Path):
    for name in ("tiny", "tiny.v2"):
        shutil.copy(conf / "corpus/enwiki-96.yaml", conf / f"corpus/{name}.yaml")
    study = (conf / "study/quickstart.yaml").read_text()
    (conf / "study/quickstart.yaml").write_text(study.replace("enwiki-96", "tiny.v2"))
    changed = compose(["corpus.tiny.v2.sequences.seed=3"], conf)
    assert changed.corpus["tiny.v2"].sequences.seed == 3


STUDY_KEYS = "claims, description, facts, figures, headline, measurements, models, title"
ROOT_KEYS = (
    "allowed: claim.<name>.<key>, condition.<name>.<key>, corpus.<name>.<key>, figure, "
    "model.<name>.<key>, null.<name>.<key>, probe.<name>.<key>, protocol.<name>.<key>, "
    "recipe.<name>.<key>, run, runtime, statistics, study"
)
ONE_LINERS = {
    # Unknown keys and names, with the nearest spelling.
    "figure.dpii=3": "override: unknown key 'figure.dpii'; did you mean 'figure.dpi'? "
    "allowed: figure.dpi, figure.font_size, figure.formats, figure.width",
    "+figure.colour=1": "conf/figure: unknown key 'colour'; "
    "allowed here: dpi, font_size, formats, width",
    "figur.dpi=3": f"override: unknown key 'figur.dpi'; did you mean 'figure'? {ROOT_KEYS}",
    "study=quikstart": "override: unknown study 'quikstart'; did you mean 'quickstart'? "
    f"allowed: {', '.join(options(CONF, 'study'))}",
    "figure=pretty": "override: unknown figure 'pretty'; allowed: default",
    "corpus.enwiki-97.sequences.count=8": "override: unknown corpus 'enwiki-97'; "
    f"did you mean 'enwiki-96'? allowed: {', '.join(options(CONF, 'corpus'))}",
    "corpus.enwiki-96.sequences.cout=8": "conf/corpus/enwiki-96.yaml: unknown key "
    "'sequences.cout'; did you mean 'count'? allowed here: count, max_per_document, "
    "min_documents, seed, special_tokens, tokens",
    "model.smollm2-135m.source.versio=1": "conf/model/smollm2-135m.yaml: unknown key "
    "'source.versio'; did you mean 'version'? allowed here: distribution, files, kind, version",
    "study.models=[minilm-l7]": "conf/model: unknown model 'minilm-l7'; did you mean 'minilm-l6'? "
    f"allowed: {', '.join(options(CONF, 'model'))}",
    "condition.bos-added.action=add": "override: unknown condition of this study 'bos-added'; "
    "allowed: full, half, half-prefix, quarter, quarter-prefix, repeated, shuffled",
    # Wrong values.
    "runtime.device=gpu": "conf/runtime: device: 'gpu' is not allowed; did you mean 'cpu'? "
    "allowed: auto, cpu, cuda, spread",
    "study.figures=[local_globl]": "conf/study/quickstart.yaml: figures.0: 'local_globl' is not "
    "allowed; did you mean 'local_global'? allowed: " + ", ".join(get_args(FigureName)),
    "model.smollm2-135m.source.kind=whel": "conf/model/smollm2-135m.yaml: source.kind: 'whel' is "
    "not allowed; did you mean 'wheel'? allowed: hub, wheel, local, untrained, trained",
    "condition.half.method=strid": "conf/condition/half.yaml: method: 'strid' is not allowed; "
    "did you mean 'stride'? allowed: stride, prefix, suffix, random",
    "condition.half.kind=subsampl": "conf/condition/half.yaml: kind: 'subsampl' is not allowed; "
    "did you mean 'subsample'? allowed: full, subsample, shuffle, random_tokens, repeat, bos",
    "figure.dpi=sharp": "conf/figure: dpi: input should be a valid integer, unable to parse string "
    "as an integer, got 'sharp'",
    "figure.dpi=3": "conf/figure: dpi: input should be greater than or equal to 50, got 3",
    "statistics.confidence=2": "conf/statistics: confidence: input should be less than 1, got 2",
    "condition.half.fraction=1.5": "conf/condition/half.yaml: fraction: input should be less than "
    "1, got 1.5",
    "corpus.enwiki-96.sequences.count=0": "conf/corpus/enwiki-96.yaml: sequences.count: input "
    "should be greater than or equal to 1, got 0",
    "model.smollm2-135m-untrained-s0.source.initializer_range=inf": "conf/model/"
    "smollm2-135m-untrained-s0.yaml: source.initializer_range: input should be a finite number, "
    "got inf",
    f"corpus.enwiki-96.sequences.seed={10**199}": "conf/corpus/enwiki-96.yaml: sequences.seed: a "
    "number of 200 digits is too large; write 9007199254740992 at most",
    # Values that do not fit each other.
    "figure.formats=[png]": "conf/figure: formats must contain svg: the report embeds it",
    "figure.formats=[svg,svg]": "conf/figure: formats: a value stands twice in ['svg', 'svg']",
    "protocol.paper.window_entropy=[16,16]": "conf/protocol/paper.yaml: window_entropy: a value "
    "stands twice in [16, 16]",
    "protocol.paper.spectrum.band_edges=[0.75,0.25]": "conf/protocol/paper.yaml: spectrum: "
    "band_edges must increase",
    "protocol.paper.local_global.headline=5": "conf/protocol/paper.yaml: local_global: headline 5 "
    "is not among distances [4, 8, 16]",
    "corpus.enwiki-96.sequences.count=8": "conf/corpus/enwiki-96.yaml: sequences: min_documents "
    "(64) is larger than count (8)",
    "study.models=[minilm-l6,minilm-l6]": "conf/study/quickstart.yaml: models: 'minilm-l6' stands "
    "twice; name it once",
    "study.headline.corpus=enwiki-97": "conf/study/quickstart.yaml: headline enwiki-97 / paper / "
    "full is not measured; name one of the measurements",
    "study.headline.condition=half": "conf/study/quickstart.yaml: headline condition 'half' is a "
    "subsample, which is compared with 'full'; name the condition it is compared with",
    "model.minilm-l6-untrained-s0.source.of=smollm2-135m-untrained-s0": "conf/model/"
    "minilm-l6-untrained-s0.yaml: source.of: 'smollm2-135m-untrained-s0' is itself untrained; "
    "name the model that carries the architecture",
    # Overrides that are none.
    "figure.dpi": "override: cannot read 'figure.dpi'; write key=value, as in figure.dpi=300",
    "=3": "conf: cannot be composed (Config group override must be a string or a list. Got int)",
    "corpus=enwiki-96": "override: 'corpus=enwiki-96': members of 'corpus' are chosen by the "
    "study; change one key of one member: corpus.<name>.<key>=value",
    "~corpus.enwiki-96.text": "override: '~corpus.enwiki-96.text': only key=value is possible here",
    # Names that would lead out of the folder.
    "run.name=../other": "conf/run: name: string should match pattern '^[a-z0-9][a-z0-9._-]*$', "
    "got '../other'",
    "study.models=[../minilm-l6]": "conf/study/quickstart.yaml: models.0: string should match "
    "pattern '^[a-z0-9][a-z0-9._-]*$', got '../minilm-l6'",
    # Slices must depend on nothing but the YAML.
    "run.name=${now:%Y}": "override: 'run.name=${now:%Y}' depends on the host or the time",
    "run.name=${hydra:job.name}": "override: 'run.name=${hydra:job.name}' depends on the host or "
    "the time",
    "corpus.enwiki-96.text.title=${oc.env:HOME}": "override: 'corpus.enwiki-96.text.title="
    "${oc.env:HOME}' depends on the host or the time",
}


@pytest.mark.parametrize("override", ONE_LINERS)
def test_a_bad_override_is_one_line(override: str):
    said = refusal(override).removeprefix(f"{ROOT}/")
    expected = ONE_LINERS[override].removeprefix(f"{ROOT}/")
    start, more, _ = said.partition(", ... (")
    # A long list is cut off after a whole name.
    assert said == expected or (more and expected.startswith(f"{start}, ") and len(said) < 800)


# What is written into a file, the file, and what must be in the one line.
SPOILED = {
    "unknown key": ("model/minilm-l6", "licens: MIT\n", ["'licens'", "did you mean 'licence'?"]),
    "no YAML": ("corpus/enwiki-96", "text: [\n", ["conf/corpus/enwiki-96.yaml", "not valid YAML"]),
    "no YAML in a study": ("study/quickstart", "models: [\n", ["cannot be composed"]),
    "not a mapping": ("probe/lag", None, ["conf/probe/lag.yaml", "must be a mapping"]),
    "interpolation": (
        "model/minilm-l6",
        "tuning: ${oc.env:HOME}\n",
        ["conf/model/minilm-l6.yaml", "depends on the host or the time"],
    ),
    "interpolation in a root group": (
        "figure/default",
        "dpi: ${now:%Y}\n",
        ["conf/figure/default.yaml", "depends on the host or the time"],
    ),
    "interpolation in the root": (
        "config",
        "run:\n  name: ${oc.env:USER}\n",
        ["conf/config.yaml", "depends on the host or the time"],
    ),
    "interpolation of nothing": ("model/minilm-l6", "tuning: ${nowhere}\n", ["nowhere"]),
    "unknown root key": ("config", "other: 1\n", ["unknown key 'other'", "conf/config.yaml"]),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_file_is_one_line(case: str, conf: Path):
    name, added, expected = SPOILED[case]
    path = conf / f"{name}.yaml"
    kept = "" if added is None else path.read_text()
    if added is not None:
        key = added.split(":")[0]
        # A key may stand once in YAML.
        kept = "".join(
            line for line in kept.splitlines(keepends=True) if not line.startswith(f"{key}:")
        )
        kept = kept.replace("  name: null\n", "") if key == "run" else kept
    path.write_text(kept + (added if added is not None else "- kind: lag\n"))
    said = refusal(conf=conf)
    for part in expected:
        assert part in said


def test_bytes_that_are_no_text_are_one_line(conf: Path):
    (conf / "condition/half.yaml").write_bytes(b"kind: \xff\n")
    assert "conf/condition/half.yaml: not readable as UTF-8 text" in refusal(conf=conf)


def test_a_folder_of_other_settings_is_refused(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("db: mysql\n")
    assert refusal(conf=tmp_path) == (
        f"{tmp_path}: is no folder of this project's settings; "
        "give --conf, or run from the checkout"
    )


def test_a_condition_named_twice_would_double_its_rows(conf: Path):
    path = conf / "study/quickstart.yaml"
    path.write_text(path.read_text().replace("[full, half, quarter]", "[full, half, full]"))
    assert "conditions of corpus 'enwiki-256': 'full' stands twice" in refusal(conf=conf)


def test_a_subsampled_condition_needs_its_reference(conf: Path):
    path = conf / "study/quickstart.yaml"
    path.write_text(path.read_text().replace("[full, half, quarter]", "[half, quarter]"))
    assert "which is not among the conditions of corpus 'enwiki-256'" in refusal(conf=conf)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, []),
        ({"study": "paper"}, ["study=paper"]),
        ({"hydra": "study=paper figure.dpi=200"}, ["study=paper", "figure.dpi=200"]),
        ({"hydra": ["study=paper", "run.name=a"]}, ["study=paper", "run.name=a"]),
        ({"hydra": "study.title='two words'"}, ["study.title=two words"]),
        ({"hydra": None}, []),
        ({"figure": {"dpi": 300}, "study": "paper"}, ["figure.dpi=300", "study=paper"]),
    ],
)
def test_overrides_come_from_snakemake_config(config: dict[str, Any], expected: list[str]):
    assert overrides_from_config(config) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"stud": "paper"}, "unknown key 'stud'; did you mean 'study'? allowed: figure, hydra, "),
        ({"model": "x"}, "unknown key 'model'; allowed: figure, hydra, run, runtime, statistics"),
        ({"hydra": "a='b"}, "a quotation mark is not closed"),
    ],
)
def test_other_snakemake_config_is_refused(config: dict[str, Any], expected: str):
    with pytest.raises(PipelineError, match=r"^snakemake --config") as caught:
        overrides_from_config(config)
    assert expected in str(caught.value)


def test_yaml_comments_are_the_manual():
    """Every YAML file says in its first line what it is; a claim begins with what it claims."""
    for path in CONF.glob("**/*.yaml"):
        first = ("#", "statement:") if path.parent.name == "claim" else "#"
        assert path.read_text().startswith(first), path
        assert yaml.safe_load(path.read_text()), path


def spoil_study(conf: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = conf / "study" / "quickstart.yaml"
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(study)
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


def test_varied_settings_become_protocols_named_after_what_differs(conf: Path):
    def vary(study: dict[str, Any]) -> None:
        study["measurements"][0]["vary"] = {
            "spectrum.window": ["hann_periodic", "none"],
            "spectrum.dc": ["keep", "drop_bin"],
        }

    spoil_study(conf, vary)
    experiment = compose([], conf)
    names = [c.protocol for c in experiment.study.measurements if c.corpus == "enwiki-96"]
    assert names == [
        "paper",
        "paper.dc-drop_bin",
        "paper.window-none",
        "paper.window-none.dc-drop_bin",
    ]
    assert experiment.variants == sorted(names[1:])
    protocol = experiment.protocol["paper.window-none.dc-drop_bin"]
    assert (protocol.spectrum.window, protocol.spectrum.dc) == ("none", "drop_bin")
    assert protocol.spectrum.nfft == experiment.protocol["paper"].spectrum.nfft
    # An override of the protocol in conf/ reaches every variant.
    changed = compose(["protocol.paper.wavelet.mode=zero"], conf)
    assert {p.wavelet.mode for n, p in changed.protocol.items() if n.startswith("paper")} == {
        "zero"
    }


def test_two_lists_that_meet_in_one_protocol_are_joined(conf: Path):
    def twice(study: dict[str, Any]) -> None:
        first = study["measurements"][0]
        other = {**first, "conditions": ["full", "half-random"], "probes": ["lag", "received"]}
        study["measurements"] = [
            {**first, "vary": {"spectrum.dc": ["keep", "drop_bin"]}},
            {**other, "vary": {"wavelet.mode": ["zero", "symmetric"]}},
            *study["measurements"][1:],
        ]

    spoil_study(conf, twice)
    cells = {c.protocol: c for c in compose([], conf).study.measurements if c.corpus == "enwiki-96"}
    assert set(cells) == {"paper", "paper.dc-drop_bin", "paper.mode-zero"}
    assert "half-random" in cells["paper"].conditions
    assert "shuffled" in cells["paper"].conditions
    assert cells["paper"].probes == ["received", "lag"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"spectrum.windw": ["none"]}, "did you mean 'spectrum.window'"),
        ({"spectrum": ["none"]}, "spectrum"),
        ({"kind": ["rigorous"]}, "unknown setting 'kind'"),
        ({"spectrum.window.name": ["none"]}, "unknown setting 'spectrum.window.name'"),
        ({"spectrum.window": ["hamming"]}, "spectrum.window"),
        ({"wavelet.name": ["../../db2"]}, "wavelet.name"),
        ({"spectrum.window": []}, "vary"),
        ({"average_sequences": [1000]}, "averages 1000 sequences"),
    ],
)
def test_a_setting_that_cannot_vary_is_one_line(
    settings: dict[str, Any], expected: str, conf: Path
):
    spoil_study(conf, lambda study: study["measurements"][0].update(vary=settings))
    assert expected in refusal(conf=conf)


def test_a_name_that_grows_too_long_is_refused(conf: Path):
    many = {
        "spectrum.window": ["none"],
        "spectrum.nfft": ["four_times_length"],
        "spectrum.dc": ["subtract_mean"],
        "scale.alignment": ["truncated_concat"],
        "wavelet.mode": ["periodization"],
    }
    spoil_study(conf, lambda study: study["measurements"][0].update(vary=many))
    assert "more than 100 characters" in refusal(conf=conf)


def test_measures_are_chosen_by_name(conf: Path):
    chosen = compose(["protocol.paper.measures=[selectivity,band_low]"])
    assert chosen.protocol["paper"].measures == ["selectivity", "band_low"]
    message = refusal("protocol.rigorous.measures=[octave_share_1,flatnes]")
    assert "conf/protocol/rigorous.yaml: unknown measure 'flatnes'" in message
    assert "bank_collapse" in message
    assert "twice" in refusal("protocol.paper.measures=[selectivity,selectivity]")


def claims_of(conf: Path, *names: str) -> None:
    """Let the quickstart judge these claims and no others."""
    spoil_study(conf, lambda study: study.update(claims=list(names)))


def spoil_claim(conf: Path, change: Callable[[dict[str, Any]], None], name: str = "H01") -> None:
    path = conf / f"claim/{name}.yaml"
    claim = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(claim)
    path.write_text(yaml.safe_dump(claim, sort_keys=False), encoding="utf-8")


def test_every_claim_reads_measures_that_its_protocol_has(conf: Path):
    claims_of(conf, "all")
    experiment = compose([], conf)
    assert list(experiment.claim) == options(CONF, "claim")
    assert len(experiment.claim) >= 41
    used = {null for claim in experiment.claim.values() for null in claim.nulls()}
    assert used == set(experiment.null)


def test_every_null_exists_as_code_and_has_its_settings():
    from attention_wavelets.config.claims import SIGNAL_NULLS
    from attention_wavelets.nulls.registry import NULLS

    found = {name: load_member("null", name, CONF, {}) for name in options(CONF, "null")}
    made = {null.kind for null in found.values()}
    assert set(SIGNAL_NULLS) <= made
    assert set(SIGNAL_NULLS) - {"head_sets"} == set(NULLS)
    for name, null in found.items():
        settings = set(null.model_dump()) - {"kind", "says", "seed"}
        if null.kind in NULLS:
            assert settings <= set(NULLS[null.kind].options), name
        elif null.kind == "condition":
            assert null.condition in options(CONF, "condition")


@pytest.mark.parametrize("name", [name for group, name in MEMBERS if group == "claim"])
def test_a_claim_is_itself_again_after_its_slice(name: str):
    claim = load_member("claim", name, CONF, {})
    assert type(claim).model_validate(claim.model_dump(mode="json")) == claim


def test_all_claims_are_every_file(conf: Path):
    for path in (conf / "claim").glob("*.yaml"):
        if path.stem not in ("H01", "H09"):
            path.unlink()
    claims_of(conf, "all")
    experiment = compose([], conf)
    assert list(experiment.claim) == ["H01", "H09"]
    assert set(experiment.null) == {"iid", "permuted", "sink-random", "untrained", "shuffled"}
    claims_of(conf)
    assert compose([], conf).claim == compose([], conf).null == {}


def test_a_setting_of_a_claim_is_changed_by_its_name(conf: Path):
    claims_of(conf, "H01")
    changed = compose(["claim.H01.test.smallest_effect=0.2", "null.iid.seed=3"], conf)
    assert changed.claim["H01"].test.smallest_effect == 0.2
    assert changed.null["iid"].seed == 3
    message = refusal("claim.H02.test.bound=1", conf=conf)
    assert message.startswith("override: unknown claim of this study 'H02'; ")


def another(kind: str, *of: str, **more: Any) -> dict[str, Any]:
    """Changes of H01: another test, on these columns."""
    test = {"kind": kind, "of": list(of or ["selectivity"]), "claimed": "above"}
    return {"test": {**test, "smallest_effect": 0.1, **more}}


BAD_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    # Names.
    "unknown measure": (
        another("sign", "selectivty"),
        "unknown measure of 'paper' 'selectivty'; did you mean 'selectivity'? allowed: band_high, ",
    ),
    "measure of another protocol": (
        {"protocol": "rigorous"},
        "unknown measure of 'rigorous' 'position_spectrum_correlation'",
    ),
    "unknown condition": (
        another("sign", "scale_sensitivity@hlaf"),
        "unknown condition 'hlaf'; did you mean 'half'? allowed: bos-added, ",
    ),
    "unknown condition of all": ({"condition": "fll"}, "unknown condition 'fll'"),
    "unknown probe": ({"probe": "recieved"}, "unknown probe 'recieved'; did you mean 'received'?"),
    "unknown model": (
        {"models": {"needs": ["gpt3"]}},
        "unknown model 'gpt3'; did you mean 'gpt2'? allowed: bert-base, ",
    ),
    "unknown kind of test": (
        another("sing"),
        "test.kind: 'sing' is not allowed; did you mean 'sign'? allowed: sign, difference, ",
    ),
    "unknown encoding": (
        {"models": {"position_encoding": ["rope"]}},
        "models.position_encoding.0: 'rope' is not allowed; allowed: rotary, learned_absolute, ",
    ),
    "a typing error in a key that is needed": (
        {"test": {"kind": "sign", "of": ["band_low"], "claimed": "above", "smalest_effect": 0.1}},
        "unknown key 'test.smalest_effect'; did you mean 'smallest_effect'?",
    ),
    "unknown key": ({"controlls": []}, "unknown key 'controlls'; did you mean 'controls'?"),
    "a measure that is no name": (another("sign", "a b"), "test.of.0: string should match pattern"),
    # Levels stand in tables of their own.
    "two levels": (
        another("difference", "selectivity", "position_spectrum_correlation"),
        "measures of different levels in one test: head, layer; take measures of heads, or ",
    ),
    "two levels, one under two conditions": (
        another("difference", "scale_sensitivity@half", "position_spectrum_correlation"),
        "measures of different levels in one test: layer, pair_of_conditions",
    ),
    # Settings of a test that do not fit each other.
    "too many columns": (
        another("sign", "band_low", "band_mid"),
        "test: kind 'sign' takes 1 columns, got 2",
    ),
    "too few columns": (another("difference"), "kind 'difference' takes 2 to 9 columns, got 1"),
    "a column twice": (another("ratio", "band_low", "band_low"), "test.of: a value stands twice"),
    # Tests without a number, and tests with one outcome.
    "nothing to compare with": (
        another("sign", "scale_sensitivity"),
        "'scale_sensitivity' compares a subsampled sequence with the whole one, and condition "
        "'full' is not subsampled; name the condition, as in scale_sensitivity@half",
    ),
    "never above": (
        another("sign", "band_low", bound=5),
        "the number lies between 0 and 1, so this test has one outcome only; move bound, range or ",
    ),
    "never above by the smallest effect": (another("sign", "band_low", bound=0.9), "one outcome"),
    "never below": (
        {"test": {**another("sign", "band_low")["test"], "claimed": "below"}},
        "one outcome only",
    ),
    "always above": (another("sign", "band_low", bound=-1), "one outcome only"),
    "more than all variance": (
        another("regression", "band_low", "band_mid", bound=1.5),
        "the number lies between -1 and 1",
    ),
    "a rank correlation of 1": (another("rank_trend", bound=0.9), "lies between -1 and 1"),
    "a range of no share": (
        another("equivalence", "band_low", claimed="within", range=[1.0, 2.0]),
        "one outcome only",
    ),
    "foreign ranges": (
        another("sign", ranges=[[0, 1]]),
        "kind 'sign' has no setting 'ranges'",
    ),
    "foreign over": (
        another("ordering", "band_low", "band_mid", over="heads"),
        "no setting 'over'",
    ),
    "foreign method": (another("slope", method="kendall"), "no setting 'method'"),
    "foreign curve": (another("slope", curve="power"), "no setting 'curve'"),
    "foreign null": (another("sign", against="iid"), "no setting 'against'"),
    "foreign partial": (another("spread", partial=True), "no setting 'partial'"),
    "foreign diversity": (another("sign", least_diversity=1.0), "no setting 'least_diversity'"),
    "a setting is lacking": (
        another("distance_to_null"),
        "kind 'distance_to_null' needs the setting 'against'",
    ),
    "ranges of other columns": (
        another("share_in_range", "band_low", "band_mid", ranges=[[0, 1]]),
        "`ranges` needs one entry for each column of `of`",
    ),
    "a range turned round": (
        another("share_in_range", ranges=[[1, 0]]),
        "a range must increase, got [1.0, 0.0]",
    ),
    "a claimed range turned round": (
        another("equivalence", claimed="within", range=[0.2, 0.2]),
        "a range must increase",
    ),
    "within nothing": (another("equivalence", claimed="within"), "`range` is needed with claimed"),
    "a range with a side": (another("sign", range=[0, 1]), "and only there"),
    "places are lacking": (
        another("slope", "band_low", "band_mid", "band_high", over="columns", at=[1, 2]),
        "with over 'columns' each column needs its place in `at`",
    ),
    "places without columns": (another("slope", at=[1]), "otherwise there is one column"),
    "columns without places": (another("slope", "band_low", "band_mid"), "there is one column"),
    "not over heads": (
        another("slope", over="heads"),
        "kind 'slope' is over depth or columns or parameters or step, not 'heads'",
    ),
    "a law of depth": (
        another("curve_choice", curve="power"),
        "kind 'curve_choice' is over columns or parameters or step, not 'depth'",
    ),
    "a law at 0": (
        another(
            "curve_choice", "band_low", "band_mid", over="columns", at=[0, 1], curve="saturating"
        ),
        "places of a curve must be above 0",
    ),
    "models in a row that are not named": (
        another("slope", over="parameters"),
        "over 'parameters' compares models: name them in models.needs",
    ),
    "a trend of three points": (
        another("slope", "band_low", "band_mid", "band_high", over="columns", at=[1, 2, 3]),
        "a trend needs 4 points, got 3 columns: of fewer every order is likely",
    ),
    "a trend of three models": (
        {
            **another("slope", over="parameters"),
            "models": {"needs": ["pythia-14m", "pythia-70m", "pythia-160m"]},
        },
        "a trend over 'parameters' needs 4 models, 3 are asked for",
    ),
    "a step between layers": (
        another("change_point", between=[0, 1]),
        "`between` is for steps over 'parameters' or 'step', from 0 on",
    ),
    "a direction of a slope": (another("slope", direction="up"), "no setting 'direction'"),
    "an effect of a mean": (another("sign", effect="positive"), "no setting 'effect'"),
    "a training that is not named": (
        another("slope", over="step"),
        "over 'step' compares models: name them in models.checkpoints_of",
    ),
    "a training that is not compared": (
        {"models": {"checkpoints_of": ["EleutherAI/pythia-410m"]}},
        "models.checkpoints_of is for tests over 'step'",
    ),
    "no repository": (
        {**another("slope", over="step"), "models": {"checkpoints_of": ["../x"]}},
        "models.checkpoints_of.0: ",
    ),
    "heads like these, of no mean": (
        {**another("ratio", "band_low", "band_mid"), "generality": "heads"},
        "generality 'heads' is possible for sign, equivalence, distance_to_null, not 'ratio'",
    ),
    "a negative effect": (another("sign", smallest_effect=-1), "greater than or equal to 0"),
    "a short statement": ({"statement": "Yes."}, "at least 10 characters"),
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_a_claim_that_cannot_be_judged_is_one_line(case: str, conf: Path):
    changes, expected = BAD_CLAIMS[case]
    spoil_claim(conf, lambda claim: claim.update(changes))
    claims_of(conf, "H01")
    message = refusal(conf=conf)
    assert message.startswith("conf/claim/H01.yaml: ")
    assert expected in message


@pytest.mark.parametrize("key", ["controls", "against"])
def test_an_unknown_null_lists_the_nulls(key: str, conf: Path):
    if key == "controls":
        spoil_claim(conf, lambda claim: claim.update(controls=["idd"]))
    else:
        new = another("distance_to_null", against="idd")
        spoil_claim(conf, lambda claim: claim.update(new))
    claims_of(conf, "H01")
    message = refusal(conf=conf)
    assert message.startswith(
        "conf/claim/H01.yaml: unknown null 'idd'; did you mean 'iid'? allowed: bos-added, "
    )


def test_an_unknown_claim_or_protocol_lists_the_options(conf: Path):
    claims_of(conf, "H99")
    assert "conf/claim: unknown claim 'H99'" in refusal(conf=conf)
    claims_of(conf, "h01")
    assert "claims.0" in refusal(conf=conf)
    spoil_claim(conf, lambda claim: claim.update(protocol="papers"))
    claims_of(conf, "H01")
    assert "conf/claim/H01.yaml: unknown protocol 'papers'; did you mean 'paper'?" in refusal(
        conf=conf
    )


def test_a_claim_has_evidence_where_all_it_reads_is_measured(conf: Path):
    from attention_wavelets.config.evidence import evidence

    claims_of(conf, "H03", "H09", "R06", "H05B")
    found = evidence(compose([], conf))
    assert {name: part["corpus"] for name, part in found.items()} == {
        "H03": "enwiki-96",
        "H09": "enwiki-96",
        "R06": "enwiki-256",
        "H05B": "",
    }
    assert found["H03"]["conditions"] == sorted(
        ["full", "half", "quarter", "half-prefix", "quarter-prefix", "shuffled"]
    )
    assert found["H05B"]["lacking"].startswith(
        "the study does not measure scale_sensitivity with protocol paper, probe received, "
        "conditions stride-0.9, stride-0.75, half, "
    )
    few = evidence(compose(["protocol.paper.measures=[selectivity,scale_sensitivity]"], conf))
    assert few["H03"]["corpus"] == "enwiki-96"
    assert few["H09"]["corpus"] == ""
    assert "does not measure reconstruction_error with protocol paper" in few["H09"]["lacking"]


def test_nulls_are_made_of_what_claims_read_of_trained_models(conf: Path):
    from attention_wavelets.config.evidence import null_cells

    claims_of(conf, "H02", "H03", "R06", "R13", "H05B")
    cells = list(null_cells(compose([], conf)))
    assert [(cell.model, cell.corpus, cell.protocol) for cell in cells] == [
        (model, corpus, protocol)
        for corpus, protocol in (("enwiki-256", "rigorous"), ("enwiki-96", "paper"))
        for model in ("smollm2-135m", "minilm-l6")
    ]
    by_lag, by_position = cells[0], cells[2]
    # What a subsampled sequence is compared with is made as well; other conditions are not.
    assert by_position.conditions == ("full", "half")
    assert by_position.measures == ("scale_sensitivity",)
    assert by_position.nulls == ("iid", "permuted-sink-fixed", "sink-random")
    assert (by_lag.conditions, by_lag.probes) == (("full",), ("lag",))
    assert by_lag.measures == ("excess_sqrt", "kernel_kl_exponential", "kernel_kl_power")
    # What a test compares with, controls and rivals.
    assert by_lag.nulls == ("exponential", "iid", "permuted", "power-law")
    # Untrained twins and other input are no signals: nothing is made of them here.
    claims_of(conf, "H02")
    assert list(null_cells(compose([], conf))) == []
    # Nor is anything made for claims whose models the study lacks.
    spoil_claim(conf, lambda claim: claim["models"].update(needs=["gpt2"]), "H03")
    claims_of(conf, "H03", "H18")
    assert list(null_cells(compose([], conf))) == []


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("iid", {"kind": "idd"}, "conf/null/iid.yaml: "),
        ("iid", {"sink": "keep"}, "conf/null/iid.yaml: unknown key 'sink'"),
        ("permuted", {"sink": "kept"}, "sink: 'kept' is not allowed; did you mean 'keep'?"),
        ("exponential", {"match": "width"}, "match: 'width' is not allowed; allowed: mean_lag, "),
        ("iaaft", {"cutoff": 2}, "cutoff: input should be less than 1"),
        ("shuffled", {"condition": "shufled"}, "unknown condition 'shufled'; did you mean "),
    ],
)
def test_a_null_that_cannot_be_made_is_one_line(
    name: str, changes: dict[str, Any], expected: str, conf: Path
):
    path = conf / f"null/{name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
    spoil_claim(conf, lambda claim: claim.update(controls=[name]))
    claims_of(conf, "H01")
    message = refusal(conf=conf)
    assert message.startswith(f"conf/null/{name}.yaml: ")
    assert expected in message
