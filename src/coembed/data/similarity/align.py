"""Two embeddings of the same pairs in one system of coordinates.

The condition's and the field's embedding each have axes of an arbitrary order and sign. A tie draws both codes
to each other; guided to axes that disagree, they would be drawn apart again.
"""

from __future__ import annotations

import numpy as np


def procrustes(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The rotation (k, k), orthogonal, for which ``other @ rotation`` is nearest to the reference.

    Args:
        reference: (n, k).
        other: (n, k).
    """
    left, _, right = np.linalg.svd(other.T.astype(np.float64) @ reference)
    return left @ right


def canonical(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps of both to canonical coordinates: white each, and correlated in pairs only.

    Args:
        a: (n, k), columns of mean 0.
        b: (n, m), the same.

    Returns:
        (k, r), (m, r) and the correlations (r,), falling, r = min(k, m) or less where columns depend.
    """
    white_a, white_b = _whitening(a), _whitening(b)
    left, correlations, right = np.linalg.svd((a @ white_a).T @ (b @ white_b) / len(a), full_matrices=False)
    return white_a @ left, white_b @ right.T, np.clip(correlations, 0.0, 1.0)


def agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The correlation of each column with its partner, (k,); 0 for a constant one."""
    a, b = a - a.mean(0), b - b.mean(0)
    lengths = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return (a * b).sum(0) / np.where(lengths > 0, lengths, np.inf)


def _whitening(x: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(x.T.astype(np.float64) @ x / len(x))
    kept = values > 1e-9 * values[-1]
    return vectors[:, kept] / np.sqrt(values[kept])
