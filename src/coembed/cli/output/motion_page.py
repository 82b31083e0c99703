"""Predicted motions laid out for the eye: a contact sheet, and a page that opens anywhere, offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coembed.cli.output.gallery import plain, relative, write_page_of, write_sheets_of
from coembed.cli.output.motion_pictures import write_wheel

WHEEL_FILE = "wheel.png"


@dataclass(frozen=True)
class Shown:
    """One motion as the page shows it.

    Args:
        files: names relative to the page: ``arrows`` and ``colors``, and, if written, ``flow``, ``animation``.
        share: of the draws that it stands for.
        draw: which draw of the seed it is.
        seconds: of motion in the animation; None without one.
    """

    files: dict[str, str]
    share: float
    draw: int
    seconds: float | None


@dataclass(frozen=True)
class Subject:
    """One frame and its motions.

    Args:
        name: the frame's file name as the user knows it.
        size: (width, height) in pixels.
        original: file name of the frame's small version, relative to the page.
        motions: most likely first.
        full_color: what the colours' full strength stands for, pixels of the frame per second.
        stretch: arrows are that many times as long as a second's motion.
    """

    name: str
    size: tuple[int, int]
    original: str
    motions: tuple[Shown, ...]
    full_color: float
    stretch: float


def write_sheets(folder: Path, subjects: Sequence[Subject]) -> list[str]:
    """Write ``sheet.jpg``, two lines per frame (arrows, then colours), and say under each picture its share."""
    lines = []
    for subject in subjects:
        shares = [f"{k}: {s.share:.0%}, draw {s.draw}" for k, s in enumerate(subject.motions, start=1)]
        for first, which in (((subject.name, subject.original), "arrows"), (("colours", WHEEL_FILE), "colors")):
            pictures = (shown.files[which] for shown in subject.motions)
            lines.append([first, *zip(shares, pictures, strict=True)])
    write_wheel(folder / WHEEL_FILE)
    return write_sheets_of(folder, lines)


def write_page(folder: Path, subjects: Sequence[Subject], settings: dict[str, object]) -> None:
    """Write ``index.html``: a frame a section, first the frame, then its motions, most likely first."""
    name = subjects[0].name if len(subjects) == 1 else f"{len(subjects)} frames"
    body = "\n".join(_section(subject) for subject in subjects)
    style = Path(__file__).with_name("motion_style.html").read_text(encoding="utf-8")
    write_page_of(folder, style + body, settings, f"{name}, what may happen next", _FOOTER)


def _section(subject: Subject) -> str:
    width, height = subject.size
    key = f"full colour: {subject.full_color:.3g} pixels per second"
    if subject.stretch > 1:
        key += f"; arrows {subject.stretch:g} times as long as the motion of a second"
    figures = [
        f"<figure class=original>{_picture(subject.original, subject.original, 'the frame')}"
        f"<div class=key><img src='{relative(WHEEL_FILE)}' alt='colours of directions'>"
        f"<p>{plain(key)}</p></div>"
        f"<figcaption><b>frame</b> <span>{width} × {height}</span></figcaption></figure>"
    ]
    figures += [_figure(k, shown) for k, shown in enumerate(subject.motions, start=1)]
    return f"<section><h2>{plain(subject.name)}</h2><div class=grid>{''.join(figures)}</div></section>"


def _figure(k: int, shown: Shown) -> str:
    files = shown.files
    below = ["arrows", "colors"]
    above = "animation" if "animation" in files else below.pop(0)
    pair = "".join(_picture(files[which], files[which], f"motion {k}, {which}") for which in below)
    detail = f"draw {shown.draw}"
    if shown.seconds is not None and shown.seconds < 0.995:
        detail += f" · {shown.seconds:.2g} s shown"
    if "flow" in files:
        detail += f" · <a href='{relative(files['flow'])}'>.flo</a>"
    return (
        f"<figure>{_picture(files[above], files[above], f'motion {k}, {above}')}<div class=pair>{pair}</div>"
        f"<figcaption><b>motion {k}: {shown.share:.0%}</b> <span>{detail}</span></figcaption></figure>"
    )


def _picture(link: str, picture: str, label: str) -> str:
    return f'<a href="{relative(link)}"><img src="{relative(picture)}" alt="{plain(label)}" loading=lazy></a>'


_FOOTER = """A percentage is the share of the model's draws that a motion stands for. Animations carry the photo
along the motion, for a second or for as long as it would not tear, and dissolve back. Settings and seeds are in
<a href="./samples.json">samples.json</a>, all motions side by side in <a href="./sheet.jpg">sheet.jpg</a>."""
