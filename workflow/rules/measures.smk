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
    resources:
        mem_mb=need("measure", "mem_mb"),
        runtime=need("measure", "runtime"),
    message:
        "Measure {wildcards.model} on {wildcards.corpus}, protocol {wildcards.protocol} ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets measure-heads --config {input.config:q} --signals {input.signals:q} --heads {output.heads:q} --layers {output.layers:q} --model-table {output.model:q} --pairs {output.pairs:q} --log {log:q}"


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
