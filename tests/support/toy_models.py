"""Tiny models whose every part is known: linear towers with exact posteriors, the paper's, a photo-shaped
one."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from coembed.models.cdvae.config import TIE_CONFIGS, CDVAEConfig, LadderConfig
from coembed.models.cdvae.inference import TopDownState
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.models.cdvae.towers import Tower
from coembed.models.shaped.config import ShapedConfig
from coembed.models.shaped.model import PhotoShaped
from coembed.numerics.distributions import Gaussian

SHAPE = (1, 4, 4)


class LinearTower(Tower):
    """A tower whose pixels are linear in its codes and whose messages are exact: models of it are Gaussian.

    The decoder is ``offset + basis (scale x code)``, with orthonormal columns in the basis.
    """

    def __init__(self, config: LadderConfig, shape: tuple[int, int, int]):
        super().__init__(config, shape)
        size, rank = math.prod(shape), sum(config.codes)
        self.basis = nn.Parameter(torch.linalg.qr(torch.randn(size, rank))[0])
        self.offset = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(rank))
        self.message_log_var = nn.Parameter(torch.full((rank,), 2 * math.log(config.sigma)))

    def messages(self, x: Tensor) -> list[Gaussian]:
        mean = ((x.flatten(1) - self.offset) @ self.basis) * torch.exp(-self.log_scale)
        log_var = self.message_log_var.expand_as(mean)
        parts = zip(mean.split(self.config.codes, -1), log_var.split(self.config.codes, -1), strict=True)
        return [Gaussian(m, v) for m, v in parts]

    def infer_layer(self, state: TopDownState, message: Gaussian) -> tuple[Gaussian, Gaussian]:
        prior = self.prior(state)
        return message.merge(prior), prior

    def prior(self, state: TopDownState) -> Gaussian:
        return Gaussian.standard(state.rows.new_zeros(len(state.rows), self.config.codes[state.layer]))

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        flat = torch.cat(state.latents, -1) * torch.exp(self.log_scale)
        return (self.offset + flat @ self.basis.T).view(-1, *self.shape), None


def with_linear_towers(model: CDVAE) -> CDVAE:
    """The model with linear towers on both sides."""
    for ladder in (model.condition_ladder, model.field_ladder):
        ladder.tower = LinearTower(ladder.config, ladder.shape)
    return model


def linear(layers="all", codes=(3, 4), components=3, kind="mixture", **options) -> CDVAE:
    """Linear towers and an untrained tie whose components lie apart; lower codes do not follow the top."""
    torch.manual_seed(5)
    tower = LadderConfig(codes, tuple(8 for _ in codes), likelihood="channel", sigma=0.3)
    mixture = {"components": components, "hidden": 8} if kind == "mixture" else {}
    tie = TIE_CONFIGS[kind](layers=layers, **mixture)
    config = CDVAEConfig(SHAPE, SHAPE, tower, tower, tie, condition_code="mean", warmup=False, **options)
    model = with_linear_towers(CDVAE(config))
    model.field_ladder.tower.log_scale.data += 0.3 * torch.randn(sum(codes))
    model.field_mean.fill_(0.4)
    model.field_std.fill_(0.5)
    if kind == "mixture":
        model.tie.mean.bias.data = 1.2 * torch.randn_like(model.tie.mean.bias)
        model.tie.logits.bias.data = torch.tensor([0.5, 0.0, -0.4])
    return model.eval()


def paper(name="paper-mdn4") -> CDVAE:
    torch.manual_seed(5)
    config = preset(name, SHAPE, SHAPE)
    thin = {"codes": (3, 4), "hidden": (12, 12)}
    config = dataclasses.replace(
        config,
        condition=dataclasses.replace(config.condition, **thin),
        field=dataclasses.replace(config.field, **thin),
        tie=dataclasses.replace(config.tie, hidden=8) if "mdn" in name else config.tie,
    )
    return CDVAE(config).eval()


def shaped(modes=1, shape=SHAPE, **options) -> PhotoShaped:
    """A photo-shaped model with a few factors, all of whose parts depend on the condition."""
    torch.manual_seed(5)
    small = {"factors": 3, "components": 2, "channels": (12,), "hidden": 16, "levels": 1, "dropout": 0.0}
    model = PhotoShaped(ShapedConfig(shape, shape, modes=modes, **{**small, **options}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.network.start_factors.mul_(4)
        model.network.start_noise.sub_(0.5)
        model.network.start_log_std.sub_(0.3)
    model.field_mean.fill_(0.4)
    model.field_std.fill_(0.5)
    return model.eval()


def conditions(batch=2, shape=SHAPE) -> torch.Tensor:
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(1))
