import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from coembed.numerics.distributions import Gaussian, Mixture, bounded_log_var


def gaussian(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(*shape, generator=g), torch.randn(*shape, generator=g))


def normal(g):
    return Normal(g.mean, torch.exp(0.5 * g.log_var))


def test_merge_is_the_textbook_product():
    a, b = gaussian(5, 7, seed=1), gaussian(5, 7, seed=2)
    va, vb = a.log_var.exp(), b.log_var.exp()
    variance = 1 / (1 / va + 1 / vb)
    merged = a.merge(b)
    torch.testing.assert_close(merged.log_var.exp(), variance)
    torch.testing.assert_close(merged.mean, variance * (a.mean / va + b.mean / vb))


def test_merge_stays_finite_where_reciprocals_do_not():
    a = Gaussian(torch.tensor([[1.0]]), torch.tensor([[-200.0]]))
    b = Gaussian(torch.tensor([[3.0]]), torch.tensor([[200.0]]))
    merged = a.merge(b)
    assert merged.mean.item() == pytest.approx(1.0) and merged.log_var.item() == pytest.approx(-200.0)


def test_density_divergence_and_entropy_agree_with_torch_distributions():
    a, b = gaussian(4, 3, 2, 2, seed=3), gaussian(4, 3, 2, 2, seed=4)
    x = torch.randn(4, 3, 2, 2)
    total = lambda t: t.flatten(1).sum(1)  # noqa: E731
    torch.testing.assert_close(a.log_prob(x), total(normal(a).log_prob(x)))
    torch.testing.assert_close(a.kl(b), total(kl_divergence(normal(a), normal(b))))
    torch.testing.assert_close(a.entropy(), total(normal(a).entropy()))


def test_mixture_agrees_with_torch_distributions():
    g = torch.Generator().manual_seed(0)
    logits, mean = torch.randn(6, 5, generator=g), torch.randn(6, 5, 3, generator=g)
    log_var = torch.randn(6, 5, 3, generator=g)
    reference = MixtureSameFamily(
        Categorical(logits=logits), Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    )
    z = torch.randn(6, 3, generator=g)
    torch.testing.assert_close(Mixture(logits, mean, log_var).log_prob(z), reference.log_prob(z))


def test_mixture_draws_have_its_weights_and_moments():
    logits = torch.tensor([[0.0, math.log(3.0)]]).expand(20_000, 2)
    mean = torch.tensor([[[-2.0], [1.0]]]).expand(20_000, 2, 1)
    mixture = Mixture(logits, mean, torch.full((1, 1, 1), 2 * math.log(0.1)))
    g = torch.Generator().manual_seed(0)
    z = mixture.sample(torch.rand(20_000, generator=g), torch.randn(20_000, 1, generator=g))
    assert (z > 0).float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert z[z > 0].std().item() == pytest.approx(0.1, rel=0.05)


def test_bounded_log_var_keeps_zero_bounds_and_a_gradient():
    raw = torch.tensor([-50.0, 0.0, 50.0], requires_grad=True)
    bounded = bounded_log_var(raw, -8.0, 4.0)
    assert bounded[1].item() == pytest.approx(0.0, abs=1e-5)
    assert bounded.min() >= -8.0 and bounded.max() <= 4.0
    (gradient,) = torch.autograd.grad(bounded_log_var(raw[1], -8.0, 4.0), raw)
    assert gradient[1] > 0.5
