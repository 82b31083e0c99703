import io

import cv2
import numpy as np
import pytest
from PIL import Image

from coembed.imaging.flow.animation import Calm, animation_bytes, calm, carry, loop


def texture(h=60, w=80, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (h, w, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip((smooth - smooth.mean()) * 4 + 128, 0, 255).astype(np.uint8)


def dot(y, x, h=60, w=80):
    photo = np.zeros((h, w, 3), np.uint8)
    cv2.circle(photo, (x, y), 4, (255, 255, 255), -1)
    return photo


def center(photo):
    weight = photo[..., 0].astype(np.float64)
    ys, xs = np.mgrid[: photo.shape[0], : photo.shape[1]]
    return (weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum()


def constant(dx, dy, h=60, w=80):
    return np.broadcast_to(np.array([dx, dy], np.float32), (h, w, 2)).copy()


def mound(peak, h=60, w=80, width=8.0):
    """Everything still but for a smooth hill of motion to the right in the middle."""
    ys, xs = np.mgrid[:h, :w]
    hill = np.exp(-((xs - w / 2) ** 2 + (ys - h / 2) ** 2) / (2 * width**2))
    return np.stack([peak * hill, 0 * hill], -1).astype(np.float32)


@pytest.mark.parametrize("dx, dy", [(12, 0), (-12, 0), (0, 9), (-7, -9)])
@pytest.mark.parametrize("seconds", [0.5, 1.0, -1.0])
def test_content_moves_along_the_flow(dx, dy, seconds):
    x, y = center(carry(dot(30, 40), constant(dx, dy), seconds))
    assert (x, y) == pytest.approx((40 + seconds * dx, 30 + seconds * dy), abs=0.05)


def test_what_moves_is_found_at_its_own_motion_and_not_at_that_of_where_it_arrives():
    flow = mound(10.0, width=14)
    x, y = center(carry(dot(30, 40), flow, 1.0))
    assert x == pytest.approx(50, abs=0.6) and y == pytest.approx(30, abs=0.1)
    assert float(flow[30, 50, 0]) < 8  # looking the flow up at the target would have gone there


def test_no_motion_gives_the_photo_itself_in_every_frame():
    photo = texture()
    still = calm(np.zeros((60, 80, 2), np.float32))
    assert still == Calm(still.flow, 1.0) and not still.flow.any()
    assert all((frame == photo).all() for frame in loop(photo, still, 7))


def test_a_gentle_flow_is_left_as_it_is_and_a_steep_one_can_no_longer_fold():
    gentle = mound(3.0, width=10)
    kept = calm(gentle)
    assert (kept.flow == gentle).all() and kept.seconds == 1
    torn = np.zeros((60, 80, 2), np.float32)
    torn[:, 40:, 0] = 30  # the right half leaves, all at once
    made = calm(torn)
    assert 0 < made.seconds < 1
    places = np.arange(80) + made.seconds * made.flow[..., 0]
    gaps = np.diff(places, axis=1)
    assert gaps.min() > 0 and gaps.max() < 1.61  # no fold, and nothing stretched by more than the bound
    assert made.flow[..., 0].max() == pytest.approx(30, rel=0.01)


def test_no_frame_has_a_hole_or_a_black_border():
    photo = np.maximum(texture(), 60)
    for flow in (constant(30, -20), -constant(30, -20), mound(60.0)):
        assert min(int(frame.min()) for frame in loop(photo, calm(flow), 8)) >= 58


def test_the_loop_closes_without_a_jump():
    photo = texture(90, 120)
    frames = loop(photo, calm(constant(12, 4, 90, 120)), 24)
    assert (frames[0] == photo).all()
    steps = [
        float(np.abs(a.astype(float) - b).mean()) for a, b in zip(frames, frames[1:] + frames[:1], strict=True)
    ]
    assert steps[-1] < 1.2 * max(steps[:-1])
    # The last frame is the photo on its way: a step of motion before it, not after.
    before, after = (carry(photo, constant(12, 4, 90, 120), s).astype(float) for s in (-1 / 24, 1 / 24))
    assert np.abs(frames[-1] - before).mean() < 0.5 * np.abs(frames[-1] - after).mean()


@pytest.mark.parametrize("kind, bound", [("webp", 12), ("gif", 14)])
def test_an_animation_holds_all_frames_and_loops_for_ever(kind, bound):
    frames = loop(texture(), calm(constant(10, 0)), 6)
    data = animation_bytes(frames, kind, 50)
    assert data == animation_bytes(frames, kind, 50)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.n_frames, image.size) == (kind.upper(), 6, (80, 60))
        assert image.info["loop"] == 0
        for k, frame in enumerate(frames):
            image.seek(k)
            assert np.abs(np.asarray(image.convert("RGB")).astype(float) - frame).mean() < bound
            assert image.info["duration"] == 50


def test_wrong_sizes_and_kinds_are_refused():
    photo, flow = texture(), constant(1, 1)
    with pytest.raises(ValueError, match=r"expected the flow's \(60, 80\)"):
        carry(photo[1:], flow, 1.0)
    with pytest.raises(ValueError, match="expected uint8"):
        carry(photo.astype(np.float32), flow, 1.0)
    with pytest.raises(ValueError, match="frames is 1"):
        loop(photo, calm(flow), 1)
    with pytest.raises(ValueError, match="'mp4'"):
        animation_bytes([photo], "mp4")
    with pytest.raises(ValueError, match="0 frames"):
        animation_bytes([])
