"""The machine a benchmark ran on, and the speed of its matrix products, to hold results against."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def describe(*, peak: bool = False, threads: int | None = None) -> dict[str, Any]:
    """CPU model, cores granted, memory, versions; with ``peak`` the measured matmul GFLOP/s.

    Args:
        peak: measure bf16 and float32 matrix products (about 5 s).
        threads: of torch while measuring; None: as they are.
    """
    import numpy
    import torch

    info: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "torch_threads": threads or torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    if peak:
        info["peak_gflops"] = {name: matmul_gflops(name, threads=threads) for name in ("float32", "bfloat16")}
    return info


def matmul_gflops(dtype: str, *, size: int = 2048, seconds: float = 2.0, threads: int | None = None) -> float:
    """The best rate of square matrix products on the CPU: the ceiling that a model's rate is a fraction of.

    Args:
        dtype: ``"float32"`` or ``"bfloat16"``.
        size: rows and columns.
        seconds: how long to repeat; the fastest repetition counts.
        threads: of torch while measuring; None: as they are.

    Returns:
        10^9 floating point operations a second.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        a, b = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
        a @ b
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return round(2 * size**3 / best / 1e9, 1)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
