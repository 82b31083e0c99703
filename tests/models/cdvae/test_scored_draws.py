"""A score teaches the path that samples take: the same fields, with gradients."""

import dataclasses

import pytest
import torch

from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import PRESETS, preset
from coembed.numerics.random import Streams
from coembed.numerics.scoring_rules import pooled_energy_score


class ReplayedStreams(Streams):
    """The noise of a torch generator as streams, so that both ways of drawing see the same."""

    def __init__(self, seed, batch):
        super().__init__(seed, range(batch))
        self.noise, self.batch = torch.Generator().manual_seed(seed), batch

    def normal(self, n, size):
        return torch.randn(n * self.batch, size, generator=self.noise).view(n, self.batch, size)


def made(name="default", **changes):
    torch.manual_seed(0)
    config = preset(name, (1, 8, 8), (1, 8, 8))
    if config.tie.refine and config.regression:
        tie = dataclasses.replace(config.tie, refine=4, hidden=16, dropout=0.3)
        regression = dataclasses.replace(config.regression, channels=4, features=8, rank=8, dropout=0.3)
        config = dataclasses.replace(config, tie=tie, regression=regression)
    model = CDVAE(dataclasses.replace(config, **changes))
    condition = torch.rand(24, 1, 8, 8)
    field = 0.5 * condition + 0.4 * torch.rand(24, 1, 8, 8)
    model.initialise(condition, field)
    with torch.no_grad():  # nothing starts at zero, so that no part can be left out unnoticed
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model, condition, field


@pytest.mark.parametrize(
    ("name", "changes"),
    [(name, {}) for name in PRESETS]
    + [
        ("default", {"decode": "draw", "clip": (0.1, 0.6)}),
        ("default", {"field_scale": 0.2, "clip": (0.0, 0.9)}),
        ("conv", {"decode": "draw", "condition_code": "sample"}),
    ],
)
def test_scored_draws_are_the_samples_themselves(name, changes):
    model, condition, field = made(name, **changes)
    if "clip" in changes and changes.get("decode") == "draw":
        model = model.with_sampling(temperatures=(0.7, 1.3), n_active_dims=3)
    model.train()
    draws, truth = model.scored_draws(condition, field, 3, generator=torch.Generator().manual_seed(5))
    assert model.training
    samples = model.sample(condition, 3, generator=ReplayedStreams(5, len(condition)))
    natural = model._natural(draws.flatten(0, 1)).view_as(samples)
    torch.testing.assert_close(natural, samples, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model._natural(truth), field, rtol=1e-4, atol=1e-4)


def test_every_part_that_draws_has_a_gradient_and_the_pick_of_a_component_none():
    model, condition, field = made()
    model.train()
    draws, truth = model.scored_draws(condition, field, 3, generator=torch.Generator().manual_seed(0))
    pooled_energy_score(draws, truth, (1, 2)).mean().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    ours = {name for name in without if name.startswith(("tie.", "regression."))}
    assert ours == {"tie.logits.weight", "tie.logits.bias"}
    assert {"field_ladder.tower.basis", "field_ladder.tower.log_scale"}.isdisjoint(without)
