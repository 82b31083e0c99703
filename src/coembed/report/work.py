"""The slow part of a report, step by step and each step kept: training, scores, likelihoods."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coembed.config import from_dict, read_json, to_dict
from coembed.data.progress import clock
from coembed.data.shards import PairStore, open_pairs
from coembed.errors import ConfigError, DataError
from coembed.evaluation.compact import write_compact_json
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.likelihood import Likelihood, has_density, likelihood
from coembed.evaluation.report import Evaluation
from coembed.hub import CONFIG_FILE, from_pretrained
from coembed.model.cdvae import CDVAE
from coembed.report.options import METHODS, ReproduceConfig
from coembed.training.batches import fingerprint
from coembed.training.config import TrainConfig
from coembed.training.record import read_record
from coembed.training.run import run_train


@dataclass(frozen=True)
class Corpus:
    """One folder of pairs: a section of the page.

    Attributes:
        name: of the folder.
        folder: where it lies.
        train: pairs to train on.
        val: pairs to score on.
        digest: tells these training pairs from others.
    """

    name: str
    folder: Path
    train: PairStore
    val: PairStore
    digest: str

    @property
    def task(self) -> str:
        """Name of the pairs' task."""
        return self.train.index.task


@dataclass
class Found:
    """What is known of one method on one corpus."""

    method: str
    run: Path
    model: Any
    evaluation: Evaluation
    joint: Likelihood | None
    conditional: Likelihood | None
    seconds: float
    images: int


def open_corpora(config: ReproduceConfig) -> list[Corpus]:
    """Opens every folder of pairs.

    Raises:
        DataError: a folder without train/ and val/, or two of one name.
    """
    found: list[Corpus] = []
    for text in config.pairs:
        folder = Path(text)
        train, val = open_pairs(folder, "train"), open_pairs(folder, "val")
        if train.folder == val.folder:
            raise DataError(f"{folder}: is one store; a report needs a folder that holds train/ and val/")
        name = folder.absolute().name
        if any(c.name == name for c in found):
            raise DataError(f"{folder}: another folder of pairs is called {name!r}, too; rename one of them")
        found.append(Corpus(name, folder, train, val, fingerprint(train)))
    return found


class Steps:
    """Says which step is running and about how long the rest will take.

    Args:
        seconds: what every step is thought to take; what is done already takes 0.
    """

    def __init__(self, seconds: list[float]):
        self._expected, self._done = seconds, 0
        self._start = time.monotonic()

    def run(self, label: str, work: Callable[[], Any]) -> Any:
        """Runs one step; the expectation of the rest is not touched by it."""
        left = sum(self._expected[self._done :])
        about = f", about {clock(left)} left" if left >= 1 else ""
        print(f"[{self._done + 1}/{len(self._expected)}] {label}{about}", file=sys.stderr, flush=True)
        result = work()
        self._done += 1
        return result

    def close(self) -> None:
        """Says how long it took."""
        print(f"Done in {clock(time.monotonic() - self._start)}.", file=sys.stderr, flush=True)


def work_through(config: ReproduceConfig, corpora: list[Corpus]) -> dict[str, list[Found]]:
    """Does what is missing and reads what is there: for every corpus, one ``Found`` a method.

    Raises:
        CoEmbedError: whatever stops training or scoring; what was done before is kept.
    """
    budget, out = config.work(), Path(config.out)
    jobs = [(corpus, method) for corpus in corpora for method in config.chosen]
    expected: list[float] = []
    for corpus, method in jobs:
        trained = (_run(config, corpus, method) / "model" / CONFIG_FILE).is_file()
        scored = _scores(out, corpus, method, "evaluation").is_file()
        expected += [0.0 if trained else 60 * budget.minutes if METHODS[method].trained else 5.0]
        expected += [0.0 if scored else 0.06 * budget.limit + 0.02 * budget.density_limit * budget.particles]
    steps = Steps(expected)
    found: dict[str, list[Found]] = {corpus.name: [] for corpus in corpora}
    for corpus, method in jobs:
        label = METHODS[method].label
        run = _run(config, corpus, method)
        steps.run(f"{corpus.name}: {label}: training", lambda c=corpus, m=method: _train(config, c, m))
        one = steps.run(
            f"{corpus.name}: {label}: scores", lambda c=corpus, m=method, r=run: _score(config, c, m, r)
        )
        found[corpus.name].append(one)
    steps.close()
    return found


def _run(config: ReproduceConfig, corpus: Corpus, method: str) -> Path:
    runs = Path(config.runs) if config.runs is not None else Path(config.out) / "runs"
    return runs / corpus.name / method


def _scores(out: Path, corpus: Corpus, method: str, what: str) -> Path:
    return out / "scores" / corpus.name / f"{method}.{what}.json"


def _train(config: ReproduceConfig, corpus: Corpus, method: str) -> None:
    run = _run(config, corpus, method)
    there = (run / "run.json").is_file()
    if there:
        seen = read_record(run)["pairs"]["digest"]
        if seen != corpus.digest:
            raise ConfigError(
                f"{run}: was trained on other pairs than {corpus.folder} holds; remove it to train again"
            )
    if (run / "model" / CONFIG_FILE).is_file():
        return
    options = TrainConfig(
        pairs=str(corpus.folder),
        out=str(run),
        preset=method,
        minutes=config.work().minutes,
        batch_size=config.batch_size,
        seed=config.seed,
        threads=config.threads,
        log_every=10_000,
        validate_every=50_000,
        resume=there,
    )
    run_train(options)


def _score(config: ReproduceConfig, corpus: Corpus, method: str, run: Path) -> Found:
    model = from_pretrained(run)
    budget, out = config.work(), Path(config.out)
    name = METHODS[method].label
    field = corpus.val.index.field
    newest = (run / "model" / CONFIG_FILE).stat().st_mtime

    path = _scores(out, corpus, method, "evaluation")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = min(budget.limit, len(corpus.val))
    evaluation = _kept(path, newest, lambda: Evaluation.load(path))
    options = (count, config.samples, config.seed, tuple(corpus.val.names[:count]))
    if evaluation is None or options != (
        evaluation.conditions,
        evaluation.samples,
        evaluation.seed,
        evaluation.names,
    ):
        evaluation = evaluate(
            model,
            corpus.val,
            name=name,
            limit=count,
            samples=config.samples,
            seed=config.seed,
            clip=(field.low, field.high),
            scores=budget.scores,
            vector=field.vector,
        )
        evaluation.save(path)

    densities: dict[str, Likelihood | None] = {"joint": None, "conditional": None}
    for target in densities:
        if not has_density(model) or (target == "joint" and not isinstance(model, CDVAE)):
            continue
        path = _scores(out, corpus, method, target)
        kept = _kept(path, newest, lambda p=path: from_dict(Likelihood, read_json(p), str(p)))
        wanted = min(budget.density_limit, len(corpus.val))
        if kept is None or (kept.conditions, kept.particles, kept.seed) != (
            wanted,
            1 if kept.exact else budget.particles,
            config.seed,
        ):
            condition = corpus.val.index.condition
            ranges = (condition.low, condition.high), (field.low, field.high)
            kept = likelihood(
                model,
                corpus.val,
                name=name,
                target=target,  # type: ignore[arg-type]
                limit=wanted,
                particles=budget.particles,
                seed=config.seed,
                ranges=ranges,
                dequantise=min(high - low for low, high in ranges) / 256,
            )
            write_compact_json(path, to_dict(kept))
        densities[target] = kept
    seconds, images = _length(run)
    return Found(method, run, model, evaluation, densities["joint"], densities["conditional"], seconds, images)


def _kept(path: Path, newest: float, load: Callable[[], Any]) -> Any:
    """What a file says, or None where there is none, it is damaged, or the model is newer."""
    if not path.is_file() or path.stat().st_mtime < newest:
        return None
    try:
        return load()
    except ConfigError:
        return None


def _length(run: Path) -> tuple[float, int]:
    """Seconds and images of training, from the last line of the log."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    last = next((line for line in map(json.loads, reversed(lines)) if "seconds" in line), None)
    return (0.0, 0) if last is None else (float(last["seconds"]), int(last["images"]))
