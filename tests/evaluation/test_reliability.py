import pytest
import torch

from coembed.errors import ConfigError
from coembed.evaluation import reliability as calibration


def draw(n, batch, truth_scale=1.0, size=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    truth = truth_scale * torch.randn(batch, 1, size, size, generator=g)
    return torch.randn(n, batch, 1, size, size, generator=g), truth


@pytest.mark.parametrize("n", [1, 2, 3, 9, 19, 50])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_coverage_is_exactly_nominal_over_the_ranks(n, level):
    # The truth takes each of the n + 1 possible ranks once: no sampling error, so equality is exact.
    samples = torch.arange(n).float().reshape(n, 1, 1, 1, 1).expand(n, n + 1, 1, 1, 1)
    truth = (torch.arange(n + 1).float() - 0.5).reshape(n + 1, 1, 1, 1)
    assert calibration.coverage(samples, truth, (level,))[level].mean().item() == pytest.approx(level, abs=1e-6)


def test_coverage_of_skewed_and_tied_fields_is_nominal_too():
    for transform in (torch.exp, torch.relu, lambda x: (2 * x).round()):
        samples, truth = draw(7, 1500)
        covered = calibration.coverage(transform(samples), transform(truth))
        for level, values in covered.items():
            assert values.mean().item() == pytest.approx(level, abs=0.006)


def test_coverage_falls_when_samples_vary_too_little():
    samples, truth = draw(100, 200, truth_scale=2.0)
    covered = calibration.coverage(samples, truth)
    # 90% of a standard normal is 1.645; a normal of twice the width lies within it 58.9% of the time.
    assert covered[0.9].mean().item() == pytest.approx(0.589, abs=0.015)
    assert covered[0.5].mean().item() == pytest.approx(0.264, abs=0.015)


def test_coverage_is_one_value_an_example():
    samples, truth = draw(20, 2)
    truth[1] = 100.0
    covered = calibration.coverage(samples, truth)[0.8]
    assert covered.shape == (2,) and covered[1] == 0 and covered[0] > 0.5
    with pytest.raises(ConfigError, match=r"levels: got 90, expected a number between 0 and 1"):
        calibration.coverage(samples, truth, (90,))


@pytest.mark.parametrize("n", [2, 10])
def test_spread_skill_is_one_if_exchangeable_whatever_n(n):
    samples, truth = draw(n, 2000)
    assert calibration.spread_skill(samples, truth) == pytest.approx(1.0, abs=0.01)


def test_spread_skill_is_the_ratio_of_widths():
    samples, truth = draw(400, 200, truth_scale=2.0)
    assert calibration.spread_skill(samples, truth) == pytest.approx(0.5, abs=0.01)
