r"""The conditional VAE that the paper compares with, and the strong form a reader would ask for.

Five convolutional layers in the image tower and in the encoder tower (paper sec. 6.2, after Walker 2016 and
Sohn 2015). The ``cvae`` preset minimises a pixel's squared error and KL to N(0, I); ``cvae-plus`` has a prior
:math:`p(z \mid x_c)`, a learned pixel deviation, a warm-up, free bits and skips from the image tower.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models.base import Trainable
from coembed.models.normalization import Scaling, check_layer
from coembed.numerics.distributions import Gaussian, bounded_log_var
from coembed.numerics.random import Streams

# Channels, strides and kernels of a tower: an eighth of the field's size at the end.
_CHANNELS, _STRIDES, _KERNELS = (32, 64, 128, 128, 256), (1, 2, 2, 2, 1), (5, 5, 3, 3, 3)
_LOG_VAR_BOUNDS = (-8.0, 4.0)
_CHUNK_VALUES = 2**16  # field values drawn at a time: stays near the caches, changes no sample


@dataclass(frozen=True)
class CVAEConfig:
    """A convolutional conditional VAE.

    Attributes:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field; height and width as the condition's.
        code: dimensions of the code.
        prior: the code's prior is ``standard``, N(0, I), or ``learned``, p(z | condition) [Sohn 2015].
        learn_sigma: the pixel deviation of every channel is learned; else it stays ``sigma``.
        sigma: pixel deviation to start with (or for good), in standard deviations of the field. At 1 the
            distortion is half the squared error and a constant: the paper's pixel L2.
        sigma_floor: lower bound of a learned one.
        skips: the decoder sees the image tower's finer features, too.
        warmup: heed the training loop's warm-up of the rate.
        free_bits: nats that every dimension of the code may cost for free.
        decode: a sample is the decoder's ``mean`` or a ``draw`` with pixel noise.
        clip: samples are clipped to this range (natural units), if any.
    """

    condition_shape: tuple[int, int, int]
    field_shape: tuple[int, int, int]
    code: int = 64
    prior: Literal["standard", "learned"] = "standard"
    learn_sigma: bool = False
    sigma: float = 1.0
    sigma_floor: float = 0.02
    skips: bool = False
    warmup: bool = False
    free_bits: float = 0.0
    decode: Literal["mean", "draw"] = "mean"
    clip: tuple[float, float] | None = None

    def __post_init__(self):
        if self.condition_shape[1:] != self.field_shape[1:]:
            raise ConfigError(
                f"field_shape: got {self.field_shape}, expected the condition's size {self.condition_shape[1:]}"
            )
        if self.code < 1:
            raise ConfigError(f"code: got {self.code}, expected at least 1")
        if not 0 < self.sigma_floor <= self.sigma:
            raise ConfigError(f"sigma: got {self.sigma}, expected at least the floor {self.sigma_floor} > 0")
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ConfigError(f"clip: got {self.clip}, expected (low, high) with low < high")


class CVAE(Trainable):
    """P(field | condition) by one code per photo; a sampler, and trainable.

    Args:
        config: what it is made of; ``coembed.models.registry`` has ``cvae`` and ``cvae-plus``.
    """

    kind: ClassVar[str] = "cvae"

    def __init__(self, config: CVAEConfig):
        super().__init__()
        self.config = config
        channels, *size = config.field_shape
        self.condition_scaling = Scaling(config.condition_shape, "condition")
        self.field_scaling = Scaling(config.field_shape, "field")
        self.image = _Tower(config.condition_shape[0])
        self.encoder = _Tower(config.condition_shape[0] + channels)
        self._sizes = _sizes(size[0], size[1])
        flat = _CHANNELS[-1] * math.prod(self._sizes[-1])
        self.posterior_head = nn.Linear(flat, 2 * config.code)
        self.prior_head = nn.Linear(flat, 2 * config.code) if config.prior == "learned" else None
        self.decoder = _Decoder(config, self._sizes)
        start = torch.full((channels, 1, 1), 2 * math.log(config.sigma))
        if config.learn_sigma:
            self.pixel_log_var = nn.Parameter(start)
        else:
            self.register_buffer("pixel_log_var", start)
        # A fifth faster to train on a CPU, a third to sample.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.no_grad()
    def initialise(self, condition: Tensor, field: Tensor) -> None:
        """Take mean and deviation of both layers from training pairs; call once, before the first step."""
        self.condition_scaling.start(condition)
        self.field_scaling.start(field)

    def loss(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator, warmup: float = 1.0
    ) -> dict[str, Tensor]:
        """Distortion and rate of standardised data in nats, each (batch,); "total" is minimised."""
        xc, xg = self.condition_scaling(condition), self.field_scaling(field)
        features = self.image(xc)
        q, p = self._posterior(xc, xg), self._prior(features)
        z = q.sample(_normal(q.mean.shape, generator, xc.device))
        distortion = -self._pixels(features, z).log_prob(xg)
        rate = self._free(q.kl_per_unit(p))
        weight = warmup if self.config.warmup else 1.0
        return {"total": distortion + weight * rate, "distortion_field": distortion, "rate_field": rate}

    @torch.no_grad()
    def diagnostics(
        self, condition: Tensor, field: Tensor, *, generator: torch.Generator
    ) -> dict[str, list[float]]:
        """KL of the code in nats and its active units (variance of the posterior mean above 0.01)."""
        del generator
        xc, xg = self.condition_scaling(condition), self.field_scaling(field)
        q, p = self._posterior(xc, xg), self._prior(self.image(xc))
        return {
            "kl_field": [float(q.kl(p).mean())],
            "active_field": [float((q.mean.float().var(0) > 0.01).sum())],
        }

    @torch.no_grad()
    def sample(self, condition: Tensor, n: int, *, generator: Streams | torch.Generator | int) -> Tensor:
        """n fields per condition, (n, batch, c, h, w), natural units.

        Raises:
            ModelError: a condition of another shape.
        """
        check_layer(condition, self.config.condition_shape, "condition")
        streams, batch = Streams.of(generator, len(condition)), len(condition)
        shape = self.config.field_shape
        was_training = self.training
        self.eval()
        try:
            features = self.image(self.condition_scaling(condition)) if batch else []
            prior = self._prior(features) if batch else None
            code = self.config.code
            pixels = math.prod(shape) if self.config.decode == "draw" else 0
            rows = max(1, _CHUNK_VALUES // (max(1, batch) * math.prod(shape)))
            parts = []
            for start in range(0, n if prior is not None else 0, rows):
                count = min(rows, n - start)
                noise = streams.normal(count, code + pixels).flatten(0, 1).to(condition.device)
                index = torch.arange(batch, device=condition.device).repeat(count)
                z = Gaussian(prior.mean[index], prior.log_var[index]).sample(noise[:, :code])  # type: ignore[union-attr]
                fields = []
                for places in torch.arange(len(z)).split(max(1, _CHUNK_VALUES // math.prod(shape))):
                    pixel = self._pixels(features, z[places], index[places])
                    field = pixel.mean
                    if pixels:
                        field = pixel.sample(noise[places, code:].view_as(field))
                    fields.append(self.field_scaling.natural(field))
                parts.append(torch.cat(fields).view(count, batch, *shape))
            fields = torch.cat(parts) if parts else condition.new_zeros(n, batch, *shape)
            return fields.clamp(*self.config.clip) if self.config.clip else fields
        finally:
            self.train(was_training)

    @torch.no_grad()
    def log_conditional(
        self, condition: Tensor, field: Tensor, *, particles: int = 1, generator: torch.Generator
    ) -> Tensor:
        """Importance-weighted bound on log p(field | condition), natural units, nats, (batch,), normalised."""
        xc, xg = self.condition_scaling(condition), self.field_scaling(field)
        features = self.image(xc)
        q, p = self._posterior(xc, xg), self._prior(features)
        weights = []
        for _ in range(particles):
            z = q.sample(_normal(q.mean.shape, generator, xc.device))
            weights.append(self._pixels(features, z).log_prob(xg) + p.log_prob(z) - q.log_prob(z))
        bound = torch.logsumexp(torch.stack(weights), 0) - math.log(particles)
        return bound - self.field_scaling.log_volume()

    def _posterior(self, xc: Tensor, xg: Tensor) -> Gaussian:
        features = self.encoder(torch.cat([xc, xg], 1))[-1]
        return _gaussian(self.posterior_head(features.flatten(1)))

    def _prior(self, features: list[Tensor]) -> Gaussian:
        if self.prior_head is None:
            return Gaussian.standard(features[-1].new_zeros(len(features[-1]), self.config.code).float())
        return _gaussian(self.prior_head(features[-1].flatten(1)))

    def _pixels(self, features: list[Tensor], z: Tensor, index: Tensor | None = None) -> Gaussian:
        mean = self.decoder(features, z, index).float()
        low = 2 * math.log(self.config.sigma_floor)
        log_var = self.pixel_log_var
        if self.config.learn_sigma:
            log_var = low + F.softplus(log_var - low)
        return Gaussian(mean, log_var.expand_as(mean))

    def _free(self, kl: Tensor) -> Tensor:
        """Sum over dimensions; one whose batch mean is below ``free_bits`` costs that constant instead."""
        short = kl.detach().mean(0) < self.config.free_bits
        return torch.where(short, torch.full_like(kl, self.config.free_bits), kl).sum(1)


class _Tower(nn.Module):
    """Five convolutions with batch normalisation and leaky rectifiers."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layers = nn.ModuleList()
        for channels, stride, kernel in zip(_CHANNELS, _STRIDES, _KERNELS, strict=True):
            self.layers.append(_block(inputs, channels, kernel, stride))
            inputs = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of every layer, fine to coarse."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found


class _Decoder(nn.Module):
    """Five convolutions from code and image features up to the field."""

    def __init__(self, config: CVAEConfig, sizes: list[tuple[int, int]]):
        super().__init__()
        self._sizes = sizes
        self.code = nn.Linear(config.code, _CHANNELS[-1] * math.prod(sizes[-1]))
        self.merge = nn.Conv2d(_CHANNELS[-1], _CHANNELS[-1], 1)
        widths = (256, 128, 128, 64, 32)
        self.up = nn.ModuleList(_block(a, b, 3, 1) for a, b in itertools.pairwise(widths))
        skipped = (_CHANNELS[2], _CHANNELS[1], _CHANNELS[0])
        self.skips = nn.ModuleList(
            nn.Conv2d(s, w, 1) for s, w in zip(skipped, widths[1:4], strict=True) if config.skips
        )
        self.out = nn.Conv2d(widths[-1], config.field_shape[0], 5, padding=2)

    def forward(self, features: list[Tensor], z: Tensor, index: Tensor | None) -> Tensor:
        """Fields (rows, c, h, w) from codes (rows, d) and the features of the conditions ``index`` names."""

        def of(x: Tensor) -> Tensor:  # a photo's features serve all its samples
            return x if index is None else x[index]

        h = self.code(z).view(len(z), -1, *self._sizes[-1])
        h = self.up[0](F.leaky_relu(h + of(self.merge(features[-1])), 0.01))
        for step, level in enumerate((2, 1, 0)):
            h = F.interpolate(h, size=self._sizes[level])
            if len(self.skips):
                h = h + of(self.skips[step](features[level]))
            h = self.up[step + 1](h)
        return self.out(h)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.01))


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width after every layer of a tower."""
    found = []
    for stride in _STRIDES:
        height, width = -(-height // stride), -(-width // stride)
        found.append((height, width))
    return found


def _gaussian(raw: Tensor) -> Gaussian:
    mean, raw = raw.float().chunk(2, -1)
    return Gaussian(mean, bounded_log_var(raw, *_LOG_VAR_BOUNDS))


def _normal(shape: torch.Size, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(device)
