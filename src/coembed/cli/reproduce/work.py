"""The slow part of a report, step by step and each step kept: training, scores, likelihoods."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coembed.cli.output.progress import clock
from coembed.cli.reproduce.models import Corpus, Model, is_trained, open_model, run_folder, train
from coembed.cli.reproduce.options import METHODS, ReproduceConfig
from coembed.errors import ConfigError
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.likelihood import Likelihood, has_density, likelihood
from coembed.evaluation.results import Evaluation
from coembed.models.cdvae.model import CDVAE
from coembed.serialization import from_dict, read_json, to_dict, write_compact_json, write_json
from coembed.training.run_dir import read_record

_TARGETS = ("joint", "conditional")
# Seconds on one core, for the time left: a closed-form fit, a photo with 100 samples, a particle of one photo.
_FIT, _PHOTO, _PARTICLE = 60.0, 0.08, 0.003
_TIMED = 16  # photos sampled for, to see how long it takes


@dataclass
class Found:
    """Results of one method on one corpus.

    Attributes:
        method: its name.
        model: it, when asked for.
        config: of the model, as JSON values.
        evaluation: every score of every photo.
        joint: bounds on -log p(xc, xg), for a model that has them.
        conditional: bounds on -log p(xg | xc), likewise.
        milliseconds: of one core for one sample; None where that was not measured.
    """

    method: str
    model: Model
    config: dict[str, Any]
    evaluation: Evaluation
    joint: Likelihood | None
    conditional: Likelihood | None
    milliseconds: float | None = None


class Steps:
    """Say which step is running and about how long the rest will take.

    Args:
        seconds: what every step is thought to take; what is done already takes 0.
    """

    def __init__(self, seconds: list[float]):
        self._expected, self._done = seconds, 0
        self._start = time.monotonic()

    def run(self, label: str, work: Callable[[], Any]) -> Any:
        """Run one step; the expectation of the rest is not touched by it."""
        left = sum(self._expected[self._done :])
        about = f", about {clock(left)} left" if left >= 1 else ""
        print(f"[{self._done + 1}/{len(self._expected)}] {label}{about}", file=sys.stderr, flush=True)
        result = work()
        self._done += 1
        return result

    def close(self) -> None:
        """Say how long it took."""
        print(f"Done in {clock(time.monotonic() - self._start)}.", file=sys.stderr, flush=True)


def work_through(config: ReproduceConfig, corpora: list[Corpus]) -> Iterator[tuple[Corpus, list[Found]]]:
    """Do what is missing and read what is there.

    Yields:
        Every corpus with one ``Found`` a method, in the order of the tables, as soon as it is complete.

    Raises:
        CoEmbedError: whatever stops training or scoring; what was done before is kept.
    """
    jobs = {corpus.name: _order(config) for corpus in corpora}
    steps = Steps([s for corpus in corpora for m in jobs[corpus.name] for s in _seconds(config, corpus, m)])
    for corpus in corpora:
        since = _pairs_changed(config, corpus)
        found: dict[str, Found] = {}
        for method in jobs[corpus.name]:
            label = f"{corpus.name}: {METHODS[method].label}"
            steps.run(f"{label}: training", lambda c=corpus, m=method: train(config, c, m))
            found[method] = steps.run(
                f"{label}: scores", lambda c=corpus, m=method, s=since: _score(config, c, m, s)
            )
            if METHODS[method].kind == "held":
                found[method].model.release()  # training fields; what else there is, is small
        yield corpus, [found[method] for method in config.chosen if method in found]
        for one in found.values():
            one.model.release()
    steps.close()


def _order(config: ReproduceConfig) -> list[str]:
    """Methods as they are worked through: the search in code space waits for the codes."""
    last = [m for m in config.chosen if m == "nearest-codes" and config.encoder]
    return [m for m in config.chosen if m != "nearest-codes"] + last


def _seconds(config: ReproduceConfig, corpus: Corpus, method: str) -> tuple[float, float]:
    """Estimated seconds of training and scoring, 0 for those done."""
    budget = config.work()
    training = 60 * budget.minutes if METHODS[method].trained else _FIT
    scoring = _PHOTO * budget.limit
    if METHODS[method].kind != "held":
        scoring += 2 * _PARTICLE * budget.density_limit * budget.particles
    scored = _file(Path(config.out), corpus, method, "evaluation").is_file()
    return 0.0 if is_trained(config, corpus, method) else training, 0.0 if scored else scoring


def _file(out: Path, corpus: Corpus, method: str, what: str) -> Path:
    return out / "scores" / corpus.name / f"{method}.{what}.json"


def _pairs_changed(config: ReproduceConfig, corpus: Corpus) -> float:
    """When the training pairs were first seen as they are: scores of samplers made of others are older."""
    path = Path(config.out) / "scores" / corpus.name / "pairs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {"train": corpus.digest, "neighbours": "whole photos"}
    if not path.is_file() or read_json(path) != known:
        write_json(path, known)
    return path.stat().st_mtime


def _score(config: ReproduceConfig, corpus: Corpus, method: str, since: float) -> Found:
    model = open_model(config, corpus, method)
    budget, out = config.work(), Path(config.out)
    name = METHODS[method].label
    field = corpus.val.index.field
    newest = max(model.newest, since if METHODS[method].kind == "held" else 0.0)

    path = _file(out, corpus, method, "evaluation")
    pairs = corpus.held_out(budget.limit)
    evaluation = _kept(path, newest, lambda: Evaluation.load(path))
    options = (len(pairs), config.samples, config.seed, tuple(pairs.names))
    if evaluation is None or options != (
        evaluation.conditions,
        evaluation.samples,
        evaluation.seed,
        evaluation.names,
    ):
        evaluation = evaluate(
            model(),
            pairs,
            name=name,
            limit=len(pairs),
            samples=config.samples,
            seed=config.seed,
            clip=(field.low, field.high),
            scores=budget.scores,
            vector=field.vector,
            training=corpus.train,
        )
        evaluation.save(path)
    densities = {target: _density(config, corpus, method, model, target) for target in _TARGETS}
    settings = _settings(config, corpus, method, model, newest)
    speed = _speed(config, corpus, method, model, newest)
    return Found(method, model, settings, evaluation, densities["joint"], densities["conditional"], speed)


def _speed(config: ReproduceConfig, corpus: Corpus, method: str, model: Model, newest: float) -> float | None:
    """Milliseconds of processor time a sample, which does not depend on what else a machine is doing."""
    path = _file(Path(config.out), corpus, method, "speed")
    kept = _kept(path, newest, lambda: read_json(path)["milliseconds"])
    if kept is None and (METHODS[method].kind != "held" or model.made):
        condition = corpus.val.condition(slice(0, _TIMED))
        model().sample(condition[:1], 2, generator=0)  # what is slow once only
        begun = time.process_time()
        model().sample(condition, config.samples, generator=0)
        kept = 1000 * (time.process_time() - begun) / (len(condition) * config.samples)
        write_json(path, {"milliseconds": kept})
    return kept


def _settings(
    config: ReproduceConfig, corpus: Corpus, method: str, model: Model, newest: float
) -> dict[str, Any]:
    """The model's config, as its run has it; for one that is not saved, as it came out of fitting."""
    if METHODS[method].kind != "held":
        return read_record(run_folder(config, corpus, method))["model"]
    path = _file(Path(config.out), corpus, method, "model")
    kept = _kept(path, newest, lambda: read_json(path))
    if kept is None:
        kept = to_dict(model().config)
        write_json(path, kept)
    return kept


def _density(
    config: ReproduceConfig, corpus: Corpus, method: str, model: Model, target: str
) -> Likelihood | None:
    if METHODS[method].kind == "held":
        return None
    if not has_density(model()) or (target == "joint" and not isinstance(model(), CDVAE)):
        return None
    budget, path = config.work(), _file(Path(config.out), corpus, method, target)
    kept = _kept(path, model.newest, lambda: from_dict(Likelihood, read_json(path), str(path)))
    pairs = corpus.held_out(budget.density_limit)
    if kept is None or (kept.names, kept.particles, kept.seed) != (
        tuple(pairs.names),
        1 if kept.exact else budget.particles,
        config.seed,
    ):
        layers = corpus.val.index.condition, corpus.val.index.field
        ranges = (layers[0].low, layers[0].high), (layers[1].low, layers[1].high)
        kept = likelihood(
            model(),
            pairs,
            name=METHODS[method].label,
            target=target,  # type: ignore[arg-type]
            limit=len(pairs),
            particles=budget.particles,
            seed=config.seed,
            ranges=ranges,
            dequantise=min(high - low for low, high in ranges) / 256,
        )
        write_compact_json(path, to_dict(kept))
    return kept


def _kept(path: Path, newest: float, load: Callable[[], Any]) -> Any:
    """Content of a file, or None where there is none, it is damaged, or the model is newer."""
    if not path.is_file() or path.stat().st_mtime < newest:
        return None
    try:
        return load()
    except ConfigError:
        return None
