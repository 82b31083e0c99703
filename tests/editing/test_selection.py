import numpy as np
import pytest

from coembed.editing.selection import distances_between, farthest_points, representatives


def test_separate_clusters_are_found_with_their_shares():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (4, 30))
    sizes = (20, 14, 9, 5)
    fields = np.concatenate([c + rng.normal(0, 0.1, (k, 30)) for c, k in zip(centres, sizes, strict=True)])
    shuffle = rng.permutation(len(fields))
    labels = np.repeat(np.arange(4), sizes)[shuffle]
    found = representatives(distances_between(fields[shuffle]), 4)
    assert [int(labels[r]) for r in found.draws] == [0, 1, 2, 3]  # the largest first
    assert found.weights == tuple(k / 48 for k in sizes)


def test_the_cost_is_near_the_best_of_all_choices():
    from itertools import combinations

    points = np.random.default_rng(1).normal(size=(14, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)

    def cost(rows):
        return distances[list(rows)].min(axis=0).sum()

    best = min(cost(rows) for rows in combinations(range(14), 3))
    assert cost(representatives(distances, 3).draws) <= 1.1 * best


def test_equal_fields_still_give_n_different_draws():
    found = representatives(distances_between(np.ones((6, 2, 2))), 3)
    assert len(set(found.draws)) == 3
    assert sum(found.weights) == pytest.approx(1)


def test_all_fields_represent_themselves():
    found = representatives(distances_between(np.random.default_rng(2).normal(size=(5, 4))), 5)
    assert sorted(found.draws) == [0, 1, 2, 3, 4] and found.weights == (0.2,) * 5


def test_draws_too_close_to_a_likelier_one_give_way():
    rng = np.random.default_rng(3)
    fields = np.concatenate([rng.normal(0, 0.05, (30, 2)), rng.normal([0.4, 0], 0.05, (20, 2))])
    fields = np.concatenate([fields, rng.normal([3, 3], 0.05, (8, 2))])
    distances = distances_between(fields)
    plain, spaced = representatives(distances, 2), representatives(distances, 2, least=1.0)
    assert least_distance(fields, representatives(distances, 3).draws) < 1
    assert least_distance(fields, plain.draws) > 1 and plain == spaced  # nothing to mend, nothing changed
    three = representatives(distances, 3, least=0.6).draws
    # Two places are left that are so far apart; the third draw is as far as can be from both.
    assert {0 if k < 50 else 1 for k in three} == {0, 1} and len(set(three)) == 3
    far = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0], [9.1], [9.2]])
    apart = representatives(distances_between(far), 3, least=2.0)
    assert least_distance(far, apart.draws) > 2 and list(apart.weights) == sorted(apart.weights, reverse=True)


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="n is 4, expected 1 to 3"):
        representatives(np.zeros((3, 3)), 4)


def least_distance(fields, rows):
    chosen = fields[list(rows)]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1)
    return distances[np.triu_indices(len(rows), 1)].min()


def test_results_are_farther_apart_than_the_most_common_kinds():
    fields = np.random.default_rng(0).normal(size=(96, 3))
    distances = distances_between(fields)
    spread, typical = farthest_points(distances, 6), representatives(distances, 6)
    assert least_distance(fields, spread.draws) > 1.2 * least_distance(fields, typical.draws)
    assert sum(spread.weights) == pytest.approx(1) and len(set(spread.draws)) == 6


def test_it_reaches_half_of_the_best_least_distance():
    fields = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [5, 5], [5, 6], [4, 5]])
    assert least_distance(fields, farthest_points(distances_between(fields), 4, kept=1.0).draws) >= 5


def test_the_first_is_the_most_central_and_accidents_are_left_out():
    rng = np.random.default_rng(0)
    fields = np.concatenate([rng.normal(size=(45, 2)), [[40.0, 0], [0, 60], [-50, 0]]])
    distances = distances_between(fields)
    chosen = farthest_points(distances, 5).draws
    assert max(chosen) < 45
    assert np.linalg.norm(fields[chosen[0]]) < 0.7
    assert max(farthest_points(distances, 5, kept=1.0).draws) >= 45


def test_equal_fields_are_each_chosen_once():
    assert sorted(farthest_points(np.zeros((4, 4)), 4).draws) == [0, 1, 2, 3]


def test_more_results_than_fields_is_an_error():
    with pytest.raises(ValueError, match="n is 3, expected 1 to 2"):
        farthest_points(np.zeros((2, 2)), 3)
