"""Draws of samplers that read the field off the condition follow it when it is changed, and others do not."""

import numpy as np
import pytest
import torch

from coembed.errors import DataError, PhotoError
from coembed.evaluation.leak.intervention import Slope, intervention_slope
from coembed.evaluation.leak.layers import SCALES, changed_copies, photo_pairs
from coembed.imaging.recompress import Recompression
from coembed.numerics.random import Streams
from coembed.tasks import Layer, get_task


def photo(seed, size=(48, 64)):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0.2, 0.8, (6, 8, 3))
    return np.rint(np.kron(coarse, np.ones((size[0] // 6, size[1] // 8, 1))) * 255).astype(np.uint8)


PHOTOS = [photo(seed) for seed in range(12)]


class Telling:
    """A user's own task whose condition holds a share of the field: green and a part of red."""

    name = "telling"
    condition = Layer("green", 1, -1.0, 2.0)
    field = Layer("red", 1, 0.0, 1.0)

    def __init__(self, share):
        self.share = share

    def split(self, rgb):
        return rgb[..., 1:2] + self.share * rgb[..., :1], rgb[..., :1].copy()

    def compose(self, rgb, field):
        return np.concatenate([field, rgb[..., 1:]], axis=2)


class Following:
    """Draws: the condition times a factor, and noise."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, condition[0].numel())
        return self.factor * condition.mean(1, keepdim=True) + noise.view(n, *condition.shape)[:, :, :1]


@pytest.mark.parametrize(("share", "factor"), [(0.0, 1.0), (0.5, 1.0), (0.5, 2.0), (1.0, 0.7)])
def test_the_slope_is_what_the_condition_tells_times_what_the_sampler_takes(share, factor):
    found = intervention_slope(Following(factor), Telling(share), PHOTOS, (6, 8), samples=4)
    assert found.slope == pytest.approx(share * factor, abs=0.01) and found.photos == 12


def test_resaturation_keeps_its_condition_and_jpeg_of_halved_chroma_does_not():
    task = get_task("resaturation")
    rng = np.random.default_rng(0)
    busy = [np.clip(p + rng.normal(0, 30, p.shape), 0, 255).astype(np.uint8) for p in PHOTOS]
    for plain in changed_copies(busy, task, (8, 8)):
        value, hue = (plain.condition - plain.condition[:1]).split([1, 2], 1)
        assert not value.any() and float(hue.abs().max()) < 0.05  # hue up to 8 bits of the changed copy
        assert len(plain.field) == 1 + len(SCALES)
        means = [float(field.mean()) for field in plain.field]
        assert means[1] == pytest.approx(0.5 * means[0], rel=0.05)
    stored = list(changed_copies(busy, task, (8, 8), Recompression(None, 75)))
    assert all(float((copy.condition[1] - copy.condition[0]).abs().max()) > 0.002 for copy in stored)
    assert intervention_slope(Following(), task, busy, (8, 8), samples=2).slope == pytest.approx(0, abs=0.02)


def test_light_is_added_where_fields_are_logarithms_and_has_no_level():
    (copies,) = changed_copies([photo(3, (96, 128))], get_task("relighting"), (8, 8))
    change = copies.field[1:] - copies.field[:1]
    assert change.std((1, 2, 3)).min() > 0.1
    again = next(changed_copies([photo(3, (96, 128))], get_task("relighting"), (8, 8)))
    assert torch.equal(copies.field, again.field)


def test_photos_and_copies_share_their_noise_whatever_the_batches(monkeypatch):
    found = []
    for batch in (5, 16):
        monkeypatch.setattr("coembed.evaluation.leak.intervention._PHOTOS", batch)
        found.append(intervention_slope(Following(), Telling(0.5), PHOTOS, (6, 8), samples=3))
    assert found[0].slope == pytest.approx(found[1].slope) and found[0].error == pytest.approx(found[1].error)


def test_the_error_is_that_of_a_ratio_over_photos():
    rng = np.random.default_rng(0)
    slopes = []
    for _ in range(300):
        changed = rng.uniform(0.5, 2, 80)
        slopes.append(Slope.of(0.3 * changed + rng.normal(0, 0.4, 80), changed))
    assert np.std([s.slope for s in slopes]) == pytest.approx(np.mean([s.error for s in slopes]), rel=0.15)


def test_grey_photos_and_missing_files_are_named(tmp_path):
    grey = np.full((20, 20, 3), 90, np.uint8)
    with pytest.raises(DataError, match="no photo has a field that an intervention changes"):
        intervention_slope(Following(), get_task("resaturation"), [grey], (4, 4))
    with pytest.raises(PhotoError, match=r"missing\.jpg"):
        intervention_slope(Following(), get_task("resaturation"), [tmp_path / "missing.jpg"], (4, 4))
    with pytest.raises(DataError, match="got none"):
        photo_pairs([], get_task("resaturation"), (4, 4))
