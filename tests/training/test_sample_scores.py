"""Samples as teachers: the score is the reported one, it mends a wrong spread, and a stopped run repeats."""

import pytest
import torch
import toy
from torch import nn

from coembed.errors import ConfigError
from coembed.numerics import scoring_rules
from coembed.numerics.scoring_rules import average_cells, pooled_energy_score
from coembed.training import checkpoint
from coembed.training.checkpoint import read_tensors
from coembed.training.config import ScoreConfig
from coembed.training.step import make_optimizer, train_step


class ScoredToy(toy.Toy):
    """The toy with draws that can be scored."""

    def scored_draws(self, condition, field, n, *, generator):
        z = torch.randn(n, len(condition), self.config.code, generator=generator)
        c = (condition.flatten(1) @ self.turn).expand(n, -1, -1)
        draws = (self.decoder(torch.cat([c, z], -1)) + self.mean).reshape(n, *field.shape)
        return draws.float(), field


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
    found = pooled_energy_score(draws, truth, (1, 2, 4, 8))  # 8 is larger than the field
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_draws_that_fall_together_have_finite_gradients():
    draws = torch.zeros(4, 2, 1, 4, 4, requires_grad=True)
    pooled_energy_score(draws, torch.zeros(2, 1, 4, 4), (1, 2)).sum().backward()
    assert draws.grad is not None and bool(draws.grad.isfinite().all())


class Spread(toy.Toy):
    """Fields are noise of one width, which is all there is to learn."""

    def __init__(self):
        nn.Module.__init__(self)
        self.width = nn.Parameter(torch.tensor([[0.2]]))

    def loss(self, condition, field, *, generator, warmup=1.0):
        return {"total": 0 * self.width.sum() * torch.ones(len(field))}

    def scored_draws(self, condition, field, n, *, generator):
        return self.width * torch.randn(n, *field.shape, generator=generator), field


def test_a_score_alone_finds_the_spread_of_the_truth():
    model, g = Spread(), torch.Generator().manual_seed(0)
    config = toy.options("unused", weight_decay=0.0)
    optimizer, options = make_optimizer(model, config), ScoreConfig(1.0, likelihood=0.0, share=0.5)
    for _ in range(150):
        field = 0.7 * torch.randn(64, 1, 4, 4, generator=g)
        result = train_step(
            model, optimizer, field, field, config, generator=g, warmup=1.0, learning_rate=2e-2, scores=options
        )
    assert model.width.item() == pytest.approx(0.7, abs=0.05)
    # The logged part is the mean over the pairs that were scored, whatever share of the batch they are.
    assert result.parts["score"] == pytest.approx(result.parts["total"] / 32, rel=1e-4)
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
    with pytest.raises(TypeError, match="Toy: has no scored_draws"):
        toy.train(toy.options(tmp_path / "run", scores=ScoreConfig(1.0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fraction": 1.5}, r"scores.fraction: got 1.5, expected 0 to 1"),
        ({"weight": -1.0}, r"scores.weight: got -1.0, expected 0 or more"),
        ({"samples": 1}, r"scores.samples: got 1, expected at least 2"),
        ({"share": 0.0}, r"scores.share: got 0.0, expected more than 0"),
        ({"pools": ()}, r"scores.pools: got \(\), expected sides"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(ConfigError, match=message):
        ScoreConfig(**changes)
