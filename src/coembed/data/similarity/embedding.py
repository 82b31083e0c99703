"""Targets of every pair's codes: an embedding by locality preserving projection, both sides aligned.

The condition's and the field's embedding each have axes of an arbitrary order and sign. A tie draws both codes
to each other; guided to axes that disagree, they would be drawn apart again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coembed.data.similarity.config import SimilarityConfig
from coembed.data.similarity.features import Block, Scaling
from coembed.errors import DataError
from coembed.numerics.lpp.lpp import LocalityPreservingProjection

_FIELD = "field_pixels"


@dataclass(frozen=True)
class Targets:
    """Targets in standard deviations, smoothest dimension first.

    Attributes:
        condition: (2, n, k) float32: of every pair, and of the pair in a mirror; or (1, n, k) without mirrors.
        field: the same for the field's codes.
        agreement: (k,) correlation of both sides' targets, dimension by dimension.
    """

    condition: np.ndarray
    field: np.ndarray
    agreement: np.ndarray


def make_targets(
    blocks: Mapping[str, Block],
    mirrored: Mapping[str, Block] | None,
    config: SimilarityConfig,
    groups: Sequence[str] | None = None,
) -> Targets:
    """Embed pairs by their features.

    ``joint`` embeds all blocks at once, the same targets for both sides. Otherwise the condition is embedded
    by all blocks but the field's pixels, and the field by its pixels (as in the paper); without, both alike.

    Args:
        blocks: a row per pair: any of label, layout, pixels, field_pixels, own.
        mirrored: the same of every pair in a mirror, or None.
        config: the options.
        groups: pairs of one name here are near duplicates, and shall not be neighbours (see ``names.clip_of``).

    Raises:
        DataError: no block with a weight above 0, or features that are the same for all pairs.
    """
    used = [name for name in blocks if config.weights[name] > 0]
    if not used:
        raise DataError(f"guidance: all weights of {', '.join(blocks) or 'no features'} are 0")
    if config.align == "joint" or _FIELD not in used:
        both = _embed(blocks, mirrored, used, config, groups)
        return Targets(both, both, agreement(both[0], both[0]))
    condition_side = [name for name in used if name != _FIELD]
    condition = _embed(blocks, mirrored, condition_side, config, groups)
    field = _embed(blocks, mirrored, [_FIELD], config, groups)
    size = min(condition.shape[2], field.shape[2])
    condition, field = condition[..., :size], field[..., :size]
    if config.align == "procrustes":
        field = field @ procrustes(condition[0], field[0])
    elif config.align == "cca":
        a, b, _ = canonical(condition[0], field[0])
        condition, field = condition @ a, field @ b
    condition, field = (side.clip(-config.clip, config.clip).astype(np.float32) for side in (condition, field))
    return Targets(condition, field, agreement(condition[0], field[0]))


def _embed(
    blocks: Mapping[str, Block],
    mirrored: Mapping[str, Block] | None,
    used: Sequence[str],
    config: SimilarityConfig,
    groups: Sequence[str] | None,
) -> np.ndarray:
    """(1 or 2, n, k) targets from these blocks: mean 0 and deviation 1 over the pairs as they are."""
    chosen = {name: blocks[name] for name in used}
    scaling = Scaling.of(chosen, config.weights)
    features = scaling.join(chosen)
    lpp = LocalityPreservingProjection(config.components, n_neighbors=config.neighbors)
    try:
        with warnings.catch_warnings():
            # Fewer dimensions than wanted are as good: labels alone.
            warnings.simplefilter("ignore", UserWarning)
            plain = lpp.fit(features, groups=groups).transform(features)
    except DataError as error:
        raise DataError(f"guidance: features {', '.join(used)}: {error}") from None
    sides = [plain]
    if mirrored is not None:
        del features
        sides.append(lpp.transform(scaling.join({name: mirrored[name] for name in used})))
    mean, deviation = plain.mean(0), plain.std(0)
    table = (np.stack(sides) - mean) / np.where(deviation > 0, deviation, 1)
    return table.clip(-config.clip, config.clip).astype(np.float32)


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
