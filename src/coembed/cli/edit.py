"""``coembed resaturate``, ``relight``, ``edit``: photos in; full-size versions, sheet, page and settings out.

A photo that cannot be done is reported and the others go on. Nothing is written over an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro

from coembed.cli.output.files import (
    RunResult,
    check_inputs_safe,
    default_folder,
    free_names,
    json_text,
    make_folder,
    one_by_one,
    write_settings,
)
from coembed.editing.options import EditOptions
from coembed.errors import ConfigError

if TYPE_CHECKING:
    from coembed.cli.output.gallery import Row
    from coembed.editing.controls import Controls
    from coembed.editing.draw import Plan
    from coembed.models.base import Sampler
    from coembed.tasks import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchConfig(EditOptions):
    """Options of every verb that edits photos.

    Raises:
        ConfigError: no photos, or an option outside its range.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """JPEG, PNG, WebP or TIFF files."""
    model: str = ""
    """A bundled model, a model or run folder, or a hub id owner/name."""
    out: Path | None = None
    """Folder of the results; out/NAME OF THE PHOTO by default."""
    format: Literal["keep", "jpg", "png"] = "keep"
    """Of the results; keep: the photo's own. jpg has no transparency and 8 bits."""

    made: ClassVar[str] = "edited"
    """The versions, in titles."""
    of_task: ClassVar[str | None] = None
    """The task that the model must be for; None for whichever its files name."""

    def __post_init__(self) -> None:
        if not self.photos:
            raise ConfigError("photos: got none, expected at least one file")
        super().__post_init__()
        if self.has_fixed_region and len(self.photos) > 1:
            raise ConfigError(f"photos: got {len(self.photos)}, expected the one that --hint or --keep is for")
        if self.between is not None and self.n < 2:
            raise ConfigError(f"n is {self.n}, expected at least 2 steps between two draws")

    def pictures(self) -> list[Path]:
        """The pictures besides the photos that are read."""
        asked = (self.like, self.hint, self.mask, self.keep)
        return [Path(path) for path in asked if isinstance(path, (str, Path))]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResaturateConfig(BatchConfig):
    """Make n natural, different versions of each photo, at the photo's own size: other saturations."""

    model: str = "resaturation"
    """A bundled model, a model or run folder, or a hub id owner/name."""

    made: ClassVar[str] = "resaturated"
    of_task: ClassVar[str | None] = "resaturation"


@dataclass(frozen=True, kw_only=True, eq=False)
class RelightConfig(BatchConfig):
    """Make n natural, different versions of each photo, at the photo's own size: in other light."""

    model: str = "relighting"
    """A bundled model, a model or run folder, or a hub id owner/name."""

    made: ClassVar[str] = "relit"
    of_task: ClassVar[str | None] = "relighting"


@dataclass(frozen=True, kw_only=True, eq=False)
class EditConfig(BatchConfig):
    """Make n versions of each photo by a model of your own, of any task that splits and composes photos."""

    task: str | None = None
    """Your task as module:Class; by default the registered one that the model's files name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ConfigError("model: got none, expected --model with a bundled model, a folder or a hub id")


def run(config: BatchConfig) -> int:
    """Edit the photos; the exit status is 1 if one of them failed."""
    return 1 if run_batch(config).failures else 0


def run_batch(config: BatchConfig) -> RunResult:
    """Do the photos one by one, then write sheet, page and ``samples.json``.

    Progress goes to standard output, failures to standard error.

    Raises:
        ModelError: the model cannot be loaded, or is for another task.
        ConfigError: no such task, or a folder in which an input would be overwritten.
        PhotoError: the folder of the results cannot be made.
    """
    from coembed.cli.output.gallery import PREVIEWS, write_page, write_sheets
    from coembed.editing.controls import read_controls
    from coembed.editing.loading import load_model

    folder = config.out or default_folder(config.photos)
    inputs = (*config.photos, *config.pictures())
    check_inputs_safe(folder, inputs, {"sheet"})
    model, task = load_model(config.model, config.task if isinstance(config, EditConfig) else config.of_task)
    controls = read_controls(config, model, task)
    make_folder(folder / PREVIEWS)

    def do(path: Path, stem: str) -> tuple[tuple[Row, dict[str, Any]], str]:
        row, plan = _do_photo(path, stem, folder, model, task, config, controls)
        return (row, _record(path, row, plan)), f"{len(row.results)} versions"

    made, failures = one_by_one(config.photos, stems(config.photos, folder, config.n, inputs), do)
    rows, records = [row for row, _ in made], [record for _, record in made]
    if rows:
        write_sheets(folder, rows, config.seed)
        write_page(folder, rows, _facts(config), _title(rows, config.made))
        write_settings(folder, task.name, _settings(config), records, failures)
        print(f"Results: {folder}\nOpen:    {folder / 'index.html'}")
    return RunResult(folder, tuple(rows), tuple(failures))


def stems(photos: Sequence[Path], folder: Path, n: int, inputs: Sequence[Path] = ()) -> list[str]:
    """One name per photo for its results: the photo's own stem, with _2, _3 ... where two would collide.

    Names that differ in case only collide as well, and so does a name whose results would overwrite an input:
    a photo, or another of ``inputs``.
    """
    kept = {name.casefold() for name in _stems_inside([*photos, *inputs], folder)}
    endings = [*range(1, n + 1), "original"]
    return free_names(photos, lambda name: any(f"{name}-{k}".casefold() in kept for k in endings))


def _do_photo(
    path: Path,
    stem: str,
    folder: Path,
    model: Sampler,
    task: Task,
    config: BatchConfig,
    controls: Controls | None,
) -> tuple[Row, Plan]:
    from coembed.cli.output.gallery import PREVIEWS, Row, Shown, write_preview
    from coembed.editing.api import versions
    from coembed.imaging.io.photo import read_photo, write_photo
    from coembed.imaging.strips import thread_count

    photo = read_photo(path)
    suffix = photo.suffix if config.format == "keep" else f".{config.format}"
    plan, pictures = versions(photo, model, task, config, controls)
    files = [f"{stem}-{k}{suffix}" for k in range(1, config.n + 1)]
    previews = [f"{PREVIEWS}/{stem}-{k}.jpg" for k in range(1, config.n + 1)]
    original = f"{PREVIEWS}/{stem}-original.jpg"

    def write(file: str, preview: str, pixels: Any) -> None:
        write_photo(folder / file, pixels, photo)
        write_preview(folder / preview, pixels, photo)

    with ThreadPoolExecutor(thread_count()) as pool:
        jobs: list[Future[None]] = [pool.submit(write_preview, folder / original, photo.pixels, photo)]
        for file, preview, pixels in zip(files, previews, pictures, strict=True):
            if len(jobs) > 4:  # full-size results must not pile up in memory
                jobs.pop(0).result()
            jobs.append(pool.submit(write, file, preview, pixels))
        for job in jobs:
            job.result()
    weights = (None,) * config.n if config.all or config.between else plan.weights
    shown = zip(files, previews, _names(plan, config), weights, strict=True)
    return Row(path.name, (photo.width, photo.height), original, tuple(Shown(*s) for s in shown)), plan


def _names(plan: Plan, config: BatchConfig) -> tuple[int | str, ...]:
    """Names of the versions: the number of a draw, or the share of the way from one to another."""
    if config.between is None:
        return plan.draws
    first, second = config.between
    return tuple(f"{first} to {second}, {step / (config.n - 1):.0%}" for step in plan.draws)


def _record(path: Path, row: Row, plan: Plan) -> dict[str, Any]:
    width, height = row.size
    samples = [
        {"file": shown.file, "draw": shown.draw, "weight": weight}
        for shown, weight in zip(row.results, plan.weights, strict=True)
    ]
    return {"photo": json_text(path), "width": width, "height": height, "samples": samples}


def _settings(config: BatchConfig) -> dict[str, Any]:
    names = ("model", "seed", "n", "strength", "temperature", "exposure")
    chosen = {"distinct": not config.all, "pick": config.pick}
    return {name: getattr(config, name) for name in names} | chosen | _asked(config)


def _asked(config: BatchConfig) -> dict[str, Any]:
    """Steering options that are in use: closeness says nothing without an example."""
    asked = {name: getattr(config, name) for name in ("like", "hint", "mask", "keep")}
    found: dict[str, Any] = {name: json_text(path) for name, path in asked.items() if path is not None}
    if config.like is not None:
        found["closeness"] = config.closeness
    return found | ({} if config.between is None else {"between": list(config.between)})


def _facts(config: BatchConfig) -> dict[str, object]:
    choice = "plain draws" if config.all else {"typical": "distinct kinds", "spread": "far apart"}[config.pick]
    choice = "steps" if config.between else choice
    facts: dict[str, object] = {"model": config.model, "seed": config.seed, "versions": f"{config.n}, {choice}"}
    facts |= {"strength": config.strength, "temperature": config.temperature}
    facts |= {"exposure": config.exposure} if config.exposure else {}
    return facts | {
        name: " to ".join(map(str, v)) if name == "between" else v for name, v in _asked(config).items()
    }


def _title(rows: Sequence[Row], made: str) -> str:
    name = rows[0].name if len(rows) == 1 else f"{len(rows)} photos"
    return f"{name}, {made}"


def _stems_inside(photos: Sequence[Path], folder: Path) -> list[str]:
    from coembed.cli.output.gallery import PREVIEWS

    places = {folder.resolve(), (folder / PREVIEWS).resolve()}
    return [photo.stem for photo in photos if photo.parent.resolve() in places]
