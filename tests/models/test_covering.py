"""Fields that cover: fewer dimensions than draws have, and nearer to new draws than draws are."""

import math

import pytest
import torch

from coembed.errors import ModelError
from coembed.models.covering import Covering, cover, worth_telling
from coembed.numerics.random import Streams

SCALES = torch.tensor([5.0, 4.0, 3.0, 2.0] + [1.0] * 60)


class Gaussian:
    """Fields of 8 x 8 around ten times the condition, four directions wide."""

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, 64) * SCALES
        return 10 * condition + noise.view(n, len(condition), 1, 8, 8)


def _best(fields, truth):
    return torch.cdist(truth, fields).square().min(1).values.mean()


def test_components_worth_telling_are_those_above_the_water_level():
    # Two equal components of variance 4, and 1: theta = 4 / n for two, which is above 1 until n passes 4.
    variance = torch.tensor([4.0, 4.0, 1.0])
    assert worth_telling(variance, 1) == 0
    assert worth_telling(variance, 3) == 2
    assert worth_telling(variance, 5) == 3
    assert worth_telling(torch.zeros(3), 5) == 0
    # The rate that the kept components ask for is log n.
    kept = worth_telling(SCALES.square(), 50)
    logs = SCALES[:kept].square().log()
    theta = torch.exp((logs.sum() - 2 * math.log(50)) / kept)
    assert SCALES[kept - 1].square() > theta >= SCALES[kept].square()


def test_covering_fields_are_nearer_to_new_draws_than_as_many_draws_are():
    condition = torch.full((1, 1, 8, 8), 0.3)
    truth = Gaussian().sample(condition, 500, generator=9)[:, 0].flatten(1)
    plain = Gaussian().sample(condition, 50, generator=1)[:, 0].flatten(1)
    covering = Covering(Gaussian()).sample(condition, 50, generator=1)[:, 0].flatten(1)
    mean = (truth - 3).square().sum(1).mean()
    # Above the four wide directions nothing can be gained: 60 of the squared error stay.
    assert 60 < _best(covering, truth) < 0.85 * mean
    assert _best(covering, truth) < 0.8 * _best(plain, truth)


def test_one_field_is_the_mean():
    condition = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    draws = Gaussian().sample(condition, 300, generator=0)
    torch.testing.assert_close(Covering(Gaussian(), 300).sample(condition, 1, generator=0)[0], draws.mean(0))


def test_what_covers_depends_on_the_seed_and_the_condition_alone():
    condition = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    together = Covering(Gaussian()).sample(condition, 4, generator=3)
    alone = Covering(Gaussian()).sample(condition[2:], 4, generator=Streams(3, [2]))
    torch.testing.assert_close(alone[:, 0], together[:, 2])
    assert not torch.equal(Covering(Gaussian()).sample(condition, 4, generator=4), together)


def test_the_components_of_few_and_of_many_draws_are_the_same_ones():
    few = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    wide = torch.cat([few, torch.zeros(40, 60)], 1)  # the same draws among more values than draws
    torch.testing.assert_close(cover(wide, 5)[:, :6], cover(few, 5), atol=1e-4, rtol=0)


def test_draws_that_are_all_the_same_are_covered_by_themselves():
    assert torch.equal(cover(torch.ones(20, 5), 3), torch.ones(3, 5))


def test_fewer_draws_than_fields_are_refused():
    with pytest.raises(ModelError, match="expected 1 to 10"):
        Covering(Gaussian(), 10).sample(torch.rand(1, 1, 8, 8), 11, generator=0)
    with pytest.raises(ModelError, match="n: got 0"):
        Covering(Gaussian()).sample(torch.rand(1, 1, 8, 8), 0, generator=0)
