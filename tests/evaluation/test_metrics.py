import itertools

import numpy as np
import pytest
import scoringrules
import torch

from coembed.errors import ConfigError, DataError
from coembed.evaluation import metrics
from coembed.numerics import scoring_rules as rules


def draw(n, batch=3, c=2, h=8, w=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, batch, c, h, w, generator=g), torch.randn(batch, c, h, w, generator=g)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_best_of_n_is_the_mean_over_every_subset(n):
    samples, truth = draw(6)
    errors = (samples - truth).square().mean(dim=(2, 3, 4))
    subsets = [errors[list(s)].min(0).values for s in itertools.combinations(range(6), n)]
    torch.testing.assert_close(metrics.best_of_n(samples, truth, (n,))[n], torch.stack(subsets).mean(0))


def test_best_of_one_is_the_mean_error_and_best_of_all_the_least():
    samples, truth = draw(100)
    errors = rules.squared_errors(samples, truth)
    best = metrics.best_of_n(samples, truth, (1, 3, 10, 100))
    torch.testing.assert_close(best[1], errors.mean(0))
    assert torch.equal(best[100], errors.min(0).values)
    assert (best[1] > best[3]).all() and (best[3] > best[10]).all() and (best[10] > best[100]).all()


def test_best_of_more_than_there_are_is_refused():
    samples, truth = draw(4)
    with pytest.raises(ConfigError, match="best of 10 needs at least 10 samples, got 4"):
        metrics.best_of_n(samples, truth, (3, 10))


def test_grid_variance_reads_the_papers_sixteen_points():
    samples = torch.zeros(5, 2, 1, 32, 32)
    points = torch.tensor([4, 12, 20, 28])
    values = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    samples[:, 0, 0, points[:, None], points] = values[:, None, None]
    samples[:, 1] = values[:, None, None, None]
    samples[:, 1, 0, points[:, None], points] = 7.0
    torch.testing.assert_close(
        metrics.grid_variance(samples), torch.tensor([np.var(values.numpy(), ddof=1), 0.0])
    )


def test_grid_variance_of_any_size():
    samples = torch.zeros(2, 1, 1, 64, 16)
    samples[1, 0, 0, 8, 2] = 4.0  # centre of the first of 4 x 4 cells
    assert metrics.grid_variance(samples).item() == pytest.approx(8 / 16)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_energy_score_agrees_with_scoringrules(n):
    samples, truth = draw(n)
    fair = scoringrules.es_ensemble(
        truth.flatten(1).double().numpy(), samples.flatten(2).movedim(0, 1).double().numpy(), estimator="fair"
    )
    np.testing.assert_allclose(rules.energy_score(samples, truth).numpy(), fair, rtol=1e-5)


def test_energy_score_of_near_duplicates_far_from_zero_keeps_its_digits():
    samples, truth = draw(20)
    near = 1000 + 1e-2 * samples
    direct = torch.stack([torch.pdist(near[:, i].flatten(1).double()).mean() for i in range(3)])
    error = (near - 1000.0 - truth).flatten(2).double().norm(dim=2).mean(0)
    torch.testing.assert_close(
        rules.energy_score(near, truth + 1000.0), (error - direct / 2).float(), rtol=1e-4, atol=1e-5
    )


def test_energy_score_does_not_depend_on_the_number_of_samples_in_expectation():
    samples, truth = draw(10, batch=4000, c=1, h=2, w=2)
    few, many = (
        rules.energy_score(samples[:2], truth).mean(),
        rules.energy_score(samples, truth).mean(),
    )
    assert abs(few - many) < 0.03  # the unfair form differs by 0.36 here
    assert few == pytest.approx(torch.pdist(truth[:1500].flatten(1)).mean().item() / 2, rel=0.05)


@pytest.mark.parametrize("score", ["energy", "crps"])
def test_proper_scores_prefer_the_truth_on_a_two_mode_toy(score):
    g = torch.Generator().manual_seed(1)

    def modes(shape, share=0.5):
        sign = torch.where(torch.rand(*shape, 1, 1, 1, generator=g) < share, 1.0, -1.0)
        return sign + 0.1 * torch.randn(*shape, 1, 4, 4, generator=g)

    truth = modes((400,))
    rivals = {
        "right": modes((20, 400)),
        "only one mode": modes((20, 400), 1.0),
        "wrong weights": modes((20, 400), 0.9),
        "the mean": 0.1 * torch.randn(20, 400, 1, 4, 4, generator=g),
        "too wide": 2 * modes((20, 400)),
    }
    function = rules.energy_score if score == "energy" else rules.crps
    scores = {name: function(samples, truth).mean().item() for name, samples in rivals.items()}
    assert all(scores["right"] < value - 0.05 for name, value in scores.items() if name != "right"), scores


def test_multiscale_scores_see_white_noise_that_has_the_right_norm():
    g = torch.Generator().manual_seed(2)
    smooth = lambda *s: torch.randn(*s, 1, 1, 1, generator=g).expand(*s, 1, 16, 16)  # noqa: E731
    truth, right = smooth(200), smooth(30, 200)
    noise = torch.randn(30, 200, 1, 16, 16, generator=g)
    fine = rules.energy_score(noise, truth).mean() / rules.energy_score(right, truth).mean()
    coarse = rules.multiscale_energy_score(noise, truth, (8,))[8].mean()
    coarse_right = rules.multiscale_energy_score(right, truth, (8,))[8].mean()
    assert coarse / coarse_right > 1.15 and fine < coarse / coarse_right


def test_multiscale_scores_share_a_unit():
    samples, truth = draw(6, c=1, h=1, w=1)
    flat, flat_truth = samples.expand(-1, -1, -1, 16, 16), truth.expand(-1, -1, 16, 16)
    scores = rules.multiscale_energy_score(flat, flat_truth)
    for scale in (1, 2, 4, 8):
        torch.testing.assert_close(scores[scale], rules.energy_score(flat, flat_truth))


def test_multiscale_pools_partial_cells_and_refuses_scales_beyond_the_field():
    samples, truth = draw(5, c=1, h=5, w=4)
    blocks = [samples[..., :4, :].mean((-2, -1)), samples[..., 4:, :].mean((-2, -1))]
    pooled = torch.stack(blocks, dim=-1)[..., None]
    truths = torch.stack([truth[..., :4, :].mean((-2, -1)), truth[..., 4:, :].mean((-2, -1))], -1)[..., None]
    torch.testing.assert_close(
        rules.multiscale_energy_score(samples, truth, (4,))[4],
        4 * rules.energy_score(pooled, truths),
    )
    with pytest.raises(ConfigError, match="scales: got 8, expected 1 to 4"):
        rules.multiscale_energy_score(samples, truth)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_crps_agrees_with_scoringrules(n):
    samples, truth = draw(n)
    fair = scoringrules.crps_ensemble(
        truth.double().numpy(), samples.movedim(0, -1).double().numpy(), estimator="fair"
    )
    np.testing.assert_allclose(rules.crps(samples, truth).numpy(), fair.mean((1, 2, 3)), rtol=1e-5, atol=1e-7)


def test_sharpness_is_the_energy_of_gradients():
    ramp = torch.arange(8.0).expand(1, 1, 6, 8)
    of_samples, of_truth = metrics.sharpness(torch.stack([3 * ramp, ramp]), ramp + 5)
    assert of_truth.item() == pytest.approx(1.0)
    assert of_samples.item() == pytest.approx((9 + 1) / 2)


def test_shapes_that_do_not_fit_are_named():
    samples, truth = draw(4)
    with pytest.raises(DataError, match=r"truth: got shape \(2, 2, 8, 6\), expected \(3, 2, 8, 6\)"):
        rules.crps(samples, truth[:2])
    with pytest.raises(DataError, match=r"expected \(n, batch, c, h, w\)"):
        rules.energy_score(samples[0], truth)
    with pytest.raises(ConfigError, match="got 1 per condition, expected at least 2"):
        rules.energy_score(samples[:1], truth)
