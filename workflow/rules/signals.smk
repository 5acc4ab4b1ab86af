# The only rule that runs a model. Its work folder is no output, so a killed job goes on.


rule extract_signals:
    input:
        config=RESULTS + "/signals/{model}/{corpus}.json",
        manifest=rules.fetch_model.output.manifest,
        sequences=rules.encode_sequences.output.sequences,
        code=stage_sources("extract_signals"),
    output:
        signals=RESULTS + "/signals/{model}/{corpus}.zarr.zip",
    log:
        LOGS + "/extract_signals/{model}/{corpus}.log",
    threads: workflow.cores
    resources:
        mem_mb=4000,
    message:
        "Extract signals of {wildcards.model} on {wildcards.corpus}"
    shell:
        "{PYTHON} -m attention_wavelets extract-signals --config {input.config:q} --manifest {input.manifest:q} --sequences {input.sequences:q} --out {output.signals:q} --work {RESULTS}/signals/{wildcards.model}/.{wildcards.corpus}.work --device {RUNTIME.device} --batch-tokens {RUNTIME.batch_tokens} --threads {threads} --log {log:q}"
