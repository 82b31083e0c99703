import dataclasses
import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from toy_models import with_linear_towers

from coembed.errors import ConfigError, ModelError
from coembed.models.cdvae.config import (
    CDVAEConfig,
    GaussianTieConfig,
    LadderConfig,
    MixtureTieConfig,
)
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.numerics.random import Streams


def linear_gaussian(conditional="exact"):
    """A CDVAE whose every part is linear and Gaussian, with its joint in closed form.

    Codes of 2 dimensions, pixels 1 x 2 x 2 on both sides, statistics that are not 0 and 1.
    """
    torch.manual_seed(0)
    ladder = LadderConfig((2,), (8,), sigma=0.4)
    config = CDVAEConfig(
        (1, 2, 2), (1, 2, 2), ladder, ladder, GaussianTieConfig("gaussian", "top", 1.0, 0.6, conditional)
    )
    model = with_linear_towers(CDVAE(config))
    with torch.no_grad():
        for side, mean, std in (("condition", 0.5, 0.3), ("field", 0.2, 2.0)):
            getattr(model, f"{side}_mean").fill_(mean)
            getattr(model, f"{side}_std").fill_(std)
            ladder = getattr(model, f"{side}_ladder")
            tower = ladder.tower
            tower.log_scale.normal_(0, 0.3)
            tower.offset.normal_(0, 0.3)
            variance = ladder.decode_latents([torch.zeros(1, 2)]).log_var.exp().flatten()[0]
            tower.message_log_var.copy_(variance.log() - 2 * tower.log_scale)  # the exact posterior's message
    return model


def moments(model):
    """Mean and covariance of (xc, xg) in natural units."""
    s = model.tie.s(0)[0].item()
    own, cross = (1 + s) / (2 + s), 1 / (2 + s)
    loads, offsets, noises, stds = [], [], [], []
    for side in ("condition", "field"):
        tower = getattr(model, f"{side}_ladder").tower
        std = getattr(model, f"{side}_std").flatten()[0]
        loads.append(std * tower.basis * tower.log_scale.exp())
        offsets.append(std * tower.offset + getattr(model, f"{side}_mean").flatten()[0])
        log_var = getattr(model, f"{side}_ladder").decode_latents([torch.zeros(1, 2)]).log_var
        noises.append(std**2 * log_var.exp().flatten()[0] * torch.eye(4))
        stds.append(std)
    a, b = loads
    top = torch.cat([own * a @ a.T + noises[0], cross * a @ b.T], 1)
    bottom = torch.cat([cross * b @ a.T, own * b @ b.T + noises[1]], 1)
    return torch.cat(offsets).detach(), torch.cat([top, bottom]).detach(), (a.detach(), b.detach())


def test_joint_bound_meets_the_closed_form():
    model = linear_gaussian()
    mean, covariance, _ = moments(model)
    x = MultivariateNormal(mean, covariance).sample((64,))
    exact = MultivariateNormal(mean, covariance).log_prob(x)
    xc, xg = x[:, :4].view(-1, 1, 2, 2), x[:, 4:].view(-1, 1, 2, 2)
    g = torch.Generator().manual_seed(0)
    one = model.log_joint(xc, xg, particles=1, generator=g).mean()
    many = model.log_joint(xc, xg, particles=3000, generator=g).mean()
    assert one < exact.mean() - 0.05  # a bound, and not a tight one: q factorises, the joint does not
    assert many.item() == pytest.approx(exact.mean().item(), abs=0.01 * exact.mean().abs().item())


def test_loss_is_the_negative_bound():
    model = linear_gaussian()
    mean, covariance, _ = moments(model)
    x = MultivariateNormal(mean, covariance).sample((20_000,))
    xc, xg = x[:, :4].view(-1, 1, 2, 2), x[:, 4:].view(-1, 1, 2, 2)
    g = torch.Generator().manual_seed(0)
    loss = model.loss(xc, xg, generator=g)["total"].mean()
    bound = model.log_joint(xc, xg, particles=1, generator=g).mean()
    volume = 4 * (math.log(0.3) + math.log(2.0))
    assert (-loss - volume).item() == pytest.approx(bound.item(), abs=0.05)


@pytest.mark.parametrize("conditional", ["exact", "paper"])
def test_conditional_matches_the_closed_form(conditional):
    model = linear_gaussian(conditional)
    mean, covariance, (_, b) = moments(model)
    s = model.tie.s(0)[0].item()
    x = MultivariateNormal(mean, covariance).sample((48,))
    xc, xg = x[:, :4].view(-1, 1, 2, 2), x[:, 4:].view(-1, 1, 2, 2)
    q = model.condition_ladder.tower.infer((xc - model.condition_mean) / model.condition_std, None).posteriors[
        0
    ]
    shrink, extra = (1 / (1 + s), s / (1 + s)) if conditional == "exact" else (1.0, s)
    code_mean, code_var = q.mean * shrink, q.log_var.exp() * shrink**2 + extra
    noise = (
        model.field_std**2 * model.field_ladder.decode_latents([torch.zeros(1, 2)]).log_var.exp().flatten()[0]
    )
    cov = torch.stack([b @ torch.diag(v) @ b.T for v in code_var]) + noise.flatten()[0] * torch.eye(4)
    exact = MultivariateNormal(mean[4:] + code_mean @ b.T, cov)
    truth = exact.log_prob(xg.flatten(1)).mean().item()
    bound = model(xc).log_prob(xg, 4000).mean().item()
    assert bound == pytest.approx(truth, abs=0.01 * abs(truth))
    fields = model(xc[:2]).sample((40_000,), generator=0).flatten(2)
    for i in range(2):
        torch.testing.assert_close(
            fields[:, i].mean(0), exact.mean[i].detach(), rtol=0, atol=0.05 * model.field_std.item()
        )
        decoded = exact.covariance_matrix[i].detach() - noise.flatten()[0].detach() * torch.eye(4)
        torch.testing.assert_close(torch.cov(fields[:, i].T), decoded, rtol=0.05, atol=0.05)


def test_pixel_noise_is_drawn_on_request():
    model = linear_gaussian()
    noisy = with_linear_towers(CDVAE(CDVAEConfig(**{**model.config.__dict__, "decode": "draw"})))
    noisy.load_state_dict(model.state_dict())
    xc = torch.full((1, 1, 2, 2), 0.5)
    plain, drawn = (m.sample(xc, 20_000, generator=0).flatten(2).var(0).mean().item() for m in (model, noisy))
    variance = (
        (model.field_std**2 * model.field_ladder.decode_latents([torch.zeros(1, 2)]).log_var.exp())
        .mean()
        .item()
    )
    assert drawn - plain == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("temperature", [0.0, [0.0, 0.0, 0.0]])
def test_no_temperature_leaves_only_the_mixtures_choice(temperature):
    config = dataclasses.replace(preset("paper-mdn4", (1, 8, 8), (1, 8, 8)), condition_code="mean")
    fields = CDVAE(config).sample(torch.rand(2, 1, 8, 8), 64, generator=0, temperature=temperature)
    assert 1 < len({tuple(f.flatten().tolist()) for f in fields[:, 0]}) <= config.tie.components


def test_temperature_scales_the_spread_of_a_layer():
    model = linear_gaussian()
    xc = torch.full((1, 1, 2, 2), 0.5)
    wide, narrow = (model.sample(xc, 4000, generator=0, temperature=t).var() for t in (1.0, 0.5))
    assert narrow < wide
    with pytest.raises(ModelError, match="expected a number >= 0 or 1 of them"):
        model.sample(xc, 2, generator=0, temperature=[1.0, 1.0])


def test_clip_bounds_samples():
    config = linear_gaussian().config
    model = CDVAE(CDVAEConfig(**{**config.__dict__, "clip": (0.0, 0.05)}))
    fields = model.sample(torch.randn(3, 1, 2, 2), 100, generator=0)
    assert fields.min() == 0 and fields.max() == pytest.approx(0.05)


def test_a_condition_of_another_shape_is_named():
    model = linear_gaussian()
    with pytest.raises(ModelError, match=r"condition: got shape \(2, 1, 4, 4\), expected \(batch, 1, 2, 2\)"):
        model.sample(torch.zeros(2, 1, 4, 4), 3, generator=0)
    with pytest.raises(ModelError, match="n: got 0, expected at least 1"):
        model.sample(torch.zeros(2, 1, 2, 2), 0, generator=0)
    with pytest.raises(ModelError, match="field: a channel is constant"):
        model.initialise(torch.rand(9, 1, 2, 2), torch.ones(9, 1, 2, 2))
    with pytest.raises(ModelError, match="field: got 8 rows, expected one for each of 9 conditions"):
        model.initialise(torch.rand(9, 1, 2, 2), torch.rand(8, 1, 2, 2))


def test_streams_move_on_between_calls():
    model = linear_gaussian()
    streams = Streams(0, [0, 1])
    xc = torch.zeros(2, 1, 2, 2)
    together = model.sample(xc, 5, generator=0)
    torch.testing.assert_close(
        torch.cat([model.sample(xc, 2, generator=streams), model.sample(xc, 3, generator=streams)]), together
    )


def test_configs_refuse_what_cannot_be():
    shape = (1, 8, 8)
    with pytest.raises(ConfigError, match="needs as many codes on both sides"):
        CDVAEConfig(shape, shape, LadderConfig(codes=(4,), hidden=(8,)), tie=GaussianTieConfig(layers="all"))
    with pytest.raises(ConfigError, match="preset: got 'best', expected one of paper-shallow"):
        preset("best", shape, shape)


def test_a_heavy_tailed_field_comes_back_from_its_scale_and_its_density_is_in_natural_units():
    generator = torch.Generator().manual_seed(0)
    condition = torch.rand(200, 1, 4, 4, generator=generator)
    field = torch.sinh(2 * torch.randn(200, 1, 4, 4, generator=generator)) * 0.1
    ladder = LadderConfig((4, 12), (8, 8), sigma=0.05, sigma_floor=0.02)
    tie = MixtureTieConfig("mixture", "all", components=3)
    config = CDVAEConfig((1, 4, 4), (1, 4, 4), ladder, ladder, tie, condition_code="mean", field_scale=0.1)
    model = CDVAE(config)
    model.initialise(condition, field)
    model.eval()
    assert torch.allclose(model._natural(model._standardise(field, "field")), field, rtol=1e-4, atol=1e-5)
    drawn = model.sample(condition[:5], 50, generator=0)
    assert drawn.abs().max() <= field.abs().max()
    # p(x) dx = p(y) dy: the bound moves by the log of dy/dx = 1 / sqrt(x^2 + scale^2), value by value.
    plain = CDVAE(dataclasses.replace(config, field_scale=0.0))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k != "field_peak"})
    plain.eval()
    seed = lambda: torch.Generator().manual_seed(1)  # noqa: E731
    mine = model.log_conditional(condition, field, generator=seed())
    theirs = plain.log_conditional(condition, torch.asinh(field / 0.1), generator=seed())
    slope = -0.5 * (field.square() + 0.01).log().flatten(1).sum(1)
    assert torch.allclose(mine, theirs + slope, rtol=1e-4, atol=1e-2)
