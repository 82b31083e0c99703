"""Fixtures of many tests; makes what lies in ``support/`` importable.

A tiny model for the tests of what surrounds models: known samples, a known reconstruction, real weights.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models import registry
from coembed.numerics.random import Streams

sys.path.insert(0, str(Path(__file__).parent / "support"))


@dataclass(frozen=True)
class TinyConfig:
    condition_shape: tuple[int, int, int] = (3, 8, 8)
    field_shape: tuple[int, int, int] = (1, 8, 8)
    kinds: int = 3

    def __post_init__(self):
        if self.kinds < 1:
            raise ConfigError(f"kinds is {self.kinds}, expected at least 1")


class Tiny(nn.Module):
    """Draw one of ``kinds`` constant levels plus a little noise; reconstruct the mean of the field."""

    kind = "tiny"

    def __init__(self, config: TinyConfig):
        super().__init__()
        self.config = config
        self.levels = nn.Parameter(torch.rand(config.kinds, 1))
        self.register_buffer("scale", torch.tensor(0.01))
        self.register_buffer("steps", torch.tensor(7))

    def sample(self, condition: Tensor, n: int, *, generator, temperature: float = 1.0) -> Tensor:
        streams = Streams.of(generator, len(condition))
        noise = streams.normal(n, 1 + self.config.field_shape[1] * self.config.field_shape[2])
        kind = (noise[..., 0] * 1000).long() % self.config.kinds
        flat = self.levels[kind, 0][..., None] + temperature * self.scale * noise[..., 1:]
        return flat.reshape(n, len(condition), *self.config.field_shape).detach()

    @property
    def temperature_layers(self) -> int:
        return 1

    def reconstruct(self, condition: Tensor, field: Tensor) -> Tensor:
        return field.mean(dim=(-1, -2), keepdim=True).expand_as(field).clone()


@pytest.fixture
def tiny(monkeypatch) -> Tiny:
    """A tiny model of a kind that can be saved and loaded while the test runs."""
    monkeypatch.setitem(registry.MODEL_CLASSES, "tiny", (Tiny.__module__, "Tiny", "TinyConfig"))
    return Tiny(TinyConfig()).eval()


@pytest.fixture
def one_channel(tiny) -> Tiny:
    """The tiny model for conditions of one channel."""
    return Tiny(TinyConfig((1, 8, 8))).eval()


class Page(HTMLParser):
    """Every reference of a page, its tags and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.tags, self.text = [], set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def parse_page():
    """Text of a page to its ``Page``."""
    return Page


@pytest.fixture
def photos(tmp_path):
    """A function that fills a folder with n JPEGs of odd sizes and returns it."""

    def make(n, folder="photos", first=0):
        where = tmp_path / folder
        where.mkdir(parents=True, exist_ok=True)
        for i in range(first, first + n):
            generator = np.random.default_rng(i)
            coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((41 + i % 7, 37)).save(where / f"photo-{i:03d}.jpg")
        return where

    return make
