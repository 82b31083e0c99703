import colorsys

import numpy as np
import pytest
import skimage.color
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coembed.imaging.color import (
    hsv_to_rgb,
    levels_to_linear,
    linear_to_srgb,
    rgb_to_hsv,
    saturation,
    srgb_to_linear,
    value,
    with_saturation,
)

unit = st.floats(0, 1, width=32)
pixels = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5), st.just(3)), elements=unit)
corners = np.array(
    [*np.ndindex(2, 2, 2), [0.25] * 3, [0.5] * 3, [1, 0.5, 0]],
    np.float32,
)


def hue_gap(a, b):
    gap = np.abs(np.asarray(a, np.float64) - b)
    return np.minimum(gap, 1 - gap)


def looped(function, array):
    return np.array([function(*map(float, p)) for p in array.reshape(-1, 3)]).reshape(array.shape)


@settings(max_examples=150, deadline=None)
@given(pixels)
def test_hsv_equals_colorsys(rgb):
    hsv, expected = rgb_to_hsv(rgb), looped(colorsys.rgb_to_hsv, rgb)
    assert hsv.dtype == np.float32 and (hsv[..., 0] >= 0).all() and (hsv[..., 0] < 1).all()
    np.testing.assert_allclose(hsv[..., 1:], expected[..., 1:], atol=1e-6)
    assert hue_gap(hsv[..., 0], expected[..., 0]).max() < 1e-6
    np.testing.assert_array_equal(value(rgb), hsv[..., 2])
    np.testing.assert_array_equal(saturation(rgb), hsv[..., 1])


@settings(max_examples=150, deadline=None)
@given(pixels)
def test_rgb_equals_colorsys(hsv):
    np.testing.assert_allclose(hsv_to_rgb(hsv), looped(colorsys.hsv_to_rgb, hsv), atol=2e-6)


@settings(max_examples=100, deadline=None)
@given(pixels)
def test_hsv_there_and_back(rgb):
    np.testing.assert_allclose(hsv_to_rgb(rgb_to_hsv(rgb)), rgb, atol=2e-6)


def test_random_photo_equals_skimage():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.float32) / np.float32(255)
    expected = skimage.color.rgb2hsv(rgb.astype(np.float64))
    hsv = rgb_to_hsv(rgb)
    assert hue_gap(hsv[..., 0], expected[..., 0]).max() < 1e-6
    np.testing.assert_allclose(hsv[..., 1:], expected[..., 1:], atol=1e-6)
    np.testing.assert_allclose(hsv_to_rgb(hsv), skimage.color.hsv2rgb(expected), atol=2e-6)


def test_edges_are_exact():
    expected = looped(colorsys.rgb_to_hsv, corners).astype(np.float32)
    np.testing.assert_array_equal(rgb_to_hsv(corners), expected)
    np.testing.assert_array_equal(hsv_to_rgb(expected), corners)
    np.testing.assert_array_equal(saturation(corners), expected[:, 1])


def test_a_hue_just_below_red_is_not_a_whole_turn():
    assert rgb_to_hsv(np.array([1, 0, 1e-9], np.float32))[0] == 0


@settings(max_examples=150, deadline=None)
@given(pixels, st.floats(0, 1, width=32))
def test_with_saturation_equals_the_way_through_hue(rgb, wanted):
    got = with_saturation(rgb, np.full(rgb.shape[:2], wanted, np.float32))
    assert got.dtype == np.float32 and got.min() >= 0
    hsv = looped(colorsys.rgb_to_hsv, rgb)
    hsv[..., 1] = np.where(hsv[..., 1] > 0, wanted, 0)
    np.testing.assert_allclose(got, looped(colorsys.hsv_to_rgb, hsv), atol=3e-6)
    np.testing.assert_array_equal(value(got), value(rgb))


def test_with_saturation_at_the_edges():
    ones, zeros = np.ones(len(corners), np.float32), np.zeros(len(corners), np.float32)
    grey = np.ptp(corners, axis=1) == 0
    np.testing.assert_array_equal(with_saturation(corners, ones)[grey], corners[grey])
    np.testing.assert_array_equal(with_saturation(corners, zeros), np.repeat(value(corners)[:, None], 3, 1))
    np.testing.assert_array_equal(with_saturation(corners, saturation(corners)), corners)
    np.testing.assert_array_equal(with_saturation(corners, 7 * ones), with_saturation(corners, ones))


def test_own_saturation_gives_the_same_bytes_back():
    levels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    rgb = levels / np.float32(255)
    again = with_saturation(rgb, saturation(rgb))
    np.testing.assert_array_equal((again * 255).round().astype(np.uint8), levels)


@settings(max_examples=100, deadline=None)
@given(pixels)
def test_linear_there_and_back(srgb):
    assert np.abs(linear_to_srgb(srgb_to_linear(srgb)) - srgb).max() < 1e-6


def test_linear_equals_a_scalar_double_precision_loop_and_skimage():
    srgb = np.linspace(0, 1, 3003).reshape(-1, 3)
    expected = np.array([x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in srgb.ravel()])
    np.testing.assert_allclose(srgb_to_linear(srgb).ravel(), expected, atol=1e-6)
    # XYZ of a grey axis is linear light times the white point.
    grey = np.repeat(np.linspace(0, 1, 101)[:, None], 3, 1)
    y = skimage.color.rgb2xyz(grey)[:, 1]
    np.testing.assert_allclose(srgb_to_linear(grey)[:, 0], y, atol=1e-6)
    np.testing.assert_array_equal(srgb_to_linear(np.array([0.0, 1.0])), [0, 1])
    np.testing.assert_array_equal(linear_to_srgb(np.array([0.0, 1.0])), [0, 1])


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        value(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        with_saturation(np.zeros((2, 3)), np.zeros(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_to_linear_is_the_curve_at_every_level(dtype):
    top = np.iinfo(dtype).max
    levels = np.arange(top + 1).astype(dtype).reshape(-1, 64)
    assert (levels_to_linear(levels) == srgb_to_linear(levels / np.float32(top))).all()
