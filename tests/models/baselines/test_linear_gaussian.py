import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from coembed.data import pairs
from coembed.errors import ConfigError, DataError
from coembed.models.baselines import linear_gaussian
from coembed.models.registry import fit_closed_form
from coembed.numerics.random import Streams


def joint(count, seed=0, mean_c=3.0, mean_f=-2.0):
    """A known Gaussian: conditions (2, 2, 2) and fields (1, 2, 3), y = A x + noise of covariance S."""
    g = torch.Generator().manual_seed(seed)
    shape = torch.Generator().manual_seed(99)
    slope = torch.randn(6, 8, generator=shape)
    root = torch.randn(6, 6, generator=shape) / 2
    x = torch.randn(count, 8, generator=g)
    y = x @ slope.T + torch.randn(count, 6, generator=g) @ root.T
    return (x + mean_c).reshape(-1, 2, 2, 2), (y + mean_f).reshape(-1, 1, 2, 3), slope, root @ root.T


def test_it_finds_the_known_conditional():
    condition, field, slope, covariance = joint(60_000)
    model = fit_closed_form("linear-gaussian", (condition, field))
    fresh, _, _, _ = joint(50, seed=1)
    expected = (fresh.flatten(1) - 3) @ slope.T - 2
    torch.testing.assert_close(model.mean(fresh).flatten(1), expected, rtol=0, atol=0.1)
    drawn = model.sample(fresh[:3], 20_000, generator=0).flatten(2)
    torch.testing.assert_close(drawn.mean(0), model.mean(fresh[:3]).flatten(1), rtol=0, atol=0.05)
    for i in range(3):
        torch.testing.assert_close(drawn[:, i].T.cov(), covariance, rtol=0.05, atol=0.05)


def test_log_prob_is_the_density_of_the_known_conditional():
    condition, field, slope, covariance = joint(60_000)
    model = fit_closed_form("linear-gaussian", (condition, field))
    fresh, truth, _, _ = joint(200, seed=2)
    residual = truth.flatten(1) + 2 - (fresh.flatten(1) - 3) @ slope.T
    expected = multivariate_normal(np.zeros(6), covariance.double().numpy()).logpdf(residual.double().numpy())
    found = model.log_prob(fresh, truth)
    assert found.shape == (200,)
    np.testing.assert_allclose(found.numpy(), expected, atol=0.3)
    assert found.mean().item() == pytest.approx(expected.mean(), abs=0.02)
    own = (model.directions.double() * model.variances) @ model.directions.double().T
    residual = (truth - model.mean(fresh)).flatten(1).double()
    exact = multivariate_normal(np.zeros(6), own.numpy()).logpdf(residual.numpy())
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-5)


def test_a_fit_is_ridge_regression_to_the_digit():
    condition, field, _, _ = joint(300)
    model = fit_closed_form("linear-gaussian", (condition, field))
    x, y = condition.double().flatten(1), field.double().flatten(1)
    x, y = x - x.mean(0), y - y.mean(0)
    penalty = model.config.ridge * x.square().sum(0).mean()
    # Ridge regression as least squares on rows added to the data: another path to the same weights.
    rows = torch.cat([x, penalty.sqrt() * torch.eye(8, dtype=torch.float64)])
    weight = torch.linalg.lstsq(rows, torch.cat([y, torch.zeros(8, 6, dtype=torch.float64)])).solution
    torch.testing.assert_close(model.weight.double(), weight, rtol=1e-5, atol=1e-6)
    residual = y - x @ weight
    freedom = torch.linalg.svdvals(x).square()
    freedom = (freedom / (freedom + penalty)).sum()
    expected = (residual.T @ residual / (300 - freedom)).diagonal().sum()
    assert model.variances.sum().item() == pytest.approx(expected.item(), rel=1e-6)


def test_pieces_do_not_change_the_fit(monkeypatch):
    condition, field, _, _ = joint(300)
    whole = fit_closed_form("linear-gaussian", (condition, field))
    monkeypatch.setattr(pairs, "_CHUNK_VALUES", 8 * 7)
    pieces = fit_closed_form("linear-gaussian", (condition, field))
    torch.testing.assert_close(whole.weight, pieces.weight)
    torch.testing.assert_close(whole.variances, pieces.variances)


def test_ridge_grows_when_the_condition_says_nothing():
    g = torch.Generator().manual_seed(3)
    condition, field = torch.randn(200, 1, 8, 8, generator=g), torch.randn(200, 1, 4, 4, generator=g)
    model = fit_closed_form("linear-gaussian", (condition, field))
    assert model.config.ridge >= 10
    assert model.mean(condition).var().item() < 0.02


def test_fewer_pairs_than_values_still_give_a_sound_density():
    g = torch.Generator().manual_seed(4)

    def draw(count):
        return torch.randn(count, 1, 12, 12, generator=g), torch.randn(count, 1, 12, 12, generator=g)

    model = fit_closed_form("linear-gaussian", draw(60))
    assert model.config.share > 0
    per_value = model.log_prob(*draw(200)).mean().item() / 144
    exact = -0.5 * math.log(2 * math.pi * math.e)
    assert exact - 0.1 < per_value < exact + 0.01


@pytest.mark.parametrize("rank", [1, 3])
def test_truncation_is_probabilistic_pca(monkeypatch, rank):
    monkeypatch.setattr(linear_gaussian, "_SHARES", (0.0,))
    # With a condition that says nothing, the density must be that of probabilistic PCA, whose maximum
    # likelihood solution [Tipping and Bishop 1999] follows from the eigenvalues of the covariance.
    g = torch.Generator().manual_seed(5)
    field = torch.randn(4000, 1, 2, 3, generator=g) * torch.tensor([3.0, 2.0, 1.5, 0.3, 0.3, 0.3]).reshape(2, 3)
    condition = torch.zeros(4000, 1, 2, 2)
    model = fit_closed_form("linear-gaussian", (condition, field), rank=rank)
    flat = field.double().flatten(1)
    values, vectors = torch.linalg.eigh((flat - flat.mean(0)).T.cov(correction=0))
    values, vectors = values.flip(0), vectors.flip(1)
    outside = values[rank:].mean()
    full = torch.cat([values[:rank], outside.expand(6 - rank)])
    covariance = (vectors * full) @ vectors.T
    expected = multivariate_normal(flat.mean(0).numpy(), covariance.numpy()).logpdf(flat[:100].numpy())
    np.testing.assert_allclose(model.log_prob(condition[:100], field[:100]).numpy(), expected, atol=0.02)
    drawn = model.sample(condition[:1], 40_000, generator=0)[:, 0].flatten(1)
    torch.testing.assert_close(drawn.T.cov().double(), covariance, rtol=0.05, atol=0.1)


def test_large_layers_are_truncated_by_themselves(monkeypatch):
    monkeypatch.setattr(linear_gaussian, "FULL_DIM", 7)
    condition, field, _, _ = joint(300)
    model = fit_closed_form("linear-gaussian", (condition, field))
    assert model.condition_space.basis is None or model.condition_space.rank < 8
    assert model.field_space.basis is None
    assert model.sample(condition[:2], 3, generator=0).shape == (3, 2, 1, 2, 3)


def test_constant_layers_are_no_trouble():
    condition, field = torch.full((30, 1, 2, 2), 0.5), torch.full((30, 1, 2, 2), 0.25)
    model = fit_closed_form("linear-gaussian", (condition, field))
    drawn = model.sample(condition[:2], 5, generator=0)
    torch.testing.assert_close(drawn, torch.full_like(drawn, 0.25), atol=1e-4, rtol=0)
    assert model.log_prob(condition, field).isfinite().all()


def test_clipping_limits_samples_and_nothing_else():
    condition, field, _, _ = joint(300)
    model = fit_closed_form("linear-gaussian", (condition, field))
    clipped = fit_closed_form("linear-gaussian", (condition, field), clip=(-2.5, 0.5))
    plain = model.sample(condition[:4], 9, generator=Streams(1, range(4)))
    assert plain.min() < -2.5 and plain.max() > 0.5
    assert torch.equal(clipped.sample(condition[:4], 9, generator=Streams(1, range(4))), plain.clamp(-2.5, 0.5))
    assert torch.equal(clipped.log_prob(condition, field), model.log_prob(condition, field))


def test_mistakes_are_named():
    condition, field, _, _ = joint(40)
    with pytest.raises(DataError, match="pairs: got 19, expected at least 20"):
        fit_closed_form("linear-gaussian", (condition[:19], field[:19]))
    with pytest.raises(DataError, match="not finite"):
        fit_closed_form("linear-gaussian", (condition, field / 0))
    with pytest.raises(ConfigError, match=r"clip: got \(1.0, 0.0\), expected \(low, high\) with low < high"):
        fit_closed_form("linear-gaussian", (condition, field), clip=(1.0, 0.0))
    with pytest.raises(ConfigError, match="rank: got 0, expected 1 or more"):
        fit_closed_form("linear-gaussian", (condition, field), rank=0)
    model = fit_closed_form("linear-gaussian", (condition, field))
    with pytest.raises(DataError, match=r"field: got shape \(3, 1, 2, 3\), expected \(4, 1, 2, 3\)"):
        model.log_prob(condition[:4], field[:3])
