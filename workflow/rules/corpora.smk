# Documents, and the token sequences cut from them.


rule build_corpus:
    input:
        config=f"{RESULTS}/corpora/{{corpus}}/build.json",
        code=sources("build_corpus"),
    output:
        documents=f"{RESULTS}/corpora/{{corpus}}/documents.parquet",
        manifest=f"{RESULTS}/corpora/{{corpus}}/manifest.json",
    log:
        f"{LOGS}/build_corpus/{{corpus}}.log",
    benchmark:
        f"{LOGS}/build_corpus/{{corpus}}.tsv"
    localrule: True
    resources:
        mem_mb=1000,
    message:
        "Build corpus {wildcards.corpus} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets build-corpus --config {input.config:q} --out {output.documents:q} --manifest {output.manifest:q} --log {log:q}"


rule encode_sequences:
    input:
        config=f"{RESULTS}/sequences/{{model}}/{{corpus}}.json",
        manifest=rules.fetch_model.output.manifest,
        documents=rules.build_corpus.output.documents,
        code=sources("encode_sequences"),
    output:
        sequences=f"{RESULTS}/sequences/{{model}}/{{corpus}}.zarr.zip",
    log:
        f"{LOGS}/encode_sequences/{{model}}/{{corpus}}.log",
    benchmark:
        f"{LOGS}/encode_sequences/{{model}}/{{corpus}}.tsv"
    wildcard_constraints:
        model=FETCHED,
    localrule: True
    resources:
        mem_mb=need("encode", "mem_mb"),
    message:
        "Cut {wildcards.corpus} into tokens of {wildcards.model} ({resources.mem_mb} MB)"
    shell:
        "python -m attention_wavelets encode-sequences --config {input.config:q} --manifest {input.manifest:q} --documents {input.documents:q} --out {output.sequences:q} --log {log:q}"
