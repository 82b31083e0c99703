"""A tiny real model that meets ``Trainable``, with dropout and noise so that every random state matters."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from coembed.data.pairs import Pairs
from coembed.models.base import Trainable
from coembed.numerics.random import Streams
from coembed.training import checkpoint
from coembed.training.checkpoint import write_tensors
from coembed.training.config import TrainConfig
from coembed.training.trainer import Trainer


@dataclass(frozen=True)
class ToyConfig:
    dim: int = 16
    code: int = 3
    dropout: float = 0.1


class Toy(Trainable):
    """A one-layer conditional VAE on flattened 4 x 4 fields."""

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config = config
        self.encoder = nn.Linear(2 * config.dim, 2 * config.code)
        self.decoder = nn.Sequential(
            nn.Linear(config.dim + config.code, 32),
            nn.Tanh(),
            nn.Dropout(config.dropout),
            nn.Linear(32, config.dim),
        )
        self.turn = nn.Parameter(torch.linalg.qr(torch.randn(config.dim, config.dim))[0])  # column-major
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(config.dim))

    def initialise(self, condition, field):
        self.mean.copy_(field.flatten(1).mean(0))

    def loss(self, condition, field, *, generator, warmup=1.0):
        c, f = condition.flatten(1) @ self.turn, field.flatten(1) - self.mean
        mean, log_std = self.encoder(torch.cat([c, f], 1)).float().chunk(2, 1)
        z = mean + log_std.exp() * torch.randn(mean.shape, generator=generator, device=mean.device)
        rate = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(1)
        error = self.decoder(torch.cat([c, z], 1)).float() - f
        distortion = (0.5 * error**2 / (2 * self.log_sigma).exp() + self.log_sigma + 0.9189).sum(1)
        return {"total": distortion + warmup * rate, "rate": rate, "distortion": distortion}

    def diagnostics(self, condition, field, *, generator):
        parts = self.loss(condition, field, generator=generator)
        return {"kl": [float(parts["rate"].mean())], "active": [self.config.code]}

    def sample(self, condition, n, *, generator):
        z = Streams.of(generator, len(condition)).normal(n, self.config.code)
        c = (condition.flatten(1) @ self.turn).expand(n, -1, -1)
        return (self.decoder(torch.cat([c, z], -1)) + self.mean).reshape(n, *condition.shape)


class ToyPairs(Pairs):
    """Random pairs whose field depends on the condition, exact in float16."""

    def __init__(self, count: int, seed: int = 0):
        g = torch.Generator().manual_seed(seed)
        self._condition = torch.rand(count, 1, 4, 4, generator=g).half()
        self._field = (self._condition.float() * torch.randn(count, 1, 1, 1, generator=g)).half()

    def __len__(self):
        return len(self._condition)

    def condition(self, rows):
        return self._condition[rows].float()

    def field(self, rows):
        return self._field[rows].float()


def toy() -> Toy:
    torch.manual_seed(0)
    return Toy(ToyConfig())


def options(out: Path | str, **changes) -> TrainConfig:
    """Short runs of small batches with a line of the log every few steps."""
    values = {
        "pairs": "toy",
        "device": "cpu",
        "batch_size": 16,
        "images": 1600,
        "log_every": 80,
        "validate_every": 320,
        "ema_halflife": 200,
        "learning_rate": 1e-2,
        "keep": "last",
        "threads": 1,
        "checkpoint_minutes": 0.0,
        "picture_minutes": 0.0,
    }
    return TrainConfig(out=str(out), **(values | changes))  # pyright: ignore[reportArgumentType]


def save(model, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", model.state_dict())


def train(config: TrainConfig, model: nn.Module | None = None) -> Path:
    return Trainer(model or toy(), ToyPairs(100), ToyPairs(40, seed=1), config, save=save).train()  # type: ignore[arg-type]


def child(
    out: Path, slow: float = 0.0, kill_at_file: int = 0, kill_at_flush: int = 0
) -> multiprocessing.process.BaseProcess:
    """Starts, or goes on with, a run of 100 steps in another process, with a checkpoint after every step.

    Args:
        out: folder of the run; what it says goes to ``out.txt`` beside it.
        slow: seconds to wait over every file of a checkpoint, so that kills fall inside writes.
        kill_at_file: the process kills itself (SIGKILL) after writing that many files of checkpoints.
        kill_at_flush: the same between renaming that checkpoint and removing the one before it.
    """

    def main() -> None:
        text = os.open(out.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(text, 2)
        sys.stderr = os.fdopen(2, "w")
        checkpoint.write_tensors = counted(checkpoint.write_tensors, kill_at_file, slow)
        checkpoint._flush = counted(checkpoint._flush, kill_at_flush, 0.0)
        try:
            train(options(out, resume=(out / "run.json").exists(), checkpoint_minutes=1e-9))
        except KeyboardInterrupt:
            os._exit(130)

    def counted(function, kill_at: int, wait: float):
        calls = []

        def call(*arguments):
            function(*arguments)
            calls.append(1)
            if len(calls) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(wait)

        return call

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    return process
