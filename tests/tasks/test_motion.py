"""Motion: fractions of the frame, warping forward, mirror images."""

import cv2
import numpy as np
import pytest
import torch

from coembed.errors import ConfigError, DataError
from coembed.tasks import get_task
from coembed.tasks.motion import as_fractions, as_pixels
from coembed.training.batches import mirror

TASK = get_task("motion")


def smooth(h, w, seed=0):
    noise = np.random.default_rng(seed).random((h, w, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 3)
    return (noise - noise.min()) / (noise.max() - noise.min())


def test_no_motion_gives_the_photo_to_the_bit():
    photo = np.random.default_rng(0).random((33, 57, 3), dtype=np.float32)
    assert np.array_equal(TASK.compose(photo, np.zeros((33, 57, 2), np.float32)), photo)


def test_what_moves_to_the_right_and_down_is_found_there():
    photo = smooth(60, 80)
    moved = TASK.compose(photo, np.full((60, 80, 2), (8 / 80, 3 / 60), np.float32))
    np.testing.assert_allclose(moved[3:, 8:], photo[:-3, :-8], atol=1e-6)
    assert np.abs(moved[3:, 8:] - photo[3:, 8:]).mean() > 0.02


def test_two_frames_give_the_motion_between_them_a_second():
    large = smooth(100, 140)
    first, second = large[10:90, 20:120], large[8:88, 14:114]  # contents move by (6, 2) pixels
    condition, field = TASK.split_frames(first, second, seconds=0.5)
    assert np.array_equal(condition, first)
    np.testing.assert_allclose(
        field[10:-10, 10:-10].mean((0, 1)), [6 / 100 / 0.5, 2 / 80 / 0.5], atol=0.3 / 100 / 0.5
    )
    # The photo warped along its true motion is the second frame.
    whole_step = TASK.split_frames(first, second)[1]
    assert np.abs(TASK.compose(first, whole_step) - second)[10:-10, 10:-10].mean() < 0.005


def test_a_mirrored_pair_is_the_pair_of_the_mirrored_frames():
    large = smooth(100, 140)
    first, second = large[10:90, 20:120], large[8:88, 14:114]
    field = torch.from_numpy(TASK.split_frames(first, second)[1]).permute(2, 0, 1)[None]
    mirrored = TASK.split_frames(first[:, ::-1].copy(), second[:, ::-1].copy())[1]
    turned = mirror(field, TASK.field.vector)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(turned[10:-10, 10:-10], mirrored[10:-10, 10:-10], atol=0.01)
    assert mirrored[40, 50, 0] < -0.04


def test_fractions_and_pixels_are_each_others_inverse_within_the_range():
    flow = np.random.default_rng(0).normal(0, 5, (12, 40, 2)).astype(np.float32)
    np.testing.assert_allclose(as_pixels(as_fractions(flow, 2.0), 2.0), flow, atol=1e-5)
    assert as_fractions(np.full((4, 4, 2), -99.0, np.float32)).min() == -1


def test_wrong_sizes_and_times_are_errors():
    photo = smooth(20, 30)
    with pytest.raises(DataError, match=r"expected \(20, 30, 2\), the size of the photo"):
        TASK.compose(photo, np.zeros((20, 31, 2), np.float32))
    with pytest.raises(DataError, match=r"expected \(20, 30\) as frame0"):
        TASK.split_frames(photo, photo[:, :-1])
    with pytest.raises(ConfigError, match="seconds is 0"):
        TASK.split_frames(photo, photo, seconds=0)
