"""``coembed doctor``: one screen that says whether this machine can do the job, and what to do if not."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from coembed.errors import CoEmbedError
from coembed.numerics.cores import count_cores


@dataclass(frozen=True)
class DoctorConfig:
    """Check Python, packages, processor, bundled weights and write access."""

    out: Path = Path("out")
    """A folder in which results are to be written."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        subject: what was looked at.
        state: ``"fail"`` is what keeps the main job from working.
        text: what was seen, and what to do about it if something is wrong.
    """

    subject: str
    state: Literal["ok", "note", "fail"]
    text: str


def run(config: DoctorConfig) -> int:
    """Print the report.

    Returns:
        0 if nothing failed, else 1.
    """
    found = findings(config)
    for finding in found:
        print(f"{finding.state:>4}  {finding.subject:<12} {finding.text}")
    failed = sum(finding.state == "fail" for finding in found)
    print("\nAll is well." if not failed else f"\n{failed} of {len(found)} checks failed.")
    return 1 if failed else 0


def findings(config: DoctorConfig) -> list[Finding]:
    """All checks, in the order in which they are shown; one that fails does not stop the next."""
    checks: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("weights", _weights),
        ("writing", lambda: _writing(config.out)),
    )
    found: list[Finding] = []
    for subject, check in checks:
        try:
            found += check()
        except Exception as error:  # a broken installation raises anything; the report says so and goes on
            found.append(Finding(subject, "fail", f"{type(error).__name__}: {error}"))
    return found


def _python() -> list[Finding]:
    text = f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    return [Finding("python", "ok" if good else "fail", text if good else f"{text}; 3.11 or later is needed")]


def _packages() -> list[Finding]:
    present, missing = [], []
    for requirement in requires("coembed") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].strip()
        for mark in "<>=!~[ (":
            name = name.split(mark)[0]
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    found = [Finding("packages", "ok", ", ".join([f"coembed {version('coembed')}", *present]))]
    if missing:
        found.append(Finding("packages", "fail", f"missing: pip install {' '.join(missing)}"))
    try:
        version("huggingface_hub")
    except PackageNotFoundError:
        found.append(Finding("hub", "note", "models of the hub need: pip install 'coembed[hub]'"))
    return found


def _torch() -> list[Finding]:
    import torch

    cores = count_cores()
    threads = torch.get_num_threads()
    state = "ok" if threads <= cores else "note"
    hint = "" if state == "ok" else f"; more threads than processors are slow: OMP_NUM_THREADS={cores}"
    found = [Finding("processor", state, f"{threads} torch threads on {cores} usable processors{hint}")]
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
        bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
        found.append(Finding("gpu", "ok", f"{device}, {bf16} bfloat16"))
    else:
        found.append(Finding("gpu", "note", "none that torch can use; everything works on the processor"))
    return [*found, _bfloat16()]


def _bfloat16() -> Finding:
    import torch

    from coembed.training.machine import bfloat16_gain

    gain = bfloat16_gain(torch.device("cpu"))
    if gain >= 1:
        return Finding("bfloat16", "ok", f"matrix products {gain:.1f} times as fast as in float32")
    return Finding("bfloat16", "ok", f"{1 / gain:.1f} times slower than float32, so training uses float32")


def _torchvision() -> list[Finding]:
    try:
        found = version("torchvision")
    except PackageNotFoundError:
        return [Finding("torchvision", "ok", "not installed, and not needed")]
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except Exception as error:
        text = f"{found} does not fit this torch ({error}); coembed does not need it: pip uninstall torchvision"
        return [Finding("torchvision", "note", text)]
    return [Finding("torchvision", "ok", f"{found}, loads (coembed does not need it)")]


def _weights() -> list[Finding]:
    from coembed.models.pretrained import bundled_names, load_pretrained

    names = bundled_names()
    if not names:
        return [Finding("weights", "fail", "none in the package; install it again, or run: make weights")]
    found = []
    for name in names:
        start = time.perf_counter()
        try:
            model = load_pretrained(name).model
        except CoEmbedError as error:
            found.append(Finding("weights", "fail", str(error)))
            continue
        count = sum(p.numel() for p in model.parameters())
        took = time.perf_counter() - start
        found.append(
            Finding("weights", "ok", f"{name}: {count / 1e6:.1f} M parameters, loaded in {took:.2f} s")
        )
    return found


def _writing(folder: Path) -> list[Finding]:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".coembed-doctor-") as file:
            file.write(b"x")
    except OSError as error:
        text = f"{place} cannot be written to ({error.strerror}); results need another --out"
        return [Finding("writing", "fail", text)]
    return [Finding("writing", "ok", f"{place} can be written to")]
