# All models of a study together: tables, figures, report.


rule aggregate_study:
    input:
        config=f"{STUDY}/aggregate.json",
        manifests=manifests,
        measures=cells("{results}/measures/{model}/{corpus}/{protocol}/heads.parquet"),
        summaries=cells("{results}/measures/{model}/{corpus}/{protocol}/model.parquet"),
        pairs=cells("{results}/measures/{model}/{corpus}/{protocol}/pairs.parquet"),
        code=sources("aggregate_study"),
    output:
        heads=f"{STUDY}/heads.parquet",
        models=f"{STUDY}/models.csv",
        pairs=f"{STUDY}/pairs.parquet",
        summary=f"{STUDY}/summary.parquet",
    log:
        f"{LOGS}/aggregate_study/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/aggregate_study/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Join the measures of every model ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets aggregate-study --config {input.config:q} --manifests {input.manifests:q} --measures $(dirname {input.measures:q}) --heads {output.heads:q} --models {output.models:q} --pairs {output.pairs:q} --summary {output.summary:q} --log {log:q}"


rule summarise_facts:
    input:
        config=f"{STUDY}/facts.json",
        signals=fact_cells("{results}/signals/{model}/{corpus}.zarr.zip"),
        code=sources("summarise_facts"),
    output:
        facts=f"{STUDY}/facts.parquet",
    log:
        f"{LOGS}/summarise_facts/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/summarise_facts/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Average the facts of every head ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets summarise-facts --config {input.config:q} --signals {input.signals:q} --out {output.facts:q} --log {log:q}"


# Models trained here: what size, encoding and training change in them.
rule compare_runs:
    input:
        config=f"{STUDY}/runs.json",
        manifests=manifests,
        heads=rules.aggregate_study.output.heads,
        summary=rules.aggregate_study.output.summary,
        facts=rules.summarise_facts.output.facts if EXPERIMENT.study.facts else [],
        code=sources("compare_runs"),
    output:
        runs=f"{STUDY}/runs.csv",
        changes=f"{STUDY}/changes.csv",
        phases=f"{STUDY}/phases.csv",
    log:
        f"{LOGS}/compare_runs/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/compare_runs/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=2000,
    message:
        "Compare training runs ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets compare-runs --config {input.config:q} --manifests {input.manifests:q} --heads {input.heads:q} --summary {input.summary:q} --facts {input.facts:q} --runs {output.runs:q} --changes {output.changes:q} --phases {output.phases:q} --log {log:q}"


rule compare_tables:
    input:
        config=f"{STUDY}/nearest.json",
        summary=rules.aggregate_study.output.summary,
        code=sources("compare_tables"),
    output:
        cells=f"{STUDY}/cells.csv",
        nearest=f"{STUDY}/nearest.csv",
        reproduction=f"{STUDY}/reproduction.csv",
    log:
        f"{LOGS}/compare_tables/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/compare_tables/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1000,
    message:
        "Compare with the published tables ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets compare-tables --config {input.config:q} --summary {input.summary:q} --cells {output.cells:q} --nearest {output.nearest:q} --reproduction {output.reproduction:q} --log {log:q}"


rule judge_claims:
    input:
        config=f"{STUDY}/claims.json",
        manifests=manifests,
        heads=claim_cells("{results}/measures/{model}/{corpus}/{protocol}/heads.parquet"),
        layers=claim_cells("{results}/measures/{model}/{corpus}/{protocol}/layers.parquet"),
        model=claim_cells("{results}/measures/{model}/{corpus}/{protocol}/model.parquet"),
        nulls=null_cells("{results}/nulls/{model}/{corpus}/{protocol}/heads.parquet"),
        null_layers=null_cells("{results}/nulls/{model}/{corpus}/{protocol}/layers.parquet"),
        code=sources("judge_claims"),
    output:
        claims=f"{STUDY}/claims.csv",
        by_model=f"{STUDY}/claims_by_model.csv",
    log:
        f"{LOGS}/judge_claims/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/judge_claims/{EXPERIMENT.study_name}.tsv"
    resources:
        mem_mb=need("judge", "mem_mb"),
        runtime=need("judge", "runtime"),
    params:
        measures=lambda wildcards, input: [str(Path(path).parent) for path in input.heads],
        nulls=lambda wildcards, input: [str(Path(path).parent) for path in input.nulls],
    message:
        "Judge the claims ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets judge-claims --config {input.config:q} --manifests {input.manifests:q} --measures {params.measures:q} --nulls {params.nulls:q} --claims {output.claims:q} --by-model {output.by_model:q} --log {log:q}"


rule plot_study:
    input:
        config=f"{STUDY}/figures.json",
        heads=rules.aggregate_study.output.heads,
        models=rules.aggregate_study.output.models,
        pairs=rules.aggregate_study.output.pairs,
        runs=rules.compare_runs.output.runs if RUNS else [],
        causal=rules.summarise_changes.output.causal if EXPERIMENT.study.causal else [],
        series=rules.compare_series.output if EXPERIMENT.study.series else [],
        code=sources("plot_study"),
    output:
        figures=figure_files(),
    log:
        f"{LOGS}/plot_study/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/plot_study/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1500,
    params:
        folder=lambda wildcards, output: str(Path(output.figures[0]).parent),
    message:
        "Draw the figures ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets plot-study --config {input.config:q} --heads {input.heads:q} --models {input.models:q} --pairs {input.pairs:q} --runs {input.runs:q} --causal {input.causal:q} --series {input.series:q} --out {params.folder:q} --log {log:q}"


rule write_report:
    input:
        config=f"{STUDY}/report.json",
        manifests=manifests,
        corpora=expand(f"{RESULTS}/corpora/{{corpus}}/manifest.json", corpus=EXPERIMENT.corpus),
        # Once each, though several protocols measure it: the line has a longest length.
        signals=list(dict.fromkeys(cells("{results}/signals/{model}/{corpus}.zarr.zip"))),
        heads=rules.aggregate_study.output.heads,
        models=rules.aggregate_study.output.models,
        pairs=rules.aggregate_study.output.pairs,
        summary=rules.aggregate_study.output.summary,
        nearest=rules.compare_tables.output.nearest,
        reproduction=rules.compare_tables.output.reproduction,
        claims=rules.judge_claims.output.claims if EXPERIMENT.study.claims else [],
        compared=rules.compare_runs.output if RUNS else [],
        causal=rules.summarise_changes.output.causal if EXPERIMENT.study.causal else [],
        series=rules.compare_series.output if EXPERIMENT.study.series else [],
        figures=rules.plot_study.output.figures,
        code=sources("write_report"),
    output:
        page=report(f"{STUDY}/report.html", category="Report"),
    log:
        f"{LOGS}/write_report/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/write_report/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1500,
    params:
        folder=lambda wildcards, input: str(Path(input.figures[0]).parent),
    message:
        "Write {output.page} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets write-report --config {input.config:q} --manifests {input.manifests:q} --corpora {input.corpora:q} --signals {input.signals:q} --heads {input.heads:q} --models {input.models:q} --pairs {input.pairs:q} --summary {input.summary:q} --nearest {input.nearest:q} --reproduction {input.reproduction:q} --figures {params.folder:q} --out {output.page:q} --claims {input.claims:q} --compared {input.compared:q} --causal {input.causal:q} --series {input.series:q} --log {log:q}"
