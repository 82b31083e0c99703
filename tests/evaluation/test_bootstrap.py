import pytest
import torch

from coembed.errors import ConfigError
from coembed.evaluation.bootstrap import compare, interval
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import difference
from coembed.numerics.random import Streams


class Normal:
    """Draws N(offset + condition, width^2); right if width is 1 and offset 0."""

    def __init__(self, width=1.0, offset=0.0):
        self.width, self.offset = width, offset

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, condition[0].numel())
        return condition + self.offset + self.width * noise.unflatten(2, condition.shape[1:])


@pytest.fixture(scope="module")
def scored():
    g = torch.Generator().manual_seed(0)
    condition = torch.randn(120, 1, 8, 8, generator=g)
    pairs = condition, condition + torch.randn(120, 1, 8, 8, generator=g)
    return {
        name: evaluate(s, pairs, name=name, samples=12)
        for name, s in (("right", Normal()), ("off", Normal(1.0, 0.3)), ("wide", Normal(1.5)))
    }


@pytest.mark.parametrize("metric", ["energy", "crps", "spread_skill", "coverage_80"])
def test_intervals_are_as_wide_as_the_standard_errors_say(scored, metric):
    estimate = scored["right"].summary()[metric]
    found = interval(scored["right"], metric)
    assert found.value == pytest.approx(estimate.value, rel=1e-6)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * estimate.error, rel=0.15)


def test_the_same_photos_are_drawn_for_both(scored):
    found = compare(scored["off"], scored["right"], "energy")
    paired = difference(scored["off"], scored["right"], "energy")
    assert found.difference.value == pytest.approx(paired.value, rel=1e-4)
    assert found.difference.high - found.difference.low == pytest.approx(2 * 1.96 * paired.error, rel=0.15)
    assert found.better == 0 and found.wins < 0.2
    assert compare(scored["right"], scored["off"], "energy").wins == pytest.approx(1 - found.wins)


def test_nothing_tells_a_sampler_from_itself(scored):
    found = compare(scored["wide"], scored["wide"], "crps")
    assert (found.difference.value, found.better, found.wins) == (0, 0.5, 0.5)
    assert compare(scored["wide"], scored["right"], "spread_skill").wins is None


def test_mistakes_are_named(scored):
    with pytest.raises(ConfigError, match="right: has no best_30"):
        interval(scored["right"], "best_30")
    with pytest.raises(ConfigError, match="level: got 95, expected a number between 0 and 1"):
        interval(scored["right"], "energy", level=95)
    with pytest.raises(ConfigError, match="metric: got 'es'"):
        compare(scored["right"], scored["off"], "es")
