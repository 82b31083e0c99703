"""Sampling and training speed of a preset, and the fraction of the machine's measured matrix-product peak.

python benchmarks/speed.py [--preset default] [--threads 2] [--json benchmarks/results/speed.json]

Work is counted by torch's own FLOP counter (products and convolutions, two a multiply-add); the peak is that of
a large square matrix product, measured in the same run. Medians of repetitions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from coembed.models.registry import PRESETS, class_for, preset_config
from coembed.serialization import write_json

import machine  # isort: skip  (beside this script)

SHAPE = (1, 32, 32)
CONDITIONS, SAMPLES, BATCH = 100, 100, 256


def main() -> None:
    """Measure every asked preset and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--preset", nargs="+", default=["default", "paper-gauss", "paper-mdn12"], choices=PRESETS
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    peak = {name: machine.matmul_gflops(name) for name in ("float32", "bfloat16")}
    rows = [measure(name, peak, options.repeats) for name in options.preset]
    write_json(
        options.json,
        {"machine": machine.describe(threads=options.threads), "peak_gflops": peak, "presets": rows},
    )
    for row in rows:
        print(row)


def measure(name: str, peak: dict[str, float], repeats: int) -> dict[str, Any]:
    """Samples a second for 100 conditions x 100 samples, and training images per second, in both precisions."""
    torch.manual_seed(0)
    config = preset_config(name, SHAPE, SHAPE)
    model = class_for(config)(config)
    condition, field = torch.rand(BATCH, *SHAPE), torch.rand(BATCH, *SHAPE)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def sample() -> None:
        model.sample(condition[:CONDITIONS], SAMPLES, generator=0)

    def step() -> None:
        optimiser.zero_grad()
        loss = model.loss(condition, field, generator=generator)["total"].mean()
        loss.backward()
        optimiser.step()

    found: dict[str, Any] = {"preset": name, "parameters": sum(p.numel() for p in model.parameters())}
    for task, work, items in (("sampling", sample, CONDITIONS * SAMPLES), ("training", step, BATCH)):
        with FlopCounterMode(display=False) as counter:
            work()
        flops = counter.get_total_flops()
        for precision in ("bfloat16", "float32"):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                seconds = _median_seconds(work, repeats)
            found[f"{task}_{precision}"] = {
                "per_second": round(items / seconds, 1),
                "gflops": round(flops / seconds / 1e9, 1),
                "fraction_of_peak": round(flops / seconds / 1e9 / peak[precision], 3),
            }
    return found


def _median_seconds(work: Any, repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
