"""The joint multimodal VAE learns a conditional through one code; sizes are tiny."""

import pytest
import torch
from peers.gaussians import divergence
from peers.joint import Joint
from toy_peers import BRIGHT, DARK, check_noise, check_streams, conditions, toy, train


@pytest.fixture(scope="module")
def learned():
    torch.manual_seed(0)
    peer = Joint((1, 8, 8), (2, 8, 8), width=16, code=2)
    return peer, train(peer, *toy(256, channels=2), steps=60, rate=3e-3)


def test_its_loss_falls_and_its_samples_vary_at_the_level_of_the_condition(learned):
    peer, losses = learned
    assert all(torch.tensor(losses).isfinite()) and sum(losses[-10:]) < sum(losses[:10]) - 5
    drawn = peer.sample(conditions(DARK, BRIGHT), 100, generator=0)
    assert drawn.shape == (100, 2, 2, 8, 8)
    torch.testing.assert_close(drawn.mean((0, 2, 3, 4)), torch.tensor([0.4, 1.6]), atol=0.3, rtol=0)
    peer.pixel_noise = False
    means = peer.sample(conditions(DARK, BRIGHT), 100, generator=0)
    peer.pixel_noise = True
    assert means.std(0).mean() > 0.01, "samples differ by the noise of pixels alone"


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
    check_noise(Joint((1, 8, 8), (2, 8, 8), width=16, code=2), 2)


def test_alpha_weighs_the_divergence_to_the_encoder_of_the_condition(learned):
    peer, _ = learned
    condition, field = toy(16, channels=2)
    condition, field = peer.standard(condition, "condition"), peer.standard(field, "field")
    losses = []
    with torch.no_grad():
        for peer.alpha in (0.0, 1.0, 2.0):
            g = torch.Generator().manual_seed(0)
            losses.append(peer.loss(condition, field, generator=g, fraction=1.0))
        q, given = peer.see_both(torch.cat([condition, field], 1)), peer.see_condition(condition)
    peer.alpha = 1.0
    expected = divergence(q, given) / field[0].numel()
    torch.testing.assert_close(losses[1] - losses[0], expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(losses[2] - losses[0], 2 * expected, atol=1e-4, rtol=1e-3)
