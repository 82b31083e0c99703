"""A run from its options: open the pairs, make the model that a preset names, and train or fit it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from coembed.data.names import groups_of
from coembed.data.pairs import Pairs, Subset, evenly_spaced
from coembed.data.store.index import INDEX
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, DataError
from coembed.models.base import Adjustable, ClosedForm, Guided, Range, Scored
from coembed.models.cdvae.config import TIE_CONFIGS
from coembed.models.files import CONFIG_FILE, save_pretrained
from coembed.models.registry import class_for, preset_config
from coembed.models.sampling_config import SamplingConfig
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.presets import adapt
from coembed.serialization import from_dict, to_dict, write_bytes
from coembed.training.config import TrainConfig
from coembed.training.preview import picture
from coembed.training.run_dir import begin, saved_model
from coembed.training.trainer import Trainer

if TYPE_CHECKING:
    from coembed.training.guidance import Guide

HOLDOUT_FRACTION = 0.05  # of the groups of pairs, where there is no val split
MAX_HOLDOUT_OF_FEW = 50  # groups; of fewer, up to a fifth is held out


_SAMPLING = "sampling.temperatures"  # the option of the model that says how it is sampled


def run_train(config: TrainConfig) -> Path:
    """Train the model that the options name; one without training steps is fitted at once.

    Args:
        config: the options; see ``TrainConfig``.

    Returns:
        The folder of the trained model, RUN/model, for ``coembed.from_pretrained`` (RUN after a dry run).

    Raises:
        ConfigError: an unknown preset or model option, or one outside its range.
        DataError: pairs that are missing, damaged or too few.
        TrainingError: see ``Trainer.train``.
    """
    config = config.resolve()
    store = open_pairs(config.pairs, "train")
    train, validation = split_pairs(store, Path(config.pairs), config.val_limit)
    index = store.index
    field = index.field
    if config.flips and field.channels == 2 and not field.vector and field.unit.startswith(("px", "pixel")):
        raise ConfigError(
            f"flips: on, but the field is a motion in {field.unit} whose index does not say vector: mirroring "
            "is wrong; use --no-flips, or prepare the pairs again"
        )
    model_config, reasons = resolve_model(config, store, train)
    for reason in reasons:
        print(f"Fitted to the pairs: {reason}", file=sys.stdout if config.dry_run else sys.stderr, flush=True)
    model_class: type[Any] = class_for(model_config)

    def save(trained: Any, folder: Path) -> None:
        save_pretrained(trained, folder, task=index.task, card=None)

    ranges = ((index.condition.low, index.condition.high), (index.field.low, index.field.high))
    if issubclass(model_class, ClosedForm):
        return fit_closed_form(
            model_class, model_config, train, validation, config, save=save, task=index.task, ranges=ranges
        )
    if config.scores.fraction and not issubclass(model_class, Scored):
        raise ConfigError(
            f"scores.fraction: got {config.scores.fraction}, but no score can teach preset {config.preset!r}"
        )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # before the weights are drawn
        model = cast(Any, model_class)(model_config)
    _set_sampling(model, config)
    return Trainer(
        model,
        train,
        validation,
        config,
        save=save,
        task=index.task,
        ranges=ranges,
        vectors=(index.condition.vector, index.field.vector),
        guide=_guide(config, store, train, model),
        reasons=reasons,
    ).train()


def _set_sampling(model: Any, config: TrainConfig) -> None:
    sampling = sampling_of(config.model)
    if isinstance(model, Adjustable):
        model.sampling = sampling
    elif sampling != SamplingConfig():
        raise ConfigError(f"model: preset {config.preset!r} has no temperatures that could be set")


def fit_closed_form(
    model_class: type[ClosedForm],
    model_config: Any,
    train: Pairs,
    validation: Pairs,
    config: TrainConfig,
    *,
    save: Callable[[Any, Path], object],
    task: str,
    ranges: tuple[Range, Range] | None,
) -> Path:
    """Fit, save and show a model without training steps, in the same kind of folder as a trained one.

    Lengths and rates do not apply.

    Args:
        model_class: e.g. of ``coembed.models.baselines``.
        model_config: its frozen config.
        train: pairs to fit on.
        validation: pairs for the picture of samples.
        config: the options; only where the run lies, its seed, resume and dry_run count.
        save: writes the model into a folder.
        task: the name of the pairs' task, for the record.
        ranges: (low, high) of condition and of field in the picture.

    Returns:
        The folder of the model, RUN/model (or RUN after a dry run).

    Raises:
        TrainingError: the folder has a run already, or there is none to resume.
        DataError: pairs that cannot be fitted.
    """
    if config.dry_run:
        print(json.dumps({"train": to_dict(config), "model": to_dict(model_config)}, indent=2))
        print(f"{model_class.__name__} is fitted at once, without training steps.")
        return Path(config.out)
    run = begin(config, to_dict(model_config), task, train)
    folder = run / "model"
    if config.resume and (folder / CONFIG_FILE).is_file():  # written last: the fit was done
        return folder
    if config.threads:
        torch.set_num_threads(config.threads)
    start = time.perf_counter()
    model = model_class.fit(model_config, train)
    seconds = round(time.perf_counter() - start, 3)
    line = {"step": 0, "images": len(train), "progress": 1.0, "seconds": seconds}
    write_bytes(run / "metrics.jsonl", (json.dumps(line) + "\n").encode())
    if len(train) > 8:  # a picture shows six samples per photo
        path = run / "samples" / "step-00000000.png"
        picture(path, model, validation, seed=config.seed, device=torch.device("cpu"), ranges=ranges)
    save(model, folder)
    return folder


def _guide(config: TrainConfig, store: PairStore, train: Pairs, model: Any) -> Guide | None:
    """The guide that the options ask for: made from the pairs, or as the resumed run made it."""
    if config.guidance.weight == 0 or config.dry_run:
        return None
    if not isinstance(model, Guided):
        raise ConfigError(
            f"guidance.weight: got {config.guidance.weight}, but preset {config.preset!r} has no codes to guide"
        )
    from coembed.training.guidance import FILE, Guide, store_guide

    scales = model.latent_scales()
    if config.resume and (Path(config.out) / FILE).exists():
        return Guide.load(Path(config.out), config.guidance, len(train), scales)
    rows = train.indices if isinstance(train, Subset) else torch.arange(len(train))
    return store_guide(store, rows.numpy(), config.guidance, flips=config.flips, scales=scales)


def resolve_model(
    config: TrainConfig, store: PairStore, train: Pairs | None = None
) -> tuple[Any, tuple[str, ...]]:
    """The model's config, and why it is not the preset's own: what ``adapt`` found, one sentence each.

    That is the preset for the pairs' shapes, fitted to the training pairs if it is ``default``, with the
    options of ``config.model`` replaced. Samples are clipped to the range of the task's field. A resumed run
    keeps the config it began with, even if a preset has changed since; options given now are compared with it
    later.

    Args:
        config: the options.
        store: for the shapes, the task and the names of the pairs.
        train: those of its pairs to train on; all by default.

    Raises:
        ConfigError: an unknown preset or option, or a value of the wrong type.
    """
    height, width = store.index.size
    shapes = (store.index.condition.channels, height, width), (store.index.field.channels, height, width)
    named = preset_config(config.preset, *shapes)
    if config.resume:
        return from_dict(type(named), saved_model(config.out), f"{Path(config.out) / 'run.json'}: model"), ()
    reasons: tuple[str, ...] = ()
    if isinstance(named, ShapedConfig) and config.adapt:
        train = store if train is None else train
        named, found = adapt(named, train, train.names)
        reasons = tuple(found)
    values = to_dict(named)
    # A task's range holds for every field; a user's own was only measured.
    if "clip" in values and store.index.task != "custom":
        values["clip"] = [store.index.field.low, store.index.field.high]
    for option in config.model:
        name, value = parse_option(option)
        if name == "tie.family" and isinstance(values.get("tie"), dict):
            values["tie"] = _with_family(values["tie"], value)
        elif name != _SAMPLING:
            _replace(values, name, value)
    return from_dict(type(named), values, "model"), reasons


def sampling_of(options: Sequence[str]) -> SamplingConfig:
    """The way to sample that options of the model (``sampling.temperatures``) ask for.

    Raises:
        ConfigError: a value of the wrong type or out of range.
    """
    named = dict(map(parse_option, options))
    values = {"temperatures": named[_SAMPLING]} if _SAMPLING in named else {}
    return from_dict(SamplingConfig, values, "sampling")


def _with_family(tie: dict[str, Any], family: Any) -> dict[str, Any]:
    """A tie's options that another family has, too.

    Raises:
        ConfigError: no such family.
    """
    if family not in TIE_CONFIGS:
        raise ConfigError(f"tie.family: got {family!r}, expected one of {', '.join(TIE_CONFIGS)}")
    names = {field.name for field in fields(TIE_CONFIGS[family])}
    return {name: value for name, value in tie.items() if name in names} | {"family": family}


def parse_option(option: str) -> tuple[str, Any]:
    """NAME=VALUE with a JSON value; a value that is no JSON is taken as text.

    >>> parse_option("free_bits=0.5"), parse_option("tie.layers=top"), parse_option("field.codes=[64, 32]")
    (('free_bits', 0.5), ('tie.layers', 'top'), ('field.codes', [64, 32]))

    Raises:
        ConfigError: no "=".
    """
    name, equals, text = option.partition("=")
    if not equals or not name:
        raise ConfigError(f"model: got {option!r}, expected NAME=VALUE")
    try:
        return name, json.loads(text)
    except json.JSONDecodeError:
        return name, text


def _replace(values: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for depth, parent in enumerate(parents):
        inner = values.get(parent)
        if not isinstance(inner, dict):
            where = ".".join(parents[: depth + 1])
            raise ConfigError(f"model: {name}: {where} is {inner!r}, expected a part with options of its own")
        values = inner
    if last not in values:
        raise ConfigError(f"model: unknown option {name!r}, expected one of: {', '.join(values)}")
    values[last] = value


def split_pairs(store: PairStore, folder: Path, limit: int) -> tuple[Pairs, Pairs]:
    """Training and validation pairs: the val split, or a twentieth of the scenes held out, evenly spread.

    Views of a photo and frames of a clip stay on one side (see ``groups_of``). Of fewer than a thousand scenes
    up to a fifth is held out, so that there are fifty. At most ``limit`` pairs, rounded to whole scenes.

    Raises:
        DataError: fewer than two pairs and no val split.
    """
    if (folder / "val" / INDEX).is_file():
        validation = open_pairs(folder, "val")
        a, b = store.index, validation.index
        if (a.size, a.condition.channels, a.field.channels) != (b.size, b.condition.channels, b.field.channels):
            raise DataError(f"{folder}: train/ and val/ differ in shape: {store} and {validation}")
        if len(validation) == 0:
            raise DataError(f"{folder / 'val'}: got 0 pairs, expected at least 1")
        return store, validation
    if len(store) < 2:
        raise DataError(
            f"{folder}: got {len(store)} pairs, expected at least 2: one is held out for validation"
        )
    groups = torch.tensor(groups_of(store.names))
    count = int(groups.max()) + 1
    if count == 1:  # views of a single photo: nothing else is there
        groups, count = torch.arange(len(store)), len(store)
    wanted = max(HOLDOUT_FRACTION * count, min(count / 5, MAX_HOLDOUT_OF_FEW))
    held = torch.isin(groups, evenly_spaced(count, max(1, min(int(limit * count / len(store)), int(wanted)))))
    return Subset(store, (~held).nonzero().flatten()), Subset(store, held.nonzero().flatten())
