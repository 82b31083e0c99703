"""A trained run as bundled weights: 8 bits per weight, with a card made from the run and its evaluation.

python scripts/bundle_weights.py RUN EVALUATION.json DEST --data "what the photos were"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from coembed.models.files import WEIGHTS_FILE, save_pretrained
from coembed.models.pretrained import load_pretrained
from coembed.models.sampling_config import SamplingConfig
from coembed.serialization import read_json

MAX_MB = 4
ABOUT = {
    "resaturation": (
        "Draws saturation fields (HSV) for the brightness (HSV value) and hue of a photo, at 32 x 32; "
        "`coembed resaturate` brings them to the photo's own resolution.",
        "Each photo was seen with its own saturation only.",
        (
            "What is rare among the photos it learned from (drawings, microscopy, say) gets the saturations of "
            "what is common there.",
            "A field has 32 x 32 cells, whatever the photo's size; smaller things share one change.",
            "Hue and brightness never change, so greys stay grey and a wrong white balance stays.",
            "Fields are plausible, not true: they say nothing about how a scene really looked.",
        ),
    ),
    "relighting": (
        "Draws the logarithm of the shading for the albedo of a photo, at 32 x 32; `coembed relight` "
        "brings it to the photo's own resolution. Both come from the photo by colour retinex "
        "(`coembed.imaging.intrinsic.decompose`).",
        "Each photo was seen in its own light only. Scores are of fields less their means over the frame, "
        "which edits leave as they are.",
        (
            "What retinex takes for paint is kept: a hard shadow's edge often is, and stays in every version.",
            "The albedo of a smooth ball holds no trace of its shape: light is plausible for what a scene "
            "seems to be, not computed from its geometry.",
            "Light has one value per cell, no colour: a sunset's tint stays.",
            "A field has 32 x 32 cells, whatever the photo's size; smaller things share one change.",
            "Versions are plausible, not true: they say nothing about how a scene was really lit.",
        ),
    ),
    "motion": (
        "Draws the motion of the next second, as fractions of the frame, for one colour frame, at 32 x 32; "
        "`coembed motion` shows the kinds of motion among many draws and brings them to the frame's own "
        "resolution.",
        "Each frame was seen with the one motion that followed it. Motion was estimated by optical flow there "
        "and back; cells are means of what both ways confirm, and frames where less than half is confirmed "
        "were left out, of training and of the table. So motion faster than the estimator can follow is "
        "missing. Fields are clipped to one frame per second.",
        (
            "What moves next can hardly be told from one small frame: the scores are close to those of motions "
            "drawn at random from training, and even to those of motions of the true action, which no model is "
            "told.",
            "It learned from a few hundred scenes of sports and hobbies, most of them with a still camera.",
            "A field has 32 x 32 cells, whatever the frame's size: hands and balls are a cell or less.",
            "Motions are plausible, not predictions to rely on.",
        ),
    ),
}
"""What a card says of each task: what is drawn, about the data, and the limits."""
ROWS = (
    "energy",
    "best_3",
    "best_10",
    "best_30",
    "best_100",
    "coverage_90",
    "spread_skill",
    "sharpness",
    "crps",
)


def main() -> None:
    """Loads, converts, writes the card and checks the size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--rounded", action="store_true", help="the evaluation is of the weights as bundled")
    parser.add_argument("--name", default="default", help="the model's name in the evaluation, if not first")
    parser.add_argument("--data", required=True, help="what the photos were, for the card")
    options = parser.parse_args()
    trained = load_pretrained(options.run)
    record = read_json(options.run / "run.json")
    with (options.run / "metrics.jsonl").open(encoding="utf-8") as log:
        last = json.loads(log.readlines()[-1])
    evaluation = read_json(options.evaluation)
    # A quality table has the simple samplers first, an evaluation of the model the model.
    evaluation["samplers"].sort(key=lambda sampler: sampler["name"] != options.name)
    text = card(trained.task, trained.model, record, last, evaluation, options.data, options.rounded)
    save_pretrained(trained.model, options.dest, task=trained.task, card=text, dtype="int8")
    size = (options.dest / WEIGHTS_FILE).stat().st_size / 1e6
    print(f"{options.dest}: {size:.2f} MB")
    if size > MAX_MB:
        raise SystemExit(f"{options.dest}: {size:.1f} MB, expected at most {MAX_MB}")


def drawing(sampling: SamplingConfig) -> str:
    """Difference between draws and the density that was learned, in words."""
    if not any(temperature != 1 for temperature in sampling.temperatures):
        return "as learned, at temperature 1"
    return f"at temperature {' and '.join(f'{t:g}' for t in sampling.temperatures)} for code and detail"


def card(
    task: str,
    model: Any,
    record: dict[str, Any],
    last: dict[str, Any],
    evaluation: dict[str, Any],
    data: str,
    rounded: bool,
) -> str:
    """The model card, Markdown; every number comes from the run and its evaluation."""
    generated, seen_as, limits = ABOUT[task]
    when = "on these weights" if rounded else "on the weights before they were rounded"
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
    pairs_seen = f"{last['images']:,} pairs seen ({last['epoch']:.1f} epochs)"
    first = samplers[0]
    return "\n".join(
        [
            f"# {task}: a photo-shaped model of CoEmbed",
            "",
            generated,
            "",
            "## Data",
            "",
            f"{record['pairs']['count']:,} pairs: {data}. {seen_as}",
            "",
            "## Model and training",
            "",
            f"Preset `{train['preset']}`, {count:.1f} million parameters, {pairs_seen}, batches of "
            f"{train['batch_size']}, seed {train['seed']}. Draws: {drawing(model.sampling)}. Matrices are "
            "stored in 8 bits, with a step per row.",
            "",
            "## Measured",
            "",
            f"First {first['conditions']:,} validation pairs, {first['samples']} samples each, clipped to "
            f"the field's range. The simple samplers see the same pairs. Measured {when}.",
            "",
            head,
            *lines,
            "",
            "## Limits",
            "",
            *(f"- {limit}" for limit in limits),
            "",
        ]
    )


if __name__ == "__main__":
    main()
