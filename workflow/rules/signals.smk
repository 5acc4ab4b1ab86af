# The only rule that runs a model. Its work folder is no output, so a killed job goes on.


rule extract_signals:
    input:
        config=f"{RESULTS}/signals/{{model}}/{{corpus}}.json",
        manifest=rules.fetch_model.output.manifest,
        sequences=rules.encode_sequences.output.sequences,
        code=sources("extract_signals"),
    output:
        signals=f"{RESULTS}/signals/{{model}}/{{corpus}}.zarr.zip",
    log:
        f"{LOGS}/extract_signals/{{model}}/{{corpus}}.log",
    benchmark:
        f"{LOGS}/extract_signals/{{model}}/{{corpus}}.tsv"
    threads: extraction_threads
    # Unlike params, resources are no reason to run again: these change the speed only.
    resources:
        mem_mb=need("extract", "mem_mb"),
        runtime=need("extract", "runtime"),
        gpu=need("extract", "gpu"),
        device=RUNTIME.device,
        batch_tokens=RUNTIME.batch_tokens,
    params:
        work=f"{RESULTS}/signals/{{model}}/.{{corpus}}.work",
    message:
        "Extract signals of {wildcards.model} on {wildcards.corpus} ({resources.mem_mb} MB, {resources.runtime} min, {threads} threads, {resources.gpu} GPU)"
    shell:
        "python -m attention_wavelets extract-signals --config {input.config:q} --manifest {input.manifest:q} --sequences {input.sequences:q} --out {output.signals:q} --work {params.work:q} --device {resources.device} --batch-tokens {resources.batch_tokens} --threads {threads} --log {log:q}"
