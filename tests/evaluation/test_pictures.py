"""Versions judged as pictures: differences, exposure, greyed whites and clipping in made cases."""

import math

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from coembed.errors import DataError
from coembed.evaluation.pictures import mean_scores, score_pictures


def flat(*rgb, size=(40, 60)):
    return np.broadcast_to(np.uint8(rgb), (*size, 3)).copy()


def difference(one, other):
    return float(deltaE_ciede2000(*(rgb2lab(np.uint8([[rgb]]) / 255) for rgb in (one, other)))[0, 0])


def test_differences_are_ciede2000():
    grey, warm, cold = (120, 120, 120), (140, 120, 100), (100, 120, 140)
    found = score_pictures(flat(*grey), [flat(*warm), flat(*cold)])
    assert found.between == pytest.approx(difference(warm, cold)) == pytest.approx(found.closest)
    wanted = (difference(warm, grey) + difference(cold, grey)) / 2
    assert found.to_original == pytest.approx(wanted)


def test_exposure_alone_is_no_difference_at_equal_lightness():
    photo, dark, light = flat(120, 120, 120), flat(90, 90, 90), flat(150, 150, 150)
    found = score_pictures(photo, [dark, light])
    assert found.between > 15 and found.between_equal < 0.1 and found.to_original_equal < 0.1
    assert found.level_share == pytest.approx(1) and found.lightness_spread > 10
    halves = [photo.copy(), photo.copy()]
    halves[0][:, :30], halves[0][:, 30:] = 90, 150
    halves[1][:, :30], halves[1][:, 30:] = 150, 90
    assert score_pictures(photo, halves).level_share < 0.01


def test_whites_that_turn_grey_and_pixels_that_clip_are_counted():
    photo = flat(100, 110, 120)
    photo[:20] = 250
    grey, clipped = photo.copy(), photo.copy()
    grey[:10] = 180
    clipped[30:] = (0, 200, 200)
    found = score_pictures(photo, [grey, clipped])
    assert found.greyed == pytest.approx(0.25, abs=0.03) and found.clipped == pytest.approx(0.125)
    assert math.isnan(score_pictures(flat(100, 110, 120), [flat(90, 90, 90)]).greyed)


def test_versions_equal_to_the_photo_score_nothing_and_one_has_no_pair():
    photo = np.random.default_rng(0).integers(0, 256, (300, 500, 3)).astype(np.uint8)
    found = score_pictures(photo, [photo, photo.copy()])
    assert (found.between, found.to_original, found.clipped, found.lightness) == (0, 0, 0, 0)
    assert math.isnan(found.level_share) and math.isnan(score_pictures(photo, [photo]).between)


def test_means_leave_out_photos_without_a_score():
    white, dark = flat(250, 250, 250), flat(60, 60, 60)
    scores = [score_pictures(white, [flat(200, 200, 200)]), score_pictures(dark, [dark])]
    found = mean_scores(scores)
    assert found["greyed"].value == 1 and found["greyed"].error is None and "between" not in found
    assert found["to_original"].value == pytest.approx(scores[0].to_original / 2)


def test_what_is_no_version_is_refused():
    with pytest.raises(DataError, match="got none"):
        score_pictures(flat(1, 2, 3), [])
    with pytest.raises(DataError, match=r"expected uint8 of the photo's \(40, 60, 3\)"):
        score_pictures(flat(1, 2, 3), [flat(1, 2, 3)[:20]])
