"""Results laid out for the eye: a contact sheet and a page that opens anywhere, offline."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from coembed.cli.output.files import fill_template
from coembed.imaging.io.photo import Photo, write_photo
from coembed.serialization import write_bytes

PREVIEWS = "previews"  # folder of the small pictures that the page shows

_PREVIEW = 900  # pixels on the long side of a preview
_TILE, _GAP, _LABEL = 320, 16, 26  # the sheet: largest tile side, gaps, height of a label, pixels
_ROWS = 40  # photos on one sheet, so that it stays well within what JPEG can hold


@dataclass(frozen=True)
class Shown:
    """One result as the sheet and the page show it.

    Args:
        file: its file name, relative to the page.
        preview: file name of its small version, relative to the page.
        draw: which draw of the seed it is, or where between two of them.
        weight: share of the larger draw it stands for; None for plain draws.
    """

    file: str
    preview: str
    draw: int | str
    weight: float | None


@dataclass(frozen=True)
class Row:
    """One photo and its results.

    Args:
        name: the photo's file name as the user knows it.
        size: (width, height) in pixels.
        original: file name of the original's small version, relative to the page.
        results: in the order in which they are shown.
    """

    name: str
    size: tuple[int, int]
    original: str
    results: tuple[Shown, ...]


def write_preview(path: Path, pixels: np.ndarray, like: Photo) -> None:
    """Write a small JPEG of a photo or a result, at most 900 pixels per side, with the photo's colour profile.

    Transparent pixels are shown on white.

    Raises:
        PhotoError: the file cannot be written.
    """
    alpha = like.alpha
    small = _fitted(_eight_bits(pixels), _PREVIEW)
    if alpha is not None:
        cover = _fitted(_eight_bits(alpha), _PREVIEW)[..., None].astype(np.float32) / 255
        small = np.rint(small * cover + 255 * (1 - cover)).astype(np.uint8)
    write_photo(path, small, Photo(small, None, like.icc, like.grey, "array", str(path)), quality=88)


def write_sheets(folder: Path, rows: Sequence[Row], seed: int) -> list[str]:
    """Write ``sheet.jpg``: a line per photo, the original first, every picture labelled.

    More than 40 photos go on ``sheet_2.jpg`` and so on.

    Args:
        folder: where the previews lie and the sheets go.
        rows: the photos.
        seed: for the labels.

    Returns:
        The file names written.
    """
    return write_sheets_of(folder, [_labelled(row, seed) for row in rows])


def write_sheets_of(folder: Path, lines: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    """The same sheets from lines of (label, file name of a picture in the folder)."""
    names = []
    for page, start in enumerate(range(0, len(lines), _ROWS)):
        names.append("sheet.jpg" if page == 0 else f"sheet_{page + 1}.jpg")
        sheet = _sheet([_tiles(folder, line) for line in lines[start : start + _ROWS]])
        done, data = cv2.imencode(".jpg", np.asarray(sheet)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        if not done:
            raise ValueError(f"a sheet of {sheet.width} x {sheet.height} pixels could not be encoded")
        write_bytes(folder / names[-1], data.tobytes())
    return names


def write_page(folder: Path, rows: Sequence[Row], settings: dict[str, object], title: str) -> None:
    """Write ``index.html``: plain HTML and CSS, relative links, nothing from elsewhere.

    Args:
        folder: where the pictures lie and the page goes.
        rows: the photos.
        settings: shown as a line of name and value.
        title: of the page.
    """
    write_page_of(folder, "\n".join(_section(row) for row in rows), settings, title, _FOOTER)


def write_page_of(folder: Path, body: str, settings: dict[str, object], title: str, footer: str) -> None:
    """The same page around sections of one's own: ``body`` and ``footer`` are HTML, the rest is plain text."""
    facts = "".join(f"<li><span>{plain(k)}</span> {plain(v)}</li>" for k, v in settings.items())
    template = Path(__file__).with_name("page.html")
    page = fill_template(template, title=plain(title), facts=facts, body=body, footer=footer)
    write_bytes(folder / "index.html", page.encode("utf-8", "replace"))


def _section(row: Row) -> str:
    width, height = row.size
    figures = [_figure(row.original, row.original, "original", f"{width} × {height}", "original")]
    for k, shown in enumerate(row.results, start=1):
        detail = f"draw {shown.draw}" + ("" if shown.weight is None else f" · stands for {shown.weight:.0%}")
        figures.append(_figure(shown.file, shown.preview, f"version {k}", detail, ""))
    return f"<section><h2>{plain(row.name)}</h2><div class=grid>{''.join(figures)}</div></section>"


def _figure(link: str, picture: str, label: str, detail: str, kind: str) -> str:
    return (
        f'<figure class="{kind}"><a href="{relative(link)}">'
        f'<img src="{relative(picture)}" alt="{plain(label)}" loading=lazy></a>'
        f"<figcaption><b>{plain(label)}</b> <span>{plain(detail)}</span></figcaption></figure>"
    )


def plain(value: object) -> str:
    """A value as text that HTML shows as it is."""
    return html.escape(str(value).encode("utf-8", "replace").decode())


def relative(name: str) -> str:
    """A file name, relative to the page, as a link."""
    # "./" keeps a name like "a:b.jpg" from reading as a scheme; quoting keeps # ? % & and quotes in the name.
    return "./" + quote(name.encode("utf-8", "surrogateescape"), safe="/")


def _sheet(lines: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    columns = max(len(line) for line in lines)
    widths = [max(line[c][1].width for line in lines if c < len(line)) for c in range(columns)]
    heights = [max(tile.height for _, tile in line) for line in lines]
    size = (sum(widths) + _GAP * (columns + 1), sum(heights) + (_LABEL + _GAP) * len(lines) + _GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    top = _GAP
    for line, height in zip(lines, heights, strict=True):
        left = _GAP
        for (label, tile), width in zip(line, widths, strict=False):
            sheet.paste(tile, (left, top))
            pen.text((left, top + tile.height + 4), _cut(label, pen, font, width), fill="#444", font=font)
            left += width + _GAP
        top += height + _LABEL + _GAP
    return sheet


def _labelled(row: Row, seed: int) -> list[tuple[str, str]]:
    pictures = [(f"original: {row.name}", row.original)]
    return pictures + [
        (f"{k}: seed {seed}, draw {s.draw}", s.preview) for k, s in enumerate(row.results, start=1)
    ]


def _tiles(folder: Path, pictures: Sequence[tuple[str, str]]) -> list[tuple[str, Image.Image]]:
    tiles = []
    for label, name in pictures:
        with Image.open(folder / name) as preview:
            tiles.append((label, Image.fromarray(_fitted(np.asarray(preview.convert("RGB")), _TILE))))
    return tiles


def _cut(
    label: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    label = "".join(c if c.isprintable() else "?" for c in label)
    if pen.textlength(label, font) <= width:
        return label
    while label and pen.textlength(label + "...", font) > width:
        label = label[:-1]
    return label + "..."


def _fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _eight_bits(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == np.uint8 else (array >> 8).astype(np.uint8)


_FOOTER = """Click a version for the full-resolution file. Settings and seeds are in
<a href="./samples.json">samples.json</a>, all versions side by side in
<a href="./sheet.jpg">sheet.jpg</a>."""
