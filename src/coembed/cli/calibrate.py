"""``coembed calibrate``: temperatures fitted on half of some pairs, scored on the others, kept with a model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from coembed.errors import ConfigError, ModelError, check_at_least

if TYPE_CHECKING:
    from coembed.evaluation.results import Evaluation

_SHOWN = ("energy", "multiscale_energy", "crps", "spread_skill", "coverage_90", "sharpness")


@dataclass(frozen=True)
class CalibrateConfig:
    """Fit how widely a trained model's samples spread: one temperature a layer of codes.

    The temperatures that give samples the least energy score (over fields averaged over 1, 2, 4 and 8 px) on
    half of the pairs are written with the unchanged weights into a new folder; scores before and after are of
    the other half. Where the score is flat, as it is in fine layers, sharpness and spread decide.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    run: tyro.conf.Positional[str]
    """A run's folder, a model's folder, or the name of a model (for example resaturation)."""
    pairs: str
    """Folder of pairs, as `coembed prepare` writes it."""
    out: str
    """Folder for the calibrated model; new or empty."""
    split: Literal["train", "val"] = "val"
    """Which pairs to fit and judge on. A model is too sure of pairs it was trained on: take train only where
    it was not."""
    limit: int = 600
    """Most pairs to use, taken from the end: `coembed evaluate` takes them from the front."""
    samples: int = 16
    """Samples a pair while fitting; the score is fair, so that more only steady it."""
    beside: bool = False
    """Keep the model's own way to draw, and write what is fitted beside it, for draws in all dimensions: they
    are made where the model is named with ":calibrated" after its name."""
    tolerance: float = 0.01
    """How much of the energy score, as a fraction, may be given for samples as sharp as real fields, and as
    much for samples as wide as their errors: all of it where they are wrong by a factor e or more, less where
    by less. 0: the score alone."""
    seed: int = 0
    """Of every random draw."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        check_at_least(self, limit=4, samples=2, threads=0)
        if not 0 <= self.tolerance <= 1:
            raise ConfigError(f"tolerance: got {self.tolerance}, expected 0 to 1")


@dataclass(frozen=True)
class Calibrated:
    """Temperatures and scores of a calibration.

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


def run(config: CalibrateConfig) -> int:
    """Fit the temperatures; the exit status."""
    run_calibrate(config)
    return 0


def run_calibrate(config: CalibrateConfig) -> Calibrated:
    """Fit on every second scene, judge on the others, write the model and print both scores.

    Raises:
        ModelError: no such model, or one without layers of codes.
        DataError: no such pairs, of another shape, or fewer than two scenes.
        ConfigError: an output folder that is not empty.
    """
    import torch

    from coembed.data.store.store import open_pairs
    from coembed.evaluation.evaluate import evaluate
    from coembed.evaluation.temperature import fit_temperatures, halves, judge
    from coembed.models.base import Profiled
    from coembed.models.pretrained import load_pretrained
    from coembed.models.sampling_config import CALIBRATED, DEFAULT

    out = Path(config.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out: {out} is there already, expected a new or empty folder")
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = load_pretrained(config.run)
    model, store = loaded.model, open_pairs(config.pairs, config.split)
    if not isinstance(model, Profiled):
        found = type(model).__name__
        found = type(model).__name__
        raise ModelError(f"{config.run}: is a {found}, expected a model with layers of codes (CDVAE)")
    before = model.sampling.default.temperatures or (1.0,) * model.temperature_layers
    fitted_on, judged_on = halves(store, config.limit)
    free, start = model, before
    if config.beside:
        free = model.with_sampling(n_active_dims=0)
        fitted = model.sampling.profiles.get(CALIBRATED)
        start = (fitted.temperatures if fitted else ()) or (1.0,) * len(before)
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
        for name, tempered in (("before", model), ("after", free.with_sampling(temperatures=after)))
    ]
    found = Calibrated(before, after, (scores[0], scores[1]), out)
    said = describe(found, config, len(fitted_on))
    card = loaded.folder / "README.md"
    known = card.read_text(encoding="utf-8").rstrip() if card.is_file() else f"# {loaded.task}"
    written = model.with_sampling(CALIBRATED if config.beside else DEFAULT, temperatures=after)
    write_whole(written, out, task=loaded.task, card=f"{known}\n\n{said}\n")
    print(said)
    print(f"\nWritten: {out}")
    return found


def describe(found: Calibrated, config: CalibrateConfig, fitted: int) -> str:
    """Markdown: what was fitted on what, and the scores before and after."""
    from coembed.evaluation.results import difference

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
    from coembed.models.files import save_pretrained

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
