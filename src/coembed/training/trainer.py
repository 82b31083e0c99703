"""The training loop: pairs and a model in, a folder with the trained model out.

RUN/run.json             options, the model's config and what the pairs were
RUN/metrics.jsonl        one JSON per line
RUN/samples/             pictures of samples
RUN/checkpoint-XXXXXXXX  the newest state, from which --resume goes on
RUN/model/               the running mean of the weights at its best validation, written at the end
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, evenly_spaced
from coembed.errors import TrainingError
from coembed.models.base import Range, Scored, Trainable
from coembed.numerics.random import global_generators, named_generator
from coembed.serialization import to_dict
from coembed.training import checkpoint, schedule
from coembed.training.batches import Batches
from coembed.training.checkpoint import BestCheckpoint, State
from coembed.training.config import SCORED_FRACTION, TrainConfig
from coembed.training.ema import Ema
from coembed.training.estimate import estimate
from coembed.training.log import MetricsLogger, diagnose, summary
from coembed.training.machine import Interrupt, denormals_flushed, peak_memory_mb, prepare_machine
from coembed.training.preview import picture
from coembed.training.run_dir import begin
from coembed.training.step import NonFinite, StepResult, make_optimizer, train_step
from coembed.training.validation import energies, mean_losses, validation_cost

if TYPE_CHECKING:
    from coembed.training.guidance import Guide

VALIDATIONS = 20  # of a run, at least, where they are cheap
MIN_IMAGES_PER_FORWARD = 3  # trained on between validations, per forward pass of one: a third of a step
MAX_INITIAL_BYTES = 1 << 30  # training pairs (float32) that a model may look at for its starting values


class Trainer:
    """A model, its pairs and the options of a run; the public entrance for models and pairs of the user's own.

    Args:
        model: freshly made, after ``torch.manual_seed`` where its starting weights shall repeat.
        train: pairs to learn from.
        validation: other pairs, at least one, for the validation loss and the pictures.
        config: the options.
        save: writes the trained model into a folder, e.g. ``coembed.save_pretrained`` with its task.
        task: the name of the pairs' task, for the record.
        ranges: (low, high) of condition and of field in pictures.
        vectors: whether condition and field are displacements, which flips turn round (``Layer.vector``).
        guide: targets of the training pairs' latents, which the model's loss then heeds.
        reasons: why the model is not its preset's own, for the record.

    Raises:
        TrainingError: a device that torch does not have.
        DataError: no training pairs.
    """

    run: Path
    ema: Ema
    optimizer: torch.optim.Optimizer
    generators: dict[str, torch.Generator]
    log: MetricsLogger

    @denormals_flushed()
    def __init__(
        self,
        model: Trainable,
        train: Pairs,
        validation: Pairs,
        config: TrainConfig,
        *,
        save: Callable[[Any, Path], object],
        task: str = "custom",
        ranges: tuple[Range, Range] | None = None,
        vectors: tuple[bool, bool] = (False, False),
        guide: Guide | None = None,
        reasons: tuple[str, ...] = (),
    ):
        self.scores = config.scores
        if self.scores.fraction is None and isinstance(model, Scored):
            self.scores = replace(config.scores, fraction=SCORED_FRACTION)
        self.model, self.pairs, self.validation, self.config = model, train, validation, config.resolve()
        self.device = prepare_machine(self.config)
        model.to(self.device)
        model.train()
        self.batches = Batches(train, self.config.batch_size, config.seed, self.device, vectors)
        self.budget = schedule.Budget.of(self.config, len(train))
        self.state, self.best = State(), BestCheckpoint()
        self._save, self._task, self._ranges = save, task, ranges
        self._guide, self._reasons = guide, reasons

    @denormals_flushed()
    def train(self) -> Path:
        """Train the model, or go on with the run that was stopped, and write it.

        Returns:
            The folder of the trained model, RUN/model (or RUN after a dry run).

        Raises:
            TrainingError: the folder has a run already, there is none to resume, an option has changed, a
                checkpoint is damaged, the disk refuses, or too many steps were not finite.
            KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
        """
        if self.config.dry_run:
            estimate(self.model, self.batches, self.config, self.device)
            return Path(self.config.out)
        resumed = self._open()
        path = self.run / "metrics.jsonl"
        with MetricsLogger(path, keep_until=self.state.step) as self.log, Interrupt() as interrupt:
            if resumed:
                self.log.say(f"{self.run}: going on from step {self.state.step}")
            elif self.config.keep == "best":
                self.log.write({"event": "start", "step": 0, "energy": self._score()})
            self._loop(interrupt)
            self.checkpoint()
            if said := self.best.restore(self.ema.model, self.state):
                self.log.say(said)
            self._picture()
            self._save(self.ema.model, self.run / "model")
            self.log.say(f"Trained: {self.run / 'model'}")
        return self.run / "model"

    @property
    def progress(self) -> float:
        """The fraction of the run that is done, 0 to 1."""
        return self.budget.progress(self.state.images, self.state.seconds)

    def step(self) -> StepResult:
        """Make one step; one that is not finite changes nothing, and is counted.

        Raises:
            TrainingError: too many steps were not finite.
        """
        config, state, progress = self.config, self.state, self.progress
        indices = self.batches.indices(state.step)
        flips = self.generators["flips"] if config.flips else None
        condition, field, mirrored = self.batches.get(indices, flips)
        result = train_step(
            self.model,
            self.optimizer,
            condition,
            field,
            config,
            generator=self.generators["noise"],
            warmup=schedule.warmup(config, progress),
            learning_rate=schedule.learning_rate(config, progress),
            guidance=None if self._guide is None else self._guide.at(progress, indices, mirrored),
            scores=self.scores if self.scores.due(progress) else None,
        )
        state.step += 1
        state.images += self.batches.size
        if result.non_finite is None:
            state.skipped_in_row = 0
            self.ema.update(self.model, self.batches.size, state.images)
            state.add(result.parts)
        else:
            self._skip(result.non_finite, indices)
        return result

    def validate(self) -> dict[str, Any]:
        """Losses, samples' energy score and diagnostics of the running mean, on validation pairs."""
        losses, diagnostics = mean_losses(self.ema.model, self.validation, self.config, self.device)
        if self.config.keep == "best":
            losses["energy"] = self._score()
        return {"validation": losses, "diagnostics": diagnostics}

    def checkpoint(self) -> Path:
        """Write everything the run needs to go on bit for bit.

        Raises:
            TrainingError: the disk refuses.
        """
        self.log.sync()
        model, ema, best = self.model, self.ema.model, self.best.weights
        return checkpoint.save(self.run, self.state, model, ema, self.optimizer, self.generators, best)

    def _open(self) -> bool:
        """Open the folder of the run; True if it goes on from a checkpoint, else with starting values."""
        model, config, device = self.model, self.config, self.device
        self.run = begin(config, to_dict(model.config), self._task, self.pairs, self._reasons)
        if self._guide is not None:
            self._guide.to(device).save(self.run)
        last = checkpoint.latest(self.run)
        if last is None:
            pairs = self.batches.pairs
            size = 4 * sum(layer.numel() for layer in pairs.batch([0]))
            condition, field = pairs.batch(evenly_spaced(len(pairs), max(1, MAX_INITIAL_BYTES // size)))
            model.initialise(condition.to(device), field.to(device))
        self.ema = Ema(model, config.ema_halflife)
        self.optimizer = make_optimizer(model, config)
        self.generators = {
            "noise": named_generator(config.seed, "noise", device),
            "flips": named_generator(config.seed, "flips"),
            **global_generators(config.seed, device),
        }
        if last is not None:
            self.state = checkpoint.load(last, model, self.ema.model, self.optimizer, self.generators)
            self.best = BestCheckpoint(checkpoint.load_best(last, self.state, device))
        return last is not None

    def _loop(self, interrupt: Interrupt) -> None:
        config, state, batch = self.config, self.state, self.batches.size
        checkpoints, pictures = _Timer(config.checkpoint_minutes), _Timer(config.picture_minutes)
        watch, speed = Stopwatch(config.clock, state.seconds), _Speed(state)
        done = self.progress >= 1  # changed by steps alone, so that the last line is whole: not by writing one
        while not done:
            progress = self.progress
            result = self.step()
            state.seconds = watch.seconds
            done = self.progress >= 1
            self.log.progress(self.progress)
            validating = done or self._validation_due(progress)
            if validating or _due(state.images, batch, config.log_every):
                line = self._line(result, progress) | {"images_per_second": speed.rate(state)}
                line["memory_mb"] = peak_memory_mb(self.device)
                if validating:
                    line |= self.validate()
                    if line["warmup"] >= 1:
                        self._sound_alarms(line["diagnostics"])
                self.log.write(line)
                self.log.say(summary(line))
                state.seconds = watch.seconds
            if pictures.due():
                self._picture()
            if interrupt.asked and not done:
                path = self.checkpoint()
                self.log.say(f"Stopped; {path} is written. Go on with the same options and --resume.")
                raise KeyboardInterrupt
            if checkpoints.due():
                self.checkpoint()

    def _line(self, result: StepResult, progress: float) -> dict[str, Any]:
        """The numbers of a line of the log after a step that began at this progress."""
        state = self.state
        return {
            "step": state.step,
            "images": state.images,
            "epoch": state.step / self.batches.per_epoch,
            "progress": self.progress,
            "seconds": round(state.seconds, 3),
            "train": state.take_means(),
            "gradient_norm": result.gradient_norm if result.non_finite is None else None,
            "learning_rate": schedule.learning_rate(self.config, progress),
            "warmup": schedule.warmup(self.config, progress),
            "skipped": state.skipped,
        }

    def _score(self) -> float:
        state = self.state
        state.latest_scores = energies(self.ema.model, self.validation, self.config, self.device)
        state.validated = state.images
        state.latest = sum(state.latest_scores) / len(state.latest_scores)
        self.best.update(self.ema.model, state)
        return state.latest

    def _picture(self) -> None:
        path, seed = self.run / "samples" / f"step-{self.state.step:08d}.png", self.config.seed
        picture(path, self.ema.model, self.validation, seed=seed, device=self.device, ranges=self._ranges)

    def _validation_due(self, before: float) -> bool:
        """True every ``validate_every`` images, and up to twenty times per run where that costs little."""
        state, config = self.state, self.config
        if _due(state.images, self.batches.size, config.validate_every):
            return True
        if int(VALIDATIONS * self.progress) == int(VALIDATIONS * before):
            return False
        cost = validation_cost(len(self.validation), config)
        return state.images - state.validated >= MIN_IMAGES_PER_FORWARD * cost

    def _skip(self, non_finite: NonFinite, indices: Tensor) -> None:
        state, limit = self.state, self.config.max_skipped
        state.skipped += 1
        state.skipped_in_row += 1
        terms, pairs = list(non_finite.terms), [int(indices[i]) for i in non_finite.indices]
        self.log.write({"event": "skipped", "step": state.step, "terms": terms, "pairs": pairs})
        whose = f" for training pairs {pairs}" if pairs else ""
        cause = f"step {state.step}: {', '.join(terms)} not finite{whose}"
        self.log.say(f"Skipped {cause}")
        if state.skipped_in_row >= limit or state.skipped > max(limit, 0.05 * state.step):
            raise TrainingError(
                f"{cause}; {state.skipped_in_row} steps in a row and {state.skipped} of {state.step} in all "
                f"were skipped (max_skipped {limit}). Try a lower learning_rate or precision float32."
            )

    def _sound_alarms(self, diagnostics: Any) -> None:
        for key, text in diagnose(diagnostics).items():
            if key not in self.state.alarms:
                self.state.alarms = (*self.state.alarms, key)
                self.log.write({"event": "alarm", "step": self.state.step, "text": text})
                self.log.say(f"Alarm: {text}")


class Stopwatch:
    """Seconds of a run, those before it was resumed included; all count, so that ``minutes`` bounds the whole.

    Args:
        clock: "wall", or "cpu" for the CPU time of this process, all threads together.
        seconds: those before.
    """

    def __init__(self, clock: Literal["wall", "cpu"], seconds: float = 0.0):
        self._read = time.process_time if clock == "cpu" else time.perf_counter
        self._start = self._read() - seconds

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        return self._read() - self._start


class _Timer:
    """Due every so many minutes of this process; never when the minutes are 0."""

    def __init__(self, minutes: float):
        self._seconds, self._last = 60 * minutes, time.monotonic()

    def due(self) -> bool:
        if not self._seconds or time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


class _Speed:
    """Images per second since the last call."""

    def __init__(self, state: State):
        self._images, self._seconds = state.images, state.seconds

    def rate(self, state: State) -> float:
        images, seconds = state.images - self._images, state.seconds - self._seconds
        self._images, self._seconds = state.images, state.seconds
        return round(images / max(seconds, 1e-9), 1)


def _due(images: int, batch: int, every: int) -> bool:
    return images // every > (images - batch) // every
