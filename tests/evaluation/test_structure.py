"""Energy of a spread by where it lies: parts are orthogonal, and made cases fall where they were put."""

import pytest
import torch

from coembed.data.pairs import TensorPairs
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.structure import WAVES, segments, structure
from coembed.numerics.random import Streams


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def halves(batch=1, size=16):
    labels = torch.zeros(batch, size, size, dtype=torch.int64)
    labels[:, :, size // 2 :] = 1
    return labels


def test_parts_add_up_and_noise_is_explained_by_chance_alone():
    deviations, labels = normal(200, 2, 1, 32, 32), torch.arange(32 * 32).view(1, 32, 32).repeat(2, 1, 1) // 64
    found = structure(deviations, labels, labels.transpose(1, 2))
    torch.testing.assert_close(found["global"] + found["smooth"] + found["rough"], found["all"])
    assert found["global"] / found["all"] == pytest.approx(1 / 1024, rel=0.3)
    assert found["smooth"] / found["all"] == pytest.approx((WAVES**2 - 1) / 1024, rel=0.1)
    assert found["own"] / found["rough"] == pytest.approx(16 / 1024, rel=0.35)


def test_levels_cosines_and_steps_fall_where_they_belong():
    places = (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    level = torch.full((1, 1, 1, 16, 16), 0.7, dtype=torch.float64)
    wave = torch.cos(3 * torch.pi * places).view(1, 1, 1, 16, 1).expand(1, 1, 1, 16, 16)
    fast = torch.cos(7 * torch.pi * places).view(1, 1, 1, 16, 1).expand(1, 1, 1, 16, 16)
    labels = halves()
    for deviation, place in ((level, "global"), (wave, "smooth"), (fast, "rough")):
        found = structure(deviation, labels, labels)
        assert float(found[place] / found["all"]) == pytest.approx(1, abs=1e-9)
    steps = torch.arange(16) // 4
    levels = normal(1, 1, 1, 1, 4).repeat_interleave(4, 4).expand(1, 1, 1, 16, 16)
    own, other = steps.expand(1, 16, 16), steps.view(1, 16, 1).expand(1, 16, 16)
    found = structure(levels, own, other)
    assert float(found["own"] / found["rough"]) == pytest.approx(1) and float(found["other"]) < 1e-9


def test_segments_follow_the_photo_at_the_size_of_the_field():
    photo = torch.zeros(2, 3, 32, 32)
    photo[0, :, :, 16:] = 1.0
    photo[1, 0, 8:24, 8:24] = 5.0
    labels = segments(photo, (16, 64))
    assert labels.shape == (2, 16, 64) and labels.min() == 0 and 10 < labels[0].max() < 60
    left, right = labels[0, :, :30].unique(), labels[0, :, 34:].unique()
    assert not set(left.tolist()) & set(right.tolist())
    inside = labels[1, 5:11, 18:46].unique()
    assert not set(inside.tolist()) & set(labels[1, :3].unique().tolist())
    assert torch.equal(segments(photo[1:], (16, 64))[0], labels[1])  # a photo's own affair


def test_mere_noise_is_cut_into_a_grid():
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert all(len(labels.unique()) >= 6 for labels in segments(noise, (32, 32)))
    assert len(segments(torch.rand(1, 1, 96, 96), (96, 96)).unique()) >= 6


class Knowing:
    """Fields that step where the condition does, or where that of another photo does."""

    def __init__(self, own):
        self.own = own

    def sample(self, condition, n, *, generator):
        streams = Streams.of(generator, len(condition))
        regions = (condition * 8).round().long().clamp(0, 8)
        regions = regions if self.own else regions.flip(3).transpose(2, 3).flip(3)
        return streams.normal(n, 9).gather(2, regions.flatten(1).expand(n, -1, -1)).view(n, *condition.shape)


@pytest.mark.parametrize("batch", [3, 20])
def test_a_spread_that_knows_the_photo_is_told_from_one_that_does_not(batch):
    generator = torch.Generator().manual_seed(1)
    points = 32 * torch.rand(20, 10, 2, generator=generator)
    place = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"), -1).view(-1, 2)
    nearest = torch.cdist(place.expand(20, -1, -1), points).argmin(2).view(20, 1, 32, 32)
    condition = (nearest % 9) / 8.0
    truth = Knowing(True).sample(condition, 1, generator=9)[0]
    found = {}
    for own in (True, False):
        result = evaluate(Knowing(own), TensorPairs(condition, truth), samples=12, scores="full", batch=batch)
        found[own] = {key: estimate.value for key, estimate in result.summary().items()}
    assert found[True]["content_own"] > 0.85 and found[True]["content_other"] < 0.6
    assert found[False]["content_own"] < 0.6
    assert found[True]["content_own_truth"] > 0.85 > found[True]["content_other_truth"] + 0.25
    shares = [found[True][f"structure_{part}"] for part in ("global", "smooth", "rough")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
