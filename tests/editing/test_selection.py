import numpy as np
import pytest

from coembed.editing.selection import representatives


def test_separate_clusters_are_found_with_their_shares():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (4, 30))
    sizes = (20, 14, 9, 5)
    fields = np.concatenate([c + rng.normal(0, 0.1, (k, 30)) for c, k in zip(centres, sizes, strict=True)])
    shuffle = rng.permutation(len(fields))
    labels = np.repeat(np.arange(4), sizes)[shuffle]
    found = representatives(fields[shuffle], 4)
    assert [int(labels[r]) for r in found.rows] == [0, 1, 2, 3]  # the largest first
    assert found.weights == tuple(k / 48 for k in sizes)


def test_the_cost_is_near_the_best_of_all_choices():
    from itertools import combinations

    points = np.random.default_rng(1).normal(size=(14, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)

    def cost(rows):
        return distances[list(rows)].min(axis=0).sum()

    best = min(cost(rows) for rows in combinations(range(14), 3))
    assert cost(representatives(points, 3).rows) <= 1.1 * best


def test_equal_fields_still_give_n_different_draws():
    found = representatives(np.ones((6, 2, 2)), 3)
    assert len(set(found.rows)) == 3
    assert sum(found.weights) == pytest.approx(1)


def test_all_fields_represent_themselves():
    found = representatives(np.random.default_rng(2).normal(size=(5, 4)), 5)
    assert sorted(found.rows) == [0, 1, 2, 3, 4] and found.weights == (0.2,) * 5


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="n is 4, expected 1 to 3"):
        representatives(np.zeros((3, 2)), 4)
