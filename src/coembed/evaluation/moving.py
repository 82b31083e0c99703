"""Measures of motion fields: how much is the camera's pan, whether the background stands still, where it
moves."""

from __future__ import annotations

import torch
from torch import Tensor

STILL = 0.01
"""Share of its side per second below which a cell stands still."""


def pan_share(flow: Tensor) -> Tensor:
    """Share of a motion's energy that is its mean over the frame, (..., 2, h, w) to (...) in [0, 1]; 0 for
    none."""
    energy = flow.square().sum(-3).mean((-2, -1))
    pan = flow.mean((-2, -1)).square().sum(-1)
    return torch.where(energy > 0, pan / energy.clamp(min=1e-30), 0.0)


def is_still(flow: Tensor) -> Tensor:
    """True where more than half of the frame stands still, (..., 2, h, w) to (...); flow in sides per
    second."""
    return (flow.norm(dim=-3) < STILL).double().mean((-2, -1)) > 0.5


def energy_inside(flow: Tensor, mask: Tensor) -> Tensor:
    """Mean energy of motion inside a mask over that outside; 1 if it does not matter where things are.

    Args:
        flow: (..., 2, h, w).
        mask: (h, w), share of every cell that is inside, 0 to 1, neither all inside nor all outside.

    Returns:
        (...), infinite where nothing moves outside.
    """
    energy = flow.square().sum(-3)
    inside, outside = ((energy * part).sum((-2, -1)) / part.sum() for part in (mask, 1 - mask))
    return inside / outside


def scores(sampled: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Columns ``pan_samples``, ``pan_truth``, ``still_samples``, ``still_truth``, (batch,) each.

    Args:
        sampled: (n, batch, 2, h, w), sides per second.
        truth: (batch, 2, h, w).
    """
    found = {}
    for name, flow in (("samples", sampled), ("truth", truth[None])):
        found[f"pan_{name}"] = pan_share(flow).mean(0)
        found[f"still_{name}"] = is_still(flow).to(flow.dtype).mean(0)
    return found
