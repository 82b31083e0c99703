import itertools

import pytest
import torch

from coembed.evaluation.ranks import binned, multivariate_ranks, rank_bins


def draw(n, batch, size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, batch, 1, size, size, generator=g), torch.randn(batch, 1, size, size, generator=g)


def smooth(fields, amount):
    return (1 - amount) * fields + amount * fields.mean((-1, -2), keepdim=True) * 4


def index(histogram):
    """Sum of absolute deviations of a rank histogram from flat [Delle Monache 2006]."""
    return (histogram - 1 / histogram.shape[-1]).abs().sum(-1).item()


def unevenness(low, high):
    return index(binned(low, high))


@pytest.mark.parametrize("n", [1, 4, 100])
def test_bins_are_flat_over_all_ranks_for_any_number_of_samples(n):
    samples = torch.arange(n).float().reshape(n, 1, 1, 1, 1).expand(n, n + 1, 1, 1, 1)
    truth = (torch.arange(n + 1).float() - 0.5).reshape(n + 1, 1, 1, 1)
    torch.testing.assert_close(rank_bins(samples, truth).mean(0), torch.full((10,), 0.1))


def test_flat_zeros_share_their_ranks():
    found = rank_bins(torch.zeros(7, 1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    torch.testing.assert_close(found, torch.full((1, 10), 0.1))


@pytest.mark.parametrize("pre_rank", ["average_rank", "band_depth"])
def test_pre_ranks_are_those_of_their_definitions(pre_rank):
    samples, truth = draw(5, 3, size=2)
    samples[1, 0] = truth[0]  # ties
    low, high = multivariate_ranks(samples, truth)[pre_rank]
    for i in range(3):
        everyone = torch.cat([truth[i : i + 1], samples[:, i]]).flatten(1)
        scores = []
        for member in everyone:
            if pre_rank == "average_rank":
                score = sum(
                    ((everyone[:, p] < member[p]).sum() + (everyone[:, p] <= member[p]).sum() + 1) / 2
                    for p in range(4)
                )
            else:
                pairs = itertools.combinations(everyone, 2)
                score = sum(
                    ((torch.minimum(a, b) <= member) & (member <= torch.maximum(a, b))).sum() for a, b in pairs
                )
            scores.append(float(score))
        below, equal = sum(s < scores[0] for s in scores), scores.count(scores[0])
        assert (low[i].item(), high[i].item()) == pytest.approx((below / 6, (below + equal) / 6))


@pytest.mark.parametrize("pre_rank", ["average_rank", "band_depth"])
def test_calibrated_fields_are_flat(pre_rank):
    low, high = multivariate_ranks(*draw(19, 1500))[pre_rank]
    assert unevenness(low, high) < 0.09


def test_wrong_spread_and_wrong_correlation_stand_out():
    samples, truth = draw(19, 400)
    assert unevenness(*multivariate_ranks(samples, 2.5 * truth)["band_depth"]) > 0.6
    # The same spread at every pixel, but truths that go up and down as a whole.
    whole = smooth(truth, 1.0)
    assert whole.std().item() == pytest.approx(1, abs=0.1)
    assert unevenness(*multivariate_ranks(samples, whole)["average_rank"]) > 0.6
    assert index(rank_bins(samples, whole).mean(0)) < 0.1
