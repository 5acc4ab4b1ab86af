"""Cost of the capture on a GPU, as ratios to a plain pass: part of `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import bench
import torch

from attention_wavelets.attention.extract import run_batch
from attention_wavelets.attention.probes import PROBES

# Sequences and tokens of a pass.
SHAPES = ((64, 96), (16, 256), (4, 1024), (1, 4096), (1, 8192))
ROUNDS = 4


def main() -> None:
    if not torch.cuda.is_available():
        print("no CUDA device: nothing is measured on a GPU")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print("dtype, sequences x tokens, probes / plain pass, tokens a second, peak MiB on the card")
    model = bench.build()
    probes = {name: PROBES[name] for name in ("received", "lag")}
    for dtype in (torch.float32, torch.bfloat16):
        model = model.to("cuda", dtype)
        for batch, tokens in SHAPES:
            ids = bench.draw(batch, tokens)
            there = torch.as_tensor(ids, device="cuda")
            base = best(partial(plain, model, there))
            torch.cuda.reset_peak_memory_stats()
            found = best(partial(run_batch, model, ids, probes, True))
            peak = torch.cuda.max_memory_allocated() / 2**20
            rate = batch * tokens / found
            print(f"{dtype}, {batch} x {tokens}, {found / base:.2f}, {rate:,.0f}, {peak:,.0f}")


@torch.inference_mode()
def plain(model: torch.nn.Module, ids: torch.Tensor) -> None:
    model(ids, use_cache=False)


def best(work: Callable[[], Any]) -> float:
    """Least seconds of some rounds after one that warms up."""
    seconds = []
    for _ in range(ROUNDS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


if __name__ == "__main__":
    main()
