"""Edits of real photos by the bundled weights: what draws hold still stays, and the photo is not turned inside
out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coembed.editing.draw import plan, sample_beside
from coembed.editing.layers import low_layers, shapes_of
from coembed.editing.loading import load_model
from coembed.editing.options import SampleOptions
from coembed.evaluation import change
from coembed.imaging.io.photo import read_photo

PHOTOS = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))


def slope(versions, own):
    """Of the versions' mean field on the photo's own, levels apart."""
    pattern = own - own.mean((2, 3), keepdims=True)
    return float((versions.mean(0) * pattern[0]).sum() / (pattern**2).sum())


@pytest.mark.parametrize("task", ["resaturation", "relighting"])
def test_versions_keep_a_part_of_the_photos_own_contrasts_and_have_little_in_common(task):
    model, found = load_model(None, task)
    scores = []
    for path in PHOTOS:
        condition, field = low_layers(read_photo(path), found, *shapes_of(model, found))
        with torch.no_grad():
            samples, own = sample_beside(model, condition, field, 32, 0, 1.0)
        scores.append(change.scores(samples, own, field))
    sums = {key: sum(float(row[key]) for row in scores) for key in scores[0]}
    assert 0.3 < sums["version_along"] / sums["own_along"] < 1
    assert sums["change_common"] < 0.7 * sums["change_all"]


@pytest.mark.parametrize("task", ["resaturation", "relighting"])
def test_strength_leads_away_from_the_photo_and_never_through_it(task):
    model, found = load_model(None, task)
    for path in PHOTOS:
        photo = read_photo(path)
        own = low_layers(photo, found, *shapes_of(model, found))[1].numpy()
        steps = [plan(photo, model, found, SampleOptions(4, strength=s)).deltas for s in (0.5, 1.0, 1.5, 2.0)]
        lengths = [np.square(deltas).sum((1, 2, 3)) for deltas in steps]
        assert (np.diff(lengths, axis=0) > 0).all()
        kept = [slope(own + deltas, own) for deltas in steps]
        assert min(kept) > -0.1  # a draw that knows nothing of the photo's pattern keeps none of it
        assert kept[1] > 1 or (np.diff(kept) < 1e-6).all()  # it fades, unless draws add to it


def test_choice_does_not_depend_on_strength():
    model, found = load_model(None, "resaturation")
    photo = read_photo(PHOTOS[0])
    plans = [plan(photo, model, found, SampleOptions(4, strength=s)) for s in (0.3, 2.0)]
    assert plans[0].draws == plans[1].draws and plans[0].weights == plans[1].weights
