"""Samples as teachers: the score is the reported one, it mends a wrong spread, and a stopped run repeats."""

import pytest
import torch
import toy
from torch import nn

from coembed.errors import ConfigError
from coembed.models.base import ScoredDraws
from coembed.numerics import scoring_rules
from coembed.numerics.scoring_rules import average_cells, mixture_energy_score
from coembed.training import checkpoint
from coembed.training.checkpoint import read_tensors
from coembed.training.config import ScoreConfig
from coembed.training.step import make_optimizer, train_step


class ScoredToy(toy.Toy):
    """The toy with draws that can be scored."""

    def loss_and_draws(self, condition, field, n, *, generator):
        parts = self.loss(condition, field, generator=generator)
        z = torch.randn(n, len(condition), self.config.code, generator=generator)
        c = (condition.flatten(1) @ self.turn).expand(n, -1, -1)
        draws = (self.decoder(torch.cat([c, z], -1)) + self.mean).reshape(1, n, *field.shape)
        return parts, ([], []), ScoredDraws(draws.float(), field, torch.ones(len(field), 1))


def scored_toy():
    torch.manual_seed(0)
    return ScoredToy(toy.ToyConfig())


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_it_is_the_fair_multiscale_energy_score_that_is_reported(count):
    g = torch.Generator().manual_seed(count)
    draws, truth = torch.randn(count, 7, 2, 6, 6, generator=g), torch.randn(7, 2, 6, 6, generator=g)
    wanted = torch.zeros(7)
    for pool, score in scoring_rules.multiscale_energy_score(draws, truth, (1, 2, 4)).items():
        pooled = average_cells(truth, pool).flatten(1)
        unit = (pooled - pooled.mean(0)).square().sum(1).mean().sqrt()
        wanted += score / pool / unit / 3
    found = mixture_energy_score(draws[None], truth, torch.ones(7, 1), (1, 2, 4, 8))  # 8 is too large
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_draws_that_fall_together_have_finite_gradients():
    draws = torch.zeros(2, 4, 2, 1, 4, 4, requires_grad=True)
    mixture_energy_score(draws, torch.zeros(2, 1, 4, 4), torch.full((2, 2), 0.5), (1, 2)).sum().backward()
    assert draws.grad is not None and bool(draws.grad.isfinite().all())


class Spread(toy.Toy):
    """Fields are noise of one width, which is all there is to learn."""

    def __init__(self):
        nn.Module.__init__(self)
        self.width = nn.Parameter(torch.tensor([[0.2]]))

    def loss(self, condition, field, *, generator, warmup=1.0):
        return {"total": 0 * self.width.sum() * torch.ones(len(field))}

    def loss_and_draws(self, condition, field, n, *, generator):
        draws = self.width * torch.randn(1, n, *field.shape, generator=generator)
        parts = self.loss(condition, field, generator=generator)
        return parts, ([], []), ScoredDraws(draws, field, torch.ones(len(field), 1))


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.3, 0.7)])
def test_components_count_by_their_weights(weights):
    """As many draws of a mixture by its weights, all scored alike, come to the same; and weights learn."""
    g = torch.Generator().manual_seed(0)
    parts = torch.stack([torch.randn(3000, 1, 1, 2, 2, generator=g) - 1, 2 * torch.randn(3000, 1, 1, 2, 2) + 2])
    truth, p = torch.zeros(1, 1, 2, 2), torch.tensor([weights], requires_grad=True)
    found = mixture_energy_score(parts, truth, p) * 1e-3  # one truth has no spread: the unit is its floor
    counts = [round(3000 * weight) for weight in weights]
    drawn = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    assert found.item() == pytest.approx(scoring_rules.energy_score(drawn, truth).item(), rel=0.02)
    found.backward()
    # Moving weight changes the score by what the formula says.
    moved = torch.tensor([[weights[0] - 0.01, weights[1] + 0.01]])
    change = mixture_energy_score(parts, truth, moved) * 1e-3 - found
    assert p.grad is not None
    assert change.item() == pytest.approx(0.01 * (p.grad[0, 1] - p.grad[0, 0]).item(), rel=0.1)


def test_a_score_alone_finds_the_spread_of_the_truth():
    model, g = Spread(), torch.Generator().manual_seed(0)
    config = toy.options("unused", weight_decay=0.0)
    optimizer, options = make_optimizer(model, config), ScoreConfig(1.0, likelihood=0.0)
    for _ in range(150):
        field = 0.7 * torch.randn(64, 1, 4, 4, generator=g)
        result = train_step(
            model, optimizer, field, field, config, generator=g, warmup=1.0, learning_rate=2e-2, scores=options
        )
    assert model.width.item() == pytest.approx(0.7, abs=0.05)
    assert result.parts["score"] == pytest.approx(result.parts["total"] / 16, rel=1e-4)
    assert 0.5 < result.parts["score"] < 0.9


def test_scores_begin_when_they_are_due_and_a_stopped_run_repeats(tmp_path, monkeypatch):
    scores = ScoreConfig(fraction=0.5, samples=3, pools=(1, 2))

    def trained(out, **changes):
        toy.train(toy.options(out, scores=scores, **changes), scored_toy())
        return [read_tensors(out / "model" / "model.safetensors"), (out / "metrics.jsonl").read_text()]

    whole, log = trained(tmp_path / "whole")
    lines = log.splitlines()
    assert '"score"' not in lines[0] and '"score"' in lines[-1]
    original = checkpoint.save

    def stop(run, state, *rest):
        path = original(run, state, *rest)
        if state.step == 70:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "halves", checkpoint_minutes=1e-9)
    monkeypatch.setattr(checkpoint, "save", original)
    halves, _ = trained(tmp_path / "halves", resume=True, checkpoint_minutes=1e-9)
    assert all(torch.equal(halves[name], whole[name]) for name in whole)
    plain = toy.train(toy.options(tmp_path / "plain"), scored_toy())
    assert not torch.equal(read_tensors(plain / "model.safetensors")["encoder.weight"], whole["encoder.weight"])


def test_a_model_without_draws_is_a_mistake_of_its_maker(tmp_path):
    with pytest.raises(TypeError, match="Toy: has no loss_and_draws"):
        toy.train(toy.options(tmp_path / "run", scores=ScoreConfig(1.0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 1.5}, r"scores.fraction: got 1.5, expected 0 to 1"),
        ({"weight": -1.0}, r"scores.weight: got -1.0, expected 0 or more"),
        ({"samples": 1}, r"scores.samples: got 1, expected at least 2"),
        ({"pools": ()}, r"scores.pools: got \(\), expected sides"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(ConfigError, match=message):
        ScoreConfig(**changes)
