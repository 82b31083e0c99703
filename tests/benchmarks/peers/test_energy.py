"""The energy-score generator: its score is proper and fair, and it learns a conditional; sizes are tiny."""

import pytest
import torch
import torch.nn.functional as F
from peers.energy import Energy, multiscale_energy
from toy_peers import BRIGHT, DARK, UP, check_noise, check_streams, conditions, toy, train


@pytest.fixture(scope="module")
def learned():
    torch.manual_seed(0)
    peer = Energy((1, 8, 8), (2, 8, 8), width=16)
    return peer, train(peer, *toy(256, channels=2), steps=60, rate=3e-3)


def test_its_loss_falls_and_its_samples_are_both_kinds_of_field_at_the_level_of_the_condition(learned):
    peer, losses = learned
    assert all(torch.tensor(losses).isfinite()) and sum(losses[-10:]) < 0.8 * sum(losses[:10])
    drawn = peer.sample(conditions(DARK, BRIGHT), 100, generator=0)
    assert drawn.shape == (100, 2, 2, 8, 8)
    torch.testing.assert_close(drawn.mean((0, 2, 3, 4)), torch.tensor([0.4, 1.6]), atol=0.3, rtol=0)
    along = (drawn * UP).mean((2, 3, 4)) / UP.square().mean()  # 1 for up, -1 for down
    assert (along > 0.5).any() and (along < -0.5).any()
    assert 0.15 < (along > 0).float().mean() < 0.85


def test_samples_depend_on_seed_and_photo_and_number_alone(learned):
    check_streams(learned[0])


def test_every_noise_reaches_its_samples():
    torch.manual_seed(0)
    check_noise(Energy((1, 8, 8), (2, 8, 8), width=16), 4)


def test_the_score_is_the_mean_over_poolings_of_distances_a_value():
    g = torch.Generator().manual_seed(0)
    samples, field = torch.randn(3, 2, 2, 8, 8, generator=g), torch.randn(2, 2, 8, 8, generator=g)
    expected = torch.zeros(2)
    for pool in (1, 2, 4, 8):
        y = F.avg_pool2d(field, pool).flatten(1)
        k = [F.avg_pool2d(s, pool).flatten(1) for s in samples]
        root = y.shape[1] ** 0.5
        error = sum((a - y).norm(dim=1) for a in k) / 3
        spread = sum((a - b).norm(dim=1) for a in k for b in k) / (3 * 2)
        expected += (error - spread / 2) / root / 4
    torch.testing.assert_close(multiscale_energy(samples, field), expected)


def test_fields_of_the_true_law_score_better_than_their_mean_or_white_noise_of_their_length():
    g = torch.Generator().manual_seed(0)

    def sums(*shape: int) -> torch.Tensor:  # smooth: one level a field, little noise
        return torch.randn(*shape, 1, 1, 1, generator=g) + 0.1 * torch.randn(*shape, 1, 8, 8, generator=g)

    field, true = sums(2000), sums(2, 2000)
    white = 1.01**0.5 * torch.randn(2, 2000, 1, 8, 8, generator=g)
    best = float(multiscale_energy(true, field).mean())
    assert best < 0.9 * float(multiscale_energy(torch.zeros_like(true), field).mean())
    assert best < 0.9 * float(multiscale_energy(white, field).mean())


def test_coinciding_samples_have_a_finite_gradient():
    samples = torch.zeros(2, 1, 1, 8, 8, requires_grad=True)
    multiscale_energy(samples, torch.zeros(1, 1, 8, 8)).sum().backward()
    assert samples.grad is not None and samples.grad.isfinite().all()
