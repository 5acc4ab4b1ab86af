"""Cost of the capture, as ratios within one run: `make bench`.

Both sides of a ratio alternate in one process; the best of several rounds after a warm-up counts.
Memory is the peak of a process of its own. Nothing here is a test; numbers depend on the machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2
SEED = 0
# Architecture of SmolLM2-135M; the cost of a pass does not depend on the weights' values.
SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
}
PROBES = {"received": {}, "lag": {}, "last_query": {}, "query_rows": {"rows": 16}}


def build() -> Any:
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    config = transformers.LlamaConfig(**SHAPE, rope_parameters=_ROPE)
    return transformers.LlamaModel._from_config(config, attn_implementation="sdpa").eval()


_ROPE = {"rope_type": "default", "rope_theta": 100000.0}


def draw(batch: int, positions: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, SHAPE["vocab_size"], (batch, positions))


def arms(model: Any) -> dict[str, Callable[[np.ndarray], Any]]:
    """Everything that is compared."""
    import torch

    from attention_wavelets.attention.extract import run_batch
    from attention_wavelets.attention.facts import FACTS
    from attention_wavelets.attention.probes import get_probe

    facts = {name: spec for name, spec in FACTS.items() if not spec.repeats}
    probes = {name: get_probe(name, **options) for name, options in PROBES.items()}

    def plain(ids: np.ndarray) -> None:
        with torch.inference_mode():
            model(input_ids=torch.as_tensor(ids), use_cache=False)

    def measured(ids: np.ndarray) -> None:
        signals = run_batch(model, ids, {"received": probes["received"]}, True).signals
        _measure(signals["received"].astype(np.float64))

    from baseline import baseline

    return {
        "plain": plain,
        "received": lambda ids: run_batch(model, ids, {"received": probes["received"]}, True),
        "all": lambda ids: run_batch(model, ids, probes, True, facts),
        "received, measured": measured,
        "baseline": lambda ids: baseline(model, ids),
    }


def _measure(signals: np.ndarray) -> None:
    """The same numbers as the baseline's, for all heads at once."""
    import pywt

    power = np.abs(np.fft.rfft(signals)) ** 2
    share = power / power.sum(-1, keepdims=True)
    -(share * np.log(share + 1e-12)).sum(-1)
    for part in pywt.wavedec(signals, "db2", "symmetric", 4, axis=-1):
        (part**2).sum(-1)


def alternate(
    work: Mapping[str, Callable[[np.ndarray], Any]], ids: np.ndarray, rounds: int
) -> dict[str, float]:
    """Best seconds of each arm."""
    best: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, run in work.items():
            start = time.perf_counter()
            run(ids)
            if turn:
                best[name] = min(best.get(name, float("inf")), time.perf_counter() - start)
    return best


def measures_alone(protocol_name: str, rounds: int) -> float:
    """A protocol over one array against one bare pass of the transforms it is made of."""
    from attention_wavelets.config.compose import default_conf, load_member
    from attention_wavelets.measures.names import ARRANGED
    from attention_wavelets.measures.protocols import kind_of, protocol_measures

    protocol = load_member("protocol", protocol_name, default_conf(), {})
    # Rearranged signals are measured as often as the settings say: not part of the ratio.
    kept = [m.name for m in protocol_measures(protocol) if m.name not in ARRANGED]
    protocol = protocol.model_copy(update={"measures": kept})
    rows = np.random.default_rng(SEED).dirichlet(np.ones(128), 1_000_000)
    measure = kind_of(protocol).signals
    best = alternate(
        {"measures": lambda x: measure(x, protocol), "bare": BARE[protocol_name]}, rows, rounds
    )
    return best["measures"] / best["bare"]


def _bare_paper(signals: np.ndarray) -> None:
    import pywt

    np.fft.rfft(signals)
    parts = pywt.wavedec(signals, "db2", "symmetric", 4, axis=-1)
    pywt.waverec(parts, "db2", "symmetric", axis=-1)
    signals * np.log(signals)


def _bare_rigorous(signals: np.ndarray) -> None:
    """Each transform once: of a and its root, into every basis, and down the packet tree."""
    import pywt
    from scipy.fft import dct

    from attention_wavelets.measures.names import MODES, PACKET, WAVELETS
    from attention_wavelets.measures.sparsity import levels

    length = signals.shape[-1]
    np.fft.rfft(signals)
    np.fft.rfft(np.sqrt(signals))
    dct(signals, norm="ortho", axis=-1)
    for name in WAVELETS:
        pywt.wavedec(signals, name, "periodization", level=levels(length, name), axis=-1)
    for mode in MODES:
        pywt.wavedec(signals, "db2", mode, axis=-1)
    nodes = signals[:, None, :]
    for _ in range(levels(length, PACKET)):
        halves = pywt.dwt(nodes, PACKET, "periodization", axis=-1)
        nodes = np.stack(halves, axis=-2).reshape(len(signals), -1, nodes.shape[-1] // 2)
    signals * np.log(signals)


BARE = {"paper": _bare_paper, "rigorous": _bare_rigorous}


def peak(arm: str, batch: int, positions: int) -> dict[str, float]:
    """Peak MiB and seconds of one pass in a process of its own."""
    command = [sys.executable, __file__, "--peak", arm, str(batch), str(positions)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _peak(arm: str, batch: int, positions: int) -> None:
    model = build()
    work = arms(model)
    work[arm](draw(1, 64))
    gc.collect()
    # Building the model needed more than it holds; the pass is judged by what it adds to that.
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    start = time.perf_counter()
    work[arm](draw(batch, positions))
    seconds = time.perf_counter() - start
    after = _resident("VmHWM")
    print(json.dumps({"peak": after, "added": after - before, "seconds": seconds}))


def _resident(name: str) -> float:
    """MiB of resident memory, now (VmRSS) or at its peak since it was last reset (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def machine() -> dict[str, Any]:
    import torch
    import transformers

    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": THREADS,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--longest", type=int, default=8192)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        _peak(arguments.peak[0], *map(int, arguments.peak[1:]))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine(), "ratios": {}}
    work = arms(build())
    for batch, positions in ((4, 512), (1, 2048)):
        best = alternate(work, draw(batch, positions), arguments.rounds)
        result["ratios"][f"{batch} x {positions}"] = {
            "received / plain": best["received"] / best["plain"],
            "all probes and facts / plain": best["all"] / best["plain"],
            "baseline / received, measured": best["baseline"] / best["received, measured"],
        }
        _say(f"{batch} x {positions}", result["ratios"][f"{batch} x {positions}"])
    del work
    for protocol in BARE:
        name = f"protocol {protocol} / bare pass"
        result[name] = measures_alone(protocol, min(arguments.rounds, 2))
        _say(name, result[name])
    ours, theirs = (peak(arm, 1, 2048)["added"] for arm in ("received, measured", "baseline"))
    result["added memory at 2048, baseline / received"] = theirs / ours
    _say("added memory at 2048, baseline / received", theirs / ours)
    result["length"] = {}
    length = 256
    while length <= arguments.longest:
        runs = {arm: peak(arm, 1, length) for arm in ("plain", "received", "all")}
        result["length"][length] = runs
        _say(f"1 x {length}", runs)
        length *= 2
    (arguments.out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result["length"], arguments.out / "bench.svg")
    _say("written", str(arguments.out))


def plot(lengths: Mapping[int, Any], path: Path) -> None:
    """Peak memory and time against length."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for arm in ("plain", "received", "all"):
        left.plot(list(lengths), [run[arm]["peak"] for run in lengths.values()], "o-", label=arm)
        right.plot(
            list(lengths), [run[arm]["seconds"] for run in lengths.values()], "o-", label=arm
        )
    left.set(xlabel="tokens", ylabel="peak memory (MiB)", ylim=(0, None))
    right.set(xlabel="tokens", ylabel="seconds", xscale="log", yscale="log")
    left.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def _say(name: str, value: Any) -> None:
    print(f"{name}: {json.dumps(value) if not isinstance(value, str) else value}", flush=True)


if __name__ == "__main__":
    main()
