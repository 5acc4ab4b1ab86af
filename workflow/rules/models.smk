# Weights, tokenizer and architecture facts.


# Before a training run is fetched: are its checkpoints what their names say?
rule audit_checkpoints:
    input:
        config=f"{RESULTS}/models/{{family}}/audit.json",
        code=sources("audit_checkpoints"),
    output:
        checked=f"{RESULTS}/models/{{family}}/audited.json",
    log:
        f"{LOGS}/audit_checkpoints/{{family}}.log",
    benchmark:
        f"{LOGS}/audit_checkpoints/{{family}}.tsv"
    wildcard_constraints:
        family="|".join(map(re.escape, EXPERIMENT.families)) or "none",
    localrule: True
    resources:
        mem_mb=500,
        ask="hub" if RUNTIME.audit else "nobody",
    message:
        "Audit the checkpoints of {wildcards.family} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets audit-checkpoints --config {input.config:q} --ask {resources.ask} --out {output.checked:q} --log {log:q}"


rule fetch_model:
    input:
        config=f"{RESULTS}/models/{{model}}/fetch.json",
        audited=audited,
        code=sources("fetch_model"),
    output:
        manifest=f"{RESULTS}/models/{{model}}/manifest.json",
    log:
        f"{LOGS}/fetch_model/{{model}}.log",
    benchmark:
        f"{LOGS}/fetch_model/{{model}}.tsv"
    wildcard_constraints:
        model=FETCHED,
    localrule: True
    resources:
        mem_mb=1500,
        disk_quota=RUNTIME.disk_quota_gib or "none",
    message:
        "Fetch model {wildcards.model} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets fetch-model --config {input.config:q} --without-weights --disk-quota {resources.disk_quota} --out {output.manifest:q} --log {log:q}"


# Weights of hub models. Those of a model with `keep_weights: false` are there for an extraction and
# gone after the last one, and this file with them.
rule fetch_weights:
    input:
        manifest=rules.fetch_model.output.manifest,
        room=room,
    output:
        there=f"{RESULTS}/models/{{model}}/weights.json",
    log:
        f"{LOGS}/fetch_weights/{{model}}.log",
    benchmark:
        f"{LOGS}/fetch_weights/{{model}}.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        disk_quota=RUNTIME.disk_quota_gib or "none",
        after=lambda wildcards: WAITS[wildcards.model] or "none",
    message:
        "Fetch the weights of {wildcards.model} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets fetch-weights --manifest {input.manifest:q} --disk-quota {resources.disk_quota} --after {resources.after} --out {output.there:q} --log {log:q}"


rule evict_weights:
    input:
        manifest=rules.fetch_model.output.manifest,
        signals=signals_of_model,
    output:
        gone=f"{RESULTS}/models/{{model}}/evicted.json",
    log:
        f"{LOGS}/evict_weights/{{model}}.log",
    benchmark:
        f"{LOGS}/evict_weights/{{model}}.tsv"
    wildcard_constraints:
        model="|".join(map(re.escape, EVICTED)) or "none",
    localrule: True
    resources:
        mem_mb=500,
    params:
        there=f"{RESULTS}/models/{{model}}/weights.json",
    message:
        "Evict the weights of {wildcards.model} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets evict-weights --manifest {input.manifest:q} --there {params.there:q} --out {output.gone:q} --log {log:q}"
