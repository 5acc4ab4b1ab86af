# Jobs that take no work, so that SLURM's part of a run can be tested in minutes.


rule all:
    input:
        expand("{name}.txt", name=["gpu", "slow", "cancelled", "moved"]),


rule gpu:
    output:
        "gpu.txt",
    log:
        "gpu.log",
    resources:
        gpu=1,
        mem_mb=500,
        runtime=2,
        slurm_partition="gpu",
    shell:
        "env | grep -E '^(CUDA_VISIBLE_DEVICES|SLURMD_NODENAME)=' > {output} 2> {log}"


# Over its time at first: SLURM ends it, and the second attempt has more.
rule slow:
    output:
        "slow.txt",
    log:
        "slow.log",
    resources:
        mem_mb=500,
        runtime=lambda wildcards, attempt: 3 * attempt - 2,
        slurm_partition="gpu",
    shell:
        "date +%s >> slow.starts; sleep 100; touch {output} 2> {log}"


rule cancelled:
    output:
        "cancelled.txt",
    log:
        "cancelled.log",
    resources:
        mem_mb=500,
        runtime=5,
        slurm_partition="gpu",
    shell:
        "date +%s >> cancelled.starts; sleep 45; touch {output} 2> {log}"


rule moved:
    output:
        "moved.txt",
    log:
        "moved.log",
    resources:
        mem_mb=500,
        runtime=5,
        slurm_partition="cpu",
    shell:
        "echo $SLURMD_NODENAME >> moved.starts; sleep 45; touch {output} 2> {log}"


rule broken:
    output:
        "broken.txt",
    log:
        "broken.log",
    resources:
        mem_mb=500,
        runtime=2,
        slurm_partition="cpu",
    shell:
        "echo 'error: the weights are damaged' | tee {log} >&2; exit 1"


rule many_gpus:
    output:
        "many_gpus.txt",
    log:
        "many_gpus.log",
    resources:
        gpu=3,
        mem_mb=500,
        runtime=2,
        slurm_partition="gpu",
    shell:
        "touch {output} 2> {log}"


rule orphan:
    output:
        "orphan.txt",
    log:
        "orphan.log",
    resources:
        mem_mb=500,
        runtime=5,
        slurm_partition="cpu",
    shell:
        "date +%s >> orphan.starts; sleep 30; touch {output} 2> {log}"
