"""The upsampling benchmark's results as Markdown: gains and losses beside each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from coembed.serialization import write_bytes

_COLUMNS = (
    "edge band",
    "of ours",
    "everywhere",
    "elsewhere",
    "consistency",
    "halo",
    "texture",
    "prepare s",
    "field s",
    "time",
)


def write_table(result: dict[str, Any], path: Path) -> None:
    """Write the tables of ``benchmarks/upsample.py``.

    Args:
        result: what the benchmark measured.
        path: of the Markdown file.
    """
    lines = [
        "# Upsampling, measured",
        "",
        "By `benchmarks/upsample.py`, which says what each column means.",
        "",
    ]
    lines += [
        "`of ours` is the edge error over coembed's, photo by photo (geometric mean): above 1, coembed is"
    ]
    lines += [
        "better. `time` is the time for one field, preparation included, over coembed's. `bp`: with ten rounds"
    ]
    lines += ["of back-projection.", ""]
    for field, unit in result["units"].items():
        for cells in sorted({row["cells"] for row in result["methods"]}):
            rows = [r for r in result["methods"] if (r["field"], r["cells"]) == (field, cells)]
            lines += _one(field, unit, cells, rows, result["scenes"][field])
    lines += _segmenters(result["segmenters"])
    lines += ["## 12 megapixels, four fields, and 512 x 512", ""]
    keys = list(result["twelve_megapixels"][0])
    lines += _head(keys)
    lines += [_row([f"{row[key]:.3g}" for key in keys]) for row in result["twelve_megapixels"]]
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    lines += ["", f"CPU seconds of one thread. Machine: {machine}.", ""]
    write_bytes(path, "\n".join(lines).encode())


def _one(field: str, unit: str, cells: int, rows: list[dict[str, Any]], scenes: int) -> list[str]:
    ours = rows[0]
    rivals = [row for row in rows if not row["method"].startswith("coembed")]
    best = min(rivals, key=lambda row: _ratio(row, ours))
    gain = 1 - 1 / _ratio(best, ours)
    beaten = {
        name: min(rivals, key=lambda row, name=name: row[name])
        for name in ("rmse", "rmse_elsewhere", "halo", "texture")
    }
    losses = [
        f"{name} ({row['method']}: {row[name]:.3g} against {ours[name]:.3g})"
        for name, row in beaten.items()
        if row[name] < ours[name]
    ]
    lines = [f"## {field} ({unit}), {cells} x {cells} cells, {scenes} photos", ""]
    lines += [
        f"Edge band: {abs(gain):.1%} {'below' if gain > 0 else 'ABOVE'} the best rival, {best['method']}."
    ]
    lines += [f"Better elsewhere: {'; '.join(losses) or 'none'}.", ""]
    lines += _head(["method", *_COLUMNS])
    for row in rows:
        numbers = [
            f"{row['rmse_edges']:.4g}",
            f"{_ratio(row, ours):.2f}",
            f"{row['rmse']:.4g}",
            f"{row['rmse_elsewhere']:.4g}",
            f"{row['consistency']:.1e}",
            f"{row['halo']:.2g}",
            f"{row['texture']:.2f}",
            f"{row['prepare_s']:.3f}",
            f"{row['field_s']:.3f}",
            f"{(row['prepare_s'] + row['field_s']) / (ours['prepare_s'] + ours['field_s']):.2g}",
        ]
        lines.append(_row([row["method"], *numbers]))
    return [*lines, ""]


def _ratio(row: dict[str, Any], ours: dict[str, Any]) -> float:
    logs = [math.log(a / b) for a, b in zip(row["edge_errors"], ours["edge_errors"], strict=True)]
    return math.exp(sum(logs) / len(logs))


def _segmenters(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = ["## Segmenters", ""]
    lines += [
        "How well the truth's own means over the segments stand for it: the error in the edge band, which"
    ]
    lines += ["only better boundaries or more segments lower.", ""]
    lines += _head(["segmenter", *(f"{field}: segments, error" for field in found), "s"])
    for rows in zip(*found.values(), strict=True):
        cells = [f"{row['segments']:.0f}, {row['rmse_edges']:.4g}" for row in rows]
        lines.append(_row([rows[0]["segmenter"], *cells, f"{rows[0]['seconds']:.3f}"]))
    return [*lines, ""]


def _head(names: list[str]) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
