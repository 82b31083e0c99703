"""Training layers held in memory, in half precision where that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from coembed.data.pairs import Pairs, Rows, chunks

Dtype = Literal["float16", "float32"]


def load_all(pairs: Pairs, layer: Callable[[Rows], Tensor]) -> Tensor:
    """All rows of a layer, float16 where that loses nothing (prepared pairs are), else float32."""
    parts, exact = [], True
    for rows in chunks(pairs):
        part = layer(rows)
        exact = exact and torch.equal(part.half().float(), part.float())
        parts.append(part.half() if exact else part.float())
    if exact:
        return torch.cat(parts)
    return torch.cat([layer(rows).float() for rows in chunks(pairs)])


def dtype_name(tensor: Tensor) -> Dtype:
    """Name of the dtype in which ``load_all`` gave a layer."""
    return "float16" if tensor.dtype == torch.float16 else "float32"
