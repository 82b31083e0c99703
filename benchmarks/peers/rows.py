"""Rows of the table: closed forms, trained runs of CoEmbed, and trained peers, each built when wanted."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coembed.data.names import is_whole
from coembed.data.pairs import Subset
from coembed.data.store.store import PairStore
from coembed.errors import CoEmbedError, ConfigError
from coembed.models.base import Sampler
from coembed.models.pretrained import load_pretrained
from coembed.models.registry import NEAREST, SIMPLE, fit_closed_form
from coembed.serialization import read_json
from peers.peer import Peer
from peers.registry import peer_class
from peers.train import RECORD, WEIGHTS, is_finished, load_peer

CLOSED_FORMS = ("random fields", NEAREST, "nearest, smoothed 1 px", "linear-Gaussian")


@dataclass
class Row:
    """One sampler of the table.

    Attributes:
        name: in the table; each once.
        kind: ``closed form``, ``CoEmbed`` or ``peer``.
        identity: digest of what decides its samples, for the cache.
        build: makes the sampler.
        limited: so slow that fewer photos are scored.
        parameters: learned values, None for closed forms.
        seconds: of training; CPU time for peers and closed forms (known once built), the clock's for CoEmbed.
        images: pairs seen in training, None for closed forms.
        curve: [pairs, seconds, loss] of training, where kept.
    """

    name: str
    kind: str
    identity: str
    build: Callable[[], Sampler]
    limited: bool = False
    parameters: int | None = None
    seconds: float | None = None
    images: int | None = None
    curve: list[list[float]] | None = None


class Whole(Subset):
    """The pairs that are no crops of others: crops would crowd the nearest neighbours with one scene."""

    def __init__(self, store: PairStore):
        super().__init__(store, torch.tensor([i for i, name in enumerate(store.names) if is_whole(name)]))
        self.store = store


def closed_forms(train: PairStore) -> Iterator[Row]:
    """Samplers fitted on the training pairs without any network."""
    identity = digest(train)
    for name in CLOSED_FORMS:
        row = Row(name, "closed form", identity, lambda: train)  # type: ignore[arg-type, return-value]

        def fit(row: Row = row) -> Sampler:
            begun = time.process_time()
            preset, options = SIMPLE[row.name]
            sampler = fit_closed_form(preset, Whole(train), **options)
            row.seconds = round(time.process_time() - begun, 1)
            return sampler

        row.build = fit
        yield row


def coembed_runs(folder: Path, say: Callable[[str], object]) -> Iterator[Row]:
    """Finished runs of ``coembed train`` in the folder, named as their folders are."""
    for run in sorted(p for p in folder.glob("*") if p.is_dir()) if folder.is_dir() else []:
        config = run / "model" / "config.json"
        if not config.is_file():
            say(f"{run}: no trained model yet, left out")
            continue
        model = load_pretrained(run).model
        course = _last_line(run / "metrics.jsonl")
        yield Row(
            run.name,
            "CoEmbed",
            _file_digest(config, config.with_name(WEIGHTS)),
            lambda run=run: load_pretrained(run).model,
            parameters=sum(p.numel() for p in model.parameters()),
            seconds=course.get("seconds"),
            images=course.get("images"),
        )


def peer_runs(folder: Path, store: PairStore, say: Callable[[str], object]) -> Iterator[Row]:
    """Finished runs of peers in the folder, every way of sampling apart."""
    found = [(read_json(path), path.parent) for path in folder.glob(f"*/{RECORD}")]
    for record, run in sorted(found, key=lambda pair: (pair[0]["peer"], pair[0]["seconds"])):
        made = peer_class(record["peer"])
        if not is_finished(new_peer(made, store), run):
            say(f"{run}: was trained with other settings, left out; train it again")
            continue
        for setting, values in made.settings.items():
            name = ", ".join(part for part in (made.name, setting, f"{record['seconds']:g} s") if part)
            yield Row(
                name,
                "peer",
                _file_digest(run / WEIGHTS) + json.dumps(values, sort_keys=True),
                lambda run=run, made=made, values=values: _loaded(made, run, store, values),
                limited=made.limited,
                parameters=record["parameters"],
                seconds=record["course"]["seconds"],
                images=record["course"]["images"],
                curve=record["curve"],
            )


def matching(row: Row, references: list[Row]) -> Row | None:
    """The reference that was trained for about as long as the row; the first for rows without training."""
    if row in references or not row.seconds or row.kind == "closed form":
        return row if row in references else next(iter(references), None)

    def apart(reference: Row) -> float:
        return abs(math.log((reference.seconds or 1) / (row.seconds or 1)))

    return min(references, key=apart, default=None)


def new_peer(made: type[Peer], store: PairStore, seed: int = 0) -> Peer:
    """A peer for the store's shapes, with starting weights that the seed decides."""
    shapes = [tuple(layer([0]).shape[1:]) for layer in (store.condition, store.field)]
    torch.manual_seed(seed)
    return made(*shapes)


def digest(store: PairStore) -> str:
    """Of the pairs' content."""
    return hashlib.sha256("".join(s.sha256 for s in store.index.shards).encode()).hexdigest()


def distinct(rows: list[Row]) -> list[Row]:
    """The rows, if every name is there once.

    Raises:
        ConfigError: a name that comes twice.
    """
    names = [row.name for row in rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"runs: {', '.join(sorted(twice))}: expected every name once; rename the folder")
    return rows


def _loaded(made: type[Peer], run: Path, store: PairStore, values: dict[str, object]) -> Peer:
    peer = new_peer(made, store)
    load_peer(peer, run)
    for name, value in values.items():
        if not hasattr(peer, name):
            raise TypeError(f"{made.__name__}.settings: has no attribute {name!r}")
        setattr(peer, name, value)
    return peer


def _last_line(path: Path) -> dict[str, Any]:
    try:
        lines = path.read_text().strip().splitlines()
        return json.loads(lines[-1]) if lines else {}
    except (OSError, ValueError) as error:
        raise CoEmbedError(f"{path}: expected the log of a run ({error})") from None


def _file_digest(*paths: Path) -> str:
    return "-".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
