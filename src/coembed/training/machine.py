"""The machine of a run: device, threads, arithmetic, memory and Ctrl-C."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType

import torch

from coembed.errors import TrainingError
from coembed.training.config import TrainConfig

_MATRIX_SIZE, _MATRIX_ROUNDS = 256, 4


def prepare_machine(config: TrainConfig) -> torch.device:
    """Set threads and arithmetic once, and name the device.

    Raises:
        TrainingError: a device that torch does not have.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"device: got {name!r}, which torch cannot use ({error})") from None
    torch.backends.cudnn.benchmark = False  # it would choose other kernels after a resume
    torch.backends.cudnn.deterministic = True
    return device


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Weights that decay towards 0 would slow a CPU manyfold; afterwards the process is as it was."""
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    """The arithmetic of the model: bfloat16 where that is safe, or float32 throughout."""
    fast = config.precision == "bf16" or (config.precision == "auto" and bfloat16_gain(device) > 1)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


@cache
def bfloat16_gain(device: torch.device) -> float:
    """Speed of matrix products in bfloat16 over that in float32, measured once per process.

    On a GPU it isn't measured: infinite where the GPU has bfloat16, else 0.
    """
    if device.type == "cuda":
        return float("inf") if torch.cuda.is_bf16_supported(including_emulation=False) else 0.0
    best: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(_MATRIX_SIZE, _MATRIX_SIZE, dtype=dtype, device=device)
        torch.mm(a, a)  # the first one sets up
        best[dtype] = float("inf")
        for _ in range(_MATRIX_ROUNDS):
            start = time.perf_counter()
            torch.mm(a, a)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has used: of the GPU when there is one, else resident."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


class Interrupt:
    """While entered, SIGINT and SIGTERM set ``asked`` (in the main thread only); a second one stops at once."""

    def __init__(self):
        self.asked = False
        self._previous = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
