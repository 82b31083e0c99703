"""Settings of how a model samples, apart from what it is made of."""

from __future__ import annotations

from coembed.errors import ConfigError


def check_clip(clip: tuple[float, float] | None) -> None:
    """Check a range that samples are clipped to.

    Raises:
        ConfigError: a range without any width.
    """
    if clip is not None and not clip[0] < clip[1]:
        raise ConfigError(f"clip: got {clip}, expected (low, high) with low < high")
