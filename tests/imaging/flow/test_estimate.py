"""Estimated flow against motions that are known, and the algebra of flows."""

from functools import reduce

import cv2
import numpy as np
import pytest

from coembed.errors import ConfigError, DataError
from coembed.imaging.flow.estimate import (
    METHODS,
    chain,
    compose,
    end_point_error,
    estimate,
    forward_backward_error,
    resize_flow,
    validity,
    warp,
)


def texture(h, w, seed=0):
    """Smooth random colours: structure at several scales, as photos have."""
    generator = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(generator.normal(size=(h, w, 3)), (0, 0), s) * s for s in (1.5, 4, 10)]
    picture = np.sum(layers, 0)
    picture = (picture - picture.min()) / np.ptp(picture)
    return np.rint(picture * 255).astype(np.uint8)


def affine_pair(matrix, h=120, w=160, margin=40, seed=0):
    """Two frames of a scene that moves by p -> A p + t, and the true flow."""
    scene = texture(h + 2 * margin, w + 2 * margin, seed)
    matrix = np.asarray(matrix, np.float64)
    shift = np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1.0]])
    full = np.vstack([matrix, [0, 0, 1]])
    moved = cv2.warpAffine(
        scene, (np.linalg.inv(shift) @ full @ shift)[:2], scene.shape[1::-1], flags=cv2.INTER_CUBIC
    )
    y, x = np.mgrid[:h, :w].astype(np.float64)
    target = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    truth = (target - np.stack([x, y], -1)).astype(np.float32)
    crop = np.s_[margin : margin + h, margin : margin + w]
    return scene[crop], moved[crop], truth


def inner(truth, border=12):
    """Pixels away from the border that stay in the frame: only these can be matched."""
    still = np.abs(forward_backward_error(truth, np.zeros_like(truth))) < np.inf
    still[:border] = still[-border:] = False
    still[:, :border] = still[:, -border:] = False
    return still


TRANSLATION = [[1, 0, 5.25], [0, 1, -3.5]]
AFFINE = [[1.04 * np.cos(0.05), -1.04 * np.sin(0.05), 2.0], [1.04 * np.sin(0.05), 1.04 * np.cos(0.05), -6.0]]
# Mean end-point error in pixels that each may make. Measured: 0.04 to 0.07 for the first two, up to 0.22, 0.40
# and 0.11 for the others.
ALLOWED = {"dis": 0.12, "dis-fine": 0.12, "dis-fast": 0.4, "dis-ultrafast": 0.6, "farneback": 0.2}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("matrix", [TRANSLATION, AFFINE], ids=["translation", "affine"])
def test_a_known_motion_is_recovered(method, matrix):
    frame0, frame1, truth = affine_pair(matrix)
    flow = estimate(frame0, frame1, method)
    assert flow.shape == truth.shape and flow.dtype == np.float32
    assert end_point_error(flow, truth, inner(truth)) < ALLOWED[method]


def test_the_signs_are_right_and_down():
    scene = texture(100, 120)
    flow = estimate(
        scene[10:90, 10:110], scene[6:86, 7:107]
    )  # the window goes up and left: content down and right
    np.testing.assert_allclose(np.median(flow, (0, 1)), [3, 4], atol=0.1)


@pytest.mark.parametrize(
    "as_frame",
    [
        lambda f: f.astype(np.float32) / 255,
        lambda f: f.astype(np.uint16) * 257,
        lambda f: cv2.cvtColor(f, cv2.COLOR_RGB2GRAY),
    ],
    ids=["float", "uint16", "grey"],
)
def test_every_kind_of_frame_gives_the_same_flow(as_frame):
    frame0, frame1, _ = affine_pair(TRANSLATION)
    flow = estimate(frame0, frame1)
    np.testing.assert_array_equal(estimate(as_frame(frame0), as_frame(frame1)), flow)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (12, 100), (31, 200), (200, 31), (64, 64)])
def test_any_size_gives_a_flow(method, size):
    frame = texture(*size)
    assert np.abs(estimate(frame, frame, method)).max() < 0.5


@pytest.mark.parametrize(
    ("frame0", "frame1", "message"),
    [
        (np.zeros((8, 9), np.uint8), np.zeros((9, 8), np.uint8), r"frame1 is \(9, 8\) .*expected \(8, 9\)"),
        (np.zeros((8, 9, 4), np.uint8), np.zeros((8, 9), np.uint8), r"frame0 has shape \(8, 9, 4\)"),
        (np.zeros((8, 0), np.uint8), np.zeros((8, 0), np.uint8), r"frame0 has shape \(8, 0\)"),
        (np.zeros((8, 9), np.uint8), np.zeros((8, 9), np.int64), "frame1 holds int64"),
        (np.zeros((8, 9), np.uint8), np.full((8, 9), 255.0), r"frame1 spans 255 to 255, expected .*\[0, 1\]"),
        (np.full((8, 9), np.nan), np.zeros((8, 9), np.uint8), "frame0 spans nan"),
    ],
)
def test_what_is_no_pair_of_frames_is_named(frame0, frame1, message):
    with pytest.raises(DataError, match=message):
        estimate(frame0, frame1)


def test_an_unknown_method_lists_the_known_ones():
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(ConfigError, match="method is 'liu', expected one of dis, dis-fine"):
        estimate(frame, frame, "liu")
    with pytest.raises(DataError, match="a chain of 1 frames, expected at least 2"):
        chain([frame])


def test_a_chain_of_constant_motion_is_the_sum():
    motions = ((1.5, -0.25), (0.75, 2.0), (-3.0, 1.0))
    steps = [np.tile(np.array(motion, np.float32), (20, 30, 1)) for motion in motions]
    np.testing.assert_allclose(reduce(compose, steps), np.broadcast_to([-0.75, 2.75], (20, 30, 2)), atol=1e-6)


def test_composing_two_affine_motions_is_their_product():
    y, x = np.mgrid[:40, :60].astype(np.float64)
    points = np.stack([x, y], -1)
    center = np.array([30.0, 20.0])

    def flow(a):
        return ((points - center) @ np.transpose(a) + center - points).astype(np.float32)

    a = np.array([[0.95, -0.05], [0.04, 0.9]])
    b = np.array([[0.9, 0.1], [-0.1, 0.92]])
    np.testing.assert_allclose(
        compose(flow(a), flow(b)), flow(b @ a), atol=5e-3
    )  # positions are in 32nds of a pixel


def test_a_chain_follows_what_a_direct_match_cannot():
    scene = texture(96, 320, seed=3)
    frames = [scene[:, x : x + 160] for x in range(100, -1, -10)]  # 100 of 160 pixels to the right, in tens
    stays = np.s_[20:76, 20:50]
    truth = np.tile(np.array([100, 0], np.float32), (96, 160, 1))[stays]
    along = end_point_error(chain(iter(frames))[stays], truth)
    assert along < 1
    assert end_point_error(estimate(frames[0], frames[-1])[stays], truth) > 10 * along


def test_validity_finds_what_is_hidden_and_what_leaves():
    ground, thing = texture(200, 280), texture(80, 80, seed=1)
    frames = []
    for x in (100, 112):
        frame = ground.copy()
        frame[60:140, x : x + 80] = thing
        frames.append(frame)
    forward, backward = estimate(*frames), estimate(*reversed(frames))
    valid = validity(forward, backward)
    assert valid.dtype == bool and valid.shape == (200, 280)
    assert valid[64:136, 104:176].mean() > 0.95  # the thing
    assert valid[:50].mean() > 0.95  # the ground
    assert valid[64:136, 181:191].mean() < 0.3  # ground that the thing covers
    # By the flows' own truth: a constant motion to the right leaves the frame at its right side.
    right = np.zeros((6, 8, 2), np.float32)
    right[..., 0] = 3
    np.testing.assert_array_equal(validity(right, -right), np.tile(np.arange(8) < 5, (6, 1)))
    error = forward_backward_error(right, -0.5 * right)
    np.testing.assert_allclose(error[:, :5], 1.5)
    assert np.isinf(error[:, 5:]).all()


def test_warping_by_the_flow_lays_the_second_frame_over_the_first():
    frame0, frame1, truth = affine_pair(AFFINE)
    error = np.abs(warp(frame1, truth) - frame0)[inner(truth)].mean()
    assert error < 0.1 * np.abs(frame1.astype(np.float32) - frame0)[inner(truth)].mean()
    still = np.zeros_like(truth)
    for layer in (frame0[..., 0], frame0[..., :1], np.tile(frame0, (1, 1, 2))):
        np.testing.assert_array_equal(warp(layer, still), layer)


@pytest.mark.parametrize("size", [(6, 4), (24, 32), (6, 32), (12, 16)])
def test_vectors_scale_with_the_grid(size):
    flow = np.tile(np.array([4, -3], np.float32), (12, 16, 1))
    resized = resize_flow(flow, size)
    assert resized.shape == (*size, 2)
    np.testing.assert_allclose(
        resized, np.broadcast_to([4 * size[1] / 16, -3 * size[0] / 12], resized.shape), rtol=1e-6
    )


def test_points_far_outside_take_the_border():
    layer = np.arange(12, dtype=np.float32).reshape(3, 4)
    flow = np.zeros((3, 4, 2), np.float32)
    flow[..., 0] = 1e9
    np.testing.assert_array_equal(warp(layer, flow), np.tile(layer[:, -1:], (1, 4)))
    np.testing.assert_array_equal(warp(layer, -flow), np.tile(layer[:, :1], (1, 4)))
    with pytest.raises(ValueError, match="at most 32766"):
        warp(np.zeros((1, 40_000)), np.zeros((1, 40_000, 2)))


def test_shrinking_a_flow_averages_it():
    flow = np.random.default_rng(0).normal(size=(12, 16, 2)).astype(np.float32)
    means = flow.reshape(3, 4, 4, 4, 2).mean((1, 3)) / 4
    np.testing.assert_allclose(resize_flow(flow, (3, 4)), means, atol=1e-6)


def test_end_point_error_counts_valid_pixels_alone():
    flow, truth = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    truth[0, 0], truth[1, 1] = (3, 4), (0, 1000)
    valid = np.array([[True, True], [False, False]])
    assert end_point_error(flow, truth, valid) == 2.5
    with pytest.raises(ValueError, match="no valid pixel"):
        end_point_error(flow, truth, valid & False)
