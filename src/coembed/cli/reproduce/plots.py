"""Curves and points of a report (matplotlib, extra ``[report]``; no window, no global state)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from coembed.cli.reproduce import paper
from coembed.cli.reproduce.options import METHODS
from coembed.errors import ConfigError
from coembed.evaluation.results import BEST_OF, BINS, LEVELS

if TYPE_CHECKING:
    from coembed.cli.reproduce.work import Found

INK, FAINT = "#222222", "#dddddd"


def need_matplotlib() -> None:
    """Say at once that plots need matplotlib, not after an hour of training.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError("a report needs matplotlib: pip install 'coembed[report]'") from None


def error_against_variance(task: str, found: Sequence[Found], note: str) -> bytes:
    """Figure 4: best-of-100 error against variance, ours and, in a panel of its own, the paper's. PNG bytes."""
    ours = []
    for one in found:
        summary = one.evaluation.summary()
        n = max(k for k in BEST_OF if f"best_{k}" in summary)
        error, variance = summary[f"best_{n}"], summary["variance"]
        ours.append((one.method, 100 * variance.value, 100 * error.value, n))
    theirs = [
        (m.paper, m.color, row["variance"], row["best_100"])
        for m in METHODS.values()
        if m.paper and (row := paper.errors(task, m.paper))
    ]
    figure, panels = new_figure(1, 2 if theirs else 1, (5.2 * (2 if theirs else 1), 4.2))
    _points(panels[0], [(METHODS[m].label, METHODS[m].color, x, y) for m, x, y, _ in ours])
    panels[0].set_title("here")
    panels[0].set_ylabel(f"error of the best of {ours[0][3]} samples (× 100)")
    if theirs:
        _points(panels[1], theirs)
        panels[1].set_title("the paper (other data, other training)")
        panels[1].set_ylabel("error of the best of 100 samples (× 100)")
    for panel in panels:
        panel.set_xlabel("variance of the samples (× 100)")
    return as_png(figure, note)


def best_of_n(found: Sequence[Found], note: str) -> bytes:
    """Error of the best of n samples against n; bars are two standard errors. PNG bytes."""
    figure, (panel,) = new_figure(1, 1, (8.2, 4.4))
    ns: list[int] = []
    for number, one in enumerate(found):
        summary = one.evaluation.summary()
        ns = [n for n in BEST_OF if f"best_{n}" in summary]
        values = np.array([100 * summary[f"best_{n}"].value for n in ns])
        errors = np.array([200 * (summary[f"best_{n}"].error or 0) for n in ns])
        method = METHODS[one.method]
        bars = {"elinewidth": 0.8, "capsize": 2, "markersize": 4}
        places = [n * 1.012 ** (number - len(found) / 2) for n in ns]  # bars beside, not upon, each other
        panel.errorbar(places, values, errors, fmt="o-", color=method.color, label=method.label, **bars)
    panel.set_xscale("log")
    panel.set_xticks(ns, [str(n) for n in ns])
    panel.minorticks_off()
    panel.set_xlabel("samples n")
    panel.set_ylabel("error of the best of n (× 100)")
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return as_png(figure, note)


def calibration(found: Sequence[Found], note: str) -> bytes:
    """Share of truths in the samples' central intervals, and spread over skill. PNG bytes."""
    figure, (left, right) = new_figure(1, 2, (10.4, 4.2))
    left.plot([0.45, 0.95], [0.45, 0.95], color=INK, linewidth=1, linestyle=":")
    for one in found:
        summary, method = one.evaluation.summary(), METHODS[one.method]
        covered = [summary[f"coverage_{round(100 * level)}"].value for level in LEVELS]
        left.plot(LEVELS, covered, "o-", color=method.color, label=method.label, markersize=4)
    left.set_xticks(LEVELS, [f"{100 * level:.0f}%" for level in LEVELS])
    left.set_xlabel("central interval of the samples")
    left.set_ylabel("share of true values inside")
    left.set_title("coverage, in the colours of the right (dotted: calibrated)")
    labels = [METHODS[one.method].label for one in found]
    summaries = [one.evaluation.summary()["spread_skill"] for one in found]
    places = np.arange(len(found))[::-1]
    right.barh(
        places,
        [s.value for s in summaries],
        xerr=[2 * (s.error or 0) for s in summaries],
        color=[METHODS[one.method].color for one in found],
        error_kw={"elinewidth": 1, "ecolor": INK},
        height=0.7,
    )
    right.axvline(1, color=INK, linewidth=1, linestyle=":")
    right.set_yticks(places, labels)
    right.set_title("spread over skill (1: the spread is the error)")
    return as_png(figure, note)


def rank_histograms(found: Sequence[Found], note: str) -> bytes | None:
    """Ranks of the truth among the samples, a small panel per method; None without ranks. PNG bytes."""
    ranked = [one for one in found if "rank_0" in one.evaluation.values]
    if not ranked:
        return None
    columns = min(5, len(ranked))
    rows = -(-len(ranked) // columns)
    figure, panels = new_figure(rows, columns, (2.3 * columns, 1.9 * rows + 0.4))
    heights = [
        BINS * np.array([np.mean(one.evaluation.values[f"rank_{i}"]) for i in range(BINS)]) for one in ranked
    ]
    top = 1.08 * max(float(h.max()) for h in heights)
    for panel, one, height in zip(panels, ranked, heights, strict=False):
        method = METHODS[one.method]
        panel.bar((np.arange(BINS) + 0.5) / BINS, height, width=0.9 / BINS, color=method.color)
        panel.axhline(1, color=INK, linewidth=1, linestyle=":")
        panel.set_ylim(0, top)
        panel.set_xticks([0, 0.5, 1], ["lowest", "", "highest"])
        panel.set_title(method.label)
    for panel in panels[len(ranked) :]:
        panel.set_visible(False)
    return as_png(figure, note)


def picture_grid(sheet: np.ndarray, columns: Sequence[str], rows: Sequence[str], note: str) -> bytes:
    """A sheet of pictures with a head a column and a label a row. PNG bytes."""
    height, width = sheet.shape[:2]
    inches = max(4.0, width / 100)
    figure, (panel,) = new_figure(1, 1, (inches + (0.9 if any(rows) else 0.0), inches * height / width + 0.5))
    panel.imshow(sheet, interpolation="nearest")
    panel.xaxis.tick_top()
    panel.set_xticks((np.arange(len(columns)) + 0.5) * width / len(columns), columns)
    panel.set_yticks((np.arange(len(rows)) + 0.5) * height / len(rows), rows)
    panel.tick_params(length=0, labelsize=8)
    panel.grid(False)
    for side in panel.spines.values():
        side.set_visible(False)
    return as_png(figure, note)


def _points(panel: Any, points: Sequence[tuple[str, str, float, float]]) -> None:
    """Points with their names beside them, each where it is in nobody's way (by the size of its letters)."""
    panel.margins(0.28, 0.2)  # names are wider than high
    for _, color, x, y in points:
        panel.scatter([x], [y], s=60, color=color, zorder=3, edgecolor="white", linewidth=0.8)
    panel.autoscale_view()
    taken = [(px - 5, py - 5, px + 5, py + 5) for px, py in panel.transData.transform([p[2:] for p in points])]
    frame = panel.get_window_extent()
    for label, _, x, y in points:
        px, py = panel.transData.transform((x, y))
        width, height = 6.5 * len(label), 11
        sides = [
            (8, -height / 2),
            (8, 4),
            (8, -15),
            (-8 - width, -height / 2),
            (-8 - width, 4),
            (-8 - width, -15),
        ]
        sides += [(-width / 2, 9), (-width / 2, -9 - height), (8, 16), (8, -27), (8, 28), (8, -39)]
        boxes = [(px + dx, py + dy, px + dx + width, py + dy + height) for dx, dy in sides]
        outside = [max(0.0, b[2] - frame.x1) + max(0.0, frame.x0 - b[0]) for b in boxes]
        cost = [9 * o + sum(_overlap(b, box) for box in taken) for o, b in zip(outside, boxes, strict=True)]
        best = min(range(len(sides)), key=lambda i: (cost[i], i))
        taken.append(boxes[best])
        points_a_pixel = 72 / panel.figure.dpi
        offset = tuple(points_a_pixel * shift for shift in sides[best])
        panel.annotate(label, (x, y), xytext=offset, textcoords="offset points", fontsize=8, color=INK)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


def new_figure(rows: int, columns: int, inches: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure and its panels, row by row, with faint grids and no frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained", facecolor="white")
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for panel in panels:
        panel.grid(True, color=FAINT, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8, color=FAINT)
        for name, side in panel.spines.items():
            side.set_visible(name in ("left", "bottom"))
            side.set_color(FAINT)
    return figure, panels


def as_png(figure: Any, note: str) -> bytes:
    """The figure with its note (model, data, seed, commit) below it, PNG bytes."""
    for panel in figure.axes:
        for text in (panel.title, panel.xaxis.label, panel.yaxis.label):
            text.set_fontsize(9)
    figure.supxlabel(note, fontsize=6.5, color="#777777")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
