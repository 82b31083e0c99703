"""Flow over a long step: there and back, by each way; inverting and refining."""

import cv2
import numpy as np
import pytest

from coembed.errors import ConfigError, DataError
from coembed.imaging.flow import estimate as flow
from coembed.imaging.flow.chain import frames_wanted, there_and_back

STEPS = 8


def turning(h=96, w=128):
    """A texture that turns and drifts, its frames and its true flow from the first to the last."""
    noise = np.random.default_rng(1).random((h, w, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    picture = np.uint8(255 * (picture - picture.min()) / (picture.max() - picture.min()))
    frames, matrix = [picture], np.eye(2, 3)
    for k in range(1, STEPS + 1):
        matrix = cv2.getRotationMatrix2D((w / 2, h / 2), 2.5 * k, 1.0)
        matrix[:, 2] += (2.5 * k, 0.5 * k)
        frames.append(cv2.warpAffine(picture, matrix, (w, h), borderMode=cv2.BORDER_REFLECT))
    y, x = np.mgrid[:h, :w].astype(np.float64)
    target = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    return frames, (target - np.stack([x, y], -1)).astype(np.float32)


FRAMES, TRUTH = turning()


def seen(via):
    return [FRAMES[n] for n in frames_wanted(STEPS, via)]


def error(forward):
    stays = np.isfinite(flow.forward_backward_error(TRUTH, np.zeros_like(TRUTH)))
    return flow.end_point_error(forward, TRUTH, stays)


@pytest.mark.parametrize("via", ["auto", "chain"])
def test_what_turns_too_far_for_one_match_is_followed(via):
    direct, _ = there_and_back(seen("direct"), "direct")
    forward, backward = there_and_back(seen(via), via)
    assert error(forward) < 3
    assert error(forward) < error(direct) / 5
    assert flow.validity(forward, backward).mean() > 0.6
    assert flow.validity(*there_and_back(seen("direct"), "direct")).mean() < 0.3


def test_backward_is_forward_of_the_reversed_frames():
    forward, backward = there_and_back(seen("auto"), "auto")
    other, back = there_and_back(seen("auto")[::-1], "auto")
    assert np.array_equal(forward, back)
    assert np.array_equal(backward, other)


def test_still_frames_give_no_motion():
    forward, backward = there_and_back([FRAMES[0]] * 5, "auto")
    assert max(np.abs(forward).max(), np.abs(backward).max()) < 0.05


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="via is 'teleport'"):
        frames_wanted(8, "teleport")
    with pytest.raises(ConfigError, match="via is 'teleport'"):
        there_and_back(FRAMES[:3], "teleport")
    with pytest.raises(DataError, match="flow over 1 frames"):
        there_and_back(FRAMES[:1])
    with pytest.raises(DataError, match="expected one size"):
        flow.refine(FRAMES[0], FRAMES[1], TRUTH[:-1])


def test_refining_a_rough_start_comes_nearer_and_leaves_the_start_alone():
    rough = TRUTH + np.float32(1.5)
    before = rough.copy()
    assert error(flow.refine(FRAMES[0], FRAMES[-1], rough)) < 0.5 * error(rough)
    assert np.array_equal(rough, before)


def test_what_does_not_look_like_its_end_is_told_from_what_does():
    still = np.zeros_like(TRUTH)
    assert flow.looks_alike(FRAMES[0], FRAMES[0], still).all()
    assert flow.looks_alike(FRAMES[0], FRAMES[-1], TRUTH)[20:-20, 20:-40].mean() > 0.95
    assert flow.looks_alike(FRAMES[0], 255 - FRAMES[0], still).mean() < 0.7
    assert not flow.looks_alike(FRAMES[0] // 2, FRAMES[0] // 2 + 100, still).any()


def test_tiny_frames_can_be_refined():
    small = FRAMES[0][:20, :30]
    assert np.abs(flow.refine(small, small, np.zeros((20, 30, 2), np.float32))).max() < 0.05


def test_the_inverse_leads_back():
    back = flow.invert(TRUTH / 4)
    there_again = flow.compose(back, TRUTH / 4)
    assert np.abs(there_again[30:-30, 30:-30]).max() < 0.05
    assert not flow.invert(np.zeros((5, 7, 2), np.float32)).any()
