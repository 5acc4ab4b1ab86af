"""A plan before the run, and smaller passes where memory runs out."""

import resource
import subprocess
import sys
import textwrap

import pytest
import transformers as tf

from attention_wavelets.attention.plan import plan_batches, with_less_memory
from attention_wavelets.errors import PipelineError

FACTS = {"heads": 4, "head_size": 8, "hidden_size": 32, "model_type": "llama"}


def model():
    return tf.LlamaModel(
        tf.LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
    )


def test_a_pass_is_as_large_as_asked_where_memory_suffices():
    plan = plan_batches(model(), FACTS, 96, 1024, None)
    assert plan.batch_tokens == 1024
    assert plan.weights == 4 * sum(p.numel() for p in model().parameters())
    assert "50,000 tokens in passes of up to 1,024" in plan.sentence(50_000)


def test_a_family_read_from_eager_attention_counts_its_whole_matrices():
    interface = plan_batches(model(), FACTS, 512, 1024, None)
    hooked = plan_batches(model(), FACTS | {"model_type": "bloom"}, 512, 1024, None)
    # Two sequences, four heads, float32: at least the logits, the probabilities and a copy.
    assert hooked.memory - interface.memory >= 3 * 4 * 2 * 4 * 512**2


def test_a_pass_shrinks_to_the_memory_that_is_free():
    free = 40 * 2**20
    small, large = (plan_batches(model(), FACTS, 96, 10**6, f) for f in (free, 2 * free))
    assert 96 <= small.batch_tokens < large.batch_tokens < 10**6
    assert small.activations + small.chunk <= free
    assert small.chunk_bytes <= free / 8


def test_a_sequence_that_cannot_fit_is_refused_before_the_run():
    with pytest.raises(PipelineError, match="a sequence of 4096 tokens needs about"):
        plan_batches(model(), FACTS, 4096, 4096, 2**20)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(_count):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        with_less_memory(broken, 4)


def test_real_lack_of_memory_halves_the_batch_and_the_run_goes_on():
    # A process of its own, whose address space ends a little above what it has.
    code = """
        import resource, numpy as np, torch
        from attention_wavelets.attention.plan import with_less_memory
        from attention_wavelets.errors import PipelineError
        torch.set_num_threads(1)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
        one = lambda count: float(torch.ones(count * 60 * 2**20 // 4).sum())
        result, count = with_less_memory(one, 32)
        print(count, result == count * 60 * 2**18)
        try:
            with_less_memory(lambda count: torch.ones(2**30), 4)
        except PipelineError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines[0] in ("4 True", "2 True"), done.stderr
    assert "out of memory with a single sequence" in lines[1]
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
