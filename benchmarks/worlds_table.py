"""The table of `worlds.py`, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HEADS = {
    "mode_recall": "mode recall",
    "mode_mass": "mass on modes",
    "on_mode": "on a mode",
    "frequency_kl": "KL of frequencies",
    "mode_rmse": "RMSE to mode / truth's",
    "energy_distance": "energy distance",
    "sliced_wasserstein": "sliced W1",
    "conditional_kl": "conditional KL (nats)",
    "code_spread": "code spread",
    "code_modes": "modes in codes",
    "code_distance": "code distance",
}


def markdown(data: dict[str, Any]) -> str:
    """All worlds, one table each, from what ``worlds.json`` holds."""
    options, machine = data["options"], data["machine"]
    length = f"{options['minutes']:g} CPU minute(s)"
    if options["images"]:
        length = f"{options['images']} pairs, peers for {length}"
    text = [
        "# Known truth\n",
        f"{options['pairs']} training pairs a world, one field per condition, {options['size']} px square; "
        f"every model trained for {length} on {options['threads']} thread(s), besides what it sets in "
        "closed form before that; "
        f"{options['conditions']} new conditions ({options['slow_conditions']} for slow samplers), "
        f"{options['samples']} samples each, seed {options['seed']}. ± is one standard error over conditions. "
        "Read every column beside the truth's own row (the best that so many samples can show) and that of its "
        "mean (what squared error leads to).\n",
        "- mode recall: modes that some sample is on; fields drawn at random are on many by chance\n"
        "- mass on modes: sum over modes of the smaller of true probability and share of samples on it; chance "
        "hits, blur and lost modes all lower it\n"
        "- conditional KL: how far the density, or its bound "
        f"of {options['particles']} particles, falls short of the true one, nats per field\n"
        "- codes: variance of drawn codes over that of true codes (1 is right), share of the true codes' "
        "variance that tells modes apart, and distance of the two clouds (0 is right)\n"
        "- s: of sampling; training: thousands of pairs seen\n",
    ]
    for world in dict.fromkeys(row["world"] for row in data["scores"]):
        text += [f"## {world.capitalize()}\n", _table([row for row in data["scores"] if row["world"] == world])]
    text.append(f"Measured on {machine['cpu']}, torch {machine['torch']}.\n")
    return "\n".join(text)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    keys = [key for key in _HEADS if any(key in row["scores"] for row in rows)]
    lines = [
        ["Sampler", *[_HEADS[key] for key in keys], "s", "training"],
        ["---", *["---:"] * (len(keys) + 2)],
    ]
    for row in rows:
        cells = []
        for key in keys:
            value = row["scores"].get(key)
            error = "" if not value or value["error"] is None else f" ± {value['error']:.1g}"
            cells.append("–" if not value else f"{value['value']:.3g}{error}")
        images = row["training"].get("images")
        thousands = f"{images / 1000:.0f}k" if images else "–"
        lines.append([row["name"], *cells, f"{row['seconds']:.1f}", thousands])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
