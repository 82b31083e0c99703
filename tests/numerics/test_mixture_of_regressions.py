"""The mixture of regressions against data made by one, and what it is for: kinds of field found at once."""

import dataclasses
import math

import pytest
import torch

from coembed.errors import ModelError
from coembed.evaluation.synthetic.scores import mode_scores
from coembed.evaluation.synthetic.worlds import Shading
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.numerics.mixture_of_regressions import fit_experts
from coembed.numerics.random import Streams


@pytest.fixture(scope="module")
def made():
    """Codes that follow one of three regressions, and where a poor guess has them begin."""
    g = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(3000, 5, generator=g), 2 * torch.randn(3, 5, 4, generator=g)
    bias, share = torch.randn(3, 4, generator=g), torch.tensor([0.5, 0.3, 0.2])
    which = torch.multinomial(share, 3000, True, generator=g)
    clean = torch.einsum("np,npd->nd", inputs, weight[which]) + bias[which]
    codes = clean + 0.1 * torch.randn(3000, 4, generator=g)
    guess = torch.where(torch.rand(3000, generator=g) < 0.4, which, torch.randint(0, 3, (3000,), generator=g))
    return inputs, codes, which, guess, weight, bias


def test_three_regressions_are_found_with_their_shares_and_noise(made):
    inputs, codes, which, guess, weight, bias = made
    found = fit_experts(inputs, codes, guess, ridge=1e-5, steps=30)
    torch.testing.assert_close(found.weight, weight, atol=0.03, rtol=0)
    torch.testing.assert_close(found.bias, bias, atol=0.03, rtol=0)
    torch.testing.assert_close(found.share, torch.bincount(which) / 3000, atol=0.02, rtol=0)
    torch.testing.assert_close(found.variance, torch.full((3, 4), 0.01), atol=0.002, rtol=0)
    # Kinds hardly overlap: the entropy of a kind's noise and of the choice of the kind.
    noise = 2 * math.log(2 * math.pi * math.e * 0.01)
    choice = -(found.share * found.share.log()).sum().item()
    assert found.log_likelihood == pytest.approx(-noise - choice, abs=0.1)


def test_every_round_is_likelier(made):
    inputs, codes, _, guess, _, _ = made
    likelihoods = [fit_experts(inputs, codes, guess, ridge=1e-6, steps=n).log_likelihood for n in (1, 3, 6, 12)]
    assert likelihoods == sorted(likelihoods)


def test_a_ridge_pulls_weights_but_not_offsets_to_zero(made):
    inputs, codes, _, guess, _, _ = made
    found = fit_experts(inputs, codes + 50, guess, ridge=100.0, steps=2)
    assert found.weight.abs().max() < 0.2 and (found.bias - 50).abs().max() < 3


def test_rows_that_differ_are_refused(made):
    inputs, codes, _, guess, _, _ = made
    with pytest.raises(ModelError, match="got 2999 rows, expected as many as codes: 3000"):
        fit_experts(inputs[1:], codes, guess)


def test_a_model_with_experts_knows_the_lights_before_any_step():
    world = Shading(16)
    config = preset("default", world.condition_shape, world.field_shape)
    pairs = world.pairs(2500, seed=0)
    condition = world.conditions(15, generator=torch.Generator().manual_seed(9))
    error = {}
    for experts in (False, True):
        torch.manual_seed(0)
        tie = dataclasses.replace(config.tie, experts=experts, components=6, refine=0)
        narrow = dataclasses.replace(config.field, codes=(24, 40))
        seen = dataclasses.replace(config.condition, codes=(32,))
        model = CDVAE(dataclasses.replace(config, tie=tie, field=narrow, condition=seen))
        model.initialise(*pairs)
        drawn = model.sample(condition, 50, generator=Streams(0, range(15)))
        error[experts] = mode_scores(world, condition, drawn)["mode_rmse"].mean().item()
    assert error[True] < 0.8 * error[False]
