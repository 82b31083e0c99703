"""The picture of `worlds.py`: three conditions a world, true fields and what samplers draw in their place."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from worlds_rows import Row

from coembed.evaluation.synthetic.worlds import World
from coembed.imaging.flow.picture import flow_to_color
from coembed.numerics.random import Streams

_SIDE, _GAP = 40, 8  # of a field, between columns and rows
_LINE, _LETTERS = 13, 13  # height of a line of a column's head, letters in it
_SEED = 1 << 34  # conditions that no score is of
_CONDITIONS, _SAMPLES = 3, 4


def draw_figure(columns: dict[str, dict[str, tuple[World, Row]]], path: Path, arguments: Namespace) -> None:
    """Write a sheet: a row per condition, its picture, then 2 x 2 samples of every sampler.

    Args:
        columns: sampler -> world -> the world and its row there, all trained.
        path: of the PNG.
        arguments: of the benchmark; the seed of the draws is theirs.
    """
    worlds = {name: world for places in columns.values() for name, (world, _) in places.items()}
    conditions = {
        name: world.conditions(_CONDITIONS, generator=torch.Generator().manual_seed(_SEED))
        for name, world in worlds.items()
    }
    cell = 2 * _SIDE + 2
    heads = [_lines(name) for name in ("condition", *columns)]
    over = _LINE * max(map(len, heads)) + 4
    width, height = len(heads) * (cell + _GAP), len(worlds) * _CONDITIONS * (cell + _GAP) + over
    page = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for j, head in enumerate(heads):
        for i, line in enumerate(head):
            pen.text((j * (cell + _GAP), 1 + i * _LINE), line, "black", font)
    for w, (name, world) in enumerate(worlds.items()):
        tops = [over + (w * _CONDITIONS + i) * (cell + _GAP) for i in range(_CONDITIONS)]
        low, high = _limits(world, conditions[name])
        for top, condition in zip(tops, conditions[name], strict=True):
            pixels = _grey(condition, float(condition.min()), float(condition.max()))
            page.paste(_tile(pixels, cell), (0, top))
        for j, places in enumerate(columns.values(), 1):
            if name not in places:
                continue
            sampler = places[name][1].build()
            with torch.no_grad():
                sampled = sampler.sample(
                    conditions[name], _SAMPLES, generator=Streams(arguments.seed, range(_CONDITIONS))
                )
            for i, top in enumerate(tops):
                for k in range(_SAMPLES):
                    at = j * (cell + _GAP) + k % 2 * (_SIDE + 2), top + k // 2 * (_SIDE + 2)
                    page.paste(_tile(_pixels(sampled[k, i], low, high), _SIDE), at)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(256).save(path, optimize=True)


def _lines(head: str) -> list[str]:
    """A column's head in lines that fit, a preset's options on lines of their own."""
    return [line for part in head.split("+") for line in textwrap.wrap(part, _LETTERS)]


def _limits(world: World, condition: torch.Tensor) -> tuple[float, float]:
    truth = world.sample(condition, 20, generator=0)
    return float(truth.quantile(0.005)), float(truth.quantile(0.995))


def _pixels(field: torch.Tensor, low: float, high: float) -> np.ndarray:
    if len(field) == 2:
        return flow_to_color(field.permute(1, 2, 0).numpy(), max_motion=max(-low, high))
    return _grey(field, low, high)


def _grey(layer: torch.Tensor, low: float, high: float) -> np.ndarray:
    scaled = ((layer[0] - low) / max(high - low, 1e-6)).clamp(0, 1)
    return (255 * scaled).round().byte().numpy()[..., None].repeat(3, -1)


def _tile(pixels: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
