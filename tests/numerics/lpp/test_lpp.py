import numpy as np
import pytest
import scipy.linalg
from scipy import sparse
from sklearn.neighbors import kneighbors_graph
from sklearn.utils.estimator_checks import parametrize_with_checks

from coembed.errors import CoEmbedError
from coembed.numerics.lpp.lpp import LocalityPreservingProjection


@parametrize_with_checks([LocalityPreservingProjection()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def textbook(x: np.ndarray, n: int, k: int) -> np.ndarray:
    """(d, n) directions by the definition, with dense n x n matrices and no principal components."""
    squared = ((x[:, None] - x[None]) ** 2).sum(-1)
    edges = kneighbors_graph(x, k).toarray() > 0
    t = np.median(squared[edges])
    w = np.where(edges | edges.T, np.exp(-squared / t), 0.0)
    d = np.diag(w.sum(1))
    centred = x - w.sum(1) @ x / w.sum()
    laplacian = d - w
    return scipy.linalg.eigh(centred.T @ laplacian @ centred, centred.T @ d @ centred)[1][:, :n]


def clusters(rng, count=500, size=30):
    return rng.normal(size=(8, size))[rng.integers(0, 8, count)] * 2 + rng.normal(
        size=(count, size)
    ) * np.linspace(0.2, 2, size)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_equals_the_dense_textbook_solution_on_500_rows(make):
    x = clusters(np.random.default_rng(0))
    found = LocalityPreservingProjection(5, n_neighbors=10, pca_components=None, memory_mb=1).fit(make(x))
    wanted = textbook(x, 5, 10)
    assert scipy.linalg.subspace_angles(found.components_.T, wanted).max() < 1e-5
    # Not only the same subspace: the same directions in the same order.
    cosines = np.abs(
        (
            found.components_.T
            / np.linalg.norm(found.components_.T, axis=0)
            * wanted
            / np.linalg.norm(wanted, axis=0)
        ).sum(0)
    )
    assert cosines == pytest.approx(np.ones(5), abs=1e-9)


def test_float32_rows_far_from_zero_lose_little():
    x = clusters(np.random.default_rng(1))
    wanted = textbook(x, 3, 10)
    found = LocalityPreservingProjection(3, n_neighbors=10, memory_mb=1).fit((x + 50).astype(np.float32))
    assert found.components_.dtype == np.float32
    assert scipy.linalg.subspace_angles(found.components_.T.astype(float), wanted).max() < 2e-3


def test_columns_have_unit_weight_and_do_not_correlate():
    x = clusters(np.random.default_rng(2))
    lpp = LocalityPreservingProjection(4, n_neighbors=10)
    y = lpp.fit_transform(x)
    squared = ((x[:, None] - x[None]) ** 2).sum(-1)
    edges = kneighbors_graph(x, 10).toarray() > 0
    w = np.where(edges | edges.T, np.exp(-squared / lpp.bandwidth_), 0.0)
    d = w.sum(1)
    np.testing.assert_allclose(d @ y / d.sum(), np.zeros(4), atol=1e-8)
    np.testing.assert_allclose((y * d[:, None]).T @ y / d.sum(), np.eye(4), atol=1e-6)
    # lambda of each column is its Rayleigh quotient.
    quotients = np.einsum("ij,ik,kj->j", y, np.diag(d) - w, y) / np.einsum("ij,i,ij->j", y, d, y)
    np.testing.assert_allclose(lpp.eigenvalues_, quotients, atol=1e-6)
    assert np.all(np.diff(lpp.eigenvalues_) >= 0)


def test_does_not_depend_on_memory_and_repeats_itself():
    x = clusters(np.random.default_rng(3)).astype(np.float32)
    first = LocalityPreservingProjection(3).fit(x)
    again = LocalityPreservingProjection(3).fit(x)
    small = LocalityPreservingProjection(3, memory_mb=1).fit(x)
    assert np.array_equal(first.components_, again.components_)
    np.testing.assert_allclose(small.components_, first.components_, rtol=2e-3, atol=2e-4)
    assert np.all(first.components_[np.arange(3), np.abs(first.components_).argmax(1)] > 0)


def test_more_features_than_rows():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 400)) + 0.01 * rng.normal(size=(60, 400))
    y = LocalityPreservingProjection(2, n_neighbors=5, pca_components=10).fit_transform(x)
    assert y.shape == (60, 2) and np.isfinite(y).all()


def test_duplicate_rows_and_constant_columns():
    rng = np.random.default_rng(5)
    x = np.repeat(rng.normal(size=(40, 5)), 25, axis=0)
    x = np.hstack([x, np.full((len(x), 2), 7.0)])
    lpp = LocalityPreservingProjection(3, n_neighbors=10).fit(x)  # all neighbours at distance 0
    assert np.isfinite(lpp.components_).all() and np.all(lpp.components_[:, 5:] == 0)
    np.testing.assert_allclose(lpp.eigenvalues_, np.zeros(3), atol=1e-9)


def test_disconnected_graphs_become_one_point_a_part():
    rng = np.random.default_rng(6)
    parts = np.repeat(np.arange(3), 50)
    x = rng.normal(size=(3, 6))[parts] * 100 + rng.normal(size=(150, 6))
    lpp = LocalityPreservingProjection(2, n_neighbors=8)
    y = lpp.fit_transform(x)
    assert lpp.eigenvalues_ == pytest.approx([0, 0], abs=1e-3)
    within = max(y[parts == p].std(0).max() for p in range(3))
    assert within < 0.05 < np.ptp(y, axis=0).min()


def test_fewer_dimensions_than_wanted_is_said():
    x = np.random.default_rng(7).normal(size=(50, 2)) @ np.ones((2, 6))
    with pytest.warns(UserWarning, match="span only 1 dim"):
        lpp = LocalityPreservingProjection(4).fit(x)
    assert lpp.transform(x).shape == (50, 1)


def test_groups_keep_a_clip_out_of_its_own_neighbourhoods():
    rng = np.random.default_rng(8)
    # 40 clips of 10 nearly equal frames; what clips share is a slow direction that frames hide.
    clips = np.repeat(np.arange(40), 10)
    angle = np.linspace(-1, 1, 40)[clips]
    nuisance = rng.normal(size=(40, 6))[clips]
    x = np.column_stack([3 * angle, nuisance]) + 1e-3 * rng.normal(size=(400, 7))
    alone = LocalityPreservingProjection(1, n_neighbors=5).fit(x)
    apart = LocalityPreservingProjection(1, n_neighbors=5).fit(x, groups=[f"clip {c}" for c in clips])
    # Neighbours within a clip agree in every direction, so nothing can be told from them.
    assert alone.eigenvalues_[0] < 1e-4 < 0.01 < apart.eigenvalues_[0]
    correlation = abs(np.corrcoef(apart.transform(x)[:, 0], angle)[0, 1])
    assert correlation > 0.9


def test_clip_bounds_outliers():
    x = clusters(np.random.default_rng(9))
    lpp = LocalityPreservingProjection(3, clip=2.0).fit(x)
    assert np.abs(lpp.transform(x * 100)).max() == 2.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_components": 0}, "n_components: got 0"),
        ({"n_neighbors": 2.5}, "n_neighbors: got 2.5"),
        ({"bandwidth": "wide"}, "bandwidth: got 'wide'"),
        ({"bandwidth": -1.0}, "bandwidth: got -1.0"),
        ({"neighbors": "tree"}, "neighbors: got 'tree'"),
        ({"memory_mb": 0}, "memory_mb: got 0"),
    ],
)
def test_wrong_options_are_named(options, words):
    x = clusters(np.random.default_rng(0), 50, 4)
    with pytest.raises(CoEmbedError, match=words):
        LocalityPreservingProjection(**options).fit(x)


def test_rows_that_teach_nothing_are_refused():
    with pytest.raises(CoEmbedError, match="all 9 rows are the same"):
        LocalityPreservingProjection().fit(np.ones((9, 4)))
    x = clusters(np.random.default_rng(0), 50, 4)
    with pytest.raises(CoEmbedError, match="got 3 labels, expected one per row: 50"):
        LocalityPreservingProjection().fit(x, groups=[1, 2, 3])
    with pytest.raises(CoEmbedError, match="one group"):
        LocalityPreservingProjection().fit(x, groups=np.zeros(50))
