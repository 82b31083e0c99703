"""Rows of `worlds.py`, each built when wanted: the truth, simple samplers, presets and peers, trained."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peers.registry import peer_class
from peers.rows import new_peer
from peers.train import RECORD, load_peer, train_peer
from torch import Tensor

from coembed.data.store.store import PairStore, open_pairs
from coembed.evaluation.synthetic.worlds import World
from coembed.models.base import Sampler
from coembed.models.pretrained import from_pretrained
from coembed.models.registry import SIMPLE, fit_closed_form
from coembed.numerics.random import Streams
from coembed.serialization import read_json
from coembed.training.config import TrainConfig
from coembed.training.run import run_train

TRUTH, MEAN = "the truth", "the truth's mean"


@dataclass(frozen=True)
class Row:
    """One sampler in one world.

    Attributes:
        name: in the table.
        build: trains it where that was not done before, and returns it.
        options: beyond those that all rows share, what its scores depend on.
        slow: scored on fewer conditions.
        run: its folder, where training leaves one.
    """

    name: str
    build: Callable[[], Sampler]
    options: dict[str, object] = field(default_factory=dict)
    slow: bool = False
    run: Path | None = None

    def training(self) -> dict[str, Any]:
        """``images`` seen and ``seconds`` of training (CPU time), if any."""
        if self.run is None:
            return {}
        if (self.run / RECORD).is_file():
            course = read_json(self.run / RECORD)["course"]  # type: ignore[index]
        else:
            lines = (self.run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
            course = json.loads(next((line for line in reversed(lines) if line), "{}"))
        return {key: course[key] for key in ("images", "seconds") if key in course}


class MeanOfTruth:
    """Always draws the exact mean of a condition's fields: the floor."""

    def __init__(self, world: World):
        self.world = world

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n times the mean, (n, batch, c, h, w)."""
        del generator
        mean = self.world.mean(condition)
        return mean.expand(n, *mean.shape)


def rows(world: World, arguments: Namespace) -> Iterator[Row]:
    """All rows of a world, the cheap ones first."""
    yield Row(TRUTH, lambda: world)
    yield Row(MEAN, lambda: MeanOfTruth(world))
    pairs = arguments.pairs, arguments.seed
    for name, (preset, options) in SIMPLE.items():

        def fit(preset: str = preset, options: dict[str, Any] = options) -> Sampler:
            return fit_closed_form(preset, world.pairs(pairs[0], seed=pairs[1]), **options)

        yield Row(name, fit)
    data = f"{world.name}-{arguments.size}-{arguments.pairs}-{arguments.seed}"
    length = f"{arguments.images}" if arguments.images else f"{arguments.minutes:g}m"
    for label in dict.fromkeys("+".join([entry, *arguments.model]) for entry in arguments.presets):
        run = arguments.cache / "runs" / f"{data}-{label}-{length}"
        yield Row(
            label,
            lambda label=label, run=run: _preset(label, world, data, run, arguments),
            {"length": length},
            run=run,
        )
    seconds = 60 * arguments.minutes
    for key in arguments.peers:
        made = peer_class(key)
        run = arguments.cache / "runs" / f"{data}-{key}-{seconds:g}s"
        for setting, values in made.settings.items():
            yield Row(
                ", ".join(part for part in (made.name, setting) if part),
                lambda key=key, run=run, values=values: _peer(key, world, data, run, values, arguments),
                {"length": f"{seconds:g}s"},
                made.limited,
                run,
            )


def _store(world: World, data: str, arguments: Namespace) -> Path:
    folder = arguments.cache / "pairs" / data
    for split, count, seed in (("train", arguments.pairs, arguments.seed), ("val", 500, arguments.seed + 1)):
        if not (folder / split).exists():
            PairStore.from_arrays(*world.pairs(count, seed=seed)).save(folder / split)
    return folder


def _preset(label: str, world: World, data: str, run: Path, arguments: Namespace) -> Sampler:
    """Train what ``label`` says, a preset's name and options after a plus each, where that was not done."""
    name, *options = label.split("+")
    folder = _store(world, data, arguments)
    if not (run / "model" / "config.json").is_file():
        config = TrainConfig(
            pairs=str(folder),
            out=str(run),
            preset=name,
            model=tuple(options),
            seed=arguments.seed,
            images=arguments.images,
            minutes=None if arguments.images else arguments.minutes,
            clock="cpu",  # as peers are timed: other work on the machine changes nothing
            flips=False,  # in a mirrored world other modes are likely
            threads=arguments.threads,
            resume=run.exists(),
        )
        run_train(config)
    return from_pretrained(run)


def _peer(
    key: str, world: World, data: str, run: Path, values: dict[str, object], arguments: Namespace
) -> Sampler:
    train = open_pairs(_store(world, data, arguments), "train")
    peer = new_peer(peer_class(key), train, arguments.seed)
    if not (run / RECORD).is_file():
        train_peer(
            peer,
            train,
            run,
            seconds=60 * arguments.minutes,
            key=key,
            seed=arguments.seed,
            task=world.name,
            flips=False,
        )
    load_peer(peer, run)
    for name, value in values.items():
        setattr(peer, name, value)
    return peer
