"""The promises of the workflow, by dry runs of a study that ran once for real."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from attention_wavelets.config.compose import options
from helpers.tiny_study import CLAIMS, MODELS, ROOT, Project

# Snakemake plans settings files by need; what is promised is about everything else.
AGGREGATION = {
    *("aggregate_study", "compare_tables", "judge_claims", "plot_study", "write_report"),
}


def work(plan: dict[str, set[str]]) -> dict[str, set[str]]:
    """A plan without the settings files."""
    return {rule: jobs for rule, jobs in plan.items() if rule != "write_slice"}


def nulls(*models: str) -> set[str]:
    return {f"Measure nulls of {m} on tiny, protocol paper" for m in models}


def chain(*models: str) -> dict[str, set[str]]:
    """Every job of some models, and the aggregation."""
    return {
        "fetch_model": {f"Fetch model {m}" for m in models},
        "encode_sequences": {f"Cut tiny into tokens of {m}" for m in models},
        "extract_signals": {f"Extract signals of {m} on tiny" for m in models},
        "measure_heads": {f"Measure {m} on tiny, protocol paper" for m in models},
        "measure_nulls": nulls(*models),
        "judge_claims": {"Judge the claims"},
        "aggregate_study": {"Join the measures of every model"},
        "summarise_facts": {"Average the facts of every head"},
        "compare_tables": {"Compare with the published tables"},
        "plot_study": {"Draw the figures"},
        "write_report": {"Write results/studies/tiny/report.html"},
    }


TWIN = {
    "label": "Llama, untrained",
    "source": {"kind": "untrained", "of": "tiny-llama", "seed": 0},
    "tuning": "untrained",
    "licence": "MIT",
}


def test_a_fresh_project_plans_every_job_once(tiny_project: Project):
    plan = tiny_project.plan()
    assert work(plan) == {**chain(*MODELS), "build_corpus": {"Build corpus tiny"}}
    settings = {"corpora/tiny/build"}
    stages = ("aggregate", "claims", "facts", "figures", "nearest", "report")
    settings |= {f"studies/tiny/{name}" for name in stages}
    for model in MODELS:
        settings |= {f"models/{model}/fetch", f"measures/{model}/tiny/paper"}
        settings |= {f"nulls/{model}/tiny/paper"}
        settings |= {f"sequences/{model}/tiny", f"signals/{model}/tiny"}
    assert plan["write_slice"] == {f"Settings of {name}" for name in settings}


def test_a_dry_run_writes_no_results(tiny_project: Project):
    tiny_project.plan()
    assert not tiny_project.results.exists()


def test_a_second_run_has_nothing_to_do(finished: Project):
    done = finished.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_resolution_of_figures_reruns_figures_and_report_only(finished: Project):
    plan = finished.plan_with("figure.dpi=200")
    assert set(work(plan)) == {"plot_study", "write_report"}
    assert plan["write_slice"] == {"Settings of studies/tiny/figures"}


def test_intervals_rerun_the_aggregation_only(finished: Project):
    assert set(work(finished.plan_with("statistics.confidence=0.9"))) == {
        *AGGREGATION,
        "summarise_facts",
    }


def test_a_protocol_edit_runs_no_model(finished: Project):
    plan = work(finished.plan_with("protocol.paper.wavelet.name=db4"))
    assert set(plan) == {"measure_heads", "measure_nulls", *AGGREGATION}
    assert plan["measure_heads"] == chain(*MODELS)["measure_heads"]


def test_an_edit_of_one_model_reruns_that_model_only(copied: Project):
    copied.change("model/tiny-bert", "label: BERT", "label: Little BERT")
    assert work(copied.plan()) == chain("tiny-bert")


def test_a_new_model_runs_that_model_only(copied: Project):
    copied.yaml("model/tiny-twin").write_text(yaml.safe_dump(TWIN))
    copied.change("study/tiny", "- tiny-bert\n", "- tiny-bert\n- tiny-twin\n")
    # Nulls are made of trained models' signals; a twin is one itself.
    expected = chain("tiny-twin")
    del expected["measure_nulls"]
    assert work(copied.plan()) == expected


def test_a_claim_more_judges_again_and_makes_its_nulls(finished: Project):
    """H23 reads a measure more, and its null is there: all nulls of a cell are one job."""
    chosen = ",".join(CLAIMS)
    plan = work(finished.plan_with(f"study.claims=[{chosen},H23]"))
    assert set(plan) == {"measure_nulls", "judge_claims", "write_report"}
    assert plan["measure_nulls"] == nulls(*MODELS)
    # One that needs no signals but those there are is only judged.
    plan = work(finished.plan_with(f"study.claims=[{chosen},H02]"))
    assert set(plan) == {"judge_claims", "write_report"}


def test_settings_of_a_claim_judge_again_and_measure_nothing(finished: Project):
    for setting in ("claim.H01.test.smallest_effect=0.2", "statistics.resamples=500"):
        assert set(work(finished.plan_with(setting))) == {"judge_claims", "write_report"}


def test_settings_of_a_null_make_it_again(finished: Project):
    plan = work(finished.plan_with("null.iid.seed=1"))
    assert set(plan) == {"measure_nulls", "judge_claims", "write_report"}


def test_a_study_without_claims_plans_no_nulls(tiny_project: Project):
    plan = work(tiny_project.plan_with("study.claims=[]"))
    expected = {**chain(*MODELS), "build_corpus": {"Build corpus tiny"}}
    for rule in ("measure_nulls", "judge_claims"):
        del expected[rule]
    assert plan == expected


def test_a_model_less_runs_the_aggregation_only(finished: Project):
    assert set(work(finished.plan_with("study.models=[tiny-llama]"))) == {
        *AGGREGATION,
        "summarise_facts",
    }


def test_a_yaml_that_no_study_names_plans_nothing(copied: Project):
    copied.yaml("model/tiny-twin").write_text(yaml.safe_dump(TWIN))
    assert copied.plan() == {}


def test_comments_and_layout_of_yaml_plan_nothing(copied: Project):
    for path in (copied.folder / "conf").glob("*/*.yaml"):
        path.write_text("# A comment.\n" + path.read_text())
    assert copied.plan() == {}


def test_settings_of_speed_plan_nothing(finished: Project):
    assert finished.plan_with("runtime.batch_tokens=256", "runtime.device=cpu") == {}


def test_the_number_of_cores_plans_nothing(finished: Project):
    assert finished.plan("--cores", "1") == {}


def test_touching_the_settings_and_sources_plans_nothing(copied: Project):
    for path in (*copied.folder.glob("conf/**/*.yaml"), *copied.folder.glob("workflow/rules/*")):
        os.utime(path)
    assert copied.plan() == {}


def test_touching_small_results_plans_nothing(copied: Project):
    """Snakemake compares checksums of files below a megabyte, not times alone."""
    for path in copied.results.glob("**/*.json"):
        os.utime(path)
    assert copied.plan() == {}


def test_a_reverted_edit_plans_nothing(copied: Project):
    copied.change("model/tiny-bert", "label: BERT", "label: Little BERT")
    assert copied.plan() != {}
    copied.change("model/tiny-bert", "label: Little BERT", "label: BERT")
    assert copied.plan() == {}


def test_a_lost_report_is_written_again(copied: Project):
    (copied.study / "report.html").unlink()
    assert set(copied.plan()) == {"write_report"}


def test_a_named_run_is_apart(finished: Project):
    plan = finished.plan_with("run.name=variant")
    expected = {**chain(*MODELS), "build_corpus": {"Build corpus tiny"}}
    expected["write_report"] = {"Write results/variant/studies/tiny/report.html"}
    assert work(plan) == expected


def test_the_two_ways_of_config_agree(tiny_project: Project):
    short = tiny_project.plan("--config", "study=tiny")
    long = tiny_project.plan("--config", "hydra=study=tiny figure.dpi=200")
    assert short == long
    assert tiny_project.plan("--config", "study=tiny", "figure={dpi: 200}") == short


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("stuy=tiny", "unknown key 'stuy'; did you mean 'study'? allowed: figure, hydra, run, "),
        (
            "study=tin",
            "unknown study 'tin'; did you mean 'tiny'? "
            f"allowed: {', '.join(sorted([*options(ROOT / 'conf', 'study'), 'tiny']))}",
        ),
        ("hydra=study=tiny figure.dpii=3", "unknown key 'figure.dpii'; did you mean 'figure.dpi'?"),
        ("hydra=study=tiny figure.dpi=3", "dpi: input should be greater than or equal to 50"),
        ("hydra=study=tiny figure=fancy", "unknown figure 'fancy'; allowed: default"),
    ],
)
def test_a_typo_on_the_command_line_fails_before_any_job(
    tiny_project: Project, config: str, expected: str
):
    refused(tiny_project, expected, "--config", config)


def test_a_typo_in_yaml_fails_before_any_job(tiny_project: Project):
    tiny_project.change("corpus/tiny", "count:", "cout:")
    refused(tiny_project, "conf/corpus/tiny.yaml: ")


def refused(project: Project, expected: str, *arguments: str) -> None:
    done = project.snakemake(*arguments)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert expected in output
    assert "Traceback" not in output
    assert not project.results.exists()


def test_planning_needs_no_heavy_package(tiny_project: Project, tmp_path: Path):
    """Stand-ins that break on import lie in front of the real packages."""
    for name in ("torch", "transformers", "matplotlib", "pywt"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('planning imports {name}')\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = tiny_project.snakemake("-n", PYTHONPATH=paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Draw the figures" in done.stdout + done.stderr
    # The stand-ins do stand in front.
    shutil.copy(tmp_path / "torch.py", tiny_project.folder)
    assert tiny_project.call("torch").returncode != 0


def rules() -> dict[str, str]:
    """Name of a rule -> its text, of every rule that makes something."""
    found = {}
    for path in sorted((ROOT / "workflow/rules").glob("*.smk")):
        parts = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.MULTILINE)
        # Rules that a loop makes have no name of their own.
        texts = (text.split("\nfor ")[0] for text in parts[2::2])
        found |= dict(zip(parts[1::2], texts, strict=True))
    return found


def test_the_line_that_writes_settings_never_changes():
    """It is part of every later rerun decision: another line would rerun everyone's results."""
    assert "printf '%s\\\\n' {params.json:q} > {output:q} 2> {log:q}" in rules()["write_slice"]


def test_every_rule_has_a_log_a_message_and_one_shell_line():
    found = rules()
    assert len(found) == 23
    for name, text in found.items():
        for part in ("log:", "message:", "shell:"):
            assert f"    {part}\n" in text, f"{name} has no {part}"
        shell = text.split("    shell:\n")[1]
        assert len(re.findall(r'^        "', shell, flags=re.MULTILINE)) == 1, name
        assert "{log:q}" in shell, f"{name} does not use its log"


def test_every_rule_that_computes_says_how_much_memory_it_needs():
    for name, text in rules().items():
        assert name == "write_slice" or re.search(r"mem_mb=(\d+|need\()", text), name


def test_a_plan_says_what_each_job_asks_for(tiny_project: Project):
    done = tiny_project.snakemake("-n")
    jobs = re.findall(r"^Job \d+: (.*)$", done.stdout + done.stderr, flags=re.MULTILINE)
    jobs = [job for job in jobs if not job.startswith("Settings of ")]
    assert len(jobs) == 17, "\n".join(jobs)
    assert all(re.search(r" \(\d+ MB(, .*)?\)$", job) for job in jobs)
    extractions = [job for job in jobs if job.startswith("Extract signals of ")]
    assert all(re.search(r"MB, \d+ min, \d+ threads, 1 GPU\)$", job) for job in extractions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resources", "gpu=1", "gpus=2"), "asks for 2 GPUs, --resources gpu is 1"),
        (("limits.gpus=1", "gpus=3"), "asks for 3 GPUs, runtime.limits.gpus is 1"),
    ],
)
def test_more_gpus_than_there_are_is_refused(tiny_project: Project, arguments, message):
    options = [word for word in arguments if word.startswith("--") or word == "gpu=1"]
    keys = [f"runtime.{word}" for word in arguments if word not in options]
    hydra = f"hydra={' '.join(('study=tiny', *keys))}"
    done = tiny_project.snakemake("-n", *options, "--config", hydra)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_cluster_gets_what_neither_fetches_nor_takes_seconds():
    """Local rules are those that fetch or take seconds; a cluster gets the rest."""
    away = {name for name, text in rules().items() if "localrule: True" not in text}
    assert away == {
        "extract_shard",
        "extract_signals",
        "measure_heads",
        "measure_nulls",
        "judge_claims",
        "prepare_recipe",
        "train_model",
        "change_attention",
        "compare_series",
    }


def test_only_what_runs_a_model_asks_for_a_gpu_and_no_rule_names_a_cluster_or_retries():
    found = rules()
    assert {name for name, text in found.items() if "gpu=" in text} == {
        "extract_shard",
        "extract_signals",
        "train_model",
        "change_attention",
    }
    for name, text in found.items():
        assert not re.search(r"slurm|partition|account|retries|gres", text), name


def test_the_workflow_has_captions_for_every_figure():
    names = yaml.safe_load((ROOT / "conf/study/quickstart.yaml").read_text())["figures"]
    for name in names:
        assert (ROOT / f"workflow/report/{name}.rst").stat().st_size > 100
