"""The sweep of ``guidance.py`` as numbers: scores, and paired differences from the run without guidance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from coembed.evaluation.results import Evaluation, linearised
from coembed.serialization import read_json, write_json

SCORES = {"energy": "energy score", "multiscale_energy": "at 4 scales", "best_100": "best of 100"}
BESIDE = {
    "spread_skill": "spread/skill",
    "condition_trustworthiness": "trust. (condition)",
    "condition_continuity": "cont. (condition)",
    "condition_collapse": "collapse (condition)",
    "field_trustworthiness": "trust. (field)",
    "field_continuity": "cont. (field)",
    "field_collapse": "collapse (field)",
    "kl_condition": "KL condition",
    "kl_field": "KL field",
    "active_condition": "active condition",
    "active_field": "active field",
    "bound": "bound",
    "mode_recall": "mode recall",
    "frequency_kl": "KL of frequencies",
    "energy_distance": "energy distance",
}
Group = tuple[str, int, int, str, float]  # preset, pairs, images, kind, weight


def write_results(cache: Path, out: Path) -> str:
    """Write OUT.json and OUT.md from every run in the cache; return the table."""
    runs = read_runs(cache)
    seeds = seed_deviation(runs)
    rows = [row(group, found, runs, seeds) for group, found in sorted(runs.items(), key=_order)]
    text = table(rows)
    write_json(out.with_suffix(".json"), {"rows": rows, "seed_deviation": seeds})
    out.with_suffix(".md").write_text(text + "\n")
    return text


def read_runs(cache: Path) -> dict[Group, dict[int, tuple[Evaluation, dict[str, float]]]]:
    """Evaluation and further numbers by group and seed."""
    found: dict[Group, dict[int, tuple[Evaluation, dict[str, float]]]] = {}
    for path in sorted(cache.glob("*/*/*/*/*/*/scores.json")):
        preset, count, images, kind, weight, seed = path.parent.relative_to(cache).parts
        group = (preset, int(count), int(images), kind, float(weight))
        one = (Evaluation.load(path.parent / "evaluation.json"), read_json(path))
        found.setdefault(group, {})[int(seed)] = one
    return found


def without(group: Group) -> Group:
    """The group that differs in guidance alone."""
    return (*group[:3], "none", 0.0)


def influences(evaluation: Evaluation, metric: str) -> np.ndarray:
    """The metric of every photo, (photos,); its mean is the metric."""
    found = linearised(evaluation, metric)
    assert found is not None
    value, influence = found
    return value + influence


def differences(group: Group, runs, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Guided less not guided: (photos,) means over the seeds that both have, and (seeds,) means over photos."""
    shared = sorted(set(runs[group]) & set(runs.get(without(group), {})))
    if not shared or group == without(group):
        return None
    parts = [
        influences(runs[group][s][0], metric) - influences(runs[without(group)][s][0], metric) for s in shared
    ]
    return np.mean(parts, 0), np.array([part.mean() for part in parts])


def seed_deviation(runs) -> dict[str, dict[str, float]]:
    """The deviation of a difference from seed to seed, pooled over a preset's groups that have several."""
    found: dict[str, dict[str, float]] = {}
    for preset in sorted({group[0] for group in runs}):
        for metric in SCORES:
            squares = freedom = 0.0
            for group in runs:
                pair = differences(group, runs, metric) if group[0] == preset else None
                if pair is not None and len(pair[1]) > 1:
                    squares += float(((pair[1] - pair[1].mean()) ** 2).sum())
                    freedom += len(pair[1]) - 1
            if freedom:
                found.setdefault(preset, {})[metric] = math.sqrt(squares / freedom)
    return found


def row(group: Group, found, runs, seeds) -> dict[str, object]:
    """One line of the table: means over seeds, differences with the error of photos and seeds together."""
    preset, count, images, kind, weight = group
    out: dict[str, object] = {
        "preset": preset, "pairs": count, "images": images, "kind": kind, "weight": weight, "seeds": len(found)
    }  # fmt: skip
    for metric in SCORES:
        out[metric] = round(float(np.mean([influences(e, metric).mean() for e, _ in found.values()])), 5)
        pair = differences(group, runs, metric)
        if pair is None:
            continue
        photos = pair[0].std(ddof=1) / math.sqrt(len(pair[0]))
        between = seeds.get(preset, {}).get(metric, 0.0) / math.sqrt(len(pair[1]))
        out[f"{metric}_difference"] = round(float(pair[0].mean()), 5)
        out[f"{metric}_error_photos"] = round(float(photos), 5)
        out[f"{metric}_error"] = round(math.hypot(photos, between), 5)
    for name in BESIDE:
        values = [
            e.summary()[name].value if name == "spread_skill" else more.get(name) for e, more in found.values()
        ]
        if all(value is not None for value in values):
            out[name] = round(float(np.mean(values)), 4)
    return out


def table(rows: list[dict[str, object]]) -> str:
    """Markdown; the differences with twice their standard error."""
    beside = [name for name in BESIDE if any(name in r for r in rows)]
    heads = ["preset", "pairs", "guidance", "weight", "seeds"]
    for label in SCORES.values():
        heads += [label, "difference"]
    heads += [BESIDE[name] for name in beside]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for r in rows:
        cells = [
            r["preset"],
            f"{r['pairs']:,} ({r['images']:,} seen)",
            r["kind"],
            f"{r['weight']:g}",
            r["seeds"],
        ]
        for metric in SCORES:
            cells.append(_digits(r[metric]))
            change, error = r.get(f"{metric}_difference"), r.get(f"{metric}_error")
            cells.append("" if change is None else f"{_digits(change, True)} ± {_digits(2 * error)}")
        cells += [_digits(r[name]) if name in r else "" for name in beside]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _digits(value, sign: bool = False) -> str:
    digits = 1 if abs(value) >= 100 else 3 if abs(value) >= 0.1 or value == 0 else 4
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _order(item) -> tuple:
    preset, count, images, kind, weight = item[0]
    return preset != "paper-mdn4", preset, count, images, kind != "none", kind, weight
