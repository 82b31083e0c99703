"""Peak memory of an evaluation as the photos grow: streaming means that it hardly does.

    python benchmarks/memory.py [--photos 2000 6000] [--samples 100] [--size 32]

Scores a sampler of white noise with all scores on pairs that are made as they are read, each number of
photos in a process of its own, and writes ``results/memory.json``: the peak, and what 40,000 photos would come
to by the growth between the first and the last number. What is gathered up to a limit (1,024 fields that wait
for the search among training fields, a batch of samples) is full from 2,000 photos on.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import torch
from machine import describe
from torch import Tensor

from coembed.data.pairs import Indices, Pairs
from coembed.evaluation.evaluate import evaluate
from coembed.numerics.random import Streams
from coembed.serialization import write_compact_json

FULL = 40_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--photos", nargs="+", type=int, default=[2000, 6000])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(arguments.one, arguments.samples, arguments.size))
        return
    peaks = {}
    for photos in arguments.photos:
        command = [sys.executable, __file__, "--one", str(photos)]
        command += ["--samples", str(arguments.samples), "--size", str(arguments.size)]
        peaks[photos] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{photos} photos: {peaks[photos]:.0f} MB", flush=True)
    (first, low), (last, high) = min(peaks.items()), max(peaks.items())
    slope = (high - low) / (last - first) if last > first else 0.0
    kept = 4e-6 * arguments.samples * arguments.size**2
    data = {
        "format": "coembed-memory",
        "version": 1,
        "samples": arguments.samples,
        "size": arguments.size,
        "peak_mb": {str(photos): round(peak) for photos, peak in peaks.items()},
        "mb_a_photo": round(slope, 4),
        "mb_a_photo_if_samples_were_kept": round(kept, 4),
        f"mb_at_{FULL}_photos": round(high + slope * (FULL - last)),
        "machine": describe(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_compact_json(arguments.out / "memory.json", data)
    print(f"{1000 * slope:.0f} kB a photo; {data[f'mb_at_{FULL}_photos']} MB at {FULL} photos")


def measure(photos: int, samples: int, size: int) -> float:
    """Peak memory of this process in MB after an evaluation."""
    torch.set_num_threads(1)
    training = Waves(2_000, size)
    evaluate(Noise(), Waves(photos, size), limit=photos, samples=samples, scores="full", training=training)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


class Noise:
    """Draw the condition with white noise on it."""

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """Fields (n, batch, c, h, w)."""
        noise = Streams.of(generator, len(condition)).normal(n, condition[0].numel())
        return noise.unflatten(2, condition.shape[1:]).add_(condition)


class Waves(Pairs):
    """Pairs of waves with a phase of their own, made when they are read."""

    def __init__(self, count: int, size: int):
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def condition(self, indices: Indices) -> Tensor:
        """Conditions (batch, 1, size, size)."""
        phase = torch.arange(self.count)[indices].view(-1, 1, 1, 1) * 1.7
        x = torch.arange(self.size) / self.size
        return torch.sin(phase + 6 * x) + torch.cos(2 * phase + 9 * x[:, None])

    def field(self, indices: Indices) -> Tensor:
        """Fields (batch, 1, size, size)."""
        condition = self.condition(indices)
        return condition + torch.sin(1e3 * condition)


if __name__ == "__main__":
    main()
