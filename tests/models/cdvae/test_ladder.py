import pytest
import torch
from torch.distributions import MultivariateNormal

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.ladder import LadderVAE
from coembed.numerics.distributions import Gaussian
from coembed.numerics.pca import principal_components

TOWERS = {
    "fc": LadderConfig("fc", (2, 3, 4), (8, 8, 8)),
    "fc paper": LadderConfig(
        "fc", (2, 3, 4), (8, 8, 8), norm="none", shared=False, only_mean_up=True, likelihood="pixel"
    ),
    "conv": LadderConfig("conv", (3, 2, 2), (8, 8, 8), (8, 4, 2), norm="none"),
    "conv 1x1 top": LadderConfig("conv", (5, 2), (8, 8), (8, 4), norm="layer", likelihood="pixel"),
    "linear": LadderConfig("linear", (3, 20), (), sigma=0.3),
}


def noise(seed=0):
    g = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(*shape, generator=g)


@pytest.mark.parametrize("name", TOWERS)
def test_codes_run_coarse_to_fine_and_rates_are_divergences(name):
    ladder = LadderVAE(TOWERS[name], (2, 8, 8))
    q = ladder.tower.infer(torch.randn(5, 2, 8, 8), noise())
    assert [tuple(c.shape[1:]) for c in q.latents] == list(ladder.code_shapes)
    assert all(a <= b for a, b in zip(ladder.code_sizes, ladder.code_sizes[1:], strict=False))
    assert all((kl >= 0).all() for kl in q.kl())
    pixels = ladder.decode(q.state)
    assert pixels.mean.shape == (5, 2, 8, 8)
    assert pixels.log_var.exp().sqrt().min() >= TOWERS[name].sigma_floor


@pytest.mark.parametrize("name", TOWERS)
def test_means_are_taken_without_noise(name):
    ladder = LadderVAE(TOWERS[name], (2, 8, 8))
    x = torch.randn(3, 2, 8, 8)
    q = ladder.tower.infer(x, None)
    assert all(torch.equal(c, p.mean) for c, p in zip(q.latents, q.posteriors, strict=True))


def test_a_vague_message_leaves_the_prior():
    ladder = LadderVAE(TOWERS["fc"], (2, 8, 8))
    vague = [Gaussian(torch.zeros(4, s), torch.full((4, s), 60.0)) for s in ladder.code_sizes]
    ladder.tower.messages = lambda x, context_maps: vague  # type: ignore[method-assign]
    q = ladder.tower.infer(torch.randn(4, 2, 8, 8), noise())
    assert all(kl.abs().max() < 1e-4 for kl in q.kl()[1:])


def test_linear_tower_starts_at_probabilistic_principal_components_with_a_tight_bound():
    g = torch.Generator().manual_seed(0)
    x = (torch.randn(4000, 3, generator=g) @ torch.randn(3, 16, generator=g) * 2).view(4000, 1, 4, 4)
    x = x + 0.3 * torch.randn(4000, 1, 4, 4, generator=g) + 1
    ladder = LadderVAE(LadderConfig("linear", (1, 2), (), likelihood="channel"), (1, 4, 4))
    ladder.initialize_from_data(x)
    flat = x.flatten(1)
    values, vectors = principal_components(flat - flat.mean(0), 3)
    sigma2 = 0.3**2
    covariance = vectors @ torch.diag(values - sigma2) @ vectors.T + sigma2 * torch.eye(16)
    exact = MultivariateNormal(flat.mean(0), covariance).log_prob(flat[:500])
    q = ladder.tower.infer(x[:500], noise())
    bound = ladder.decode(q.state).log_prob(x[:500]) + q.log_prior() - q.log_posterior()
    # A single draw equals the exact log-likelihood only if the posterior is exact.
    assert (bound - exact).abs().max() < 0.2 and bound.mean().item() == pytest.approx(
        exact.mean().item(), abs=0.02
    )


@pytest.mark.parametrize("name", TOWERS)
def test_only_a_linear_tower_says_that_its_pixels_are_linear_in_the_latents(name):
    ladder = LadderVAE(TOWERS[name], (2, 8, 8))
    found = ladder.tower.linear_map()
    if name != "linear":
        assert found is None
        with pytest.raises(ConfigError, match="expected 'linear'"):
            ladder.tower.project(torch.zeros(1, 2, 8, 8), 0)
        return
    offset, weights = found
    latents = [torch.randn(3, *shape) for shape in ladder.code_shapes]
    pixels = ladder.decode_latents(latents).mean.flatten(1)
    torch.testing.assert_close(pixels, offset + torch.cat(latents, -1) @ weights.T)
    torch.testing.assert_close(ladder.tower.project((pixels - offset).view(3, 2, 8, 8), 1), latents[1])


@pytest.mark.parametrize("name", TOWERS)
def test_given_latents_are_judged_and_the_way_down_goes_through_them(name):
    ladder = LadderVAE(TOWERS[name], (2, 8, 8))
    x, latents = torch.randn(3, 2, 8, 8), [torch.randn(3, *shape) for shape in ladder.code_shapes]
    q = ladder.tower.infer(x, noise(), at=latents)
    assert all(torch.equal(a, b) for a, b in zip(q.latents, latents, strict=True))
    for layer, prior in enumerate(q.priors):
        state = ladder.through(latents[:layer], ladder.tower.top_down(x))
        torch.testing.assert_close(prior.mean, ladder.tower.prior(state).mean)
    torch.testing.assert_close(ladder.decode(q.state).mean, ladder.decode_latents(latents).mean)


def test_bad_layouts_are_refused():
    with pytest.raises(ConfigError, match="divisor 3 does not divide"):
        LadderVAE(LadderConfig("conv", (2,), (8,), (3,)), (1, 8, 8))
    with pytest.raises(ConfigError, match="hidden: got 2 widths, expected one per code: 3"):
        LadderConfig("fc", (1, 2, 3), (8, 8))
    with pytest.raises(ConfigError, match="expected at most 64, the data's size"):
        LadderVAE(LadderConfig("linear", (60, 10), ()), (1, 8, 8))
