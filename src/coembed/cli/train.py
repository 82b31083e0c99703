"""The options of ``coembed train`` from its arguments (imports no torch)."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

import tyro

from coembed.training.config import TrainConfig
from coembed.training.run_dir import saved_options


def parse_train(arguments: Sequence[str]) -> TrainConfig:
    """The options; with --resume, what is not given is what the run in --out began with.

    So ``coembed train --out RUN --resume`` is enough, and an option given that differs is noticed as changed.

    Raises:
        TrainingError: --resume where there is no run.
        SystemExit: a wrong command line, explained by tyro.
    """
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--out")
    peek.add_argument("--resume", action="store_true")
    known, _ = peek.parse_known_args(list(arguments))
    if not (known.resume and known.out):
        return tyro.cli(TrainConfig, prog="coembed train", args=list(arguments))
    saved = dataclasses.replace(saved_options(known.out), out=known.out)
    return tyro.cli(TrainConfig, prog="coembed train", args=list(arguments), default=saved)


def run(config: TrainConfig) -> int:
    """Train the model; the exit status."""
    from coembed.training.run import run_train  # imports torch: after the options are known to be good

    run_train(config)
    return 0
