"""The hierarchical probabilistic U-Net learns a conditional with all of its levels; sizes are tiny."""

import pytest
import torch
from peers.hierarchical import Hierarchical
from toy_peers import BRIGHT, DARK, UP, check_noise, check_streams, conditions, toy, train


@pytest.fixture(scope="module")
def learned():
    torch.manual_seed(0)
    peer = Hierarchical((1, 8, 8), (2, 8, 8), width=16)
    return peer, train(peer, *toy(256, channels=2), steps=60, rate=4e-3)


def test_its_loss_falls_and_its_samples_are_both_kinds_of_field_at_the_level_of_the_condition(learned):
    peer, losses = learned
    assert all(torch.tensor(losses).isfinite()) and sum(losses[-10:]) < sum(losses[:10]) - 5
    drawn = peer.sample(conditions(DARK, BRIGHT), 100, generator=0)
    assert drawn.shape == (100, 2, 2, 8, 8)
    torch.testing.assert_close(drawn.mean((0, 2, 3, 4)), torch.tensor([0.4, 1.6]), atol=0.3, rtol=0)
    along = (drawn * UP).mean((2, 3, 4)) / UP.square().mean()  # 1 for up, -1 for down
    assert (along.abs() > 0.5).float().mean() > 0.8, "a sample is one of the two, not their mean"
    assert 0.15 < (along > 0).float().mean() < 0.85


def test_means_are_the_samples_without_the_noise_of_pixels(learned):
    peer, _ = learned
    noisy = peer.sample(conditions(DARK, BRIGHT), 50, generator=0)
    peer.pixel_noise = False
    means = peer.sample(conditions(DARK, BRIGHT), 50, generator=0)
    peer.pixel_noise = True
    found = (noisy - means).std((0, 1, 3, 4))
    expected = (peer.likelihood.log_deviation.exp() * peer.field_deviation).flatten()
    torch.testing.assert_close(found, expected, atol=0, rtol=0.05)


def test_samples_depend_on_seed_and_photo_and_number_alone(learned):
    check_streams(learned[0])


def test_every_noise_reaches_its_samples():
    torch.manual_seed(0)
    check_noise(Hierarchical((1, 8, 8), (2, 8, 8), width=16), 5)


def test_a_level_below_its_free_nats_is_not_pressed_further():
    torch.manual_seed(0)
    peer = Hierarchical((1, 8, 8), (1, 8, 8), width=16)
    condition, field = torch.randn(2, 4, 1, 8, 8)

    def gradient() -> list[float]:
        peer.zero_grad()
        g = torch.Generator().manual_seed(0)
        peer.loss(condition, field, generator=g, fraction=1.0).mean().backward()
        return [float(head.weight.grad.abs().max()) for head in peer.prior]

    assert gradient() == [0.0] * 4  # posterior and prior start equal: nothing to press
    with torch.no_grad():
        peer.posterior[2].bias.fill_(1.0)
    pressed = gradient()
    assert pressed[2] > 0 and pressed[0] == pressed[1] == pressed[3] == 0


def test_the_divergences_are_those_of_the_posteriors_it_draws_from():
    torch.manual_seed(0)
    peer = Hierarchical((1, 8, 8), (1, 8, 8), width=16, codes=(8, 4, 4, 4))
    condition, field = torch.randn(2, 4, 1, 8, 8)
    with torch.no_grad():
        peer.posterior[0].bias[:8].fill_(2.0)  # the mean, against a prior of mean 0
        nats, found = peer.terms(condition, field, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found[0], torch.full((4,), 8 * 2.0**2 / 2))
    assert nats.shape == (4,) and all(float(kl.abs().max()) < 1e-5 for kl in found[1:])
