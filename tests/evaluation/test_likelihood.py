"""The bounds against densities known in closed form: a CDVAE of linear towers is a linear-Gaussian model."""

import math

import pytest
import torch
from toy_models import with_linear_towers

from coembed.errors import ConfigError, DataError
from coembed.evaluation.likelihood import has_density, likelihood, paired
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig
from coembed.models.cdvae.importance import log_weights
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.models.registry import fit_closed_form

SHAPE = (1, 2, 3)
CODES = 3


def linear_cdvae(conditional="exact", sigma=0.7):
    """One code of three dimensions on each side, tied by a Gaussian; data scales far from 1."""
    torch.manual_seed(0)
    ladder = LadderConfig(codes=(CODES,), hidden=(8,), sigma=0.5)
    tie = GaussianTieConfig("gaussian", "top", fraction=0.6, sigma=sigma, conditional=conditional)
    model = with_linear_towers(CDVAE(CDVAEConfig(SHAPE, SHAPE, ladder, ladder, tie))).eval()
    with torch.no_grad():
        for part in (model.condition_ladder, model.field_ladder):
            part.tower.offset.normal_()
            part.tower.log_scale.normal_(std=0.3)
            # The merge with the prior makes this the exact posterior of the code given the data.
            part.tower.message_log_var.copy_(
                part.decode_latents([torch.zeros(1, CODES)]).log_var.flatten()[0] - 2 * part.tower.log_scale
            )
        model.condition_mean.fill_(0.3)
        model.condition_std.fill_(0.2)
        model.field_mean.fill_(-1.0)
        model.field_std.fill_(3.0)
    return model


def decoder(model, name):
    """Matrix, offset and noise variance of p(x | z) in natural units, float64."""
    ladder = getattr(model, f"{name}_ladder")
    std, mean = (getattr(model, f"{name}_{part}").item() for part in ("std", "mean"))
    with torch.no_grad():
        zero = ladder.decode_latents([torch.zeros(1, CODES)])
        columns = ladder.decode_latents([torch.eye(CODES)]).mean - zero.mean
    matrix, offset = std * columns.flatten(1).T.double(), std * zero.mean.flatten().double() + mean
    return matrix, offset, std**2 * zero.log_var.exp().flatten().double()


def normal(mean, covariance):
    return torch.distributions.MultivariateNormal(mean, covariance)


def exact_joint(model, condition, field):
    s, tied = model.tie.s(0)[0].item(), model.tie.tied[0]
    slope = torch.zeros(CODES, dtype=torch.float64)
    slope[:tied] = 1 / (1 + s) if model.config.tie.conditional == "exact" else 1.0
    left = torch.ones(CODES, dtype=torch.float64)
    left[:tied] = s / (1 + s) if model.config.tie.conditional == "exact" else s
    prior = torch.ones(CODES, dtype=torch.float64)
    prior[:tied] = (1 + s) / (2 + s)
    cross = torch.diag(prior * slope)
    own = torch.diag(slope**2 * prior + left)
    codes = torch.cat([torch.cat([torch.diag(prior), cross], 1), torch.cat([cross, own], 1)])
    (a, b, noise), (ag, bg, noise_g) = decoder(model, "condition"), decoder(model, "field")
    matrix = torch.block_diag(a, ag)
    covariance = matrix @ codes @ matrix.T + torch.diag(torch.cat([noise, noise_g]))
    both = torch.cat([condition.flatten(1), field.flatten(1)], 1).double()
    return normal(torch.cat([b, bg]), covariance).log_prob(both), (slope, left)


def exact_conditional(model, condition, field):
    _, (slope, left) = exact_joint(model, condition, field)
    qc = model.condition_ladder.tower.infer(model._standardise(condition, "condition"), None).posteriors[0]
    a, b, noise = decoder(model, "field")
    mean = (slope * qc.mean.double()) @ a.T + b
    spread = slope**2 * qc.log_var.exp()[0].double() + left
    return normal(mean, a @ torch.diag(spread) @ a.T + torch.diag(noise)).log_prob(field.flatten(1).double())


def draws(model, count=12):
    """Pairs that look like the model's own: within reach of its densities."""
    g = torch.Generator().manual_seed(1)
    condition = 0.3 + 0.3 * torch.randn(count, *SHAPE, generator=g)
    noise = 0.9 * torch.randn(count, *SHAPE, generator=g)
    return condition, model.sample(condition, 1, generator=2)[0] + noise


@pytest.mark.parametrize("conditional", ["exact", "paper"])
@pytest.mark.parametrize("target", ["joint", "conditional"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_bound_agrees_with_the_closed_form_to_one_percent(conditional, target, share):
    model = linear_cdvae(conditional)
    pairs = draws(model)
    exact = exact_joint(model, *pairs)[0] if target == "joint" else exact_conditional(model, *pairs)
    found = likelihood(model, pairs, target=target, particles=200, tie_share=share)
    bound, elbo = torch.tensor(found.bound), torch.tensor(found.elbo)
    assert bound.mean().item() == pytest.approx(-exact.mean().item(), rel=0.01)
    assert elbo.mean() > -exact.mean() + 0.05  # q(zg | xg) cannot see xc: the evidence bound has a gap
    assert (bound + exact).abs().max() < 0.7


def test_the_conditions_weights_alone_estimate_its_marginal_density():
    model = linear_cdvae()
    condition, field = draws(model)
    weights = log_weights(model, condition, field, particles=200, generator=torch.Generator().manual_seed(0))
    a, b, noise = decoder(model, "condition")
    s, tied = model.tie.s(0)[0].item(), model.tie.tied[0]
    prior = torch.ones(CODES, dtype=torch.float64)
    prior[:tied] = (1 + s) / (2 + s)
    marginal = normal(b, a @ torch.diag(prior) @ a.T + torch.diag(noise))
    found = weights.condition.logsumexp(0).mean().item() - math.log(200)
    assert found == pytest.approx(marginal.log_prob(condition.flatten(1).double()).mean().item(), abs=0.02)


def test_a_model_with_log_prob_is_exact_and_agrees_with_its_gaussian():
    g = torch.Generator().manual_seed(0)
    condition = torch.rand(400, 1, 2, 2, generator=g)
    field = 3 * condition + torch.randn(400, 2, 2, 2, generator=g)
    model = fit_closed_form("linear-gaussian", (condition, field))
    found = likelihood(model, (condition, field), particles=7)
    assert found.exact and found.particles == 1 and found.elbo == found.bound and found.dimensions == 8
    residual = (field - model.mean(condition)).flatten(1).double()
    covariance = (model.directions.double() * model.variances) @ model.directions.double().T
    expected = -normal(torch.zeros(8, dtype=torch.float64), covariance).log_prob(residual)
    assert found.bound == pytest.approx(expected.tolist(), rel=1e-3)
    with pytest.raises(ConfigError, match="has no joint density"):
        likelihood(model, (condition, field), target="joint")


def test_photos_keep_their_draws_whatever_the_batch_and_the_model_its_mode():
    model = CDVAE(preset("paper-mdn4", (1, 8, 8), (1, 8, 8)))
    g = torch.Generator().manual_seed(0)
    pairs = torch.rand(12, 1, 8, 8, generator=g), torch.rand(12, 1, 8, 8, generator=g)
    model.initialise(*(torch.rand(200, 1, 8, 8, generator=g) for _ in range(2)))
    model.train()
    whole = likelihood(model, pairs, particles=4, tie_share=0.25, target="joint", dequantise=1 / 255)
    parts = likelihood(
        model, pairs, particles=4, tie_share=0.25, target="joint", dequantise=1 / 255, batch=5, limit=7
    )
    assert model.training
    assert parts.bound == pytest.approx(whole.bound[:7], rel=1e-4)
    assert parts.names == whole.names[:7]


def test_units_scale_and_bits_are_those_of_the_data():
    class Uniform:
        def log_prob(self, condition, field):
            return torch.full((len(field),), -field[0].numel() * math.log(4.0))

    g = torch.Generator().manual_seed(0)
    field = 4 * torch.rand(500, 2, 3, 3, generator=g)
    found = likelihood(Uniform(), (field, field), ranges=((0.0, 1.0), (0.0, 4.0)))
    summary = found.summary()
    assert summary["bits_per_dim"].value == pytest.approx(8.0)  # 256 equally likely levels
    assert summary["bits_per_dim"].error == pytest.approx(0, abs=1e-6)
    assert found.scale == pytest.approx((4 / math.sqrt(12),) * 2, rel=0.03)
    assert summary["nats_per_dim"].value == pytest.approx(math.log(math.sqrt(12)), rel=0.02)
    assert summary["nats"].value == pytest.approx(18 * math.log(4))


def test_differences_are_paired():
    model = linear_cdvae()
    pairs = draws(model)
    one, other = likelihood(model, pairs, particles=1), likelihood(model, pairs, particles=30)
    gain = paired(one, other)
    assert gain.value == pytest.approx(one.summary()["nats"].value - other.summary()["nats"].value, rel=1e-5)
    assert gain.value > 0 and gain.error < one.summary()["nats"].error
    with pytest.raises(ConfigError, match="different photos"):
        paired(one, likelihood(model, pairs, particles=1, limit=3))


def test_models_without_a_density_and_densities_that_are_none_are_named():
    class Broken:
        def log_prob(self, condition, field):
            return torch.full((len(field),), math.nan)

    pairs = torch.rand(4, 1, 2, 2), torch.rand(4, 1, 2, 2)
    assert not has_density(object()) and has_density(Broken())
    with pytest.raises(ConfigError, match="mine: object has neither log_conditional nor log_prob"):
        likelihood(object(), pairs, name="mine")
    with pytest.raises(DataError, match="mine: the elbo of photo 0 is nan"):
        likelihood(Broken(), pairs, name="mine")
    with pytest.raises(ConfigError, match="particles: got 0, expected 1 or more"):
        likelihood(Broken(), pairs, particles=0)
