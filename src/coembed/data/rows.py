"""Choosing some rows of many."""

from __future__ import annotations

import torch
from torch import Tensor


def spread(count: int, limit: int) -> Tensor:
    """At most ``limit`` rows of ``count``, evenly spread, ascending, the same every time."""
    return torch.arange(min(count, limit)) * count // max(min(count, limit), 1)
