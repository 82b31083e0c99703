import numpy as np
import pytest

from coembed.editing.selection import representatives
from coembed.editing.spread import spread_out


def least_distance(fields, rows):
    chosen = fields[list(rows)]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=-1)
    return distances[np.triu_indices(len(rows), 1)].min()


def test_results_are_farther_apart_than_the_most_common_kinds():
    fields = np.random.default_rng(0).normal(size=(96, 3))
    spread, typical = spread_out(fields, 6), representatives(fields, 6)
    assert least_distance(fields, spread.rows) > 1.2 * least_distance(fields, typical.rows)
    assert sum(spread.weights) == pytest.approx(1) and len(set(spread.rows)) == 6


def test_it_reaches_half_of_the_best_least_distance():
    fields = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [5, 5], [5, 6], [4, 5]])
    assert least_distance(fields, spread_out(fields, 4, kept=1.0).rows) >= 5


def test_the_first_is_the_most_central_and_accidents_are_left_out():
    rng = np.random.default_rng(0)
    fields = np.concatenate([rng.normal(size=(45, 2)), [[40.0, 0], [0, 60], [-50, 0]]])
    chosen = spread_out(fields, 5).rows
    assert max(chosen) < 45
    assert np.linalg.norm(fields[chosen[0]]) < 0.7
    assert max(spread_out(fields, 5, kept=1.0).rows) >= 45


def test_equal_fields_are_each_chosen_once():
    assert sorted(spread_out(np.zeros((4, 2)), 4).rows) == [0, 1, 2, 3]


def test_more_results_than_fields_is_an_error():
    with pytest.raises(ValueError, match="n is 3, expected 1 to 2"):
        spread_out(np.zeros((2, 2)), 3)
