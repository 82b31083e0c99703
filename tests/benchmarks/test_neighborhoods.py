import numpy as np
import pytest
from neighborhoods import preservation
from sklearn.manifold import trustworthiness

from coembed.errors import DataError


def test_trustworthiness_is_scikit_learns_and_continuity_is_its_mirror():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6))
    codes = features[:, :2] + 0.3 * rng.normal(size=(200, 2))
    found = preservation(features, codes, 8)
    assert found["trustworthiness"] == pytest.approx(trustworthiness(features, codes, n_neighbors=8), abs=1e-12)
    assert found["continuity"] == pytest.approx(trustworthiness(codes, features, n_neighbors=8), abs=1e-12)


def test_the_same_codes_preserve_all_and_chance_a_tenth():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, 3))
    assert preservation(features, 3 * features + 1) == {"trustworthiness": 1, "continuity": 1, "collapse": 0}
    chance = preservation(features, rng.normal(size=(600, 3)))
    assert chance["collapse"] == pytest.approx(0.1, abs=0.02)
    assert chance["trustworthiness"] == pytest.approx(0.5, abs=0.05)


def test_codes_that_fold_distant_rows_together_are_found():
    rng = np.random.default_rng(2)
    part = np.arange(600) % 3
    features = 5.0 * part[:, None] + 0.1 * rng.normal(size=(600, 1))
    codes = np.array([0.0, 5.0, 0.0])[part, None] + 0.1 * rng.normal(size=(600, 1))  # both ends on one place
    # The farthest tenth joins the ends; 5 of 9 pairs lie close, and the closest tenth is as likely of each.
    assert preservation(features, codes)["collapse"] == pytest.approx(0.18, abs=0.02)
    assert preservation(features, features)["collapse"] == 0


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="got 20 and 20 rows, expected as many, more than 30"):
        preservation(np.zeros((20, 2)), np.zeros((20, 2)))
