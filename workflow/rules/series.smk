# Series whose scales are known: do heads find them?


rule compare_series:
    input:
        config=f"{STUDY}/series.json",
        documents=of_series("{results}/corpora/{corpus}/documents.parquet", models=1),
        sequences=of_series("{results}/sequences/{model}/{corpus}.zarr.zip"),
        signals=of_series("{results}/signals/{model}/{corpus}.zarr.zip"),
        code=sources("compare_series"),
    output:
        answers=f"{STUDY}/series.csv",
        spectra=f"{STUDY}/series_spectra.csv",
    log:
        f"{LOGS}/compare_series/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/compare_series/{EXPERIMENT.study_name}.tsv"
    resources:
        mem_mb=3000,
        runtime=30,
    message:
        "Compare attention with known scales ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets compare-series --config {input.config:q} --documents {input.documents:q} --sequences {input.sequences:q} --signals {input.signals:q} --answers {output.answers:q} --spectra {output.spectra:q} --log {log:q}"
