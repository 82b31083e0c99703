import pytest
import torch
from scipy.ndimage import gaussian_filter

from coembed.errors import ConfigError, DataError, ModelError
from coembed.models.baselines import search
from coembed.models.baselines.smoothing import smooth
from coembed.models.registry import fit_closed_form


def draw(count=50, c=2, size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, c, size, size, generator=g), torch.rand(count, 1, size + 1, size, generator=g)


def test_a_training_condition_gives_back_its_own_field_first():
    condition, field = draw()
    sampler = fit_closed_form("nearest", (condition, field), smoothing=0.0)
    assert torch.equal(sampler.sample(condition, 1, generator=0)[0], field)


@pytest.mark.parametrize("chunk", [7 * 32, 1 << 20])
def test_the_search_is_exact_whatever_the_pieces(monkeypatch, chunk):
    monkeypatch.setattr(search, "_CHUNK_VALUES", chunk)
    condition, field = draw()
    queries, _ = draw(9, seed=1)
    brute = torch.cdist(queries.double().flatten(1), condition.double().flatten(1)).argsort(1)
    sampler = fit_closed_form("nearest", (condition, field), smoothing=0.0)
    assert torch.equal(sampler.neighbours(queries, 50), brute)
    assert torch.equal(sampler.neighbours(queries, 6), brute[:, :6])
    assert torch.equal(sampler.sample(queries, 6, generator=0)[2, 5], field[brute[5, 2]])


def test_near_duplicates_far_from_zero_are_told_apart():
    condition, field = draw(40)
    condition = 1000 + condition.double() * 1e-3
    pairs = (condition, field)
    sampler = fit_closed_form("nearest", pairs, smoothing=0.0)
    stored = condition.float()
    brute = torch.cdist(stored.double().flatten(1), stored.double().flatten(1)).argsort(1)
    assert torch.equal(sampler.neighbours(stored, 3), brute[:, :3])


def test_equal_distances_are_ordered_by_row():
    condition, field = draw(12)
    condition[[3, 7, 11]] = condition[5].clone()
    sampler = fit_closed_form("nearest", (condition, field), smoothing=0.0)
    assert sampler.neighbours(condition[5:6], 4).tolist() == [[3, 5, 7, 11]]


@pytest.mark.parametrize("pixels", [0.7, 1.0, 2.0, 5.0])
def test_smoothing_is_scipys(pixels):
    fields = torch.rand(2, 3, 1, 9, 6, dtype=torch.float64)
    expected = gaussian_filter(fields.numpy(), (0, 0, 0, pixels, pixels), mode="reflect")
    torch.testing.assert_close(smooth(fields, pixels), torch.from_numpy(expected))


def test_smoothing_keeps_the_mean_and_the_neighbours():
    condition, field = draw()
    plain = fit_closed_form("nearest", (condition, field), smoothing=0.0)
    smoother = fit_closed_form("nearest", (condition, field), smoothing=2.0)
    smoothed = smoother.sample(condition, 3, generator=0)
    torch.testing.assert_close(smoothed, smooth(plain.sample(condition, 3, generator=0), 2.0))
    torch.testing.assert_close(smoothed.mean((-2, -1)), plain.sample(condition, 3, generator=0).mean((-2, -1)))


def test_mistakes_are_named():
    condition, field = draw(5)
    sampler = fit_closed_form("nearest", (condition, field), smoothing=0.0)
    with pytest.raises(ConfigError, match="n: got 6 samples, expected 1 to 5"):
        sampler.sample(condition, 6, generator=0)
    with pytest.raises(ConfigError, match="smoothing: got -1 px, expected 0 or more"):
        fit_closed_form("nearest", (condition, field), smoothing=-1)
    with pytest.raises(ModelError, match=r"condition: got shape \(5, 1, 5, 4\), expected \(batch, 2, 4, 4\)"):
        sampler.sample(field, 1, generator=0)
    with pytest.raises(DataError, match="field: got 4 fields, expected 5, one per condition"):
        fit_closed_form("nearest", (condition, field[:4]), smoothing=0.0)
    with pytest.raises(DataError, match="pairs: got 0, expected at least 1"):
        fit_closed_form("nearest", (condition[:0], field[:0]), smoothing=0.0)
