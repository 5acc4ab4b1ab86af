# Models trained here, from documents to checkpoints; then all checkpoints of a run in one process,
# since each takes seconds. Weights lie beside the note `trained.json`, so that a failed job keeps them.


rule prepare_recipe:
    input:
        config=f"{RESULTS}/recipes/{{recipe}}/prepare.json",
        training=lambda wildcards: documents_of(wildcards.recipe, ".training"),
        held_out=lambda wildcards: documents_of(wildcards.recipe),
        code=sources("prepare_recipe"),
    output:
        tokenizer=directory(f"{RESULTS}/recipes/{{recipe}}/tokenizer"),
        tokens=f"{RESULTS}/recipes/{{recipe}}/tokens.npz",
    log:
        f"{LOGS}/prepare_recipe/{{recipe}}.log",
    benchmark:
        f"{LOGS}/prepare_recipe/{{recipe}}.tsv"
    resources:
        # Of texts that are not built yet a plan knows no sizes; the job is told when it is submitted.
        mem_mb=need("prepare", "mem_mb"),
        runtime=need("prepare", "runtime"),
    message:
        "Learn the tokenizer of recipe {wildcards.recipe} ({resources.mem_mb} MB, {resources.runtime} min)"
    shell:
        "python -m attention_wavelets prepare-recipe --config {input.config:q} --training {input.training:q} --held-out {input.held_out:q} --tokenizer {output.tokenizer:q} --tokens {output.tokens:q} --log {log:q}"


rule train_model:
    input:
        config=f"{RESULTS}/training/{{run}}/train.json",
        tokenizer=lambda wildcards: of_recipe(wildcards.run, "tokenizer"),
        tokens=lambda wildcards: of_recipe(wildcards.run, "tokens.npz"),
        code=sources("train_model"),
    output:
        trained=f"{RESULTS}/training/{{run}}/trained.json",
    log:
        f"{LOGS}/train_model/{{run}}.log",
    benchmark:
        f"{LOGS}/train_model/{{run}}.tsv"
    # Small models gain nothing from a second thread, and a fixed number gives the same weights.
    threads: 1
    resources:
        mem_mb=need("train", "mem_mb"),
        runtime=need("train", "runtime"),
        gpu=need("train", "gpu"),
        device=RUNTIME.device,
    message:
        "Train {wildcards.run} ({resources.mem_mb} MB, {resources.runtime} min, {resources.gpu} GPU)"
    shell:
        "python -m attention_wavelets train-model --config {input.config:q} --tokenizer {input.tokenizer:q} --tokens {input.tokens:q} --out {output.trained:q} --device {resources.device} --gpus {resources.gpu} --threads {threads} --log {log:q}"


for RUN, CHECKPOINTS in RUNS.items():

    rule:
        name:
            f"describe_{RUN}"
        input:
            configs=expand(f"{RESULTS}/models/{{model}}/fetch.json", model=CHECKPOINTS),
            trained=f"{RESULTS}/training/{RUN}/trained.json",
            code=sources("fetch_model"),
        output:
            manifests=expand(f"{RESULTS}/models/{{model}}/manifest.json", model=CHECKPOINTS),
        log:
            f"{LOGS}/describe_checkpoint/{RUN}.log",
        benchmark:
            f"{LOGS}/describe_checkpoint/{RUN}.tsv"
        localrule: True
        resources:
            mem_mb=1500,
        params:
            names=CHECKPOINTS,
            at=f"{RESULTS}/models/@",
        message:
            f"Describe {len(CHECKPOINTS)} checkpoints of {RUN} ({{resources.mem_mb}} MB)"
        shell:
            "python -m attention_wavelets each --log {log:q} --names {params.names:q} -- describe-checkpoint --config {params.at:q}/fetch.json --trained {input.trained:q} --out {params.at:q}/manifest.json"

    rule:
        name:
            f"encode_{RUN}"
        input:
            configs=expand(f"{RESULTS}/sequences/{{model}}/{{{{corpus}}}}.json", model=CHECKPOINTS),
            manifests=expand(f"{RESULTS}/models/{{model}}/manifest.json", model=CHECKPOINTS),
            documents=rules.build_corpus.output.documents,
            code=sources("encode_sequences"),
        output:
            sequences=expand(
                f"{RESULTS}/sequences/{{model}}/{{{{corpus}}}}.zarr.zip", model=CHECKPOINTS
            ),
        log:
            f"{LOGS}/encode_sequences/{RUN}/{{corpus}}.log",
        benchmark:
            f"{LOGS}/encode_sequences/{RUN}/{{corpus}}.tsv"
        localrule: True
        resources:
            mem_mb=1500,
        params:
            names=CHECKPOINTS,
            manifest=f"{RESULTS}/models/@/manifest.json",
            at=lambda wildcards: f"{RESULTS}/sequences/@/{wildcards.corpus}",
        message:
            f"Cut {{wildcards.corpus}} into tokens of {RUN} ({{resources.mem_mb}} MB)"
        shell:
            "python -m attention_wavelets each --log {log:q} --names {params.names:q} -- encode-sequences --config {params.at:q}.json --manifest {params.manifest:q} --documents {input.documents:q} --out {params.at:q}.zarr.zip"

    rule:
        name:
            f"extract_{RUN}"
        input:
            configs=expand(f"{RESULTS}/signals/{{model}}/{{{{corpus}}}}.json", model=CHECKPOINTS),
            manifests=expand(f"{RESULTS}/models/{{model}}/manifest.json", model=CHECKPOINTS),
            sequences=expand(
                f"{RESULTS}/sequences/{{model}}/{{{{corpus}}}}.zarr.zip", model=CHECKPOINTS
            ),
            code=sources("extract_signals"),
        output:
            signals=expand(
                f"{RESULTS}/signals/{{model}}/{{{{corpus}}}}.zarr.zip", model=CHECKPOINTS
            ),
        log:
            f"{LOGS}/extract_signals/{RUN}/{{corpus}}.log",
        benchmark:
            f"{LOGS}/extract_signals/{RUN}/{{corpus}}.tsv"
        threads: 1
        resources:
            mem_mb=need("checkpoints", "mem_mb", CHECKPOINTS),
            runtime=need("checkpoints", "runtime", CHECKPOINTS),
            gpu=need("checkpoints", "gpu", CHECKPOINTS),
            device=RUNTIME.device,
            batch_tokens=RUNTIME.batch_tokens,
        params:
            names=CHECKPOINTS,
            manifest=f"{RESULTS}/models/@/manifest.json",
            sequences=lambda wildcards: f"{RESULTS}/sequences/@/{wildcards.corpus}.zarr.zip",
            work=lambda wildcards: f"{RESULTS}/signals/@/.{wildcards.corpus}.work",
            at=lambda wildcards: f"{RESULTS}/signals/@/{wildcards.corpus}",
        message:
            f"Extract signals of {len(CHECKPOINTS)} checkpoints of {RUN} on {{wildcards.corpus}} ({{resources.mem_mb}} MB, {{resources.runtime}} min, {{resources.gpu}} GPU)"
        shell:
            "python -m attention_wavelets each --log {log:q} --names {params.names:q} -- extract-signals --config {params.at:q}.json --manifest {params.manifest:q} --sequences {params.sequences:q} --out {params.at:q}.zarr.zip --work {params.work:q} --split 1 --device {resources.device} --batch-tokens {resources.batch_tokens} --gpus {resources.gpu} --threads {threads}"

    rule:
        name:
            f"measure_{RUN}"
        input:
            configs=expand(
                f"{RESULTS}/measures/{{model}}/{{{{corpus}}}}/{{{{protocol}}}}.json",
                model=CHECKPOINTS,
            ),
            signals=expand(
                f"{RESULTS}/signals/{{model}}/{{{{corpus}}}}.zarr.zip", model=CHECKPOINTS
            ),
            code=sources("measure_heads"),
        output:
            tables=expand(
                f"{RESULTS}/measures/{{model}}/{{{{corpus}}}}/{{{{protocol}}}}/{{table}}.parquet",
                model=CHECKPOINTS,
                table=("heads", "layers", "model", "pairs"),
            ),
        log:
            f"{LOGS}/measure_heads/{RUN}/{{corpus}}/{{protocol}}.log",
        benchmark:
            f"{LOGS}/measure_heads/{RUN}/{{corpus}}/{{protocol}}.tsv"
        wildcard_constraints:
            protocol="|".join(map(re.escape, SINGLE)) or "none",
        resources:
            mem_mb=need("measures", "mem_mb", CHECKPOINTS),
            runtime=need("measures", "runtime", CHECKPOINTS),
        params:
            names=CHECKPOINTS,
            signals=lambda wildcards: f"{RESULTS}/signals/@/{wildcards.corpus}.zarr.zip",
            at=lambda wildcards: f"{RESULTS}/measures/@/{wildcards.corpus}/{wildcards.protocol}",
        message:
            f"Measure {len(CHECKPOINTS)} checkpoints of {RUN} on {{wildcards.corpus}}, protocol {{wildcards.protocol}} ({{resources.mem_mb}} MB, {{resources.runtime}} min)"
        shell:
            "python -m attention_wavelets each --log {log:q} --names {params.names:q} -- measure-heads --config {params.at:q}.json --signals {params.signals:q} --heads {params.at:q}/heads.parquet --layers {params.at:q}/layers.parquet --model-table {params.at:q}/model.parquet --pairs {params.at:q}/pairs.parquet"
