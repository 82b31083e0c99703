"""The smoothing that is chosen is the one under which other photos' fields help most."""

import numpy as np
import pytest
import torch

from coembed.data.similarity.condition_features import guidance_features
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError
from coembed.models.baselines.nearest import NearestConfig
from coembed.models.baselines.smoothing import CANDIDATES, choose_smoothing, smooth
from coembed.models.registry import fit_closed_form


def blobs(count, noise, seed=0):
    """Conditions of two kinds; fields are the kind's own smooth shape, and white noise that nobody can know."""
    g = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (count, 1, 1, 1), generator=g).float()
    shape = smooth(torch.randn(2, 1, 32, 32, generator=g), 4.0) * 8
    condition = kind + 0.1 * torch.rand(count, 1, 32, 32, generator=g)
    return condition, shape[kind.flatten().long()] + noise * torch.randn(count, 1, 32, 32, generator=g)


@pytest.mark.parametrize(("noise", "chosen"), [(0.0, 0.0), (1.0, 2.0)])
def test_noise_is_smoothed_away_and_structure_is_kept(noise, chosen):
    condition, field = blobs(60, noise)
    found = choose_smoothing(condition, field)
    assert found in CANDIDATES
    assert found == 0.0 if chosen == 0 else found >= chosen


def test_views_of_the_same_photo_do_not_count_as_neighbours():
    """Every photo is there twice with one noisy field: its twin's, unsmoothed, would be perfect."""
    condition, field = blobs(24, 1.0)
    condition, field = condition.repeat_interleave(2, 0), field.repeat_interleave(2, 0)
    names = [f"{i}.jpg{view}" for i in range(24) for view in ("", "#1")]
    assert choose_smoothing(condition, field) == 0.0
    assert choose_smoothing(condition, field, names) >= 2.0
    assert choose_smoothing(condition, field, ["a.jpg"] * 48) == 1.0  # nothing to judge by


def test_a_fitted_model_says_what_it_chose_and_keeps_what_it_was_told():
    condition, field = blobs(24, 1.0)
    shape = (1, 32, 32)
    assert fit_closed_form("nearest", (condition, field)).config.smoothing >= 2.0
    assert fit_closed_form("nearest", (condition, field), smoothing=0.5).config.smoothing == 0.5
    with pytest.raises(ConfigError, match="smoothing: got -1"):
        NearestConfig(shape, shape, smoothing=-1)


def test_guidance_space_puts_like_photos_side_by_side():
    condition, field = blobs(80, 0.0)
    store = PairStore.from_arrays(condition, field)
    features = guidance_features(store)
    assert features.shape[0] == 80 and bool(features.isfinite().all())
    kind = condition.mean((1, 2, 3)).round().numpy()
    model = fit_closed_form("nearest-features", store)
    fresh, _ = blobs(10, 0.0, seed=1)
    found = model.sample(fresh, 1, generator=0)[0]
    wanted = {k: field[int(np.flatnonzero(kind == k)[0])] for k in (0.0, 1.0)}
    for one, condition_ in zip(found, fresh, strict=True):
        torch.testing.assert_close(one, wanted[float(condition_.mean().round())], rtol=0, atol=0.2)
