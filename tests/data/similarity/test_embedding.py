"""Targets of codes: two embeddings of the same pairs in one system of coordinates."""

import numpy as np
import pytest

from coembed.data.similarity.config import SimilarityConfig
from coembed.data.similarity.embedding import canonical, make_targets, procrustes
from coembed.data.similarity.features import Block
from coembed.errors import DataError


def test_procrustes_finds_a_rotation():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = procrustes(a, a @ turn)
    np.testing.assert_allclose(found, turn.T, atol=1e-10)


def test_canonical_coordinates_are_white_and_correlate_in_pairs_only():
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(4000, 2))
    a = np.hstack([shared, rng.normal(size=(4000, 2))]) @ rng.normal(size=(4, 4))
    b = np.hstack([shared + 0.5 * rng.normal(size=(4000, 2)), rng.normal(size=(4000, 1))]) @ rng.normal(
        size=(3, 3)
    )
    a, b = a - a.mean(0), b - b.mean(0)
    to_a, to_b, correlations = canonical(a, b)
    u, v = a @ to_a, b @ to_b
    np.testing.assert_allclose(u.T @ u / len(u), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(v.T @ v / len(v), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(u.T @ v / len(u), np.diag(correlations), atol=1e-8)
    # corr(s, s + e/2) = 1 / sqrt(1.25)
    assert correlations[:2] == pytest.approx([0.894, 0.894], abs=0.02) and correlations[2] < 0.05


def blocks(count=400, seed=0):
    """Pairs of one slow direction that condition and field share, with much that they don't."""
    rng = np.random.default_rng(seed)
    slow = rng.uniform(-3, 3, size=(count, 2))
    wide = lambda: slow @ rng.normal(size=(2, 10)) + 0.3 * rng.normal(size=(count, 10))  # noqa: E731
    return {"pixels": Block(wide().astype(np.float32)), "field_pixels": Block(wide().astype(np.float32))}


@pytest.mark.parametrize("align", ["joint", "procrustes", "cca", "none"])
def test_targets_are_in_units_of_the_prior(align):
    config = SimilarityConfig(components=3, align=align)
    found = make_targets(blocks(), None, config)
    for side in (found.condition, found.field):
        assert side.shape == (1, 400, 3) and side.dtype == np.float32
        np.testing.assert_allclose(side[0].mean(0), 0, atol=0.1)
        np.testing.assert_allclose(side[0].std(0), 1, atol=0.1)
        assert np.abs(side).max() <= 3


def test_alignment_makes_both_sides_agree():
    got = {
        align: make_targets(blocks(), None, SimilarityConfig(components=2, align=align)).agreement
        for align in ("joint", "procrustes", "cca", "none")
    }
    assert np.all(got["joint"] == pytest.approx(1.0))
    assert got["cca"].min() > 0.85 and got["procrustes"].min() > 0.85
    assert np.abs(got["none"]).min() < got["procrustes"].min()


def test_pairs_in_a_mirror_have_targets_of_their_own():
    plain = blocks()
    mirrored = {name: Block(-block.values) for name, block in plain.items()}
    found = make_targets(plain, mirrored, SimilarityConfig(components=2)).condition
    assert found.shape == (2, 400, 2)
    assert np.corrcoef(found[0, :, 0], found[1, :, 0])[0, 1] == pytest.approx(-1, abs=1e-3)


def test_features_without_weight_are_refused():
    with pytest.raises(DataError, match="all weights of pixels, field_pixels are 0"):
        make_targets(blocks(), None, SimilarityConfig(pixels=0.0))
