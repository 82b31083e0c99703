import pytest
import torch
from toy_models import conditions, linear

from coembed.errors import ConfigError, ModelError
from coembed.numerics.distributions import Gaussian, Mixture
from coembed.numerics.latent_target import LatentTarget


def mixture():
    g = torch.Generator().manual_seed(3)
    mean = torch.randn(1, 3, 2, generator=g)
    return Mixture(
        torch.tensor([[0.3, -0.5, 0.1]]), mean, torch.tensor([[[-1.0, 0.2], [0.0, -0.7], [-0.3, -2.0]]])
    )


def log_prob(found, points):
    """Of one mixture at many points."""
    rows = [t.expand(len(points), *t.shape[1:]) for t in (found.logits, found.mean, found.log_var)]
    return Mixture(*rows).log_prob(points)


def grid(n=400):
    axis = torch.linspace(-7, 7, n)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2), (axis[1] - axis[0]) ** 2


@pytest.mark.parametrize("dims", [1, 2])
def test_pulled_mixture_is_the_normalised_product_of_mixture_and_target(dims):
    found, target = mixture(), torch.tensor([[0.8, -0.4]])[:, :dims]
    pull = LatentTarget(target, 0.6)
    points, cell = grid()
    message = Gaussian(target, torch.full((1, dims), pull.log_var)).log_prob(points[:, :dims])
    product = log_prob(found, points) + message
    product = product - torch.log(product.exp().sum() * cell)
    pulled = pull.on(found)
    torch.testing.assert_close(log_prob(pulled, points).exp(), product.exp(), rtol=1e-3, atol=1e-4)


def test_pulled_gaussian_is_that_of_a_mixture_with_one_component():
    mean, log_var = torch.randn(4, 2, 3, 1), torch.randn(4, 2, 3, 1)
    pull = LatentTarget(torch.randn(4, 5), 0.4)
    one = pull.on(Gaussian(mean, log_var))
    many = pull.on(Mixture(torch.zeros(4, 1), mean.flatten(1)[:, None], log_var.flatten(1)[:, None]))
    assert one.mean.shape == mean.shape
    torch.testing.assert_close(one.mean.flatten(1), many.mean[:, 0])
    torch.testing.assert_close(one.log_var.flatten(1), many.log_var[:, 0])


def test_closeness_is_the_share_of_the_way_for_a_dimension_of_variance_1():
    pulled = LatentTarget(torch.tensor([[2.0, 4.0]]), 0.25).on(Gaussian(torch.zeros(1, 3), torch.zeros(1, 3)))
    torch.testing.assert_close(pulled.mean, torch.tensor([[0.5, 1.0, 0.0]]))
    torch.testing.assert_close(pulled.log_var.exp(), torch.tensor([[0.75, 0.75, 1.0]]))


def test_closeness_0_changes_nothing_and_1_leaves_no_spread():
    found, target = mixture(), torch.tensor([[0.8, -0.4]])
    assert LatentTarget(target, 0.0).on(found) is found
    pulled = LatentTarget(target, 1.0).on(found)
    drawn = pulled.sample(torch.rand(1), torch.randn(1, 2))
    torch.testing.assert_close(drawn, target)
    assert pulled.logits.isfinite().all()


def test_a_closeness_outside_its_range_is_named():
    with pytest.raises(ConfigError, match=r"closeness is 1\.5, expected 0 to 1"):
        LatentTarget(torch.zeros(1, 2), 1.5)


def test_a_flow_says_that_its_draws_cannot_be_steered():
    model = linear("top", kind="flow")
    with pytest.raises(ModelError, match="got a flow, expected a gaussian or a mixture"):
        model.top(model.encode(conditions(1)))
