import cv2
import numpy as np
import pytest

from coembed.imaging.upsampling.guided import GuidedFilter


def reference(guide: np.ndarray, field: np.ndarray, radius: tuple[int, int], epsilon: float) -> np.ndarray:
    """He's formula as it stands, in float64 with numpy's inverses."""
    guide, field = guide.astype(np.float64), field.astype(np.float64)

    def mean(plane):
        return cv2.blur(plane, (2 * radius[1] + 1, 2 * radius[0] + 1), borderType=cv2.BORDER_REFLECT)

    channels = range(guide.shape[2])
    centre = np.stack([mean(guide[..., c]) for c in channels], -1)
    products = np.stack([[mean(guide[..., i] * guide[..., j]) for j in channels] for i in channels])
    covariance = np.moveaxis(products, (0, 1), (2, 3)) - centre[..., None] * centre[..., None, :]
    joint = np.stack([mean(guide[..., c] * field) for c in channels], -1) - centre * mean(field)[..., None]
    slope = np.linalg.solve(covariance + epsilon * np.eye(len(channels)), joint[..., None])[..., 0]
    offset = mean(field) - (slope * centre).sum(-1)
    return sum(mean(slope[..., c]) * guide[..., c] for c in channels) + mean(offset)


@pytest.mark.parametrize("colour", [0.0, 0.01, 0.5])
def test_is_the_formula_even_for_a_nearly_grey_photo_of_full_contrast(colour):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 2, (60, 80, 1)).astype(np.float32)
    guide = np.clip(grey + colour * rng.normal(size=(60, 80, 3)), 0, 1).astype(np.float32)
    field = rng.random((60, 80), np.float32)
    result = GuidedFilter(guide, (3, 5), epsilon=1e-4)(field)
    np.testing.assert_allclose(result, reference(guide, field, (3, 5), 1e-4), atol=2e-3)


def test_grey_guides_zero_and_what_is_linear_in_the_guide():
    guide = np.random.default_rng(1).random((40, 50, 1), np.float32)
    filtered = GuidedFilter(guide, (4, 4), epsilon=1e-4)
    np.testing.assert_array_equal(filtered(np.zeros((40, 50), np.float32)), 0)
    field = 3 * guide[..., 0] - 1
    np.testing.assert_allclose(filtered(field), field, atol=0.01)
    np.testing.assert_allclose(filtered(field), reference(guide, field, (4, 4), 1e-4), atol=1e-3)
