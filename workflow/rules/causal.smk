# Attention changed while a model runs: what does the loss say?


rule change_attention:
    input:
        config=f"{RESULTS}/causal/{{model}}/{{corpus}}.json",
        manifest=f"{RESULTS}/models/{{model}}/manifest.json",
        weights=weights_of,
        sequences=f"{RESULTS}/sequences/{{model}}/{{corpus}}.zarr.zip",
        heads=heads_of_bands,
        signals=f"{RESULTS}/signals/{{model}}/{{corpus}}.zarr.zip",
        code=sources("change_attention"),
    output:
        table=f"{RESULTS}/causal/{{model}}/{{corpus}}.parquet",
    log:
        f"{LOGS}/change_attention/{{model}}/{{corpus}}.log",
    benchmark:
        f"{LOGS}/change_attention/{{model}}/{{corpus}}.tsv"
    threads: changing_threads
    resources:
        mem_mb=need("change", "mem_mb"),
        runtime=need("change", "runtime"),
        gpu=need("change", "gpu"),
        device=RUNTIME.device,
    # No output, so that a job that was killed goes on.
    params:
        work=f"{RESULTS}/causal/{{model}}/.{{corpus}}.work",
    message:
        "Change attention of {wildcards.model} on {wildcards.corpus} ({resources.mem_mb} MB, {resources.runtime} min, {resources.gpu} GPU)"
    shell:
        "python -m attention_wavelets change-attention --config {input.config:q} --manifest {input.manifest:q} --sequences {input.sequences:q} --heads {input.heads:q} --signals {input.signals:q} --out {output.table:q} --work {params.work:q} --device {resources.device} --gpus {resources.gpu} --threads {threads} --log {log:q}"


rule summarise_changes:
    input:
        config=f"{STUDY}/causal.json",
        tables=changed_tables(),
        code=sources("summarise_changes"),
    output:
        causal=f"{STUDY}/causal.csv",
    log:
        f"{LOGS}/summarise_changes/{EXPERIMENT.study_name}.log",
    benchmark:
        f"{LOGS}/summarise_changes/{EXPERIMENT.study_name}.tsv"
    localrule: True
    resources:
        mem_mb=1000,
    message:
        "Sum up changes of attention ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets summarise-changes --config {input.config:q} --tables {input.tables:q} --out {output.causal:q} --log {log:q}"
