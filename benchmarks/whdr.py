"""Weighted human disagreement rate (WHDR): an albedo against people's judgements.

Bell, Bala and Snavely, "Intrinsic Images in the Wild", SIGGRAPH 2014, section 3.5, on judgements in that data
set's JSON format: for pairs of points of a photo, which of the two surfaces is darker, and how sure people
were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coembed.errors import DataError

DELTA = 0.10  # surfaces within this ratio look alike to people
_ANSWERS = {"E": 0, "1": 1, "2": 2}
_DARKEST = 1e-10


@dataclass(frozen=True)
class Judgements:
    """Judgements of people on one photo; only comparisons that count.

    Attributes:
        first: (n, 2) float64, x and y of each first point, shares of the photo's width and height in [0, 1].
        second: (n, 2), likewise the second point.
        darker: (n,) int, 1 or 2 for the darker surface, 0 for about equal.
        weight: (n,) float64, above 0: how sure people were.
    """

    first: np.ndarray
    second: np.ndarray
    darker: np.ndarray
    weight: np.ndarray


def read_judgements(path: str | Path) -> Judgements:
    """Read one photo's judgements, as Intrinsic Images in the Wild has them (``<id>.json``).

    Args:
        path: the JSON file, with "intrinsic_points" and "intrinsic_comparisons".

    Returns:
        The comparisons between opaque points with an answer and a weight above 0.

    Raises:
        DataError: a file that cannot be read or is not of this format.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}") from error
    return parse_judgements(document, name=str(path))


def parse_judgements(document: Any, *, name: str = "judgements") -> Judgements:
    """The judgements of a JSON document already loaded.

    Args:
        document: a dict with "intrinsic_points" and "intrinsic_comparisons".
        name: of the document, for messages.

    Returns:
        As ``read_judgements``.

    Raises:
        DataError: a key is missing, an answer is unknown, or a comparison names an unknown point.
    """
    rows = []
    try:
        points = {point["id"]: point for point in document["intrinsic_points"]}
        for comparison in document["intrinsic_comparisons"]:
            answer, weight = comparison["darker"], comparison["darker_score"]
            # Comparisons that nobody answered have null here.
            if answer not in _ANSWERS or weight is None or weight <= 0:
                continue
            first, second = points[comparison["point1"]], points[comparison["point2"]]
            # Null where people did not agree, so it is no yes.
            if not (first["opaque"] and second["opaque"]):
                continue
            rows.append((first["x"], first["y"], second["x"], second["y"], _ANSWERS[answer], weight))
        table = np.array(rows, np.float64).reshape(-1, 6)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: not in the format of Intrinsic Images in the Wild ({type(error).__name__}: {error})"
        ) from error
    if not ((table[:, :4] >= 0) & (table[:, :4] <= 1)).all() or not np.isfinite(table).all():
        raise DataError(f"{name}: a point lies outside the photo, expected x and y in [0, 1]")
    return Judgements(table[:, :2], table[:, 2:4], table[:, 4].astype(int), table[:, 5])


def whdr(albedo: np.ndarray, judgements: Judgements, *, delta: float = DELTA) -> float:
    """The weighted share of people's judgements that an albedo contradicts.

    Args:
        albedo: (h, w, 3) or (h, w), linear light, of any scale.
        judgements: of the photo.
        delta: the albedo calls a surface darker where the other is more than 1 + delta times as bright.

    Returns:
        In [0, 1]; lower is better.

    Raises:
        DataError: no comparison counts, or an albedo of another shape.
    """
    albedo = np.asarray(albedo, np.float64)
    if albedo.ndim not in (2, 3) or 0 in albedo.shape:
        raise DataError(f"albedo has shape {albedo.shape}, expected (h, w, 3) or (h, w), none of them 0")
    if not len(judgements.weight):
        raise DataError("judgements hold no comparison that counts: WHDR is not defined")
    grey = albedo.mean(2) if albedo.ndim == 3 else albedo
    one, two = (np.maximum(_at(grey, points), _DARKEST) for points in (judgements.first, judgements.second))
    said = np.where(two / one > 1 + delta, 1, np.where(one / two > 1 + delta, 2, 0))
    wrong = said != judgements.darker
    return float((judgements.weight * wrong).sum() / judgements.weight.sum())


def _at(layer: np.ndarray, points: np.ndarray) -> np.ndarray:
    size = np.array(layer.shape[::-1])
    columns, rows = np.minimum((points * size).astype(int), size - 1).T
    return layer[rows, columns]
