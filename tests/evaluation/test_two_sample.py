"""A network tells draws from true fields where they differ, and cannot where they do not."""

import pytest
import torch

from coembed.evaluation.two_sample import MIN_PHOTOS, TwoSampleTest


def fields(condition, n, seed):
    """Fields that go with their conditions: the condition and smooth noise."""
    noise = torch.randn(n, len(condition), 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise.flatten(0, 1), (16, 16), mode="bilinear")
    return condition + 0.3 * smooth.view(n, *condition.shape)


@pytest.fixture(scope="module")
def photos():
    coarse = torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    condition = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    return condition, fields(condition, 1, 1)[0]


def accuracies(condition, sampled, truth, **options):
    test = TwoSampleTest(**options)
    for rows in torch.arange(len(truth)).split(64):
        test.add(condition[rows], sampled[:, rows], truth[rows])
    return test.result()


@pytest.mark.slow
def test_true_draws_cannot_be_told_and_grain_and_blur_can(photos):
    condition, truth = photos
    perfect = accuracies(condition, fields(condition, 4, 2), truth)
    for name in ("c2st", "real_c2st"):
        value, error = perfect[name]
        assert abs(value - 0.5) < 3 * error + 0.03 and 0.01 < error < 0.06
    assert perfect["c2st_other"][0] > 0.75  # fields of other photos do not go with this one
    grainy = fields(condition, 4, 2) + 0.1 * torch.randn(
        4, *truth.shape, generator=torch.Generator().manual_seed(3)
    )
    assert accuracies(condition, grainy, truth)["c2st"][0] > 0.9


def test_it_is_the_same_every_time_and_leaves_the_global_generator_alone(photos):
    condition, truth = (layer[:60] for layer in photos)
    sampled = fields(condition, 2, 4)
    torch.manual_seed(5)
    first = accuracies(condition, sampled, truth, seed=1)
    here = torch.rand(1)
    torch.manual_seed(6)
    assert accuracies(condition, sampled, truth, seed=1) == first
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), here)


def test_a_handful_of_photos_says_nothing(photos):
    condition, truth = (layer[: MIN_PHOTOS - 1] for layer in photos)
    assert accuracies(condition, truth[None].expand(2, *truth.shape), truth) == {}
