from dataclasses import replace

import pytest
import torch

from coembed.models.cdvae.config import TIE_CONFIGS, GaussianTieConfig, LadderConfig, MixtureTieConfig
from coembed.models.cdvae.encoded import EncodedCondition
from coembed.models.cdvae.ladder import LadderVAE
from coembed.models.cdvae.tie_gaussian import GaussianTie
from coembed.models.cdvae.tie_mixture import MixtureTie
from coembed.models.cdvae.ties import build_tie
from coembed.numerics.distributions import Gaussian, Mixture

ONE = LadderConfig((5,), (8,), norm="none")
TWO = LadderConfig((5, 7), (8, 8), norm="none")


def encoded(latents):
    """Conditions of these latents: what a tie reads of them."""
    empty = torch.zeros(len(latents[0]), 1, 4, 4)
    return EncodedCondition(empty, latents)


def setup(ladder_config, tie_config, batch=6, seed=0):
    torch.manual_seed(seed)
    condition, field = LadderVAE(ladder_config, (1, 4, 4)), LadderVAE(ladder_config, (1, 4, 4))
    tie = build_tie(tie_config, condition, field)
    draw = lambda shape: torch.randn(*shape)  # noqa: E731
    qc, qg = (
        condition.tower.infer(torch.randn(batch, 1, 4, 4), draw),
        field.tower.infer(torch.randn(batch, 1, 4, 4), draw),
    )
    return tie, field, qc, qg, encoded(qc.latents)


@pytest.mark.parametrize("fraction", [1.0, 0.6])
@pytest.mark.parametrize("conditional", ["exact", "paper"])
def test_hierarchical_tie_with_one_layer_has_the_top_ties_conditional(fraction, conditional):
    found = []
    for layers in ("top", "hier"):
        config = GaussianTieConfig("gaussian", layers, fraction, 0.5, conditional)
        tie, field, _, qg, enc = setup(ONE, config)
        found.append(tie.log_prob(field, qg.latents, enc))
    torch.testing.assert_close(found[0], found[1])


def test_hierarchical_and_top_tie_are_one_joint_given_the_matching_prior():
    """rate + tie + rate_c of ``top`` and rate of ``hier`` + rate_c differ by a function of zc alone (2.4)."""
    top, field, qc, qg, enc = setup(ONE, GaussianTieConfig("gaussian", "top", 1.0, 0.5))
    hier, *_ = setup(ONE, GaussianTieConfig("gaussian", "hier", 1.0, 0.5))
    # Point posteriors: expectations are values.
    point = lambda q: replace(q, posteriors=[Gaussian(z, z * 0 - 60.0) for z in q.latents])  # noqa: E731
    a, b = top.rate(field, point(qg), point(qc), enc), hier.rate(field, point(qg), point(qc), enc)
    s, z = 0.25, qc.latents[0]
    marginal = (1 + s) / (2 + s)
    own = Gaussian.standard(z).log_prob(z)
    matched = Gaussian(torch.zeros_like(z), torch.full_like(z, marginal).log()).log_prob(z)
    torch.testing.assert_close(sum(a) - own, sum(b) - matched, rtol=1e-4, atol=1e-3)


def test_gaussian_tie_draws_follow_its_exact_conditional():
    tie, field, _, _, _ = setup(ONE, GaussianTieConfig("gaussian", "top", 0.6, 0.5))
    zc = torch.tensor([2.0, -1.0, 0.5, 3.0, 1.0]).expand(40_000, 5)
    noise = torch.randn(40_000, tie.noise_size, generator=torch.Generator().manual_seed(0))
    (zg,) = tie.sample(field, encoded([zc]), noise, [1.0]).latents
    torch.testing.assert_close(zg[:, :3].mean(0), zc[0, :3] / 1.25, rtol=0, atol=0.01)
    torch.testing.assert_close(zg[:, :3].var(0), torch.full((3,), 0.2), rtol=0.05, atol=0)
    torch.testing.assert_close(zg[:, 3:].mean(0), torch.zeros(2), rtol=0, atol=0.02)
    torch.testing.assert_close(zg[:, 3:].var(0), torch.ones(2), rtol=0.05, atol=0)


def test_papers_draws_are_wider_than_the_latents_the_decoder_was_trained_on():
    s, n = 1.0, 40_000
    g = torch.Generator().manual_seed(0)
    zc = ((1 + s) / (2 + s)) ** 0.5 * torch.randn(n, 5, generator=g)
    noise = torch.randn(n, 6, generator=g)
    variance = {}
    for conditional in ("exact", "paper"):
        tie, field, *_ = setup(ONE, GaussianTieConfig("gaussian", "top", 1.0, 1.0, conditional))
        variance[conditional] = tie.sample(field, encoded([zc]), noise, [1.0]).latents[0].var().item()
    assert variance["exact"] == pytest.approx(2 / 3, rel=0.03)
    assert variance["paper"] == pytest.approx(5 / 3, rel=0.03)


@pytest.mark.parametrize("layers", ["top", "all"])
def test_a_mixture_of_one_is_a_gaussian(layers):
    tie, field, _, qg, enc = setup(TWO, MixtureTieConfig("mixture", layers, components=1))
    mixture = tie.mixture(enc)
    alone = Gaussian(mixture.mean[:, 0], mixture.log_var.expand_as(mixture.mean)[:, 0])
    z = torch.cat(qg.latents, -1)[:, : tie.dim]
    torch.testing.assert_close(mixture.log_prob(z), alone.log_prob(z))
    noise = torch.randn(6, tie.noise_size)
    drawn = torch.cat(tie.sample(field, enc, noise, [1.0, 1.0]).latents, -1)[:, : tie.dim]
    torch.testing.assert_close(drawn, alone.sample(noise[:, 1 : tie.dim + 1]))


@pytest.mark.parametrize(
    ("kind", "layers"),
    [("none", "top"), ("gaussian", "top"), ("gaussian", "hier"), ("mixture", "top"), ("mixture", "all")],
)
@pytest.mark.slow
def test_rate_is_the_expected_log_ratio_of_the_sampled_model(kind, layers):
    """What the loss charges is E_q[log q(zg) - log p(zg | zc)], less what the joint's own p(zc) gains."""
    # Eq. 3 at all layers is an unnormalised energy: its loss is not the sampled model's bound.
    wide = {"none": {}, "gaussian": {"fraction": 1.0, "sigma": 0.7}}.get(kind, {"sigma": 0.7})
    tie, field, qc, _, _ = setup(TWO, TIE_CONFIGS[kind](layers=layers, **wide), batch=2)
    x = torch.randn(2, 1, 4, 4).repeat(30_000, 1, 1, 1)
    point = [Gaussian(z, z * 0 - 60.0) for z in qc.latents]
    index = torch.arange(2).repeat(30_000)
    many = encoded([c[index] for c in qc.latents])
    wide = replace(qc, posteriors=[Gaussian(g.mean[index], g.log_var[index]) for g in point])
    wide = replace(wide, state=replace(qc.state, latents=tuple(many.latents)))
    g = torch.Generator().manual_seed(1)
    qg = field.tower.infer(x, lambda shape: torch.randn(*shape, generator=g))
    charged = sum(tie.rate(field, qg, wide, many)).view(30_000, 2).mean(0)
    sampled = (qg.log_posterior() - tie.log_prob(field, qg.latents, many)).view(30_000, 2).mean(0)
    if kind == "gaussian" and layers == "top":
        own = Gaussian.standard(qc.latents[0]).log_prob(qc.latents[0])
        marginal = ((1 + tie.s(0)) / (2 + tie.s(0))).log().expand_as(qc.latents[0])
        sampled = sampled + own - Gaussian(torch.zeros_like(marginal), marginal).log_prob(qc.latents[0])
    torch.testing.assert_close(charged, sampled, rtol=0.02, atol=0.1)


def test_adding_the_mixture_to_the_prior_costs_more_than_replacing_it():
    rates = {}
    for prior in ("add", "replace"):
        tie, field, qc, qg, enc = setup(TWO, MixtureTieConfig("mixture", "all", prior=prior))
        rates[prior] = sum(tie.rate(field, qg, qc, enc)).mean()
    # What is added is the cross-entropy of the posteriors against the ladder's own priors.
    expected = sum(q.kl(p) + q.entropy() for q, p in zip(qg.posteriors, qg.priors, strict=True)).mean()
    torch.testing.assert_close(rates["add"] - rates["replace"], expected)


def test_kinds_and_types():
    assert isinstance(setup(TWO, GaussianTieConfig())[0], GaussianTie)
    tie, _, _, _, enc = setup(TWO, MixtureTieConfig())
    assert isinstance(tie, MixtureTie) and isinstance(tie.mixture(enc), Mixture)


def test_strengths_that_are_learned_begin_where_the_fixed_one_is_and_part():
    fixed, field, qc, qg, enc = setup(TWO, GaussianTieConfig("gaussian", "hier", sigma=0.5))
    learned, *_ = setup(TWO, GaussianTieConfig("gaussian", "hier", sigma=0.5, learn_strength=True))
    assert not list(fixed.parameters()) and not fixed.state_dict()
    torch.testing.assert_close(learned.s(1), fixed.s(1))
    loss = sum(learned.rate(field, qg, qc, enc)).mean()
    torch.testing.assert_close(loss, sum(fixed.rate(field, qg, qc, enc)).mean(), rtol=1e-4, atol=0)
    loss.backward()
    assert all(p.grad.abs().min() > 0 for p in learned.parameters())


def test_learned_strengths_find_how_far_latents_are_apart():
    """At the top and at lower layers, a dimension at a time."""
    n, truth = 20_000, torch.tensor([0.05, 0.2, 0.5, 1.0, 2.0])
    tie, field, *_ = setup(ONE, GaussianTieConfig("gaussian", "hier", 1.0, 0.5, learn_strength=True))
    g = torch.Generator().manual_seed(0)
    zc = torch.randn(n, 5, generator=g)  # zg | zc as the model itself draws it
    zg = zc / (1 + truth) + (truth / (1 + truth)).sqrt() * torch.randn(n, 5, generator=g)
    optimizer = torch.optim.Adam(tie.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-tie.log_prob(field, [zg], encoded([zc])).mean()).backward()
        optimizer.step()
    torch.testing.assert_close(tie.s(0).detach(), truth, rtol=0.06, atol=0)
