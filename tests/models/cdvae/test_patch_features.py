"""Features of patches and the ridge regression on them: closed forms against dense ones, and what they find."""

import pytest
import torch

from coembed.models.cdvae.config import RegressionConfig
from coembed.models.cdvae.patch_features import Patches, fit_in
from coembed.models.cdvae.presets import preset
from coembed.models.cdvae.regression import Regression
from coembed.numerics.ridge import Moments, reduced


def made(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def textured(count, seed=0):
    """Images whose noise is as strong as their field, one number an image, that no linear map can tell."""
    strength = 0.5 + 2 * torch.rand(count, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    ground = torch.nn.functional.interpolate(made(count, 1, 3, 3, seed=seed + 1), (12, 12), mode="bicubic")
    images = ground + 0.2 * strength * made(count, 1, 12, 12, seed=seed + 2)
    return images, (strength - 1.5).expand(-1, 1, 12, 12)


def started(condition, field, **options):
    config = RegressionConfig(rank=8, channels=0, features=4, patches=16, patch_rank=6, **options)
    regression = Regression(config, tuple(condition.shape[1:]), tuple(field.shape[1:]))
    return regression, regression.initialize_from_data(condition, field)


def test_moments_of_parts_give_the_ridge_regression_of_the_whole():
    a, b, penalty = made(200, 5), made(200, 3, seed=1), torch.rand(5).double()
    mean, scale = a.mean(0).double(), 1 / a.std(0).double()
    b = b - b.mean(0)
    moments = (Moments.of(a[:70], b[:70]) + Moments.of(a[70:], b[70:])).standardised(mean, scale)
    z = (a.double() - mean) * scale
    expected = torch.linalg.solve(z.T @ z / 200 + torch.diag(penalty), z.T @ b.double() / 200)
    torch.testing.assert_close(moments.solve(penalty), expected)
    error = (b.double() - z @ expected).square().sum(1).mean()
    assert moments.error(expected) == pytest.approx(float(error))


@pytest.mark.parametrize("outputs", [3, 9])
def test_reduced_rank_keeps_the_leading_directions_of_the_predictions(outputs):
    a, weights = made(300, 6).double() * torch.arange(1, 7), made(6, outputs, seed=1).double()
    narrow, widen = reduced(weights, a.T @ a / 300, 2)
    left, values, right = torch.linalg.svd(a @ weights, full_matrices=False)
    torch.testing.assert_close(a @ narrow @ widen, left[:, :2] * values[:2] @ right[:2])


def test_features_do_not_depend_on_the_batch_or_on_brightness_and_contrast():
    patches = Patches((2, 12, 12), 8)
    x = made(40, 2, 12, 12)
    patches.initialize_from_data(x)
    found = patches(x)
    assert found.shape == (40, patches.size) == (40, 32)
    torch.testing.assert_close(torch.cat([patches(x[:3]), patches(x[3:])]), found)
    torch.testing.assert_close(patches(3 + 2 * x), found, atol=0.02, rtol=0)
    assert not torch.allclose(patches(x + 0.5 * made(40, 2, 12, 12, seed=1)), found, atol=0.02)


def test_large_images_are_shrunk_and_small_ones_have_no_patches():
    patches = Patches((1, 64, 32), 4)
    assert (patches.side, patches.places) == ((32, 16), (29, 13))
    patches.initialize_from_data(made(30, 1, 64, 32))
    assert patches(made(2, 1, 64, 32)).isfinite().all()
    assert fit_in((3, 8, 8))
    assert not fit_in((3, 7, 40))
    assert preset("default", (1, 4, 4), (1, 4, 4)).regression.patches == 0


def test_patches_tell_what_is_not_linear():
    condition, field = textured(1500)
    regression, mean = started(condition, field)
    torch.testing.assert_close(regression(condition)[0], mean, atol=2e-3, rtol=0)
    new, truth = textured(300, seed=7)
    variance, linear = truth.var(), regression.ridge(new)[1]
    assert (truth - linear).square().mean() > 0.9 * variance
    assert (truth - regression(new)[0]).square().mean() < 0.5 * variance


def test_where_patches_tell_nothing_the_mean_is_the_linear_one():
    condition, field = textured(400)
    field = made(400, 1, 12, 12, seed=9)
    regression, mean = started(condition, field)
    torch.testing.assert_close(regression.ridge(condition)[1], mean)
    found, features = regression(condition)
    torch.testing.assert_close(found, mean)
    assert features.shape == (400, regression.feature_size) == (400, 10)
    white = features[:, :6]
    torch.testing.assert_close(white.T @ white / 400, torch.eye(6), atol=0.05, rtol=0)


def test_constant_images_stay_finite():
    condition = made(50, 1, 1, 1).expand(-1, 1, 8, 8)
    regression, mean = started(condition, made(50, 1, 8, 8, seed=1))
    assert mean.isfinite().all()
    assert regression(condition)[1].isfinite().all()
