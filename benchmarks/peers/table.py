"""The page of the results: quality, training and sampling time side by side, losses too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers.entry import COMPARED

_HEADS = {
    "best_3": "n=3",
    "best_100": "n=100",
    "energy": "ES",
    "multiscale_energy": "ES 1-8",
    "crps": "CRPS",
    "spread_skill": "spread/skill",
    "coverage_90": "cover 90",
    "sharpness": "sharpness",
}
_FRACTIONS = ("spread_skill", "coverage_90", "sharpness")


def markdown(data: dict[str, Any]) -> str:
    """The page, from what the JSON file holds."""
    rows = data["rows"]
    references = [r for r in data["references"] if any(row.get("reference") == r for row in rows)]
    height, width = data["size"]
    most = max(row["photos"] for row in rows)
    parts = [
        f"# Peers: {data['task']}, {height} x {width}\n",
        f"{data['samples']} samples for each of the first {most} validation pairs (rows of fewer photos, "
        f"spread over these, compare through the tables below), seed {data['seed']}, clipped to the field's "
        "range. One training each. Trained: seconds of one thread without closed-form starting values, CPU "
        "time or the clock of a core of its own. Pairs: seen in training, repeats included.\n",
        _markdown(_main_rows(rows)),
        "Best of n (squared error a value) x 100. ES: fair energy score in the L2 norm of the field, with its "
        "95% interval; ES 1-8: mean over fields averaged over 1 to 8 pixels. Lower is better for best of n, ES "
        "and CRPS; 1 is right for spread/skill and sharpness (gradient energy over that of real fields), 0.90 "
        f"for cover 90. ms: CPU milliseconds per field, float32, one thread; ratio: to "
        f"{' or '.join(references) or 'the reference'}, timed in turn with the row.\n",
    ]
    for reference in references:
        against = [row for row in rows if row.get("reference") == reference]
        parts += [
            f"## Against {reference}, on the same photos\n",
            _markdown(_difference_rows(against)),
            f"The row minus {reference}, with the 95% interval of paired resampling; below 0 the row is "
            "better. Bold where the interval leaves 0 out. Best of n x 100.\n",
            _verdict(against, reference),
        ]
    few = min(row["photos"] for row in rows)
    if few < most:
        parts += [f"## All rows on those {few} photos alone\n", _markdown(_short_rows(rows))]
    machine = data["machine"]
    parts.append(f"Measured on {machine['cpu']}, one thread, torch {machine['torch']}.\n")
    return "\n".join(parts)


def _main_rows(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    table = [["Sampler", "parameters", "trained s", "pairs", "photos", *_HEADS.values(), "ms", "ratio"]]
    for row in rows:
        cells = _cells(row["summary"])
        if "energy" in row["interval"]:
            low, high = (row["interval"]["energy"][end] for end in ("low", "high"))
            cells[list(_HEADS).index("energy")] += f" ({low:.4g}–{high:.4g})"
        own, other = row["milliseconds"], row["reference_milliseconds"]
        table.append(
            [
                row["name"],
                _shown(row["parameters"], lambda n: f"{n / 1e6:.2f}M"),
                _shown(row["training_seconds"], lambda s: f"{s:.0f}"),
                _shown(row["training_pairs_seen"], lambda n: f"{n:,}"),
                str(row["photos"]),
                *cells,
                f"{own:.3g}",
                _shown(other, lambda ms, own=own: f"{own / ms:.3g}"),
            ]
        )
    return table


def _difference_rows(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    table = [["Sampler", "photos", *[_HEADS[key] for key in COMPARED]]]
    for row in rows:
        cells = []
        for key in COMPARED:
            if key not in row["difference"]:
                cells.append("–")
                continue
            d, factor = row["difference"][key]["difference"], _factor(key)
            value, low, high = (factor * d[part] for part in ("value", "low", "high"))
            text = f"{value:+.3g} ({low:+.3g} to {high:+.3g})"
            cells.append(f"**{text}**" if low > 0 or high < 0 else text)
        table.append([row["name"], str(row["photos"]), *cells])
    return table


def _short_rows(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [["Sampler", *_HEADS.values()], *[[row["name"], *_cells(row["few"]["summary"])] for row in rows]]


def _verdict(rows: Sequence[dict[str, Any]], reference: str) -> str:
    """Who is better than the reference in each metric, whatever the outcome."""
    lines = []
    for key in COMPARED:
        better = []
        for row in rows:
            d = row["difference"].get(key, {}).get("difference")
            if d is not None and d["high"] < 0:
                better.append(f"{row['name']} ({100 * d['value'] / row['reference_value'][key]:+.1f}%)")
        lines.append(f"- {_HEADS[key]}: {', '.join(better) or 'none'}\n")
    return f"Better than {reference} beyond the interval:\n\n" + "".join(lines)


def _cells(summary: dict[str, Any]) -> list[str]:
    cells = []
    for key in _HEADS:
        if key not in summary:
            cells.append("–")
        elif key in _FRACTIONS:
            cells.append(f"{summary[key]['value']:.2f}")
        else:
            cells.append(f"{_factor(key) * summary[key]['value']:.4g}")
    return cells


def _factor(key: str) -> float:
    return 100 if key.startswith("best") else 1


def _shown(value: float | None, write) -> str:
    return "–" if value is None else write(value)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, rule, *body))
