# Weights, tokenizer and architecture facts.


rule fetch_model:
    input:
        config=f"{RESULTS}/models/{{model}}/fetch.json",
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
