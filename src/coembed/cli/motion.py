"""``coembed motion``: frames in, and a folder of the motions that may follow each: pictures, flows, animations.

A frame that cannot be done is reported and the others go on. Nothing is written over an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from coembed.errors import ConfigError

if TYPE_CHECKING:
    from coembed.cli.output.motion_page import Subject
    from coembed.models.base import Sampler
    from coembed.tasks import Task

_OWN_STEMS = {"sheet", "wheel"}
_MAX_SIDE, _MAX_FRAMES = 2048, 240  # of an animation, which lies in memory whole


@dataclass(frozen=True)
class MotionConfig:
    """Show n kinds of motion that may follow each frame, the most likely first.

    For each: arrows over the frame, Middlebury's colours, the flow in a .flo file at the frame's size, and a
    looping animation that carries the picture along.

    Raises:
        ConfigError: no frames, or an option outside its range.
    """

    frames: tyro.conf.Positional[tuple[Path, ...]]
    """JPEG, PNG, WebP or TIFF files."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 4
    """Kinds of motion for each frame."""
    seed: int = 0
    """Same frame, seed and model, same motions."""
    draws: int = 100
    """Draws of the model that are grouped into n kinds; each kind's share of them is shown."""
    temperature: float = 1.0
    """Spread of the draws: below 1 more usual ones, above 1 more daring ones."""
    animation: Literal["webp", "gif", "none"] = "webp"
    """Format of the animations; a GIF is several times as large and has 256 colours."""
    animation_size: int = 640
    """Their longer side at most, pixels."""
    animation_frames: int = 24
    """Their length, at 20 frames per second."""
    flo: tyro.conf.FlagCreatePairsOff[bool] = True
    """Leave out the .flo files, which take 8 bytes a pixel of the frame, each."""
    model: str = "motion"
    """A bundled model, a model or run folder, or a hub id owner/name."""
    out: Path | None = None
    """Folder of the results; out/NAME OF THE FRAME-motion by default."""

    def __post_init__(self) -> None:
        if not self.frames:
            raise ConfigError("frames: got none, expected at least one file")
        if self.n < 1:
            raise ConfigError(f"n: got {self.n}, expected at least 1")
        if not 16 <= self.animation_size <= _MAX_SIDE:
            raise ConfigError(f"animation-size: got {self.animation_size}, expected 16 to {_MAX_SIDE}")
        if not 2 <= self.animation_frames <= _MAX_FRAMES:
            raise ConfigError(f"animation-frames: got {self.animation_frames}, expected 2 to {_MAX_FRAMES}")


def run(config: MotionConfig) -> int:
    """Show the motions of the frames; the exit status is 1 if one of them failed."""
    return 1 if run_motion(config).failures else 0


def run_motion(config: MotionConfig) -> RunResult:
    """Do the frames one by one, then write sheet, page and ``samples.json``.

    Progress goes to standard output, failures to standard error.

    Raises:
        ModelError: the model cannot be loaded, or is for another task.
        ConfigError: a setting outside its range, or a folder in which an input would be overwritten.
        PhotoError: the folder of the results cannot be made.
    """
    from coembed.cli.output.gallery import PREVIEWS
    from coembed.cli.output.motion_page import write_page, write_sheets
    from coembed.editing.loading import load_model
    from coembed.editing.motion import TASK, check_options

    check_options(config.n, config.draws, config.temperature)
    folder = config.out or default_folder(config.frames, "-motion")
    names = _names(config.frames, folder, config)
    model, task = load_model(config.model, TASK)
    make_folder(folder / PREVIEWS)

    def do(path: Path, name: str) -> tuple[tuple[Subject, dict[str, Any]], str]:
        subject = _do_frame(path, name, folder, model, task, config)
        shares = ", ".join(f"{shown.share:.0%}" for shown in subject.motions)
        return (subject, _record(path, subject)), f"{len(subject.motions)} motions ({shares})"

    made, failures = one_by_one(config.frames, names, do)
    subjects, records = [subject for subject, _ in made], [record for _, record in made]
    if subjects:
        write_sheets(folder, subjects)
        write_page(folder, subjects, _facts(config))
        write_settings(folder, TASK, _settings(config), records, failures)
        print(f"Results: {folder}\nOpen:    {folder / 'index.html'}")
    return RunResult(folder, tuple(subjects), tuple(failures))


def _do_frame(path: Path, name: str, folder: Path, model: Sampler, task: Task, config: MotionConfig) -> Subject:
    from coembed.cli.output.gallery import PREVIEWS, write_preview
    from coembed.cli.output.motion_page import Shown, Subject
    from coembed.cli.output.motion_pictures import (
        as_seen,
        scale_of,
        write_animation,
        write_flow,
        write_pictures,
    )
    from coembed.editing.motion import FlowEnlarger, motion_modes, shrunk
    from coembed.imaging.io.photo import read_photo
    from coembed.imaging.strips import thread_count

    photo = read_photo(path)
    modes = motion_modes(
        photo, model, task, config.n, config.seed, draws=config.draws, temperature=config.temperature
    )
    enlarge = FlowEnlarger(photo, modes[0].low.shape[1:])
    flows = [enlarge(mode.low) for mode in modes]
    picture, scale = as_seen(photo, enlarge.size), scale_of(flows)
    small = shrunk(picture, config.animation_size)
    files = [_files(name, k, config) for k in range(1, config.n + 1)]
    original = f"{PREVIEWS}/{name}-original.jpg"
    write_preview(folder / original, photo.pixels, photo)
    with ThreadPoolExecutor(thread_count()) as pool:
        animations = [
            pool.submit(write_animation, folder / f["animation"], small, flow, config.animation_frames)
            for f, flow in zip(files, flows, strict=True)
            if "animation" in f
        ]
        for f, flow in zip(files, flows, strict=True):
            write_pictures(folder / f["arrows"], folder / f["colors"], picture, flow, scale)
            if "flow" in f:  # full-size flows one after the other: each may be a hundred MB
                write_flow(folder / f["flow"], flow, (photo.height, photo.width))
        seconds = [job.result() for job in animations] or [None] * config.n
    to_photo = max(photo.width, photo.height) / max(enlarge.size)
    motions = tuple(
        Shown(f, mode.share, mode.draw, time_shown)
        for f, mode, time_shown in zip(files, modes, seconds, strict=True)
    )
    size = photo.width, photo.height
    return Subject(path.name, size, original, motions, scale.full_color * to_photo, scale.stretch)


def _files(name: str, k: int, config: MotionConfig) -> dict[str, str]:
    """The files of one motion by what they hold; what is not asked for is not there."""
    files = {"arrows": f"{name}-{k}-arrows.jpg", "colors": f"{name}-{k}-colors.png"}
    if config.flo:
        files["flow"] = f"{name}-{k}.flo"
    if config.animation != "none":
        files["animation"] = f"{name}-{k}.{config.animation}"
    return files


def _record(path: Path, subject: Subject) -> dict[str, Any]:
    motions = [
        {**shown.files, "draw": shown.draw, "share": shown.share, "seconds_shown": shown.seconds}
        for shown in subject.motions
    ]
    width, height = subject.size
    return {
        "photo": json_text(path),
        "width": width,
        "height": height,
        "full_color_pixels_a_second": subject.full_color,
        "arrows_stretched_by": subject.stretch,
        "samples": motions,
    }


def _settings(config: MotionConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("model", "seed", "n", "draws", "temperature")}


def _facts(config: MotionConfig) -> dict[str, object]:
    facts: dict[str, object] = {"model": config.model, "seed": config.seed}
    return facts | {"motions": f"{config.n}, of {config.draws} draws", "temperature": config.temperature}


def _names(frames: Sequence[Path], folder: Path, config: MotionConfig) -> list[str]:
    """One name per frame for its results (see ``free_names``).

    Raises:
        ConfigError: an input of the name of a sheet or the page lies where those go.
    """
    inputs = {str(frame.resolve()).casefold() for frame in frames}
    check_inputs_safe(folder, frames, _OWN_STEMS)
    return free_names(frames, lambda name: not inputs.isdisjoint(_places(name, folder, config)))


def _places(name: str, folder: Path, config: MotionConfig) -> set[str]:
    """Paths of the results of a frame of that name, whole and without case."""
    from coembed.cli.output.gallery import PREVIEWS

    files = [f"{PREVIEWS}/{name}-original.jpg"]
    for k in range(1, config.n + 1):
        files += _files(name, k, config).values()
    return {str((folder / file).resolve()).casefold() for file in files}
