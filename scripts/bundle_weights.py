"""A trained run as bundled weights: half precision, with a card made from the run and its evaluation.

python scripts/bundle_weights.py RUN EVALUATION.json DEST --data "what the photos were"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from coembed.config import read_json
from coembed.hub import WEIGHTS_FILE, load_pretrained, save_pretrained

LARGEST_MB = 12
ROWS = ("energy", "best_3", "best_10", "best_30", "best_100", "coverage_90", "spread_skill", "crps")


def main() -> None:
    """Loads, converts, writes the card and checks the size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--data", required=True, help="what the photos were, for the card")
    options = parser.parse_args()
    trained = load_pretrained(options.run)
    record = read_json(options.run / "run.json")
    with (options.run / "metrics.jsonl").open(encoding="utf-8") as log:
        last = json.loads(log.readlines()[-1])
    text = card(trained.task, trained.model, record, last, read_json(options.evaluation), options.data)
    save_pretrained(trained.model, options.dest, task=trained.task, card=text, dtype="float16")
    size = (options.dest / WEIGHTS_FILE).stat().st_size / 1e6
    print(f"{options.dest}: {size:.2f} MB")
    if size > LARGEST_MB:
        raise SystemExit(f"{options.dest}: {size:.1f} MB, expected at most {LARGEST_MB}")


def card(
    task: str,
    model: Any,
    record: dict[str, Any],
    last: dict[str, Any],
    evaluation: dict[str, Any],
    data: str,
) -> str:
    """The model card, Markdown; every number comes from the run and its evaluation."""
    samplers = evaluation["samplers"]
    keys = [key for key in ROWS if key in samplers[0]["summary"]]
    head = "| sampler | " + " | ".join(keys) + " |\n|---|" + "---|" * len(keys)
    lines = [
        f"| {s['name'] if k else 'this model'} | "
        + " | ".join(f"{s['summary'][key]['value']:.4g}" for key in keys)
        + " |"
        for k, s in enumerate(samplers)
    ]
    train = record["train"]
    count = sum(p.numel() for p in model.parameters()) / 1e6
    seen = f"{last['images']:,} pairs seen ({last['epoch']:.1f} epochs)"
    first = samplers[0]
    return "\n".join(
        [
            f"# {task}: a CDVAE of CoEmbed",
            "",
            "Draws saturation fields (HSV) for the brightness (HSV value) of a photo, at 32 x 32; "
            "`coembed resaturate` brings them to the photo's own resolution.",
            "",
            "## Data",
            "",
            f"{record['pairs']['count']:,} pairs: {data}. Each photo was seen with its own saturation only.",
            "",
            "## Model and training",
            "",
            f"Preset `{train['preset']}`, {count:.1f} million parameters, {seen}, batches of "
            f"{train['batch_size']}, seed {train['seed']}. Matrices are stored in half precision.",
            "",
            "## Measured",
            "",
            f"First {first['conditions']:,} validation photos, {first['samples']} samples each, clipped to "
            "[0, 1]. The simple samplers see the same photos. Measured on the weights before they were rounded "
            "to half precision.",
            "",
            head,
            *lines,
            "",
            "## Limits",
            "",
            "- What is rare among the photos it learned from (drawings, microscopy, say) gets the saturations "
            "of what is common there.",
            "- A field has 32 x 32 cells, whatever the photo's size; smaller things share one change.",
            "- Hue and brightness never change, so greys stay grey and a wrong white balance stays.",
            "- Fields are plausible, not true: they say nothing about how a scene really looked.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
