# Series whose scales are known: do heads find them?


rule find_scales:
    input:
        config=f"{STUDY}/scales.json",
        documents=of_known_scale("{results}/corpora/{corpus}/documents.parquet", models=1),
        sequences=of_known_scale("{results}/sequences/{model}/{corpus}.zarr.zip"),
        signals=of_known_scale("{results}/signals/{model}/{corpus}.zarr.zip"),
        code=sources("find_scales"),
    output:
        scales=f"{STUDY}/scales.csv",
        spectra=f"{STUDY}/scales_spectra.csv",
    log:
        f"{LOGS}/find_scales/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/find_scales/{EXPERIMENT.study_name}.tsv"
    resources:
        mem_mb=3000,
        runtime=30,
    message:
        "Compare attention with known scales ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets find-scales --config {input.config:q} --documents {input.documents:q} --sequences {input.sequences:q} --signals {input.signals:q} --scales {output.scales:q} --spectra {output.spectra:q} --log {log:q}"
