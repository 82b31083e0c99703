"""The training loop: pairs and a model in, a folder with the trained model out.

RUN/run.json             options, the model's config and what the pairs were
RUN/metrics.jsonl        one JSON a line
RUN/samples/             pictures of samples
RUN/checkpoint-XXXXXXXX  the newest state, from which --resume goes on
RUN/model/               the running mean of the weights at its best validation, written at the end
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from coembed.data.pairs import Pairs, evenly_spaced
from coembed.errors import TrainingError
from coembed.models.base import Trainable
from coembed.numerics.random import global_generators, named_generator
from coembed.serialization import to_dict
from coembed.training import checkpoint, schedule
from coembed.training.alarms import alarms
from coembed.training.batches import Batches
from coembed.training.best import Best
from coembed.training.checkpoint import State
from coembed.training.config import TrainConfig
from coembed.training.ema import Ema
from coembed.training.estimate import estimate
from coembed.training.interrupt import Interrupt
from coembed.training.log import Log, peak_memory_mb, summary
from coembed.training.preview import Range, picture
from coembed.training.run_dir import begin
from coembed.training.step import Bad, Outcome, autocast, loss_parts, make_optimizer, train_step
from coembed.training.validation import DRAWS, SCORED, energies

if TYPE_CHECKING:
    from coembed.training.guidance import Guide

VALIDATIONS = 20  # a run, at least, where they pay
PAYS_AFTER = 3  # images trained on for every forward pass of a validation, which is a third of a step
INITIAL_BYTES = 1 << 30  # training pairs (float32) that a model may look at for its starting values


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Weights that decay towards 0 would slow a CPU manyfold; afterwards the process is as it was."""
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@denormals_flushed()
def fit(
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
) -> Path:
    """Train a model and write it; the public entrance for pairs and models of the user's own.

    Args:
        model: freshly made, after ``torch.manual_seed`` where its starting weights shall repeat.
        train: pairs to learn from.
        validation: other pairs, at least one, for the validation loss and the pictures.
        config: the options.
        save: writes the trained model into a folder, e.g. ``coembed.save_pretrained`` with its task.
        task: the name of the pairs' task, for the record.
        ranges: (low, high) of condition and of field in pictures.
        vectors: whether condition and field are displacements, which flips turn round (``Layer.vector``).
        guide: targets of the training pairs' codes, which the model's loss then heeds (``guidance.guide``).
        reasons: why the model is not its preset's own, for the record.

    Returns:
        The folder of the trained model, RUN/model (or RUN after a dry run).

    Raises:
        TrainingError: the folder has a run already, there is none to resume, an option has changed, a
            checkpoint is damaged, the disk refuses, or too many steps were not finite.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
    """
    device = prepare_machine(config)
    model.to(device)
    model.train()
    batches = Batches(train, config.batch_size, config.seed, device, vectors)
    if config.dry_run:
        estimate(model, batches, config, device)
        return Path(config.out)

    run = begin(config, to_dict(model.config), task, train, reasons)
    if guide is not None:
        guide.to(device).keep(run)
    last = checkpoint.latest(run)
    if last is None:
        _initialise(model, batches.pairs, device)
    ema = Ema(model, config.ema_halflife)
    optimizer = make_optimizer(model, config)
    noise = named_generator(config.seed, "noise", device)
    flips = named_generator(config.seed, "flips")
    generators = {"noise": noise, "flips": flips, **global_generators(config.seed, device)}
    state, best = State(), Best()
    if last is not None:
        state = checkpoint.load(last, model, ema.model, optimizer, generators)
        best = Best(checkpoint.load_best(last, state, device))

    budget = schedule.Budget.of(config, len(train))
    checkpoint_timer, picture_timer = _Timer(config.checkpoint_minutes), _Timer(config.picture_minutes)
    speed = _Speed(state)
    read_clock = time.process_time if config.clock == "cpu" else time.perf_counter

    def save_checkpoint() -> Path:
        log.sync()
        return checkpoint.save(run, state, model, ema.model, optimizer, generators, best.weights)

    def score_state() -> float:
        scores = energies(ema.model, validation, config, device)
        state.validated, state.latest = state.images, sum(scores) / len(scores)
        state.latest_scores = scores
        best.offer(ema.model, state)
        return state.latest

    def save_picture() -> None:
        path = run / "samples" / f"step-{state.step:08d}.png"
        picture(path, ema.model, validation, seed=config.seed, device=device, ranges=ranges)

    with Log(run / "metrics.jsonl", keep_until=state.step) as log, Interrupt() as interrupt:
        if last is not None:
            log.say(f"{run}: going on from step {state.step}")
        elif config.keep == "best":
            log.write({"event": "start", "step": 0, "energy": score_state()})
        clock, done = read_clock(), budget.progress(state.images, state.seconds) >= 1
        while not done:  # only a step ends a run, so the last line is always whole; not the time of writing one
            progress = budget.progress(state.images, state.seconds)
            warmup = schedule.warmup(config, progress)
            learning_rate = schedule.learning_rate(config, progress)
            rows = batches.rows(state.step)
            condition, field, mirrored = batches.draw(rows, flips if config.flips else None)
            outcome = train_step(
                model,
                optimizer,
                condition,
                field,
                config,
                generator=noise,
                warmup=warmup,
                learning_rate=learning_rate,
                guidance=None if guide is None else guide.at(progress, rows, mirrored),
                scores=config.scores if config.scores.due(progress) else None,
            )
            state.step += 1
            state.images += batches.size
            clock, state.seconds = _tick(read_clock(), clock, state.seconds)
            if outcome.bad is None:
                state.skipped_in_row = 0
                ema.update(model, batches.size, state.images)
                _add(state, outcome)
            else:
                _skip(state, outcome.bad, rows, config, log)

            log.progress(budget.progress(state.images, state.seconds))
            now = budget.progress(state.images, state.seconds)
            done = now >= 1
            validating = done or _validation_due(state, batches.size, config, (progress, now), len(validation))
            if _due(state.images, batches.size, config.log_every) or validating:
                line = {
                    "step": state.step,
                    "images": state.images,
                    "epoch": state.step / batches.an_epoch,
                    "progress": budget.progress(state.images, state.seconds),
                    "seconds": round(state.seconds, 3),
                    "train": _means(state),
                    "gradient_norm": outcome.gradient_norm if outcome.bad is None else None,
                    "learning_rate": learning_rate,
                    "warmup": warmup,
                    "skipped": state.skipped,
                    "images_per_second": speed.rate(state),
                    "memory_mb": peak_memory_mb(device),
                }
                if validating:
                    line["validation"], line["diagnostics"] = validate(ema.model, validation, config, device)
                    if config.keep == "best":
                        line["validation"]["energy"] = score_state()
                    if warmup >= 1:
                        _sound_alarms(line["diagnostics"], state, log)
                log.write(line)
                log.say(summary(line))
                clock, state.seconds = _tick(read_clock(), clock, state.seconds)
            if picture_timer.due():
                save_picture()
            if interrupt.asked and not done:
                path = save_checkpoint()
                log.say(f"Stopped; {path} is written. Go on with the same options and --resume.")
                raise KeyboardInterrupt
            if checkpoint_timer.due():
                save_checkpoint()

        save_checkpoint()
        said = best.take(ema.model, state)
        if said:
            log.say(said)
        save_picture()
        save(ema.model, run / "model")
        log.say(f"Trained: {run / 'model'}")
    return run / "model"


@torch.no_grad()
def validate(
    model: Trainable, pairs: Pairs, config: TrainConfig, device: torch.device
) -> tuple[dict[str, float], dict[str, Any]]:
    """Mean loss parts in nats per pair at full weight, and diagnostics; the same draws every time."""
    rows = evenly_spaced(len(pairs), config.val_limit)
    generator = named_generator(config.seed, "validation", device)
    sums: dict[str, float] = {}
    for chunk in rows.split(config.batch_size):
        condition, field = pairs.condition(chunk).to(device), pairs.field(chunk).to(device)
        with autocast(config, device):
            for name, value in loss_parts(model, condition, field, generator, 1.0).items():
                sums[name] = sums.get(name, 0.0) + float(value.double().sum())
    chunk = rows[: config.batch_size]
    with autocast(config, device):
        found = model.diagnostics(
            pairs.condition(chunk).to(device), pairs.field(chunk).to(device), generator=generator
        )
    return {name: total / len(rows) for name, total in sums.items()}, dict(found)


def prepare_machine(config: TrainConfig) -> torch.device:
    """Set threads and arithmetic once, and name the device.

    Raises:
        TrainingError: a device that torch does not have.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"device: got {name!r}, which torch cannot use ({error})") from None
    torch.backends.cudnn.benchmark = False  # it would choose other kernels after a resume
    torch.backends.cudnn.deterministic = True
    return device


def _initialise(model: Trainable, pairs: Pairs, device: torch.device) -> None:
    size = 4 * (pairs.condition([0]).numel() + pairs.field([0]).numel())
    rows = evenly_spaced(len(pairs), max(1, INITIAL_BYTES // size))
    model.initialise(pairs.condition(rows).to(device), pairs.field(rows).to(device))


def _due(images: int, batch: int, every: int) -> bool:
    return images // every > (images - batch) // every


def _validation_due(
    state: State, batch: int, config: TrainConfig, progress: tuple[float, float], pairs: int
) -> bool:
    """After every ``validate_every`` images, and up to twenty times a run where that costs little of it."""
    if _due(state.images, batch, config.validate_every):
        return True
    before, now = (int(VALIDATIONS * part) for part in progress)
    looked_at = min(pairs, config.val_limit) + DRAWS * min(pairs, SCORED)
    return now > before and state.images - state.validated >= PAYS_AFTER * looked_at


def _tick(now: float, clock: float, seconds: float) -> tuple[float, float]:
    return now, seconds + now - clock


def _add(state: State, outcome: Outcome) -> None:
    for name, value in outcome.parts.items():
        state.sums[name] = state.sums.get(name, 0.0) + value
    state.summed += 1


def _means(state: State) -> dict[str, float]:
    means = {name: total / state.summed for name, total in state.sums.items()}
    state.sums, state.summed = {}, 0
    return means


def _skip(state: State, bad: Bad, rows: torch.Tensor, config: TrainConfig, log: Log) -> None:
    state.skipped += 1
    state.skipped_in_row += 1
    terms, where = list(bad.terms), [int(rows[i]) for i in bad.rows]
    log.write({"event": "skipped", "step": state.step, "terms": terms, "pairs": where})
    cause = f"step {state.step}: {', '.join(terms)} not finite" + (
        f" for training pairs {where}" if where else ""
    )
    log.say(f"Skipped {cause}")
    in_all = state.skipped > max(config.max_skipped, 0.05 * state.step)
    if state.skipped_in_row >= config.max_skipped or in_all:
        raise TrainingError(
            f"{cause}; {state.skipped_in_row} steps in a row and {state.skipped} of {state.step} in all were "
            f"skipped (max_skipped {config.max_skipped}). Try a lower learning_rate or precision float32."
        )


def _sound_alarms(diagnostics: dict[str, Any], state: State, log: Log) -> None:
    for key, text in alarms(diagnostics).items():
        if key not in state.alarms:
            state.alarms = (*state.alarms, key)
            log.write({"event": "alarm", "step": state.step, "text": text})
            log.say(f"Alarm: {text}")


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
    """Images a second since the last call."""

    def __init__(self, state: State):
        self._images, self._seconds = state.images, state.seconds

    def rate(self, state: State) -> float:
        images, seconds = state.images - self._images, state.seconds - self._seconds
        self._images, self._seconds = state.images, state.seconds
        return round(images / max(seconds, 1e-9), 1)
