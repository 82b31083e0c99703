"""Worlds against their own definitions: densities by another road, frequencies by counting."""

import itertools
import math

import pytest
import torch

from coembed.errors import ConfigError, DataError
from coembed.evaluation.synthetic.scores import energy_distance, mode_scores, score_world, sliced_wasserstein
from coembed.evaluation.synthetic.worlds import WORLDS, Modes, Regions, Shading, Sprites
from coembed.models.base import Sampler
from coembed.numerics.random import Streams


@pytest.fixture(params=WORLDS)
def world(request):
    return WORLDS[request.param](16)


def by_enumeration(world, condition, field):
    """log p of one field: a full multivariate normal for every combination of modes, weighted and summed."""
    modes = world.modes(condition[None])
    parts, weights, means = modes.parts[0], modes.weights[0].double(), modes.means[0].double()
    labels = parts.unique().tolist()
    same = torch.zeros(parts.numel(), parts.numel(), dtype=torch.float64)
    for part in labels:
        inside = (parts.flatten() == part).double()
        same += inside[:, None] * inside
    covariance = world.sigma**2 * torch.eye(parts.numel(), dtype=torch.float64) + world.tau**2 * same
    factor = torch.linalg.cholesky(covariance)
    terms = []
    for choice in itertools.product(*(weights[p].nonzero().flatten().tolist() for p in labels)):
        mean, log_weight = torch.zeros_like(field, dtype=torch.float64), 0.0
        for part, mode in zip(labels, choice, strict=True):
            mean = torch.where(parts == part, means[mode], mean)
            log_weight += math.log(weights[part, mode])
        normal = torch.distributions.MultivariateNormal(torch.zeros(parts.numel()).double(), scale_tril=factor)
        terms.append(log_weight + normal.log_prob((field.double() - mean).flatten(1)).sum())
    return torch.logsumexp(torch.stack(terms), 0).item()


def test_the_density_is_that_of_every_combination_of_modes(world):
    condition, field = world.pairs(2, seed=3)
    found = world.log_prob(condition, field)
    for i in range(2):
        assert found[i].item() == pytest.approx(by_enumeration(world, condition[i], field[i]), rel=1e-5)


def test_probabilities_sum_to_one_and_differ_between_conditions(world):
    condition = world.conditions(40, generator=torch.Generator().manual_seed(0))
    weights = world.modes(condition).weights
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert weights.std(0).max() > 0.05


def test_fields_fall_into_modes_as_often_as_they_should(world):
    condition = world.conditions(3, generator=torch.Generator().manual_seed(0))
    scores = mode_scores(world, condition, world.sample(condition, 400, generator=0))
    assert scores["mode_recall"].min() > 0.95 and scores["on_mode"].min() > 0.97
    assert scores["mode_rmse"] == pytest.approx([1, 1, 1], abs=0.1)
    assert scores["frequency_kl"].max() < 0.03


def test_everything_about_a_condition_survives_float16(world):
    condition = world.conditions(50, generator=torch.Generator().manual_seed(0))
    before, after = world.modes(condition), world.modes(condition.half().float())
    assert torch.equal(before.parts, after.parts)
    torch.testing.assert_close(before.weights, after.weights, atol=0.02, rtol=0)


def test_a_world_is_a_sampler_whose_sample_k_of_photo_i_depends_on_seed_i_and_k_alone(world):
    condition = world.conditions(4, generator=torch.Generator().manual_seed(0))
    whole = world.sample(condition, 6, generator=Streams(5, range(4)))
    assert isinstance(world, Sampler) and whole.shape == (6, 4, *world.field_shape)
    assert torch.equal(world.sample(condition[2:3], 3, generator=Streams(5, [2]))[:, 0], whole[:3, 2])


def test_training_pairs_are_scattered_and_repeat_with_their_seed(world):
    one, again, other = (world.pairs(30, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert len(torch.unique(torch.cat([one[0], other[0]]), dim=0)) == 60


def test_each_world_is_what_it_says():
    shading = Shading(16)
    tilted = torch.linspace(-0.6, 0.6, 16).expand(1, 1, 16, 16)  # rises to the right
    modes = shading.modes(tilted)
    assert modes.weights[0, 0].argmax() == 1  # from the right, which leaves the slope in the shade
    assert modes.means[0, 0, 0, 8, 8] > modes.means[0, 2, 0, 8, 8] > modes.means[0, 1, 0, 8, 8]
    regions = Regions(16)
    condition = regions.conditions(5, generator=torch.Generator().manual_seed(0))
    assert max(len(image.unique()) for image in condition) <= 5
    sprites = Sprites(16)
    frame = sprites.conditions(5, generator=torch.Generator().manual_seed(0))
    motion = sprites.sample(frame, 20, generator=0)
    still = (frame == 0).expand(-1, 2, -1, -1)
    assert motion[:, still].abs().mean() < 0.03
    assert motion[:, ~still].abs().max() > 0.25


@pytest.mark.parametrize("size", [8, 20])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ConfigError, match=f"size: got {size}, expected a multiple of 8, at least 16"):
        Regions(size)


def test_wrong_shapes_and_foreign_conditions_are_named():
    with pytest.raises(
        DataError, match=r"condition: got shape \(2, 3, 16, 16\), expected \(batch, 1, 16, 16\)"
    ):
        Regions(16).sample(torch.zeros(2, 3, 16, 16), 1, generator=0)
    with pytest.raises(DataError, match="grey levels, expected at most 5"):
        Regions(16).modes(torch.rand(1, 1, 16, 16))


class OneMode:
    """Draws truths, but always the first possible mode's: right in every detail, and collapsed."""

    def __init__(self, world):
        self.world = world

    def sample(self, condition, n, *, generator):
        modes = self.world.modes(condition)
        first = (modes.weights > 0).int().argmax(-1)
        weights = torch.zeros_like(modes.weights).scatter_(-1, first[..., None], 1.0)
        return self.world._draw(type(modes)(modes.parts, weights, modes.means), n, generator)


class Blurred(OneMode):
    """Draw the conditional mean: what squared error asks for."""

    def sample(self, condition, n, *, generator):
        return self.world.mean(condition).expand(n, -1, -1, -1, -1)


class Unconditional(OneMode):
    """Draws true fields of other conditions."""

    def sample(self, condition, n, *, generator):
        rows = torch.arange(len(condition))
        fields = self.world.pairs(len(condition) * n, seed=8)[1].view(
            n, len(condition), *self.world.field_shape
        )
        return fields[:, rows]


def test_scores_tell_collapse_and_blur_from_the_truth(world):
    options = {"conditions": 12, "samples": 40, "particles": 1}
    truth, one, blur, other = (
        {key: value.value for key, value in score_world(s, world, **options).scores.items()}
        for s in (world, OneMode(world), Blurred(world), Unconditional(world))
    )
    assert truth["mode_recall"] > 0.9 and abs(truth["conditional_kl"]) < 1e-3
    assert abs(truth["energy_distance"]) < 0.02
    assert one["on_mode"] > 0.95 and one["mode_recall"] < 0.6 and one["frequency_kl"] > 0.3
    assert blur["on_mode"] < 0.05 and blur["mode_recall"] < 0.05 and "conditional_kl" not in blur
    assert truth["mode_mass"] > 0.85 and one["mode_mass"] < 0.6 and blur["mode_mass"] < 0.05
    assert other["mode_mass"] < 0.35  # however many modes fields of other conditions hit by chance
    for wrong in (one, blur):
        assert wrong["energy_distance"] > truth["energy_distance"] + 0.02
        assert wrong["sliced_wasserstein"] > 1.5 * truth["sliced_wasserstein"]


def test_the_density_integrates_to_one(world):
    """E_p[q(y) / p(y)] = 1 for any density q, here that of the same world with other probabilities."""

    class Other(type(world)):
        def modes(self, condition):
            modes = super().modes(condition)
            weights = modes.weights.sqrt()
            return Modes(modes.parts, weights / weights.sum(-1, keepdim=True), modes.means)

    condition, field = world.pairs(1000, seed=5)
    log_p, log_q = world.log_prob(condition, field), Other(16).log_prob(condition, field)
    ratio = (log_q - log_p).exp()
    assert ratio.std() > 0.1
    assert ratio.mean().item() == pytest.approx(1, abs=4 * ratio.std().item() / math.sqrt(len(ratio)))


def test_the_mean_is_that_of_many_fields(world):
    condition = world.conditions(3, generator=torch.Generator().manual_seed(0))
    many = world.sample(condition, 500, generator=1)
    error = (many.mean(0) - world.mean(condition)).square().mean().sqrt()
    assert error < 1.5 * (many.var(0).mean() / 500).sqrt()


def test_the_likelihood_sees_a_wrong_model_by_its_exact_divergence():
    world = Regions(16)

    class Wider(Regions):
        def sample(self, condition, n, *, generator):
            return world.sample(condition, n, generator=generator)

    wider = Wider(16)
    wider.sigma = 2 * world.sigma
    found = score_world(wider, world, conditions=60, samples=2, particles=1).scores["conditional_kl"]
    # Of 256 values all but one a part have the variance sigma^2 alone: ln 2 - 3/8 nats each.
    assert found.value == pytest.approx(252 * (math.log(2) - 3 / 8), rel=0.03)


def test_distances_of_sets_are_those_of_their_definitions():
    g = torch.Generator().manual_seed(0)
    one, other = torch.randn(60, 3, 1, 4, 4, generator=g), torch.randn(60, 3, 1, 4, 4, generator=g)
    assert energy_distance(one, other).abs().max() < 0.1
    shifted = energy_distance(one, other + 3)
    assert (shifted > 2).all()
    constant = sliced_wasserstein(one, one + 2.0)
    directions = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    expected = (2 * directions / directions.norm(dim=0)).sum(0).abs().mean()
    torch.testing.assert_close(constant, expected.expand(3), rtol=1e-4, atol=1e-4)
