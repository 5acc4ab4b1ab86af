# The only rules that run a model. Their work folder is no output, so a killed job goes on.


# One part of the sequences, where `runtime.shards` splits an extraction; nothing is packed yet.
rule extract_shard:
    input:
        config=f"{RESULTS}/signals/{{model}}/{{corpus}}.json",
        manifest=rules.fetch_model.output.manifest,
        weights=weights_of,
        sequences=rules.encode_sequences.output.sequences,
        code=sources("extract_signals"),
    output:
        done=temp(f"{RESULTS}/signals/{{model}}/.{{corpus}}.shards/{{shard}}-of-{{of}}.done"),
    log:
        f"{LOGS}/extract_shard/{{model}}/{{corpus}}/{{shard}}-of-{{of}}.log",
    benchmark:
        f"{LOGS}/extract_shard/{{model}}/{{corpus}}/{{shard}}-of-{{of}}.tsv"
    wildcard_constraints:
        shard=r"\d+",
        of=r"\d+",
    threads: extraction_threads
    resources:
        mem_mb=need("extract", "mem_mb"),
        runtime=need("extract", "runtime"),
        gpu=need("extract", "gpu"),
        device=RUNTIME.device,
        batch_tokens=RUNTIME.batch_tokens,
    params:
        work=f"{RESULTS}/signals/{{model}}/.{{corpus}}.work",
    message:
        "Extract shard {wildcards.shard} of {wildcards.of}: {wildcards.model} on {wildcards.corpus} ({resources.mem_mb} MB, {resources.runtime} min, {threads} threads, {resources.gpu} GPU)"
    shell:
        "python -m attention_wavelets extract-shard --config {input.config:q} --manifest {input.manifest:q} --sequences {input.sequences:q} --out {output.done:q} --work {params.work:q} --shard {wildcards.shard} --of {wildcards.of} --device {resources.device} --batch-tokens {resources.batch_tokens} --gpus {resources.gpu} --threads {threads} --log {log:q}"


rule extract_signals:
    input:
        config=f"{RESULTS}/signals/{{model}}/{{corpus}}.json",
        manifest=rules.fetch_model.output.manifest,
        weights=weights_of,
        sequences=rules.encode_sequences.output.sequences,
        shards=extraction_shards,
        code=sources("extract_signals"),
    output:
        signals=f"{RESULTS}/signals/{{model}}/{{corpus}}.zarr.zip",
    log:
        f"{LOGS}/extract_signals/{{model}}/{{corpus}}.log",
    benchmark:
        f"{LOGS}/extract_signals/{{model}}/{{corpus}}.tsv"
    wildcard_constraints:
        model=FETCHED,
    threads: extraction_threads
    # Unlike params, resources are no reason to run again: these change the speed only.
    resources:
        mem_mb=need("pack", "mem_mb"),
        runtime=need("pack", "runtime"),
        gpu=need("pack", "gpu"),
        device=RUNTIME.device,
        batch_tokens=RUNTIME.batch_tokens,
        split=lambda wildcards: extraction_split(wildcards)[1],
    params:
        work=f"{RESULTS}/signals/{{model}}/.{{corpus}}.work",
    message:
        "Extract signals of {wildcards.model} on {wildcards.corpus} ({resources.mem_mb} MB, {resources.runtime} min, {threads} threads, {resources.gpu} GPU)"
    shell:
        "python -m attention_wavelets extract-signals --config {input.config:q} --manifest {input.manifest:q} --sequences {input.sequences:q} --out {output.signals:q} --work {params.work:q} --split {resources.split} --device {resources.device} --batch-tokens {resources.batch_tokens} --gpus {resources.gpu} --threads {threads} --log {log:q}"
