# Compose the study once; everything the rules need from it has a name here. No rules.

import os
import re
import shlex
import signal
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    from attention_wavelets.config.checkpoints import runs_of
    from attention_wavelets.config.compose import compose, overrides_from_config
    from attention_wavelets.config.lock import LOCK_FILE, read_lock
    from attention_wavelets.config.slices import canonical, slices, slices_by_stage
    from attention_wavelets.config.sources import stage_sources
    from attention_wavelets.config.variants import chunks
    from attention_wavelets.errors import PipelineError
    from attention_wavelets.interrupts import handle_in_a_thread
    from attention_wavelets.resources.jobs import CORES, Needs, built_texts, fetched_facts, sizes_of
    from attention_wavelets.resources.limits import refuse_too_large, refuse_too_many_gpus
    from attention_wavelets.resources.shards import split_of
    from attention_wavelets.resources.waits import noted_waits, waits
    from attention_wavelets.slurm import with_gpus
except ImportError as error:
    raise WorkflowError(
        f"{error}; install the package first: pip install -c constraints.txt -e ."
    ) from None

CONF = Path(workflow.basedir) / "conf"
try:
    EXPERIMENT = compose(overrides_from_config(config), CONF)
    SLICES = slices(EXPERIMENT, read_lock(CONF / LOCK_FILE))
except PipelineError as error:
    raise WorkflowError(str(error)) from None

RUN = EXPERIMENT.run.name
RESULTS = f"results/{RUN}" if RUN else "results"
FACTS = fetched_facts(Path(RESULTS))
NEEDS = Needs(EXPERIMENT, FACTS, built_texts(Path(RESULTS)))
try:
    refuse_too_large(NEEDS)
    given = workflow.resource_settings.resources.get("gpu")
    refuse_too_many_gpus(NEEDS, given and given.value)
except PipelineError as error:
    raise WorkflowError(str(error)) from None
UNSIZED = [m for m in EXPERIMENT.study.models if sizes_of(EXPERIMENT, m, FACTS) is None]
if UNSIZED and workflow.is_main_process:
    logger.warning(
        f"no sizes of {', '.join(UNSIZED)}: not fetched, and no `architecture` in the YAML; "
        "their jobs ask for what a model of a billion parameters takes"
    )
STUDY = f"{RESULTS}/studies/{EXPERIMENT.study_name}"
LOGS = f"{RESULTS}/logs"
RUNTIME = EXPERIMENT.runtime
# `python` in a shell line is the interpreter that runs Snakemake, so that an environment need not
# be activated; its path is no part of the line, so moving the environment reruns nothing.
shell.prefix(f'set -euo pipefail; python() {{{{ {shlex.quote(sys.executable)} "$@"; }}}}; ')


# Settings that a study varies are measured many in one job, everything else one by one.
CHUNKS = chunks(EXPERIMENT.study.measurements, EXPERIMENT.variants, RUNTIME.chunk)
SINGLE = sorted(set(EXPERIMENT.protocol) - set(EXPERIMENT.variants))


# Training runs of the study, each with the models that are its checkpoints; the other models come
# from elsewhere, and each has jobs of its own.
RUNS = {run: list(models.values()) for run, models in runs_of(EXPERIMENT).items()}
TRAINED = {model for models in RUNS.values() for model in models}
FETCHED = "|".join(re.escape(name) for name in EXPERIMENT.model if name not in TRAINED) or "none"

# Their settings are written together: (run, stage, slices), a slice for each checkpoint.
SLICES_OF_RUNS = [
    (run, re.sub("[^a-z0-9]+", "_", "_".join(pattern)), list(names))
    for run, models in RUNS.items()
    for pattern, names in slices_by_stage(SLICES, models).items()
]
OF_NO_RUN = rf"(?!(models|sequences|signals|measures)/({'|'.join(map(re.escape, RUNS)) or 'none'})-step\d+/)"


wildcard_constraints:
    model="|".join(map(re.escape, EXPERIMENT.model)),
    # With those parts of a text that models are trained on.
    corpus="|".join(
        map(
            re.escape,
            [
                *EXPERIMENT.corpus,
                *(f"{c}.training" for r in EXPERIMENT.recipe.values() for c in r.corpora),
            ],
        )
    ),
    run="|".join(map(re.escape, RUNS)) or "none",
    recipe="|".join(map(re.escape, EXPERIMENT.recipe)) or "none",
    protocol="|".join(map(re.escape, EXPERIMENT.protocol)),


def sources(stage):
    """The stage's modules, relative so that a moved checkout reruns nothing."""
    return [os.path.relpath(path) for path in stage_sources(stage)]


def get_slice(wildcards):
    """The settings that decide one file, as one canonical line."""
    return canonical(SLICES[wildcards.slice])


def documents_of(recipe, part=""):
    """Documents of a recipe's corpora that are held out, or with a part, those it trains on."""
    corpora = EXPERIMENT.recipe[recipe].corpora
    return expand(f"{RESULTS}/corpora/{{corpus}}{part}/documents.parquet", corpus=corpora)


def of_recipe(run, name):
    """A file of the recipe of a training run."""
    recipe = EXPERIMENT.model[RUNS[run][0]].source.recipe
    return f"{RESULTS}/recipes/{recipe}/{name}"


FAMILY = {model: name for name, models in EXPERIMENT.families.items() for model in models}


def audited(wildcards):
    """What must be there before a checkpoint is fetched; a later audit fetches nothing again."""
    if wildcards.model not in FAMILY:
        return []
    return ancient(f"{RESULTS}/models/{FAMILY[wildcards.model]}/audited.json")


# Models with the same weights, such as two types of one revision: they come and go together.
SHARING = {}
for name in EXPERIMENT.study.models:
    SHARING.setdefault(canonical(EXPERIMENT.model[name].source.model_dump()), []).append(name)
SHARING = {name: names for names in SHARING.values() for name in names}

# Models whose weights leave the disk again, in the order in which they are fetched.
EVICTED = [
    name
    for name in EXPERIMENT.study.models
    if not any(EXPERIMENT.model[other].keep_weights for other in SHARING[name])
]
WAITS = waits(
    EXPERIMENT.study.models,
    EVICTED,
    noted_waits(Path(f"{RESULTS}/models"), EXPERIMENT.study.models),
    RUNTIME.checkpoints_on_disk,
)


def weights_of(wildcards):
    """Weights that an extraction needs; once they were used they may go."""
    if EXPERIMENT.model[wildcards.model].source.kind != "hub":
        return []
    return ancient(f"{RESULTS}/models/{wildcards.model}/weights.json")


def room(wildcards):
    """What must be gone before weights are fetched that are not kept."""
    before = WAITS[wildcards.model]
    note = f"{RESULTS}/models/{before}/evicted.json"
    # Of a model that is kept by now, or of another study, the note may be there or not.
    return ancient(note) if before in EVICTED or Path(note).is_file() else []


def signals_of_model(wildcards):
    """Every signal store made with the weights of a model."""
    corpora = dict.fromkeys(cell.corpus for cell in EXPERIMENT.study.measurements)
    return expand(
        f"{RESULTS}/signals/{{model}}/{{corpus}}.zarr.zip",
        model=SHARING[wildcards.model],
        corpus=corpora,
    )


def extraction_threads(_wildcards):
    """Cores of one extraction: as set, else all of this machine, else a few of a node."""
    return RUNTIME.threads or workflow.cores or CORES


def changing_threads(wildcards):
    """Small models gain nothing from a second thread; then as many run side by side."""
    return 1 if wildcards.model in TRAINED else extraction_threads(wildcards)


def extraction_split(wildcards):
    """Parts of an extraction, and the note of it that its packing leaves."""
    model, corpus = wildcards.model, wildcards.corpus
    keys = [f"models/{model}/fetch", f"corpora/{corpus}/build"]
    keys += [f"{stage}/{model}/{corpus}" for stage in ("sequences", "signals")]
    work = Path(f"{RESULTS}/signals/{model}/.{corpus}.work")
    return split_of(work, [canonical(SLICES[key]) for key in keys], RUNTIME.shards)


def extraction_shards(wildcards):
    """Parts that must be there before signals are packed; none where one job does it all."""
    count, _ = extraction_split(wildcards)
    folder = f"{RESULTS}/signals/{wildcards.model}/.{wildcards.corpus}.shards"
    return [f"{folder}/{n}-of-{count}.done" for n in range(count)] if count > 1 else []


def need(stage, key, *chunk):
    """A resource of a job, told from the sizes of its model; more with every attempt."""
    tell = {
        "extract": lambda w, threads: NEEDS.extraction(w.model, w.corpus, threads, int(w.of)),
        "pack": lambda w, threads: NEEDS.packing(
            w.model, w.corpus, threads, extraction_split(w)[0]
        ),
        "measure": lambda w, threads: NEEDS.measuring(w.model, w.corpus, [w.protocol]),
        "settings": lambda w, threads: NEEDS.measuring(w.model, *chunk),
        "nulls": lambda w, threads: NEEDS.nulls(w.model, w.corpus, w.protocol),
        "encode": lambda w, threads: NEEDS.encoding(w.model, w.corpus),
        "judge": lambda w, threads: NEEDS.judging(),
        "change": lambda w, threads: NEEDS.changing(w.model, w.corpus, threads),
        "prepare": lambda w, threads: NEEDS.preparing(w.recipe),
        "train": lambda w, threads: NEEDS.training(RUNS[w.run][0]),
        "checkpoints": lambda w, threads: NEEDS.extraction(
            chunk[0][-1], w.corpus, threads, times=len(chunk[0])
        ),
        "measures": lambda w, threads: NEEDS.measuring(
            chunk[0][-1], w.corpus, [w.protocol], times=len(chunk[0])
        ),
    }[stage]

    def resource(wildcards, threads, attempt):
        return getattr(tell(wildcards, threads).grown(attempt), key)

    return resource


def send_to_gpus(rules):
    """Have jobs that ask for a GPU differ from others as the profile says, whatever their rule."""
    settings = workflow.resource_settings
    # As the profile writes them: Snakemake evaluates them for each job.
    usual = {
        key: str(getattr(value, "raw", value)).strip("\"'")
        for key, value in (settings.default_resources or {}).items()
    }
    for asking in [one for one in rules if "gpu" in one.resources]:
        gpu = asking.resources["gpu"]
        own = settings.overwrite_resources.get(asking.name, {})
        for name in with_gpus(usual, 1).keys() - own.keys():
            asking.resources[name] = on_gpus(name, gpu, usual)


def on_gpus(name, gpu, usual):
    """A resource of a job, whose request for GPUs decides whether it is the usual one."""

    def resource(wildcards, threads, attempt):
        asked = gpu.evaluate(wildcards, threads=threads, attempt=attempt).value
        return {**usual, "gpu": asked, **with_gpus(usual, asked)}.get(name)

    return resource


def look_for_work_at_ends_of_jobs():
    """Lift the usual limit of 100 jobs a second, with which Snakemake looks ever more often.

    Version 9.27 looks again a second after every look, and each end of a job adds a look: after a
    hundred jobs that takes half a core. A limit that somebody set stays.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def cells(pattern):
    """A path for every model, corpus and protocol of the study."""
    rows = SLICES[f"studies/{EXPERIMENT.study_name}/aggregate"]["cells"]
    return [pattern.format(results=RESULTS, **row) for row in rows]


def fact_cells(pattern):
    """A path for every model and corpus whose facts the study asks for."""
    rows = SLICES[f"studies/{EXPERIMENT.study_name}/facts"]["cells"]
    return [pattern.format(results=RESULTS, **row) for row in rows]


def claim_cells(pattern):
    """A path for every model, corpus and protocol that claims are judged by."""
    rows = SLICES[f"studies/{EXPERIMENT.study_name}/claims"]["cells"]
    return [pattern.format(results=RESULTS, **row) for row in rows]


def null_cells(pattern):
    """A path for every model, corpus and protocol of which claims need null signals."""
    rows = SLICES[f"studies/{EXPERIMENT.study_name}/claims"]["null_cells"]
    return [pattern.format(results=RESULTS, **row) for row in rows]


def heads_of_bands(wildcards):
    """Measures that say which heads put their power into which band."""
    protocol = EXPERIMENT.study.causal.protocol
    return f"{RESULTS}/measures/{wildcards.model}/{wildcards.corpus}/{protocol}/heads.parquet"


def changed_tables():
    """A path for every model whose attention the study changes."""
    asked = EXPERIMENT.study.causal
    return (
        [f"{RESULTS}/causal/{model}/{asked.corpus}.parquet" for model in asked.models]
        if asked
        else []
    )


def of_series(pattern, models=None):
    """A path for every corpus of known scale and each model, or the first `models` of them."""
    found = SLICES.get(f"studies/{EXPERIMENT.study_name}/series", {"corpora": {}, "models": []})
    return [
        pattern.format(results=RESULTS, corpus=corpus, model=model)
        for corpus in sorted(found["corpora"])
        for model in found["models"][:models]
    ]


def manifests(_wildcards):
    """The manifest of every model of the study."""
    return expand(f"{RESULTS}/models/{{model}}/manifest.json", model=EXPERIMENT.study.models)


def figure_files():
    """Every figure in every format, captioned for `snakemake --report`."""
    folder = Path(workflow.basedir) / "workflow" / "report"
    flagged = []
    for name in EXPERIMENT.study.figures:
        options = {"caption": str(folder / f"{name}.rst"), "category": "Figures"}
        for format in EXPERIMENT.figure.formats:
            labels = {"figure": name.replace("_", " "), "format": format}
            path = f"{STUDY}/figures/{name}.{format}"
            flagged.append(report(path, labels=labels, **options))
    return flagged
