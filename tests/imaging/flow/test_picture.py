"""The colour wheel by its published values, and arrows where the motion is."""

import numpy as np
import pytest

from coembed.imaging.flow.picture import Arrow, big_motions, color_wheel, draw_arrows, flow_to_color, max_length


def test_the_wheel_is_middleburys():
    wheel = color_wheel()
    assert wheel.shape == (55, 3)
    # Starts of the six parts, and entries within them by setcols() of Middlebury's colorcode.cpp.
    assert wheel[[0, 15, 21, 25, 36, 49]].tolist() == [
        [255, 0, 0],
        [255, 255, 0],
        [0, 255, 0],
        [0, 255, 255],
        [0, 0, 255],
        [255, 0, 255],
    ]
    assert wheel[[1, 14, 16, 22, 27, 40, 54]].tolist() == [
        [255, 17, 0],
        [255, 238, 0],
        [213, 255, 0],
        [0, 255, 63],
        [0, 209, 255],
        [78, 0, 255],
        [255, 0, 43],
    ]


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((1, 0), (255, 0, 0)),
        ((1, -0.0), (255, 0, 0)),
        ((0, 1), (255, 229, 0)),
        ((-1, 0), (0, 209, 255)),
        ((0, -1), (88, 0, 255)),
        ((0, 0), (255, 255, 255)),
        ((0.5, 0), (255, 127, 127)),
        ((2, 0), (191, 0, 0)),
        ((np.nan, 0), (0, 0, 0)),
    ],
)
def test_known_vectors_have_known_colors(vector, color):
    assert flow_to_color(np.array([[vector]], np.float32), max_motion=1)[0, 0].tolist() == list(color)


def test_the_longest_vector_sets_the_scale_unless_given():
    flow = np.array([[[3, 4], [0, 2.5], [np.inf, 0], [30, 0]]], np.float32)
    valid = np.array([[True, True, True, False]])
    assert max_length(flow, valid) == 5
    np.testing.assert_array_equal(
        flow_to_color(flow, valid=valid), flow_to_color(flow, valid=valid, max_motion=5)
    )
    assert (flow_to_color(flow, valid=valid)[0, 2:] == 0).all()
    assert (flow_to_color(np.zeros((2, 2, 2))) == 255).all()
    with pytest.raises(ValueError, match="max_motion is 0"):
        flow_to_color(flow, max_motion=0)
    with pytest.raises(ValueError, match=r"expected \(h, w, 2\)"):
        flow_to_color(np.zeros((2, 2)))


def two_things():
    flow = np.zeros((120, 160, 2), np.float32)
    flow[20:50, 20:60] = (12, 0)
    flow[70:110, 90:150] = (-3, -8)
    return flow


def test_each_big_motion_has_an_arrow():
    first, second = big_motions(two_things(), 2)
    assert 20 <= first.x < 60 and 20 <= first.y < 50
    assert 90 <= second.x < 150 and 70 <= second.y < 110
    # Cells across an edge mix motion with rest, so the means are a little short.
    np.testing.assert_allclose((first.dx, first.dy), (12, 0), atol=1.2)
    np.testing.assert_allclose((second.dx, second.dy), (-3, -8), atol=0.8)
    assert first.share == pytest.approx(30 * 40 / (120 * 160), rel=0.2)


@pytest.mark.parametrize("n", [1, 5, 24])
def test_arrows_are_at_most_n_sorted_and_never_at_rest(n):
    flow = two_things()
    arrows = big_motions(flow, n)
    assert 1 <= len(arrows) <= n
    lengths = [np.hypot(a.dx, a.dy) for a in arrows]
    assert lengths == sorted(lengths, reverse=True)
    assert all(
        np.abs(flow[round(a.y) - 2 : round(a.y) + 3, round(a.x) - 2 : round(a.x) + 3]).max() > 0 for a in arrows
    )
    assert big_motions(flow, n) == arrows


def test_rest_and_what_is_invalid_have_no_arrow():
    flow = two_things()
    assert big_motions(np.full((20, 30, 2), 0.1)) == []
    valid = np.ones((120, 160), bool)
    valid[:60] = False
    flow[:60] = np.nan
    assert all(a.y > 60 for a in big_motions(flow, 6, valid=valid))
    assert big_motions(flow, 6, valid=valid & False) == []
    with pytest.raises(ValueError, match="n is 0"):
        big_motions(flow, 0)


def test_arrows_are_drawn_where_they_point():
    frame = np.full((60, 80, 3), 128, np.uint8)
    drawn = draw_arrows(frame, [Arrow(20, 30, 30, 0, 0.1)])
    assert (frame == 128).all()
    assert drawn[30, 35, 0] > 200 and drawn[30, 35, 1:].tolist() == [
        0,
        0,
    ]  # red is to the right; the rim is dark
    changed = np.argwhere((drawn != 128).any(-1))
    assert changed[:, 1].min() >= 17 and 49 <= changed[:, 1].max() <= 54
    assert changed[:, 0].min() > 15 and changed[:, 0].max() < 45
    np.testing.assert_array_equal(draw_arrows(frame, []), frame)
    np.testing.assert_array_equal(draw_arrows(frame, [Arrow(5, 5, 0, 0, 0.1)]), frame)
    with pytest.raises(ValueError, match="expected uint8"):
        draw_arrows(frame / 255, [])
