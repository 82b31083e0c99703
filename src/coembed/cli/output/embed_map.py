"""The map of ``coembed embed``: thumbnails where their features put them, framed by label, and a legend."""

from __future__ import annotations

import colorsys
import io
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from coembed.data.store.store import PairStore

Colour = tuple[int, int, int]

_BORDER = 3  # pixels of a label's colour around a thumbnail
_NONE = (128, 128, 128)  # the colour of pairs without a label
_LINE = 18  # pixels from one name of the legend to the next
_LEGEND = 180  # pixels across
_MAX_LABEL = 22  # characters of a name that fit


def draw_map(
    store: PairStore, rows: np.ndarray, labels: list[str], points: np.ndarray, cells: int, side: int
) -> bytes:
    """A PNG, ``cells`` x ``cells`` thumbnails of conditions, and on its right the commonest labels.

    Args:
        store: the pairs.
        rows: (n,) which of them.
        labels: their labels, empty where there is none; no legend where all are.
        points: (n, 1 or more) where they belong.
        cells: across and down.
        side: of a thumbnail, in pixels.
    """
    import numpy as np
    from PIL import Image

    if points.shape[1] == 1:  # features of one dimension: a line
        points = np.column_stack([points[:, 0], np.zeros(len(points))])
    colours = colours_of(labels)
    whole = side + 2 * _BORDER
    canvas = np.full((cells * whole, cells * whole, 3), 255, dtype=np.uint8)
    for (row, column), i in places(points, cells).items():
        layer = store.condition([int(rows[i])])[0].numpy()
        i_condition = store.index.condition
        levels = (layer - i_condition.low) / max(i_condition.high - i_condition.low, 1e-12)
        grey = levels if len(levels) == 3 else np.repeat(levels[:1], 3, 0)
        pixels = (grey.transpose(1, 2, 0).clip(0, 1) * 255 + 0.5).astype(np.uint8)
        picture = np.full((whole, whole, 3), colours.get(labels[i], _NONE), dtype=np.uint8)
        small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        picture[_BORDER:-_BORDER, _BORDER:-_BORDER] = np.asarray(small)
        canvas[row * whole : (row + 1) * whole, column * whole : (column + 1) * whole] = picture
    if colours:
        canvas = np.hstack([canvas, _legend(labels, colours, len(canvas))])
    data = io.BytesIO()
    Image.fromarray(canvas).save(data, "PNG")
    return data.getvalue()


def places(points: np.ndarray, cells: int) -> dict[tuple[int, int], int]:
    """Pair that each cell shows. Axes run over ranks, so that crowded regions get room."""
    import numpy as np

    unit = points[:, :2].argsort(0, kind="stable").argsort(0, kind="stable") / len(points)
    place = unit * cells
    cell = np.minimum(place.astype(int), cells - 1)
    off = ((place - cell - 0.5) ** 2).sum(1)
    shown: dict[tuple[int, int], int] = {}
    for i in np.argsort(off, kind="stable"):
        shown.setdefault((cells - 1 - int(cell[i, 1]), int(cell[i, 0])), int(i))
    return shown


def colours_of(labels: list[str]) -> dict[str, Colour]:
    """A hue a label; neighbours in the alphabet lie far apart on the circle (golden angle)."""
    found = {}
    for i, label in enumerate(sorted(set(labels) - {""})):
        rgb = colorsys.hsv_to_rgb((i * 0.618034) % 1, 0.55 + 0.4 * (i % 2), 0.95 - 0.25 * (i % 3) / 2)
        found[label] = tuple(round(255 * x) for x in rgb)
    return found


def legend_entries(labels: list[str], room: int) -> list[tuple[str, int]]:
    """The commonest labels and how many pairs have each; where not all fit, the last line sums up the rest.

    >>> legend_entries(["cat", "dog", "dog", "", "cow", "dog"], 3)
    [('dog', 3), ('cat', 1), ('2 others', 2)]
    """
    counted = sorted(Counter(label or "no label" for label in labels).items(), key=lambda c: (-c[1], c[0]))
    if len(counted) <= room:
        return counted
    kept, rest = counted[: max(0, room - 1)], counted[max(0, room - 1) :]
    return [*kept, (f"{len(rest)} others", sum(count for _, count in rest))]


def _legend(labels: list[str], colours: dict[str, Colour], height: int) -> np.ndarray:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (_LEGEND, height), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for k, (label, count) in enumerate(legend_entries(labels, height // _LINE)):
        top = k * _LINE + 3
        pen.rectangle((8, top, 20, top + 12), fill=colours.get(label, _NONE))
        name = label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 3] + "..."
        pen.text((26, top - 1), f"{name} {count}", fill=(0, 0, 0), font=font)
    return np.asarray(sheet)
