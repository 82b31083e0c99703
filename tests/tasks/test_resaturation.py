"""Resaturation agrees with the standard library's HSV and with the colour module."""

import colorsys
import math

import numpy as np
import pytest

from coembed.errors import DataError
from coembed.imaging import color
from coembed.tasks import get_task


def test_split_is_that_of_the_standard_library_with_hue_as_a_direction():
    rgb = np.random.default_rng(0).random((5, 4, 3), dtype=np.float32)
    condition, saturation = get_task("resaturation").split(rgb)
    for y in range(5):
        for x in range(4):
            h, s, v = colorsys.rgb_to_hsv(*(float(c) for c in rgb[y, x]))
            wanted = (v, math.cos(2 * math.pi * h), math.sin(2 * math.pi * h))
            assert condition[y, x] == pytest.approx(wanted, abs=0.021)  # 1.2 degrees
            assert np.hypot(*condition[y, x, 1:]) == pytest.approx(1, abs=1e-6)
            assert saturation[y, x, 0] == pytest.approx(s, abs=1e-6)


def test_greys_have_no_hue():
    condition, saturation = get_task("resaturation").split(np.full((2, 3, 3), 0.4, np.float32))
    assert not condition[..., 1:].any() and not saturation.any() and condition[..., 0] == pytest.approx(0.4)


def test_split_equals_the_colour_module_bit_for_bit():
    rgb = (np.random.default_rng(1).integers(0, 4, (40, 30, 3)) / np.float32(3)).astype(np.float32)
    value, saturation = get_task("resaturation-value").split(rgb)
    assert np.array_equal(value[..., 0], color.value(rgb))
    assert np.array_equal(saturation[..., 0], color.saturation(rgb))


def test_compose_gives_the_saturation_asked_for_at_the_old_value():
    generator = np.random.default_rng(2)
    rgb = generator.uniform(0.1, 1, (6, 7, 3)).astype(np.float32)
    task = get_task("resaturation")
    wanted = generator.random((6, 7, 1), dtype=np.float32)
    condition, saturation = task.split(task.compose(rgb, wanted))
    np.testing.assert_allclose(saturation, wanted, atol=1e-5)
    np.testing.assert_allclose(condition[..., 0], task.split(rgb)[0][..., 0], atol=1e-6)
    coloured = wanted[..., 0] > 0.02  # paler, a hue is a matter of rounding
    np.testing.assert_allclose(condition[coloured, 1:], task.split(rgb)[0][coloured, 1:], atol=1e-4)


def test_a_field_of_another_size_is_refused():
    with pytest.raises(DataError, match=r"field has shape \(2, 2, 1\), expected \(3, 2, 1\)"):
        get_task("resaturation").compose(np.zeros((3, 2, 3), np.float32), np.zeros((2, 2, 1), np.float32))
