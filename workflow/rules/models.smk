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
    message:
        "Audit the checkpoints of {wildcards.family} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets audit-checkpoints --config {input.config:q} --out {output.checked:q} --log {log:q}"


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
    localrule: True
    resources:
        mem_mb=1500,
    message:
        "Fetch model {wildcards.model} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets fetch-model --config {input.config:q} --out {output.manifest:q} --log {log:q}"
