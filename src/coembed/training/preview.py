"""A picture of samples: a row per validation pair, with its condition, its true field and n samples."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from coembed.data.pairs import Pairs
from coembed.models.base import Range, Sampler
from coembed.numerics.random import Streams
from coembed.serialization import write_bytes

ROWS, SAMPLES, GAP, TILE = 8, 6, 2, 64


@torch.no_grad()
def picture(
    path: Path,
    model: Sampler,
    pairs: Pairs,
    *,
    seed: int,
    device: torch.device,
    ranges: tuple[Range, Range] | None = None,
) -> None:
    """Write a PNG of samples for the first pairs; the same streams every time, so pictures can be compared.

    Args:
        path: the PNG.
        model: what samples.
        pairs: validation pairs; the first 8 are shown.
        seed: of the samples.
        device: where the model lies.
        ranges: (low, high) of condition and of field that are shown black and white; None takes them from the
            pairs shown.
    """
    rows = range(min(ROWS, len(pairs)))
    condition, truth = pairs.batch(list(rows))
    samples = model.sample(condition.to(device), SAMPLES, generator=Streams(seed, rows)).float().cpu()
    shown_condition = _tiles(condition, _range(condition, ranges and ranges[0]))
    limits = _range(truth, ranges and ranges[1])
    columns = [shown_condition, _tiles(truth, limits), *(_tiles(s, limits) for s in samples)]
    height = max(c.shape[1] for c in columns)
    columns = [torch.nn.functional.pad(c, (0, 0, 0, GAP, 0, GAP + height - c.shape[1])) for c in columns]
    sheet = torch.cat([torch.cat(list(c), dim=0) for c in columns], dim=1)
    buffer = io.BytesIO()
    Image.fromarray(sheet.numpy()).save(buffer, format="PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())


def _range(layer: Tensor, given: Range | None) -> Range:
    if given is not None and all(math.isfinite(v) for v in given) and given[1] > given[0]:
        return given
    low, high = float(layer.min()), float(layer.max())
    return low, high if high > low else low + 1.0


def _tiles(layer: Tensor, limits: Range) -> Tensor:
    """(batch, c, h, w) -> (batch, H, W, 3) uint8: 3 channels are colours, any other number lie side by side."""
    shown = ((layer.float() - limits[0]) / (limits[1] - limits[0])).nan_to_num(0.5).clamp(0, 1).mul(255).round()
    shown = shown.to(torch.uint8)
    if shown.shape[1] != 3:
        side_by_side = torch.cat(list(shown.unbind(1)), dim=-1)
        shown = side_by_side[:, None].expand(-1, 3, -1, -1)
    factor = max(1, TILE // layer.shape[-2])
    shown = shown.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)
    return shown.permute(0, 2, 3, 1)
