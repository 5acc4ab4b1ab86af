# attention-wavelets: what is studied stands in conf/, how one stage works in workflow/rules/.
# `snakemake --cores all` runs the study `quickstart`; `--config study=<name>` another one.
# On a workstation with a GPU: `--profile workflow/profiles/workstation`.

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/slices.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/corpora.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/signals.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/causal.smk"
include: "workflow/rules/series.smk"
include: "workflow/rules/studies.smk"


rule all:
    default_target: True
    input:
        f"{STUDY}/report.html",
        [f"{STUDY}/facts.parquet"] if EXPERIMENT.study.facts else [],
        [f"{STUDY}/claims.csv"] if EXPERIMENT.study.claims else [],
        [f"{STUDY}/causal.csv"] if EXPERIMENT.study.causal else [],
        [f"{STUDY}/series.csv"] if EXPERIMENT.study.series else [],
        expand(f"{RESULTS}/models/{{model}}/evicted.json", model=EVICTED),


send_to_gpus(workflow.rules)


# A signal to end must be heard at any moment; and a run that was killed leaves jobs in the queue, whose
# work a second run would do beside them.
onstart:
    handle_in_a_thread(signal.SIGTERM)
    look_for_work_at_ends_of_jobs()
    if workflow.executor_plugin.name == "slurm":
        shell("python -m attention_wavelets cluster-check --orphans")
