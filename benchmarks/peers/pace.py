"""Pairs a CPU second that presets and peers learn from, in turn on one machine: what equal compute is in pairs.

    python benchmarks/peers/pace.py [--presets default] [--peers hierarchical]

Random pairs at 32 x 32, a condition of three channels and one of one; loss, gradient and step in float32, one
thread. Every round times all of them one after the other; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `peers` lies there

from coembed.models.registry import PRESETS, class_for, preset_config
from coembed.training.config import TrainConfig
from peers.registry import PEERS, peer_class

_STEPS, _ROUNDS, _PAIRS = 6, 3, 300
_FIELD = (1, 32, 32)


def main() -> None:
    """Measure and print a line per model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--presets", nargs="*", choices=list(PRESETS), default=["default"])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=["hierarchical"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for channels in (3, 1):
        condition, field = torch.rand(_PAIRS, channels, 32, 32), torch.rand(_PAIRS, *_FIELD)
        shape = (channels, 32, 32)
        models = {name: _preset(name, shape, condition, field) for name in arguments.presets}
        models |= {name: _peer(name, shape, condition, field) for name in arguments.peers}
        paces: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(_ROUNDS):
            for name, (model, batch, loss) in models.items():
                paces[name].append(_pace(model, batch, loss))
        for name, found in paces.items():
            print(
                f"condition of {channels}: {name}: {statistics.median(found):.0f} pairs a CPU second",
                flush=True,
            )


Timed = tuple[nn.Module, int, Callable[[int], Tensor]]


def _preset(name: str, shape: tuple[int, int, int], condition: Tensor, field: Tensor) -> Timed:
    config = preset_config(name, shape, _FIELD)
    model, generator = class_for(config)(config), torch.Generator().manual_seed(0)
    model.initialise(condition, field)
    batch = TrainConfig("pairs", "run", preset=name).resolve().batch_size
    return model, batch, lambda n: model.loss(condition[:n], field[:n], generator=generator)["total"]


def _peer(name: str, shape: tuple[int, int, int], condition: Tensor, field: Tensor) -> Timed:
    peer, generator = peer_class(name)(shape, _FIELD), torch.Generator().manual_seed(0)
    peer.initialise(condition, field)
    xc, xg = peer.standard(condition, "condition"), peer.standard(field, "field")
    return peer, peer.batch_size, lambda n: peer.loss(xc[:n], xg[:n], generator=generator, fraction=0.5)


def _pace(model: nn.Module, batch: int, loss: Callable[[int], Tensor]) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss(batch).mean().backward()
        optimizer.step()

    step()
    start = time.process_time()
    for _ in range(_STEPS):
        step()
    return _STEPS * batch / (time.process_time() - start)


if __name__ == "__main__":
    main()
