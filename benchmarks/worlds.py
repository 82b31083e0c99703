"""Every method where the truth is known: modes found, how often, how exactly, and what the codes hold.

    python benchmarks/worlds.py [--presets default ...] [--peers flow ...] [--minutes 1] [--worlds shading ...]

Trains each preset and peer on scattered pairs (one field per condition) of each world, fits the simple samplers
on the same pairs, and scores all of them, the truth's own sampler and its mean, on new conditions. Writes
``results/worlds.json`` and ``results/worlds.md`` after every row, and a picture at the end. Pairs, runs and
scores are kept in ``--cache`` under the options that made them, so an interrupted benchmark goes on where it
stopped, and a longer list of samplers adds to what is there.

The table of the repository is of

    --minutes 2 --conditions 100 --figure docs/images/worlds.png --presets default cvae-plus paper-mdn12
    paper-gauss cvae
    --peers hierarchical energy flow
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `peers` lies there

from collapse import code_collapse
from machine import describe
from peers.registry import PEERS
from worlds_figure import draw_figure
from worlds_rows import MEAN, TRUTH, Row, rows
from worlds_table import markdown

from coembed.cli.output.progress import Progress
from coembed.errors import CoEmbedError
from coembed.evaluation.synthetic.scores import score_world
from coembed.evaluation.synthetic.worlds import WORLDS, World
from coembed.models.cdvae.model import CDVAE
from coembed.models.registry import known_presets
from coembed.serialization import read_json, to_dict, write_bytes, write_compact_json, write_json

TRAINED = (
    "default",
    "cvae",
    "cvae-plus",
    "paper-mdn12",
    "paper-gauss",
    "paper-mdn4",
    "paper-shallow",
    "regression",
)
_SHOWN = (  # in the picture
    TRUTH,
    MEAN,
    "nearest, smoothed 1 px",
    "linear-Gaussian",
    "cvae",
    "cvae-plus",
    "paper-gauss",
    "paper-mdn12",
    "default",
)
_SHOWN_SETTING = "20 evaluations"


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, scores and writes what the command line asks for."""
    arguments = _parse(argv)
    torch.set_num_threads(arguments.threads)
    for folder in (arguments.out, arguments.cache):
        folder.mkdir(parents=True, exist_ok=True)
    worlds = [WORLDS[name](arguments.size) for name in arguments.worlds]
    # Samplers outside, worlds inside: a benchmark that is stopped has whole comparisons.
    todo = [
        (world, row)
        for group in zip(*(rows(world, arguments) for world in worlds), strict=True)
        for world, row in zip(worlds, group, strict=True)
    ]
    found: list[dict[str, Any]] = []
    columns: dict[str, dict[str, tuple[World, Row]]] = {}
    for world, row in todo:
        found.append(_scored(world, row, arguments))
        if row.name in _SHOWN or row.name.startswith("default+") or row.name.endswith(_SHOWN_SETTING):
            columns.setdefault(row.name, {})[world.name] = world, row
        _write(found, arguments)
    if arguments.figure:
        draw_figure(columns, arguments.figure, arguments)
    print(arguments.out / f"{arguments.stem}.md")


def _parse(argv: Sequence[str] | None) -> Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument(
        "--presets",
        nargs="*",
        type=_named,
        default=[*TRAINED],
        metavar="NAME[+OPTION=VALUE...]",
        help="default+components=12 is default with that option, as a row of its own",
    )
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=[])
    parser.add_argument("--minutes", type=float, default=1.0, help="of CPU time of training, a row and world")
    parser.add_argument("--images", type=int, help="length of a preset's training in pairs in place of minutes")
    parser.add_argument("--model", nargs="*", default=[], metavar="OPTION=VALUE", help="for all presets")
    parser.add_argument("--pairs", type=int, default=20_000, help="training pairs a world")
    parser.add_argument("--size", type=int, default=16, help="height and width of fields")
    parser.add_argument("--conditions", type=int, default=300, help="new conditions to score on")
    parser.add_argument("--slow-conditions", type=int, default=40, help="the same for slow samplers")
    parser.add_argument("--samples", type=int, default=100, help="samples per condition")
    parser.add_argument("--particles", type=int, default=100, help="of the bound on the likelihood")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--stem", default="worlds", help="of the files in --out")
    parser.add_argument("--figure", type=Path, help="a PNG of samples beside true fields")
    parser.add_argument("--cache", type=Path, default=Path("out/worlds"))
    return parser.parse_args(argv)


def _named(text: str) -> str:
    """The text, if a preset's name is what is before the first plus."""
    known = known_presets()
    if text.split("+")[0] not in known:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected one of {', '.join(known)}, then +OPTION=VALUE"
        )
    return text


def _scored(world: World, row: Row, arguments: Namespace) -> dict[str, Any]:
    """Scores of a row, and its training; kept under all that they depend on."""
    count = min(arguments.conditions, arguments.slow_conditions) if row.slow else arguments.conditions
    key = row.options | {option: getattr(arguments, option) for option in ("pairs", "size", "samples", "seed")}
    key |= {"name": row.name, "world": world.name, "conditions": count, "particles": arguments.particles}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = arguments.cache / f"{world.name}-{digest}.json"
    if path.is_file():
        return read_json(path)  # type: ignore[return-value]
    sampler = row.build()
    with Progress(f"{world.name}: {row.name}", count, unit="conditions") as progress:
        found = score_world(
            sampler,
            world,
            name=row.name,
            conditions=count,
            samples=arguments.samples,
            seed=arguments.seed,
            particles=arguments.particles,
            progress=progress.advance,
        )
    if isinstance(sampler, CDVAE):
        found.scores.update(code_collapse(sampler, world, samples=arguments.samples, seed=arguments.seed))
    scored = to_dict(found) | {"training": row.training()}
    write_json(path, scored)
    return scored


def _write(found: list[dict[str, Any]], arguments: Namespace) -> None:
    options = {k: v for k, v in vars(arguments).items() if k not in ("out", "cache", "figure")}
    data = {
        "format": "coembed-worlds",
        "version": 2,
        "options": options,
        "machine": describe(),
        "scores": found,
    }
    write_compact_json(arguments.out / f"{arguments.stem}.json", data)
    write_bytes(arguments.out / f"{arguments.stem}.md", markdown(data).encode())


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"worlds: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
