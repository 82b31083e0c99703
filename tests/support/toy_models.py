"""Tiny models with something to control: linear towers with mixtures, and the paper's."""

from __future__ import annotations

import dataclasses

import torch

from coembed.models.cdvae.config import TIE_CONFIGS, CDVAEConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset

SHAPE = (1, 4, 4)


def linear(layers="hier", codes=(3, 4), components=3, kind="mixture", **options) -> CDVAE:
    """Linear towers and an untrained tie whose components lie apart; lower codes do not follow the top."""
    torch.manual_seed(5)
    tower = LadderConfig("linear", codes=codes, hidden=(), likelihood="channel", sigma=0.3)
    tie = (
        TIE_CONFIGS[kind](layers=layers)
        if kind == "gaussian"
        else TIE_CONFIGS[kind](layers=layers, components=components, hidden=8, dropout=0.0, detail=0)
    )
    model = CDVAE(CDVAEConfig(SHAPE, SHAPE, tower, tower, tie, condition_code="mean", warmup=False, **options))
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


def conditions(batch=2) -> torch.Tensor:
    return torch.rand(batch, *SHAPE, generator=torch.Generator().manual_seed(1))
