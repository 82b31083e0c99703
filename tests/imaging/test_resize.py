import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coembed.imaging.color import srgb_to_linear
from coembed.imaging.resize import area_average, area_weights, shrink_photo, shrunk_size


def brute_force(layer, size):
    """Each cell integrated pixel by pixel with overlaps of real intervals, in float64."""
    h, w = layer.shape[:2]
    out = np.zeros((*size, *layer.shape[2:]))
    for i in range(size[0]):
        for j in range(size[1]):
            top, bottom = i * h / size[0], (i + 1) * h / size[0]
            left, right = j * w / size[1], (j + 1) * w / size[1]
            for y in range(h):
                for x in range(w):
                    overlap = max(0, min(bottom, y + 1) - max(top, y)) * max(
                        0, min(right, x + 1) - max(left, x)
                    )
                    out[i, j] += overlap * layer[y, x]
            out[i, j] /= (bottom - top) * (right - left)
    return out


sizes = st.tuples(st.integers(1, 11), st.integers(1, 11))


@settings(max_examples=60, deadline=None)
@given(before=sizes, after=sizes, channels=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_equals_brute_force_for_any_ratio(before, after, channels, seed):
    layer = np.random.default_rng(seed).random((*before, channels), np.float32)
    got = area_average(layer, after)
    assert got.shape == (*after, channels) and got.dtype == np.float32
    np.testing.assert_allclose(got, brute_force(layer, after), atol=1e-6)
    np.testing.assert_allclose(got.mean((0, 1), np.float64), layer.mean((0, 1), np.float64), atol=1e-6)


@pytest.mark.parametrize(
    "before, after", [((480, 640), (32, 32)), ((375, 500), (32, 32)), ((100, 90), (64, 90))]
)
def test_opencv_agrees_when_shrinking(before, after):
    layer = np.random.default_rng(3).random((*before, 2), np.float32)
    expected = cv2.resize(layer, after[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(area_average(layer, after), expected, atol=2e-6)


@pytest.mark.parametrize("pixels, cells", [(640, 32), (481, 32), (32, 481), (7, 7), (1, 5), (2049, 2048)])
def test_weights_are_shares(pixels, cells):
    weights = area_weights(pixels, cells).toarray().astype(np.float64)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights.sum(0), cells / pixels, rtol=1e-5)


def test_a_large_photo_keeps_its_mean():
    layer = np.random.default_rng(0).random((1503, 2007, 1), np.float32)
    assert abs(area_average(layer, (32, 32)).mean(dtype=np.float64) - layer.mean(dtype=np.float64)) < 1e-6


def test_whole_factors_enlarge_by_repeating():
    layer = np.random.default_rng(0).random((3, 4, 2), np.float32)
    np.testing.assert_array_equal(area_average(layer, (6, 12)), layer.repeat(2, 0).repeat(3, 1))


def test_same_size_is_a_copy():
    layer = np.random.default_rng(0).random((3, 4, 2), np.float32)
    same = area_average(layer, (3, 4))
    np.testing.assert_array_equal(same, layer)
    assert not np.shares_memory(same, layer)


def test_two_dimensions_in_two_out():
    assert area_average(np.ones((5, 7)), (2, 9)).shape == (2, 9)
    assert area_average(np.ones((5, 7)), (2, 3)).shape == (2, 3)


@pytest.mark.parametrize("shape, size", [((0, 3, 1), (1, 1)), ((3,), (1, 1)), ((3, 3, 1), (0, 2))])
def test_senseless_requests_are_refused(shape, size):
    with pytest.raises(ValueError, match="expected"):
        area_average(np.zeros(shape), size)


def test_shrinking_keeps_the_mean_light_and_never_enlarges():
    photo = np.random.default_rng(0).random((30, 44, 3), dtype=np.float32)
    small = shrink_photo(photo, 11)
    assert small.shape == (8, 11, 3) and small.dtype == np.float32
    light, before = (srgb_to_linear(p).mean((0, 1)) for p in (small, photo))
    np.testing.assert_allclose(light, before, rtol=1e-5)
    assert shrink_photo(photo, 44) is photo and shrink_photo(photo, None) is photo


@pytest.mark.parametrize(
    ("size", "small"), [((3, 4000), (1, 256)), ((4000, 3), (256, 1)), ((256, 9), (256, 9))]
)
def test_no_side_shrinks_to_nothing(size, small):
    assert shrunk_size(size, 256) == small
