# Settings, one file beside what they decide.


# The shell line must never change: it is part of every downstream rerun decision.
rule write_slice:
    output:
        f"{RESULTS}/{{slice}}.json",
    log:
        f"{LOGS}/write_slice/{{slice}}.log",
    wildcard_constraints:
        slice=r"(models/[^/]+/(fetch|audit)|corpora/[^/]+/build|(sequences|signals)/[^/]+/[^/]+|(measures|nulls)/[^/]+/[^/]+/[^/]+|studies/[^/]+/[^/]+)",
    localrule: True
    params:
        json=get_slice,
    message:
        "Settings of {wildcards.slice}"
    shell:
        "printf '%s\\n' {params.json:q} > {output:q} 2> {log:q}"
