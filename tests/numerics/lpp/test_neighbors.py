import numpy as np
import pytest

from coembed.errors import ConfigError
from coembed.numerics.lpp import neighbors as module
from coembed.numerics.lpp.neighbors import nearest_neighbors


def brute(points, k, groups):
    squared = ((points[:, None].astype(float) - points[None]) ** 2).sum(-1)
    squared[groups[:, None] == groups[None]] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squared, order, 1)


@pytest.mark.parametrize("count", [5, 63, 64, 65, 700])
@pytest.mark.parametrize("memory_mb", [0.05, 100])
def test_exact_search_equals_brute_force(count, memory_mb):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, 6)).astype(np.float32)
    groups = rng.integers(0, max(3, count // 4), count)
    rows, squared = nearest_neighbors(points, 7, groups=groups, memory_mb=memory_mb)
    want_rows, want = brute(points, 7, groups)
    there = np.isfinite(want)
    k = want.shape[1]
    assert np.array_equal(rows[:, :k][there], want_rows[there])
    assert np.all(rows[:, :k][~there] == -1) and np.all(rows[:, k:] == -1)
    np.testing.assert_allclose(squared[:, :k][there], want[there], rtol=1e-12)


def test_a_row_is_not_its_own_neighbour_even_among_duplicates():
    points = np.zeros((200, 3), dtype=np.float32)
    rows, squared = nearest_neighbors(points, 4)
    assert np.all(rows != np.arange(200)[:, None]) and np.all(squared == 0)


def test_near_ties_far_from_zero_are_ranked_in_float64():
    rng = np.random.default_rng(0)
    points = (1000 + rng.normal(size=(300, 4)) * 0.5).astype(np.float32)
    points -= points.mean(0)
    rows, _ = nearest_neighbors(points, 5)
    assert np.array_equal(rows, brute(points, 5, np.arange(300))[0])


def test_faiss_finds_nearly_all_neighbours():
    pytest.importorskip("faiss")
    points = np.random.default_rng(1).normal(size=(2000, 8)).astype(np.float32)
    groups = np.arange(2000) // 4
    rows, _ = nearest_neighbors(points, 5, groups=groups, method="faiss")
    assert not np.any(groups[rows] == groups[:, None])
    assert np.mean(rows == nearest_neighbors(points, 5, groups=groups)[0]) > 0.9


def test_without_faiss_many_rows_say_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    monkeypatch.setattr(module, "MAX_EXACT_ROWS", 10)
    with pytest.raises(ConfigError, match=r"coembed\[scale\]"):
        nearest_neighbors(np.zeros((20, 2)), 3)
