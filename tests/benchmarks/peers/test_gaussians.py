"""Divergence and likelihood against those of torch, and a head's start; no training."""

import pytest
import torch
from peers.gaussians import Gaussian, PixelNoise, divergence, gaussian_head
from peers.scales import Encoder, level_shapes
from torch.distributions import Normal, kl_divergence

from coembed.errors import ConfigError


def test_divergence_and_likelihood_are_those_of_normals():
    g = torch.Generator().manual_seed(0)
    q, p = (Gaussian.of(torch.randn(3, 4, 2, 2, generator=g)) for _ in range(2))
    expected = kl_divergence(Normal(q.mean, q.log_deviation.exp()), Normal(p.mean, p.log_deviation.exp()))
    torch.testing.assert_close(divergence(q, p), expected.flatten(1).sum(1))
    noise = PixelNoise(2)
    with torch.no_grad():
        noise.raw.copy_(torch.tensor([-1.0, -9.0]).view(2, 1, 1))
    deviation = torch.tensor([-1.0, -4.0]).exp().view(2, 1, 1)  # the second is held at its floor
    mean, values = torch.randn(2, 3, 2, 4, 4, generator=g)
    likely = Normal(mean, deviation).log_prob(values).flatten(1).sum(1)
    torch.testing.assert_close(noise.nats(mean, values), -likely)


def test_a_head_starts_at_the_standard_normal_and_its_deviations_stay_bounded():
    start = Gaussian.of(gaussian_head(3, 2)(torch.randn(1, 3, 4, 4)))
    assert start.mean.shape == (1, 2, 4, 4) and not start.mean.any() and not start.log_deviation.any()
    wild = Gaussian.of(torch.full((1, 2), 1e6))
    assert wild.log_deviation.abs().max() <= 3.0 and wild.at(torch.ones(1, 1)).isfinite().all()


def test_levels_are_a_vector_and_maps_of_an_eighth_to_half_the_side():
    assert level_shapes((5, 4, 3, 2), (1, 32, 16)) == [(5, 1, 1), (4, 4, 2), (3, 8, 4), (2, 16, 8)]
    with pytest.raises(ConfigError, match="multiples of 8"):
        Encoder(1, (12, 16), 8)
