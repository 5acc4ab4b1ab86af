# Signals to tables, without a model.


rule measure_heads:
    input:
        config=f"{RESULTS}/measures/{{model}}/{{corpus}}/{{protocol}}.json",
        signals=rules.extract_signals.output.signals,
        code=sources("measure_heads"),
    output:
        heads=f"{RESULTS}/measures/{{model}}/{{corpus}}/{{protocol}}/heads.parquet",
        layers=f"{RESULTS}/measures/{{model}}/{{corpus}}/{{protocol}}/layers.parquet",
        model=f"{RESULTS}/measures/{{model}}/{{corpus}}/{{protocol}}/model.parquet",
        pairs=f"{RESULTS}/measures/{{model}}/{{corpus}}/{{protocol}}/pairs.parquet",
    log:
        f"{LOGS}/measure_heads/{{model}}/{{corpus}}/{{protocol}}.log",
    benchmark:
        f"{LOGS}/measure_heads/{{model}}/{{corpus}}/{{protocol}}.tsv"
    wildcard_constraints:
        model=FETCHED,
        protocol="|".join(map(re.escape, SINGLE)) or "none",
    resources:
        mem_mb=need("measure", "mem_mb"),
        runtime=need("measure", "runtime"),
    message:
        "Measure {wildcards.model} on {wildcards.corpus}, protocol {wildcards.protocol} ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets measure-heads --config {input.config:q} --signals {input.signals:q} --heads {output.heads:q} --layers {output.layers:q} --model-table {output.model:q} --pairs {output.pairs:q} --log {log:q}"


# One job for many settings of a protocol: each takes seconds, and a job of a cluster minutes.
for NUMBER, (CORPUS, PROTOCOLS) in enumerate(CHUNKS):
    MEASURED = f"{RESULTS}/measures/{{{{model}}}}/{CORPUS}/{{protocol}}"

    rule:
        name:
            f"measure_settings_{NUMBER}"
        input:
            configs=expand(f"{MEASURED}.json", protocol=PROTOCOLS),
            signals=f"{RESULTS}/signals/{{model}}/{CORPUS}.zarr.zip",
            code=sources("measure_heads"),
        output:
            heads=expand(f"{MEASURED}/heads.parquet", protocol=PROTOCOLS),
            layers=expand(f"{MEASURED}/layers.parquet", protocol=PROTOCOLS),
            model=expand(f"{MEASURED}/model.parquet", protocol=PROTOCOLS),
            pairs=expand(f"{MEASURED}/pairs.parquet", protocol=PROTOCOLS),
        log:
            f"{LOGS}/measure_settings/{{model}}/{CORPUS}/{NUMBER}.log",
        benchmark:
            f"{LOGS}/measure_settings/{{model}}/{CORPUS}/{NUMBER}.tsv"
        resources:
            mem_mb=need("settings", "mem_mb", CORPUS, PROTOCOLS),
            runtime=need("settings", "runtime", CORPUS, PROTOCOLS),
        message:
            f"Measure {{wildcards.model}} on {CORPUS} under {len(PROTOCOLS)} settings ({{resources.mem_mb}} MB, {{resources.runtime}} min)"
        shell:
            "python -m attention_wavelets measure-settings --configs {input.configs:q} --signals {input.signals:q} --heads {output.heads:q} --layers {output.layers:q} --model-tables {output.model:q} --pairs {output.pairs:q} --log {log:q}"


# Null signals made from the measured ones, all of them in one pass over the store.
rule measure_nulls:
    input:
        config=f"{RESULTS}/nulls/{{model}}/{{corpus}}/{{protocol}}.json",
        signals=rules.extract_signals.output.signals,
        code=sources("measure_nulls"),
    output:
        heads=f"{RESULTS}/nulls/{{model}}/{{corpus}}/{{protocol}}/heads.parquet",
        layers=f"{RESULTS}/nulls/{{model}}/{{corpus}}/{{protocol}}/layers.parquet",
    log:
        f"{LOGS}/measure_nulls/{{model}}/{{corpus}}/{{protocol}}.log",
    benchmark:
        f"{LOGS}/measure_nulls/{{model}}/{{corpus}}/{{protocol}}.tsv"
    resources:
        mem_mb=need("nulls", "mem_mb"),
        runtime=need("nulls", "runtime"),
    message:
        "Measure nulls of {wildcards.model} on {wildcards.corpus}, protocol {wildcards.protocol} ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets measure-nulls --config {input.config:q} --signals {input.signals:q} --heads {output.heads:q} --layers {output.layers:q} --log {log:q}"
