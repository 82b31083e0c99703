"""Differences between versions are those that are seen: CIEDE2000, at equal lightness where light is meant."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from coembed.editing.perception import picture_distances
from coembed.imaging import color
from coembed.imaging.io.photo import read_photo
from coembed.tasks import get_task

SATURATED = np.uint8([180, 90, 70])


def flat(size=(64, 96)):
    return read_photo(np.broadcast_to(SATURATED, (*size, 3)).copy())


def test_they_are_mean_ciede2000_of_the_rendered_colours():
    deltas = np.zeros((3, 1, 8, 8), np.float32)
    deltas[1], deltas[2, :, :, :4] = -0.3, -0.3
    found = picture_distances(flat(), get_task("resaturation"), deltas)
    changed = np.rint(
        color.with_saturation(SATURATED[None, None] / np.float32(255), np.float32([[0.611 - 0.3]])) * 255
    )
    one = deltaE_ciede2000(rgb2lab(SATURATED / 255), rgb2lab(changed[0, 0] / 255))
    assert np.array_equal(found, found.T) and not found.diagonal().any()
    assert found[0, 1] == pytest.approx(one, abs=0.4)
    assert found[0, 2] == pytest.approx(found[0, 1] / 2, rel=0.02) == pytest.approx(found[1, 2], rel=0.02)


def test_exposure_alone_is_no_difference_of_light_and_its_place_is():
    photo, deltas = flat(), np.zeros((3, 1, 8, 8), np.float32)
    deltas[1] = -0.5
    deltas[2, :, :, :4], deltas[2, :, :, 4:] = 0.4, -0.4
    found = picture_distances(photo, get_task("relighting"), deltas)
    assert found[0, 1] < 2.6 < 5 < found[0, 2]


@pytest.mark.parametrize("size", [4, 32, 96])
def test_any_size_of_field_is_compared_at_a_small_one(size):
    deltas = np.zeros((2, 1, size, size), np.float32)
    deltas[1, :, size // 2 :] = -0.4
    found = picture_distances(flat((200, 120)), get_task("resaturation"), deltas)
    small = np.zeros((2, 1, 32, 32), np.float32)
    small[1, :, 16:] = -0.4
    assert found[0, 1] == pytest.approx(
        picture_distances(flat((200, 120)), get_task("resaturation"), small)[0, 1], rel=0.02
    )
