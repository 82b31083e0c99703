"""More strength leads away from the photo, and never through it."""

import numpy as np
import pytest

from coembed.editing.strength import at_strength


def fields(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def share_left(change, own):
    """Regression of photo and change on the photo's own field, levels apart."""
    pattern = own - own.mean(axis=(1, 2), keepdims=True)
    return float(((own + change) * pattern).sum() / (pattern**2).sum())


def test_up_to_one_a_change_is_scaled():
    changes, own = fields(3, 1, 8, 8), fields(1, 8, 8, seed=1)
    for strength in (0.0, 0.3, 1.0):
        assert np.array_equal(at_strength(changes, own, strength), np.float32(strength) * changes)


def test_beyond_one_the_own_field_fades_and_is_never_turned_inside_out():
    own = fields(2, 8, 8, seed=1)
    pattern = own - own.mean(axis=(1, 2), keepdims=True)
    for slope in (-0.2, -0.7, -0.95):
        change = (slope * pattern)[None]
        left = [share_left(at_strength(change, own, s)[0], own) for s in (0, 0.5, 1, 1.5, 2, 4)]
        assert left[2] == pytest.approx(1 + slope, abs=1e-5) and min(left) >= 0
        assert (np.diff(left) < 1e-6).all()
        assert left[4] == pytest.approx((1 + slope) ** 2, abs=1e-5)


def test_a_draw_that_inverts_the_photo_is_inverted_no_further():
    own = fields(1, 8, 8, seed=1)
    change = (-1.4 * (own - own.mean()))[None]
    left = [share_left(at_strength(change, own, s)[0], own) for s in (1, 2, 4)]
    assert left == pytest.approx([-0.4] * 3, abs=1e-5)


def test_the_rest_of_a_change_and_what_adds_to_the_own_field_are_scaled():
    own, changes = fields(1, 8, 8, seed=1), fields(5, 1, 8, 8, seed=2)
    pattern = own - own.mean()
    across = changes - (changes * pattern).sum((1, 2, 3), keepdims=True) / (pattern**2).sum() * pattern
    assert at_strength(across, own, 2.0) == pytest.approx(2 * across, abs=1e-5)
    more = (0.5 * pattern)[None]
    assert at_strength(more, own, 2.0) == pytest.approx(2 * more, abs=1e-6)


def test_the_distance_from_the_photo_grows_with_strength():
    own, changes = fields(1, 8, 8, seed=1), fields(20, 1, 8, 8, seed=2) - 0.6 * fields(1, 8, 8, seed=1)
    lengths = [np.square(at_strength(changes, own, s)).sum((1, 2, 3)) for s in np.linspace(0, 2, 9)]
    assert (np.diff(lengths, axis=0) > 0).all()


def test_a_flat_field_has_nothing_to_lose():
    changes = fields(2, 1, 4, 4)
    assert np.array_equal(at_strength(changes, np.full((1, 4, 4), 0.3, np.float32), 2.0), 2 * changes)
