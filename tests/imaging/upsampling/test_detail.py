import numpy as np
import pytest

from coembed.errors import ConfigError, DataError
from coembed.imaging.upsampling.detail import detail_delta
from coembed.imaging.upsampling.interpolate import Interpolator


def add_detail(layer, change, log=False):
    return layer * np.exp(change) if log else layer + change


def detailed_strips(up, layer, sample, own, strength=1.0, log=False, rows=256):
    """Eq. 10 strip by strip, as photos are edited."""
    for part, change in up.strips(detail_delta(sample, own, strength, log=log), rows):
        yield part, add_detail(layer[..., part, :], change, log=log)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 110, 3), np.uint8)


@pytest.mark.parametrize("log", [False, True])
def test_identity_a_sample_equal_to_the_reconstruction_returns_the_layer_bit_for_bit(photo, log):
    rng = np.random.default_rng(1)
    layer = rng.random((90, 110), np.float32)
    same = rng.random((3, 8, 8), np.float32)
    up = Interpolator(photo, (8, 8), working_pixels=2_000)
    for part, strip in detailed_strips(up, layer, same, same, log=log, rows=32):
        for one in strip:
            np.testing.assert_array_equal(one, layer[part])


def test_strength_scales_the_change_and_zero_is_the_photo(photo):
    rng = np.random.default_rng(2)
    layer, sample, own = rng.random((90, 110), np.float32), *rng.random((2, 8, 8), np.float32)
    up = Interpolator(photo, (8, 8), overshoot=None)

    def change(strength):
        return np.concatenate(
            [s - layer[p] for p, s in detailed_strips(up, layer, sample, own, strength=strength)]
        )

    np.testing.assert_array_equal(change(0.0), 0)
    np.testing.assert_allclose(change(0.5), 0.5 * change(1.0), atol=1e-5)
    np.testing.assert_allclose(change(1.0), up(sample) - up(own), atol=1e-4)


def test_log_domain_multiplies():
    sample, own = np.float32([[0.4, 0.0]]), np.float32([[0.2, 0.0]])
    delta = detail_delta(sample, own, log=True)
    np.testing.assert_allclose(add_detail(np.float32([[0.3, 0.3]]), delta, log=True), [[0.6, 0.3]], rtol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="strength is -1"):
        detail_delta(np.zeros((2, 2)), np.zeros((2, 2)), -1)
    with pytest.raises(ConfigError, match="floor is 0"):
        detail_delta(np.zeros((2, 2)), np.zeros((2, 2)), floor=0)
    with pytest.raises(DataError, match=r"\(2, 3\)"):
        detail_delta(np.zeros((2, 3)), np.zeros((2, 2)))
