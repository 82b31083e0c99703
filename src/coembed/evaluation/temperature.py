"""``coembed calibrate``: temperatures at which a model's samples score best, and whether their spread is right.

A model trained by its likelihood is as sure of new photos as it is of those it learned from, and its decoder
leaves out pixel noise. One factor a layer mends either without another step of training [as temperature scaling
does for classifiers, Guo et al. 2017]. It is fitted by a proper score: best-of-n alone would ask for another
spread, and coverage alone would be content with noise. Where the score is flat, sharpness and spread decide.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coembed.cli.calibrate_options import CalibrateConfig
from coembed.data.names import groups_of
from coembed.data.pairs import Subset
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, DataError, ModelError
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.metrics import multiscale_energy_score, sharpness
from coembed.evaluation.reliability import spread_and_skill
from coembed.evaluation.results import SCALES, Evaluation, difference
from coembed.models.pretrained import load_pretrained
from coembed.numerics.random import Streams

HIGHEST = 2.0
_STEPS = (0.2, 0.1, 0.05)
_BATCH = 32
_SHOWN = ("energy", "multiscale_energy", "crps", "spread_skill", "coverage_90", "sharpness")


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found.

    Attributes:
        before: temperatures that the model had, one a layer of codes, top first.
        after: temperatures that were fitted: its own now, or those beside its own.
        scores: scores of both on pairs that were not fitted on, before and after.
        folder: of the model written.
    """

    before: tuple[float, ...]
    after: tuple[float, ...]
    scores: tuple[Evaluation, Evaluation]
    folder: Path


def run_calibrate(config: CalibrateConfig) -> Calibrated:
    """Fit on every second scene, judge on the others, write the model and print both scores.

    Raises:
        ModelError: no such model, or one without layers of codes.
        DataError: no such pairs, of another shape, or fewer than two scenes.
        ConfigError: an output folder that is not empty.
    """
    out = Path(config.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out: {out} is there already, expected a new or empty folder")
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = load_pretrained(config.run)
    model, store = loaded.model, open_pairs(config.pairs, config.split)
    before = _own(model, config.run)
    fitted_on, judged_on = halves(store, config.limit)
    free, start = model, before
    if config.beside:
        free = model.with_sampling(leading=0)
        start = tuple(model.config.calibrated) or (1.0,) * len(before)
    after = fit_temperatures(
        lambda t: judge(free, t, fitted_on, samples=config.samples, seed=config.seed).cost(config.tolerance),
        start,
    )
    layer = store.index.field
    scores = [
        evaluate(
            tempered,
            judged_on,
            name=name,
            limit=len(judged_on),
            samples=max(config.samples, 10),
            seed=config.seed + 1,
            clip=(layer.low, layer.high),
        )
        for name, tempered in (("before", model), ("after", free.with_sampling(layer_temperatures=after)))
    ]
    found = Calibrated(before, after, (scores[0], scores[1]), out)
    said = report(found, config, len(fitted_on))
    card = loaded.folder / "README.md"
    known = card.read_text(encoding="utf-8").rstrip() if card.is_file() else f"# {loaded.task}"
    written = model.with_sampling(**{"calibrated" if config.beside else "layer_temperatures": after})
    write_whole(written, out, task=loaded.task, card=f"{known}\n\n{said}\n")
    print(said)
    print(f"\nWritten: {out}")
    return found


def fit_temperatures(score: Callable[[tuple[float, ...]], float], start: Sequence[float]) -> tuple[float, ...]:
    """The temperatures of least score near ``start``: one layer after the other, by steps of 0.2, 0.1 and 0.05.

    A temperature stays within 0 and 2. The score must be the same for the same temperatures; each is asked for
    once.
    """
    known: dict[tuple[float, ...], float] = {}

    def of(temperatures: tuple[float, ...]) -> float:
        if temperatures not in known:
            known[temperatures] = score(temperatures)
        return known[temperatures]

    best = tuple(round(float(t), 4) for t in start)
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            for layer in range(len(best)):
                for change in (step, -step):
                    value = round(best[layer] + change, 4)
                    tried = (*best[:layer], value, *best[layer + 1 :])
                    while 0 <= value <= HIGHEST and of(tried) < of(best):
                        best, moved = tried, True
                        value = round(value + change, 4)
                        tried = (*best[:layer], value, *best[layer + 1 :])
    return best


@dataclass(frozen=True)
class Judged:
    """How samples at some temperatures do.

    Attributes:
        energy: mean fair energy score over the scales, natural units.
        sharpness: gradient energy of samples over that of real fields.
        spread_skill: spread over skill.
    """

    energy: float
    sharpness: float
    spread_skill: float

    def cost(self, tolerance: float) -> float:
        """The energy score, and as many percent more as sharpness and spread are wrong: what is fitted.

        ``energy (1 + tolerance (m(sharpness) + m(spread_skill)))`` with ``m(r) = min(|log r|, 1)``. The score
        hardly sees the noise of fine layers: where it is flat it would take fields that are too smooth or too
        rough. What decides there is worth ``tolerance`` of the score each, at most.
        """
        marks = (self.sharpness, self.spread_skill)
        wrong = sum(min(abs(math.log(max(mark, 1e-3))), 1.0) for mark in marks)
        return self.energy * (1 + tolerance * wrong)


@torch.no_grad()
def judge(model: Any, temperatures: tuple[float, ...], pairs: Subset, *, samples: int, seed: int) -> Judged:
    """Judge a model at these temperatures, with the same noise for all of them."""
    tempered, energy = model.with_sampling(layer_temperatures=temperatures), 0.0
    marks = torch.zeros(4, dtype=torch.float64)  # gradient energy of samples and truth, spread and skill
    for rows in torch.arange(len(pairs)).split(_BATCH):
        condition, truth = pairs.condition(rows), pairs.field(rows)
        drawn = tempered.sample(condition, samples, generator=Streams(seed, rows.tolist()))
        scales = [s for s in SCALES if s <= min(truth.shape[-2:])]
        scores = multiscale_energy_score(drawn, truth, scales)
        energy += sum(float(score.double().sum()) for score in scores.values()) / len(scales)
        parts = (*sharpness(drawn, truth), *spread_and_skill(drawn, truth))
        marks += torch.stack([part.double().sum() for part in parts])
    drawn_gradient, true_gradient, spread, skill = (max(float(mark), 1e-12) for mark in marks)
    return Judged(energy / len(pairs), drawn_gradient / true_gradient, math.sqrt(spread / skill))


def halves(store: PairStore, limit: int) -> tuple[Subset, Subset]:
    """The last ``limit`` pairs, the scenes by turns in one part and in the other.

    Raises:
        DataError: fewer than two scenes.
    """
    first = max(0, len(store) - limit)
    groups = torch.tensor(groups_of(store.names[first:]))
    if int(groups.max() if len(groups) else 0) < 1:
        raise DataError(f"{store.folder}: got fewer than 2 scenes, expected one to fit on and one to judge by")
    rows = torch.arange(first, len(store))
    return Subset(store, rows[groups % 2 == 0]), Subset(store, rows[groups % 2 == 1])


def report(found: Calibrated, config: CalibrateConfig, fitted: int) -> str:
    """Markdown: what was fitted on what, and the scores before and after."""
    before, after = found.scores
    apart = difference(after, before, "multiscale_energy")
    one, other = before.summary(), after.summary()
    kept = ""
    if config.beside:
        kept = "They are for draws in all dimensions, with `:calibrated` after the name; its own stay. "
    lines = [
        "## Calibration\n",
        f"Temperatures of the codes, top first: {list(found.after)}; before: {list(found.before)}. "
        f"{kept}Fitted by the energy score of {config.samples} samples for each of {fitted} pairs "
        f"({config.split}, of the last {config.limit}), tolerance {config.tolerance:g} for sharpness and "
        f"spread; the scores are of {before.conditions} others of those.\n",
        "| |" + "|".join(f" {key} " for key in _SHOWN) + "|",
        "|---" * (len(_SHOWN) + 1) + "|",
    ]
    for name, summary in (("before", one), ("after", other)):
        lines.append(f"| {name} | " + " | ".join(f"{summary[key].value:.4g}" for key in _SHOWN) + " |")
    error = "" if apart.error is None else f" ± {apart.error:.2g}"
    lines.append(f"\nMulti-scale energy score, after less before, paired: {apart.value:+.3g}{error}.")
    return "\n".join(lines)


def write_whole(model: Any, folder: Path, *, task: str, card: str) -> None:
    """Write a model beside its place and move it there: a folder that is there is whole.

    Raises:
        ConfigError: the disk refuses, or the folder has been filled meanwhile.
    """
    from coembed.models.pretrained import save_pretrained

    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            save_pretrained(model, unfinished, task=task, card=card)
            unfinished.chmod(0o755)
            unfinished.replace(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"out: {folder} cannot be written ({error.strerror or error})") from None


def _own(model: Any, name: str) -> tuple[float, ...]:
    ladder = getattr(model, "field_ladder", None)
    if ladder is None:
        raise ModelError(f"{name}: is a {type(model).__name__}, expected a model with layers of codes (CDVAE)")
    return tuple(model.config.layer_temperatures) or (1.0,) * ladder.layers
