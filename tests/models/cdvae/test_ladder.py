import pytest
import torch

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.ladder import LadderVAE
from coembed.numerics.distributions import Gaussian

TOWERS = {
    "shared": LadderConfig((2, 3, 4), (8, 8, 8)),
    "paper": LadderConfig(
        (2, 3, 4), (8, 8, 8), norm="none", shared=False, only_mean_up=True, likelihood="pixel"
    ),
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
    ladder = LadderVAE(TOWERS["shared"], (2, 8, 8))
    vague = [Gaussian(torch.zeros(4, s), torch.full((4, s), 60.0)) for s in ladder.code_sizes]
    ladder.tower.messages = lambda x: vague  # type: ignore[method-assign]
    q = ladder.tower.infer(torch.randn(4, 2, 8, 8), noise())
    assert all(kl.abs().max() < 1e-4 for kl in q.kl()[1:])


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
    with pytest.raises(ConfigError, match="hidden: got 2 widths, expected one per code: 3"):
        LadderConfig((1, 2, 3), (8, 8))
