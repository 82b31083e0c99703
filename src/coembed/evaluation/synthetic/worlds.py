r"""Worlds whose P(field | condition) is known exactly: the test that real photos, one field each, cannot give.

A world draws conditions, draws any number of fields for one, and gives their log density. Training pairs hold
one field per condition, as real data do. In all of them a condition divides its pixels into parts; each part
takes one of a few modes, independently, with probabilities that the condition decides:

.. math:: p(y \mid x) = \prod_r \sum_m \pi_{rm}(x)\, N(y_r;\, \mu_{rm}(x),\, \sigma^2 I + \tau^2 1 1^T)

sigma is noise a pixel, tau an offset that a part's pixels share (in each channel). Everything about a condition
is read from its pixels alone, so a world judges conditions that went through a file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coembed.errors import ConfigError, DataError
from coembed.numerics.random import Streams

_LEVELS = 256  # grey levels of conditions that name parts: whole numbers of them survive float16


@dataclass(frozen=True)
class Modes:
    """Modes that a batch of conditions allows.

    Attributes:
        parts: (batch, h, w) int64, the part every pixel belongs to, from 0.
        weights: (batch, parts, modes), probabilities that sum to 1 over modes; 0 where a part lacks a mode.
        means: (batch, modes, c, h, w), what a pixel is on average if its part is in a mode.
    """

    parts: Tensor
    weights: Tensor
    means: Tensor


class World(ABC):
    """A family of conditions and the exact distribution of their fields; it is a ``Sampler`` of the truth.

    Args:
        size: height and width, a multiple of 8, at least 16.

    Attributes:
        name: of the world.
        condition_channels: of the condition.
        field_channels: of the field.
        vector: the field's channels are parts of one displacement.
        sigma: noise a pixel.
        tau: offset a part.
    """

    name: str
    condition_channels = 1
    field_channels = 1
    vector = False
    sigma = 0.03
    tau = 0.03

    def __init__(self, size: int = 16):
        if size < 16 or size % 8:
            raise ConfigError(f"size: got {size}, expected a multiple of 8, at least 16")
        self.size = size

    @property
    def condition_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a condition."""
        return self.condition_channels, self.size, self.size

    @property
    def field_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a field."""
        return self.field_channels, self.size, self.size

    @abstractmethod
    def conditions(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draws conditions, (count, c, h, w)."""

    @abstractmethod
    def modes(self, condition: Tensor) -> Modes:
        """Parts, probabilities and means, from the pixels of conditions alone."""

    def pairs(self, count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Scattered pairs: ``count`` conditions and one field for each."""
        generator = torch.Generator().manual_seed(seed)
        condition = self.conditions(count, generator=generator)
        parts = condition.split(1024)
        return condition, torch.cat([self.sample(part, 1, generator=generator)[0] for part in parts])

    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """Draw n true fields per condition, (n, batch, c, h, w)."""
        return self._draw(self._modes(condition), n, generator)

    def mean(self, condition: Tensor) -> Tensor:
        """The exact mean of the fields of every condition, (batch, c, h, w): what squared error asks for."""
        modes = self._modes(condition)
        number = modes.weights.shape[-1]
        pixels = modes.parts.flatten(1)[..., None].expand(-1, -1, number)
        weights = modes.weights.gather(1, pixels).transpose(1, 2)
        return (weights.unflatten(-1, (1, self.size, self.size)) * modes.means).sum(1)

    def log_prob(self, condition: Tensor, field: Tensor) -> Tensor:
        """Exact log density of fields given their conditions, nats, (batch,), float64.

        Raises:
            DataError: shapes that are not this world's.
        """
        wanted = (len(condition), *self.field_shape)
        if tuple(field.shape) != wanted:
            raise DataError(f"field: got shape {tuple(field.shape)}, expected {wanted}")
        modes = self._modes(condition)
        residual = field[:, None].double() - modes.means.double()  # (b, m, c, h, w)
        squared, total, count = self.part_sums(residual, modes)
        # Inverse and determinant of sigma^2 I + tau^2 11' over the pixels of a part, for each channel.
        s2, t2 = self.sigma**2, self.tau**2
        quadratic = (squared - (t2 / (s2 + count * t2))[:, :, None, None] * total.square()) / s2
        volume = (count - 1) * math.log(s2) + (s2 + count * t2).log() + count * math.log(2 * math.pi)
        density = -0.5 * (quadratic + volume[:, :, None, None]).sum(-1)  # (b, parts, m)
        present = count > 0
        found = torch.logsumexp(modes.weights.double().log() + density, -1)
        return torch.where(present, found, torch.zeros_like(found)).sum(1)

    def _modes(self, condition: Tensor) -> Modes:
        if condition.ndim != 4 or tuple(condition.shape[1:]) != self.condition_shape:
            wanted = ", ".join(map(str, self.condition_shape))
            raise DataError(f"condition: got shape {tuple(condition.shape)}, expected (batch, {wanted})")
        return self.modes(condition)

    def part_sums(self, values: Tensor, modes: Modes) -> tuple[Tensor, Tensor, Tensor]:
        """Sum over parts of squares and of values (b, m, c, h, w): (b, parts, m, c) each, and pixel counts."""
        batch, number = modes.weights.shape[:2]
        inside = F.one_hot(modes.parts.view(batch, -1), number).to(values)  # (b, pixels, parts)
        flat = values.flatten(3)
        squared = torch.einsum("bmcp,bpr->brmc", flat.square(), inside)
        return squared, torch.einsum("bmcp,bpr->brmc", flat, inside), inside.sum(1)

    def _draw(self, modes: Modes, n: int, generator: Streams | torch.Generator | int) -> Tensor:
        batch, number, _ = modes.weights.shape
        channels, height, width = self.field_shape
        streams = Streams.of(generator, batch)
        sizes = [number, number * channels, channels * height * width]
        noise = streams.normal(n, sum(sizes)).split(sizes, -1)
        # A mode is where the distribution function of the weights passes a uniform number.
        edges = modes.weights.double().cumsum(-1)[..., :-1]
        pick = (torch.special.ndtr(noise[0].double())[..., None] > edges).sum(-1)  # (n, b, parts)
        offset = noise[1].view(n, batch, number, channels)
        where = modes.parts.view(batch, -1)
        fields = []
        for k in range(n):
            mode = pick[k].gather(1, where).view(batch, 1, 1, height, width)
            mean = modes.means.gather(1, mode.expand(-1, -1, channels, -1, -1))[:, 0]
            shared = offset[k].gather(1, where[..., None].expand(-1, -1, channels)).transpose(1, 2)
            fields.append(mean + self.tau * shared.reshape(mean.shape))
        return torch.stack(fields) + self.sigma * noise[2].view(n, batch, channels, height, width)


class Shading(World):
    """Height fields lit from one of four directions; how likely each is depends on how the land slopes.

    The condition is the height; the field is Lambertian shading. One part: the light is the same everywhere.
    """

    name = "shading"
    lights = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))  # where the light comes from, (x, y)

    def conditions(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Smooth hills on a tilted plane, about within [-1, 1]."""
        coarse = self.size // 4
        rough = torch.randn(count, 1, coarse, coarse, generator=generator)
        hills = F.interpolate(rough, size=(self.size, self.size), mode="bicubic", align_corners=True)
        x = torch.linspace(-1, 1, self.size)
        tilt = torch.randn(count, 2, 1, 1, 1, generator=generator)
        return 0.3 * hills + 0.3 * (tilt[:, 0] * x + tilt[:, 1] * x[:, None])

    def modes(self, condition: Tensor) -> Modes:
        """One part; light k has the logit 12 (mean slope . k), so light from where the land rises is likeliest.

        Slopes are rises a pixel of a field 16 wide; heights are stretched by 5 when they are lit.
        """
        height = condition.double()
        scale = 16 / self.size  # slopes do not depend on the resolution
        dx, dy = (
            F.pad(height, pad, mode="replicate").diff(dim=axis)[..., : self.size, : self.size] / scale
            for pad, axis in (((0, 1, 0, 0), -1), ((0, 0, 0, 1), -2))
        )
        slope = torch.cat([dx, dy], 1)
        lights = condition.new_tensor(self.lights).double()
        weights = torch.softmax(12 * slope.mean((-1, -2)) @ lights.T, -1)
        # Normal (-5 dx, -5 dy, 1), light 45 degrees above the ground.
        facing = 1 - 5 * torch.einsum("bihw,ki->bkhw", slope, lights)
        length = (1 + 25 * slope.square().sum(1, keepdim=True)).sqrt()
        shade = 0.1 + 0.9 * (facing / (length * math.sqrt(2))).clamp(min=0)
        parts = torch.zeros(len(condition), self.size, self.size, dtype=torch.int64)
        return Modes(parts, weights[:, None].float(), shade[:, :, None].float())


class _Named(World):
    """Parts are pixels of one grey level; the level names the part's type, its last digits the part itself."""

    number: int  # parts, the background among them
    table: tuple[tuple[float, ...], ...]  # probabilities of the modes, by type
    values: tuple[tuple[float, ...], ...]  # (modes, channels), or by type (types, modes) for one channel

    def _levels(self, types: Tensor, generator: torch.Generator) -> Tensor:
        """A grey level for every part (count, parts) of these types, all different within a condition."""
        shapes = len(self.table)
        room = _LEVELS // shapes
        # Places in a type's range: a random start for each, spread so that no two parts share one.
        step = room // types.shape[1]
        own = torch.arange(types.shape[1]) * step + torch.randint(1, step, types.shape, generator=generator)
        return (types * room + own).float() / _LEVELS

    def modes(self, condition: Tensor) -> Modes:
        """Parts are numbered by level; a type is the third (or so) of the range that the level lies in."""
        level = (condition[:, 0].double() * _LEVELS).round().long().clamp(0, _LEVELS - 1)
        parts = torch.zeros_like(level)
        types = torch.zeros(len(level), self.number, dtype=torch.int64)
        for i, image in enumerate(level):
            found, parts[i] = torch.unique(image, return_inverse=True)
            if len(found) > self.number:
                raise DataError(f"condition {i}: {len(found)} grey levels, expected at most {self.number}")
            types[i, : len(found)] = found // (_LEVELS // len(self.table))
        types = types.clamp(max=len(self.table) - 1)
        weights = torch.tensor(self.table)[types]
        pixel_types = types.gather(1, parts.flatten(1)).view_as(parts)
        return Modes(parts, weights, self._means(pixel_types))

    @abstractmethod
    def _means(self, types: Tensor) -> Tensor:
        """(batch, modes, c, h, w) for the type (batch, h, w) of every pixel."""


class Regions(_Named):
    """A mosaic of regions of three types; the saturation of each falls into two or three modes of its type.

    The condition is the grey level, which tells the types apart; the field is the saturation.
    """

    name = "regions"
    number = 5
    # The mean of a type lies on none of its modes: a sampler of the mean finds none.
    table = ((0.6, 0.4, 0.0), (0.25, 0.2, 0.55), (0.3, 0.7, 0.0))
    values = ((0.15, 0.75, 0.0), (0.1, 0.45, 0.85), (0.35, 0.9, 0.0))

    def conditions(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Cells nearest to five random points, each cell of a random type."""
        x = (torch.arange(self.size) + 0.5) / self.size
        grid = torch.stack(torch.meshgrid(x, x, indexing="ij")).view(2, -1)
        points = torch.rand(count, self.number, 2, generator=generator)
        nearest = torch.cdist(points, grid.T.expand(count, -1, -1)).argmin(1)
        types = torch.randint(0, len(self.table), (count, self.number), generator=generator)
        levels = self._levels(types, generator)
        return levels.gather(1, nearest).view(count, 1, self.size, self.size)

    def _means(self, types: Tensor) -> Tensor:
        return torch.tensor(self.values)[types].permute(0, 3, 1, 2)[:, :, None]


class Sprites(_Named):
    """Up to three bright squares on a dark ground, each about to move or to stay; where to, its type decides.

    The condition is the frame; the field its motion, (horizontal, vertical) in fractions of the frame. The
    ground stays.
    """

    name = "sprites"
    field_channels = 2
    vector = True
    number = 4
    # Type 0 is the ground. Modes: stay, left, right, up, down. No mean of a type is near a mode of it.
    table = (
        (1.0, 0.0, 0.0, 0.0, 0.0),
        (0.0, 0.5, 0.5, 0.0, 0.0),
        (0.3, 0.0, 0.0, 0.1, 0.6),
        (0.0, 0.1, 0.3, 0.0, 0.6),
    )
    values = ((0.0, 0.0), (-0.3, 0.0), (0.3, 0.0), (0.0, -0.3), (0.0, 0.3))
    sigma = 0.02
    tau = 0.02

    def conditions(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Squares of about a third of the frame, each in a quarter of its own."""
        half, types = self.size // 2, torch.randint(1, len(self.table), (count, 3), generator=generator)
        levels = self._levels(torch.cat([torch.zeros(count, 1, dtype=torch.int64), types], 1), generator)
        frame = torch.zeros(count, 1, self.size, self.size)
        y, x = torch.meshgrid(torch.arange(self.size), torch.arange(self.size), indexing="ij")
        quarters = torch.rand(count, 4, generator=generator).argsort(1)
        room = self.size // 8
        for sprite in range(3):
            at = torch.randint(0, room, (2, count, 1, 1), generator=generator)
            side = torch.randint(half - 2 * room + 1, half - room + 1, (count, 1, 1), generator=generator)
            quarter = quarters[:, sprite, None, None]
            top, left = (quarter // 2) * half + at[0], (quarter % 2) * half + at[1]
            inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
            frame[:, 0] = torch.where(inside, levels[:, sprite + 1, None, None], frame[:, 0])
        return frame

    def _means(self, types: Tensor) -> Tensor:
        values = torch.tensor(self.values)
        shape = (len(types), len(values), 2, self.size, self.size)
        return values[None, :, :, None, None].expand(shape)


WORLDS: dict[str, type[World]] = {world.name: world for world in (Shading, Regions, Sprites)}
