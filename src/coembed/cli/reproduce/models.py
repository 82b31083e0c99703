"""Models of the paper's tables: trained runs, and samplers made of the training fields when wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coembed.cli.reproduce.options import METHODS, ReproduceConfig
from coembed.data.names import is_whole, scene_of
from coembed.data.pairs import Subset, evenly_spaced, fingerprint
from coembed.data.similarity.condition_features import guidance_features
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, DataError
from coembed.models.baselines.nearest import NearestNeighbours
from coembed.models.files import CONFIG_FILE
from coembed.models.pretrained import from_pretrained
from coembed.models.registry import fit_closed_form, preset_config
from coembed.training.config import TrainConfig
from coembed.training.run import run_train
from coembed.training.run_dir import read_record


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

    def whole(self) -> Subset:
        """The training pairs that show a whole photo: crops would crowd the neighbours with the same scene."""
        rows = [row for row, name in enumerate(self.train.names) if is_whole(name)]
        return Subset(self.train, torch.tensor(rows or range(len(self.train))))

    def held_out(self, limit: int) -> Subset:
        """The first held-out pairs; evenly spread ones if several are of one video, which lie side by side."""
        count = min(limit, len(self.val))
        apart = len({scene_of(name) for name in self.val.names}) == len(self.val)
        return Subset(self.val, torch.arange(count) if apart else evenly_spaced(len(self.val), count))


def open_corpora(config: ReproduceConfig) -> list[Corpus]:
    """Open every folder of pairs.

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


class Model:
    """A method's model, read or made when it is first asked for.

    Attributes:
        newest: time of the file that it depends on and that changed last, seconds; 0 if none does.
        seconds: of training or fitting; 0 for what is made when wanted.
        images: seen in training, 0 without steps.
    """

    def __init__(self, make: Callable[[], Any], newest: float, seconds: float = 0.0, images: int = 0):
        self.newest, self.seconds, self.images = newest, seconds, images
        self._make, self._made = make, None

    def __call__(self) -> Any:
        """The model itself, a ``Sampler``."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def made(self) -> bool:
        """True if it is at hand."""
        return self._made is not None

    def release(self) -> None:
        """Let go of it; it is made again if asked for."""
        self._made = None


def run_folder(config: ReproduceConfig, corpus: Corpus, method: str) -> Path:
    """Folder of a method's run, there or to come."""
    runs = Path(config.runs) if config.runs is not None else Path(config.out) / "runs"
    return runs / corpus.name / method


def is_trained(config: ReproduceConfig, corpus: Corpus, method: str) -> bool:
    """True if there is nothing left to train."""
    held = METHODS[method].kind == "held"
    return held or (run_folder(config, corpus, method) / "model" / CONFIG_FILE).is_file()


def train(config: ReproduceConfig, corpus: Corpus, method: str) -> None:
    """Train or fit what is missing, and go on where a run was stopped.

    Raises:
        ConfigError: the run there was trained on other pairs.
    """
    if METHODS[method].kind == "held":
        return
    run = run_folder(config, corpus, method)
    there = (run / "run.json").is_file()
    if there and read_record(run)["pairs"]["digest"] != corpus.digest:
        raise ConfigError(
            f"{run}: was trained on other pairs than {corpus.folder} holds; remove it to train again"
        )
    if not is_trained(config, corpus, method):
        run_train(_options(config, corpus, method, resume=there))


def open_model(config: ReproduceConfig, corpus: Corpus, method: str) -> Model:
    """The model of a method that is trained."""
    if METHODS[method].kind != "held":
        run = run_folder(config, corpus, method)
        seconds, images = _length(run)
        changed = (run / "model" / CONFIG_FILE).stat().st_mtime
        return Model(lambda: from_pretrained(run), changed, seconds, images)
    values: dict[str, Any] = dict(METHODS[method].options)
    newest = 0.0
    if method == "nearest-codes":
        source = run_folder(config, corpus, config.encoder or "")
        values["source"] = str(source)
        newest = (source / "model" / CONFIG_FILE).stat().st_mtime
    index = corpus.train.index
    shapes = (index.condition.channels, *index.size), (index.field.channels, *index.size)

    def make() -> Any:
        whole, preset = corpus.whole(), METHODS[method].preset or method
        if method == "nearest-features":
            settings = preset_config(preset, *shapes, **values)
            features = guidance_features(corpus.train, whole.indices.numpy())
            return NearestNeighbours.with_features(settings, whole, features)
        return fit_closed_form(preset, whole, **values)

    return Model(make, newest)


def _options(config: ReproduceConfig, corpus: Corpus, method: str, *, resume: bool) -> TrainConfig:
    return TrainConfig(
        pairs=str(corpus.folder),
        out=str(run_folder(config, corpus, method)),
        preset=method,
        minutes=config.work().minutes,
        batch_size=config.batch_size,
        seed=config.seed,
        threads=config.threads,
        log_every=10_000,
        validate_every=50_000,
        resume=resume,
    )


def _length(run: Path) -> tuple[float, int]:
    """Seconds and images of training, from the last line of the log."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    last = next((line for line in map(json.loads, reversed(lines)) if "seconds" in line), None)
    return (0.0, 0) if last is None else (float(last["seconds"]), int(last["images"]))
