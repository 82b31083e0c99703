"""Places for the results of many photos: folder, names that can be written anywhere, ``samples.json``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Template

from coembed.errors import ConfigError, DataError, PhotoError

T = TypeVar("T")
_MAX_STEM = 180  # bytes of a file name kept, so that the rest of the name fits in 255


@dataclass(frozen=True)
class RunResult:
    """Entries and failures of a run over photos.

    Args:
        folder: where the results are.
        entries: the photos that were done, as the page shows them.
        failures: the others, with the reason.
    """

    folder: Path
    entries: tuple[Any, ...]
    failures: tuple[tuple[Path, str], ...]


def default_folder(photos: Sequence[Path], ending: str = "") -> Path:
    """out/NAME OF THE FIRST PHOTO, with how many more there are."""
    more = f"-and-{len(photos) - 1}-more" if len(photos) > 1 else ""
    return Path("out") / f"{shortened(photos[0].stem)}{more}{ending}"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        PhotoError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{folder}: cannot be made ({error.strerror or error})") from None


def check_inputs_safe(folder: Path, photos: Sequence[Path], own: Collection[str]) -> None:
    """Refuse a folder in which a sheet or the like would be written over an input.

    Args:
        folder: of the results.
        photos: the inputs.
        own: stems of what is written whatever the inputs' names are, also with _2, _3 ... behind.

    Raises:
        ConfigError: an input of such a name lies in the folder.
    """
    for photo in photos:
        if photo.parent.resolve() == folder.resolve() and photo.stem.casefold().split("_")[0] in own:
            raise ConfigError(
                f"--out {folder}: the input {photo.name} would be overwritten, expected another folder"
            )


def free_names(photos: Sequence[Path], clashes: Callable[[str], bool]) -> list[str]:
    """One name per photo for its results: its own stem, with _2, _3 ... where files would collide.

    Args:
        photos: the inputs; names that differ in case only collide.
        clashes: tells whether results of that name would overwrite an input.
    """
    found: list[str] = []
    taken: set[str] = set()
    for photo in photos:
        wanted = name = shortened(photo.stem)
        number = 1
        while name.casefold() in taken or clashes(name):
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        found.append(name)
    return found


def one_by_one(
    photos: Sequence[Path], names: Sequence[str], do: Callable[[Path, str], tuple[T, str]]
) -> tuple[list[T], list[tuple[Path, str]]]:
    """Do photos in turn; one that cannot be done is reported, and the others go on.

    Progress goes to standard output, failures to standard error.

    Args:
        photos: the inputs.
        names: one per photo, for its results.
        do: gives what was made, and that in words.

    Returns:
        What was made of the photos that could be done, and the others with the reason.
    """
    made: list[T] = []
    failures: list[tuple[Path, str]] = []
    for path, name in zip(photos, names, strict=True):
        start = time.perf_counter()
        try:
            result, words = do(path, name)
        except (PhotoError, DataError) as error:
            failures.append((path, str(error)))
            print(f"coembed: {error}", file=sys.stderr)
            continue
        made.append(result)
        print(f"{path}: {words} in {time.perf_counter() - start:.1f} s")
    return made, failures


def write_settings(
    folder: Path,
    task: str,
    settings: dict[str, Any],
    records: list[dict[str, Any]],
    failures: list[tuple[Path, str]],
) -> None:
    """Write ``samples.json``: all that is needed to make the same results again.

    Args:
        folder: where to.
        task: its name.
        settings: the options that decide the results.
        records: one a photo that was done.
        failures: the others, with the reason.
    """
    import coembed
    from coembed.serialization import write_json

    head = {"format": "coembed-samples", "version": 1, "coembed": coembed.__version__, "task": task}
    failed = [{"photo": json_text(path), "error": json_text(text)} for path, text in failures]
    write_json(folder / "samples.json", head | settings | {"photos": records, "failed": failed})


def fill_template(path: Path, **values: str) -> str:
    """The text of a jinja2 template with values put in as they are: escape what is no HTML."""
    return Template(path.read_text(encoding="utf-8"), keep_trailing_newline=True).render(values)


def shortened(stem: str) -> str:
    """A stem that can be written anywhere: valid Unicode, and short enough for a suffix to follow."""
    text = stem.encode("utf-8", "replace")[:_MAX_STEM].decode("utf-8", "ignore")
    return text or "photo"


def json_text(value: object) -> str:
    """A value as text that JSON can hold, whatever bytes a file name is made of."""
    return str(value).encode("utf-8", "replace").decode()
