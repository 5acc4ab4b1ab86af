# Settings, one file beside what they decide.


# The shell line must never change: it is part of every downstream rerun decision.
rule write_slice:
    output:
        f"{RESULTS}/{{slice}}.json",
    log:
        f"{LOGS}/write_slice/{{slice}}.log",
    wildcard_constraints:
        slice=OF_NO_RUN
        + r"(models/[^/]+/(fetch|audit)|recipes/[^/]+/prepare|training/[^/]+/train|corpora/[^/]+/build|(sequences|signals)/[^/]+/[^/]+|causal/[^/]+/[^/]+|(measures|nulls)/[^/]+/[^/]+/[^/]+|studies/[^/]+/[^/]+)",
    localrule: True
    params:
        json=get_slice,
    message:
        "Settings of {wildcards.slice}"
    shell:
        "printf '%s\\n' {params.json:q} > {output:q} 2> {log:q}"


# Settings of all checkpoints of a run: the same but for names, so that they change together.
for RUN, STAGE, WRITTEN in SLICES_OF_RUNS:

    rule:
        name:
            f"write_slices_{RUN}_{STAGE}"
        output:
            [f"{RESULTS}/{name}.json" for name in WRITTEN],
        log:
            f"{LOGS}/write_slice/{RUN}_{STAGE}.log",
        localrule: True
        params:
            json=[canonical(SLICES[name]) for name in WRITTEN],
        message:
            f"Settings of {STAGE} of {RUN}"
        shell:
            '( set -- {params.json:q}; for file in {output:q}; do printf \'%s\\n\' "$1" > "$file"; shift; done ) 2> {log:q}'
