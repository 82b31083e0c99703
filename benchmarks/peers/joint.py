r"""Joint multimodal VAE [Suzuki et al. 2016, arXiv:1611.01891]: one code for condition and field, an encoder
of the condition alone.

.. math:: E_{q(z \mid c, y)}\big[-\log p(c \mid z) - \log p(y \mid z)\big] + KL(q(z \mid c, y) \,\|\, N(0, I))
          + \alpha\, KL(q(z \mid c, y) \,\|\, q(z \mid c))

A field for a condition decodes :math:`z \sim q(z \mid c)`. It is written here because the ``multivae`` package
(1.0.3) needs torchvision.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from peers.gaussians import Gaussian, PixelNoise, divergence, gaussian_head
from peers.peer import Noise, Peer, Shape
from peers.scales import Decoder, Encoder, widths

_WARM_UP = 0.2  # share of training over which divergences gain their full weight
_FIRST_WEIGHT = 0.1


class Joint(Peer):
    """Joint multimodal VAE with convolutional encoders and decoders.

    Args:
        condition_shape: (channels, height, width) of the condition.
        field_shape: the same of the field.
        width: channels at the finest scale.
        code: length of the joint code.
        alpha: weight of the divergence to the condition's encoder.
        pixel_noise: whether samples get the likelihood's own noise; else they are its means. May be set at
            any time.
    """

    name: ClassVar[str] = "joint multimodal VAE"
    batch_size: ClassVar[int] = 32
    learning_rate: ClassVar[float] = 2e-3
    settings: ClassVar[dict[str, dict[str, object]]] = {
        "pixel noise": {"pixel_noise": True},
        "means": {"pixel_noise": False},
    }

    def __init__(
        self,
        condition_shape: Shape,
        field_shape: Shape,
        *,
        width: int = 32,
        code: int = 32,
        alpha: float = 1.0,
        pixel_noise: bool = True,
    ):
        super().__init__(condition_shape, field_shape)
        size, channels = (field_shape[1], field_shape[2]), (condition_shape[0], field_shape[0])
        self.code, self.alpha, self.pixel_noise = code, alpha, pixel_noise
        self.see_condition = _VectorEncoder(channels[0], size, width, code)
        self.see_both = _VectorEncoder(sum(channels), size, width, code)
        self.decode_condition = _VectorDecoder(channels[0], size, width, code)
        self.decode_field = _VectorDecoder(channels[1], size, width, code)
        self.condition_likelihood, self.likelihood = PixelNoise(channels[0]), PixelNoise(channels[1])

    def loss(self, condition: Tensor, field: Tensor, *, generator: torch.Generator, fraction: float) -> Tensor:
        """The bound in nats a value of the field, divergences weighted, (batch,)."""
        q, given = self.see_both(torch.cat([condition, field], 1)), self.see_condition(condition)
        z = q.at(torch.randn(q.mean.shape, generator=generator))
        prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
        weight = min(1.0, _FIRST_WEIGHT + (1 - _FIRST_WEIGHT) * fraction / _WARM_UP)
        nats = self.condition_likelihood.nats(self.decode_condition(z), condition)
        nats = nats + self.likelihood.nats(self.decode_field(z), field)
        nats = nats + weight * (divergence(q, prior) + self.alpha * divergence(q, given))
        return nats / field[0].numel()

    def draw(self, condition: Tensor, n: int, noise: Noise) -> Tensor:
        """As ``Peer.draw``: a code of the condition's encoder, decoded."""
        given = self.see_condition(condition)
        given = Gaussian(given.mean.repeat(n, 1, 1, 1), given.log_deviation.repeat(n, 1, 1, 1))
        mean = self.decode_field(given.at(noise((self.code, 1, 1))))
        deviation = self.likelihood.log_deviation.exp() if self.pixel_noise else 0.0
        return mean + deviation * noise(self.field_shape)


class _VectorEncoder(nn.Module):
    """Maps to a Gaussian of one vector, (batch, code, 1, 1)."""

    def __init__(self, inputs: int, size: tuple[int, int], width: int, code: int):
        super().__init__()
        self.see = Encoder(inputs, size, width)
        self.head = gaussian_head(widths(width)[0] * (size[0] // 8) * (size[1] // 8), code)

    def forward(self, x: Tensor) -> Gaussian:
        coarse = self.see(x)[0]
        return Gaussian.of(self.head(coarse.flatten(1)[:, :, None, None]))


class _VectorDecoder(nn.Module):
    """A vector (batch, code, 1, 1) to maps."""

    def __init__(self, outputs: int, size: tuple[int, int], width: int, code: int):
        super().__init__()
        self.shape = (widths(width)[0], size[0] // 8, size[1] // 8)
        self.start = nn.Linear(code, torch.Size(self.shape).numel())
        self.decoder = Decoder(outputs, width, skips=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder([self.start(z.flatten(1)).view(-1, *self.shape)])
