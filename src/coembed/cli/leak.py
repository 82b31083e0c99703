"""``coembed leak``: do the conditions of photos tell their fields by how the photos were stored?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from coembed.errors import ConfigError, DataError, ModelError, check_at_least

if TYPE_CHECKING:
    from coembed.evaluation.leak.intervention import Slope
    from coembed.evaluation.results import Estimate
    from coembed.imaging.recompress import Recompression
    from coembed.models.base import Sampler
    from coembed.tasks import Task


@dataclass(frozen=True)
class LeakConfig:
    """Test photos, models and pairs for leaks: traces of the field in the condition, as small JPEGs have them.

    With --model, each photo's field is changed and nothing else, and the model's draws should not follow: a
    slope of 0 is right, 1 reads the field off. With --pairs, a tiny network is trained on them to predict the
    field; what it explains more of the photos once they are recompressed is the leak of the pairs.

    Raises:
        ConfigError: a value outside its range, or neither models nor pairs.
    """

    photos: tyro.conf.Positional[Path]
    """Folder of photos to test on, searched through with its subfolders: large ones, that nothing was trained
    on."""
    task: str
    """What is split from a photo: a task's name, or a class of your own as module:Class."""
    model: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A bundled model, a model or run folder, or a hub id; again for more of them."""
    pairs: Path | None = None
    """Folder of pairs whose leak is asked about, as `coembed prepare` writes it."""
    side: int = 64
    """Longer side that photos are reduced to for the test, pixels."""
    jpeg: int = 90
    """Quality of the JPEG that they are compressed to, 1 to 100, with halved colour."""
    limit: int = 200
    """Most photos, evenly spaced over the folder."""
    samples: int = 32
    """Draws a photo and a changed copy of it."""
    seed: int = 0
    """Of every random draw."""
    json: Path | None = None
    """File for the numbers."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        check_at_least(self, side=8, limit=2, samples=1, threads=0)
        if not 1 <= self.jpeg <= 100:
            raise ConfigError(f"jpeg is {self.jpeg}, expected 1 to 100")
        if not self.model and self.pairs is None:
            raise ConfigError("got neither --model nor --pairs, expected what is to be tested")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise ConfigError(f"json: {self.json} lies in a folder that does not exist")


def run(config: LeakConfig) -> int:
    """Run the tests that are asked for; the exit status."""
    import torch

    from coembed.serialization import write_json
    from coembed.tasks import get_task

    if config.threads:
        torch.set_num_threads(config.threads)
    ways = _ways(config)
    task, photos = get_task(config.task), photos_in(config.photos, config.limit)
    slopes = {name: _slopes(name, task, photos, ways, config) for name in config.model}
    probed = None if config.pairs is None else _probe(config.pairs, task, photos, ways, config)
    _print(slopes, probed, config, len(photos))
    if config.json is not None:
        write_json(config.json, _json(slopes, probed, config, len(photos)))
    return 0


def _ways(config: LeakConfig) -> list[Recompression]:
    """Photos as they are, compressed at their own size, and reduced and compressed."""
    from coembed.imaging.recompress import Recompression

    return [Recompression(), Recompression(None, config.jpeg), Recompression(config.side, config.jpeg)]


def _reduced(config: LeakConfig) -> Recompression:
    from coembed.imaging.recompress import Recompression

    return Recompression(config.side)


def photos_in(folder: Path, limit: int) -> list[Path]:
    """Photos of a folder, searched through with its subfolders, at most ``limit``, evenly spaced.

    Raises:
        DataError: no such folder, or none in it.
    """
    from coembed.data.pairs import evenly_spaced
    from coembed.data.sources.folder import find_files
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    found = [Path(item.paths[0]) for item in find_files(folder, PHOTO_SUFFIXES).items]
    if not found:
        raise DataError(f"{folder}: holds no photo, expected some to test on")
    return [found[i] for i in evenly_spaced(len(found), limit).tolist()]


def photos_of(names: Sequence[str], folder: Path, limit: int) -> list[Path]:
    """Files of pairs, found by their names in a folder and its subfolders; at most ``limit``, evenly spaced.

    Raises:
        DataError: no such folder, or none of the files in it.
    """
    from coembed.data.names import is_whole
    from coembed.data.pairs import evenly_spaced
    from coembed.data.sources.folder import files_of
    from coembed.imaging.io.photo import PHOTO_SUFFIXES

    wanted = {name for name in names if is_whole(name)}
    found = [Path(path) for path in files_of(wanted, folder, PHOTO_SUFFIXES)]
    if not found:
        example = next(iter(wanted), "none")
        raise DataError(f"{folder}: holds no photo of the pairs, expected {example!r} and others")
    return [found[i] for i in evenly_spaced(len(found), limit).tolist()]


def measure_slope(
    sampler: Sampler,
    name: str,
    task: Task,
    photos: Sequence[Path],
    *,
    recompression: Recompression | None = None,
    size: tuple[int, int],
    samples: int = 32,
    seed: int = 0,
) -> Slope:
    """The slope of a sampler on photos, with a progress bar."""
    from coembed.cli.output.progress import Progress
    from coembed.evaluation.leak.intervention import intervention_slope

    with Progress(f"{name}, intervention", len(photos), unit="photos") as progress:
        return intervention_slope(
            sampler,
            task,
            photos,
            size,
            recompression=recompression,
            samples=samples,
            seed=seed,
            progress=progress.advance,
        )


def _slopes(
    name: str, task: Task, photos: Sequence[Path], ways: Sequence[Recompression], config: LeakConfig
) -> list[Slope]:
    from coembed.editing.layers import shapes_of
    from coembed.editing.loading import load_model

    model, _ = load_model(name, task)
    (_, *size), (_, *of_field) = shapes_of(model, task)
    if size != of_field:
        raise ModelError(f"{name}: layers of {size} and {of_field}, expected one size for both")
    return [
        measure_slope(
            model,
            name,
            task,
            photos,
            recompression=way,
            size=(size[0], size[1]),
            samples=config.samples,
            seed=config.seed,
        )
        for way in ways
    ]


def _probe(
    pairs: Path, task: Task, photos: Sequence[Path], ways: Sequence[Recompression], config: LeakConfig
) -> list[Estimate]:
    """R2 on the photos reduced, reduced and compressed, and the gain."""
    from coembed.data.store.store import open_pairs
    from coembed.evaluation.leak.layers import photo_pairs
    from coembed.evaluation.leak.probe import Probe

    store = open_pairs(pairs, "train")
    for layer, wanted in ((store.index.condition, task.condition), (store.index.field, task.field)):
        if layer.channels != wanted.channels:
            raise DataError(f"{pairs}: {layer.name} of {layer.channels} channels, expected {wanted.channels}")
    print(f"training a probe on {len(store)} pairs", file=sys.stderr)
    probe = Probe.fit(store, seed=config.seed)
    size = (store.index.size[0], store.index.size[1])
    plain, stored = (
        probe.explain(photo_pairs(photos, task, size, way)) for way in (_reduced(config), ways[-1])
    )
    return [plain.r2, stored.r2, stored.gain(plain)]


def _print(
    slopes: dict[str, list[Slope]], probed: list[Estimate] | None, config: LeakConfig, photos: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    ways = _ways(config)
    console = Console(width=None if sys.stdout.isatty() else 120)
    if slopes:
        table = Table(
            title=f"slope of the draws on a field that was changed, {photos} photos",
            caption="0 is right; 1 reads the field off the condition. ± is one standard error.",
        )
        for number, head in enumerate(("Model", *map(str, ways))):
            table.add_column(head, justify="right" if number else "left")
        for name, found in slopes.items():
            table.add_row(name, *map(str, found))
        console.print(table)
    if probed is not None:
        table = Table(
            title=f"share of the field within a photo that a probe of the pairs explains, {photos} photos",
            caption="The gain by compression is the leak; 0 is right. ± is one standard error.",
        )
        for head in (*(str(way) for way in (_reduced(config), ways[-1])), "gain"):
            table.add_column(head, justify="right")
        table.add_row(*(f"{e.value:+.3f} ± {e.error or 0:.3f}" for e in probed))
        console.print(table)


def _json(
    slopes: dict[str, list[Slope]], probed: list[Estimate] | None, config: LeakConfig, photos: int
) -> dict[str, object]:
    from coembed.serialization import to_dict

    ways = ("as_it_is", "jpeg", "reduced_jpeg")
    data: dict[str, object] = {
        "format": "coembed-leak-test",
        "version": 1,
        "task": config.task,
        "photos": photos,
    }
    data |= {"side": config.side, "jpeg": config.jpeg, "samples": config.samples, "seed": config.seed}
    data["slopes"] = {
        name: {way: to_dict(slope) for way, slope in zip(ways, found, strict=True)}
        for name, found in slopes.items()
    }
    if probed is not None:
        names = ("r2_reduced", "r2_reduced_jpeg", "gain")
        data["probe"] = {name: to_dict(e) for name, e in zip(names, probed, strict=True)}
    return data
