"""Whether bfloat16 is worth it: processors made for it are several times faster, others many times slower."""

from __future__ import annotations

import time
from functools import cache

import torch

_SIZE = 256
_ROUNDS = 4


@cache
def bfloat16_gain(device: torch.device) -> float:
    """How many times as fast matrix products are in bfloat16 as in float32, measured once a process.

    On a GPU it isn't measured: infinite where the GPU has bfloat16, else 0.
    """
    if device.type == "cuda":
        return float("inf") if torch.cuda.is_bf16_supported(including_emulation=False) else 0.0
    best: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(_SIZE, _SIZE, dtype=dtype, device=device)
        torch.mm(a, a)  # the first one sets up
        best[dtype] = float("inf")
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            torch.mm(a, a)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
