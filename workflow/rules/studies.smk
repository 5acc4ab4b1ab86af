# All models of a study together: tables, figures, report.


rule aggregate_study:
    input:
        config=STUDY + "/aggregate.json",
        manifests=manifests,
        measures=cells("{results}/measures/{model}/{corpus}/{protocol}/heads.parquet"),
        summaries=cells("{results}/measures/{model}/{corpus}/{protocol}/model.parquet"),
        pairs=cells("{results}/measures/{model}/{corpus}/{protocol}/pairs.parquet"),
        code=stage_sources("aggregate_study"),
    output:
        heads=STUDY + "/heads.parquet",
        models=STUDY + "/models.csv",
        pairs=STUDY + "/pairs.parquet",
    log:
        LOGS + f"/aggregate_study/{EXPERIMENT.study_name}.log",
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Join the measures of every model"
    shell:
        "{PYTHON} -m attention_wavelets aggregate-study --config {input.config:q} --manifests {input.manifests:q} --measures $(dirname {input.measures:q}) --heads {output.heads:q} --models {output.models:q} --pairs {output.pairs:q} --log {log:q}"


rule plot_study:
    input:
        config=STUDY + "/figures.json",
        heads=rules.aggregate_study.output.heads,
        models=rules.aggregate_study.output.models,
        pairs=rules.aggregate_study.output.pairs,
        code=stage_sources("plot_study"),
    output:
        figures=figure_files(),
    log:
        LOGS + f"/plot_study/{EXPERIMENT.study_name}.log",
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Draw the figures"
    shell:
        "{PYTHON} -m attention_wavelets plot-study --config {input.config:q} --heads {input.heads:q} --models {input.models:q} --pairs {input.pairs:q} --out {STUDY}/figures --log {log:q}"


rule write_report:
    input:
        config=STUDY + "/report.json",
        manifests=manifests,
        signals=cells("{results}/signals/{model}/{corpus}.zarr.zip"),
        heads=rules.aggregate_study.output.heads,
        models=rules.aggregate_study.output.models,
        pairs=rules.aggregate_study.output.pairs,
        figures=rules.plot_study.output.figures,
        code=stage_sources("write_report"),
    output:
        page=report(STUDY + "/report.html", category="Report"),
    log:
        LOGS + f"/write_report/{EXPERIMENT.study_name}.log",
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Write {output.page}"
    shell:
        "{PYTHON} -m attention_wavelets write-report --config {input.config:q} --manifests {input.manifests:q} --signals {input.signals:q} --heads {input.heads:q} --models {input.models:q} --pairs {input.pairs:q} --figures {STUDY}/figures --out {output.page:q} --log {log:q}"
