"""Basis functions on segments, and their links: the matrices behind ``Interp(w, theta; S)`` (paper section 4.2).

The paper sums, at each pixel, the basis functions of the samples in the pixel's own segment. Read here as follows.

* One basis function a segment, a bump around the segment's centre in position and in colour, divided by the sum over
  the 3 x 3 segments around the pixel (so a constant comes back as itself). A pixel near a boundary inside a smooth region
  mixes both sides, a pixel at an edge of the photo takes its own side: soft membership, no outlines.
* Colour does what the orientation does in the paper: the level lines of a basis function follow the photo's own edges.
  An explicit orientation (a slope a sample) was measured not to help once the segments are right.
* Weights are solved with a penalty on the differences between linked segments in place of a penalty on their
  magnitude, which would pull every field towards one level.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from coembed.upsample.segments import Segments

_FAR = 1e-3  # what is left of a basis function beyond its radius, for the ends of long segments
_CHUNK = 1 << 15  # pixels at once: the temporaries stay in cache


def soft_membership(
    segments: Segments, features: np.ndarray, *, colour_sigma: float, radius: float
) -> sparse.csr_array:
    """Weights with which each pixel mixes the segments around it.

    Args:
        segments: of the same image.
        features: (h, w, c) float32.
        colour_sigma: width of a basis function in units of the features.
        radius: where it ends, in steps of the seeds. Crossing into the next segment exchanges the segments 1.5 steps
            away, so a larger radius draws the segments' outlines.

    Returns:
        float32 (h * w, segments), 9 entries a row, non-negative, every row sums to 1.
    """
    reach = radius * segments.step
    table = np.concatenate([segments.features / colour_sigma, segments.centres / reach], axis=1).astype(
        np.float32
    )
    neighbours, valid = _neighbours(segments)
    # A segment outside the grid or without pixels gets a colour so far away that its weight is exactly 0.
    means = np.where(valid[..., None], table[neighbours], np.float32(1e4))  # (k, 9, c + 2)
    h, w, channels = features.shape
    labels, pixels = segments.labels.ravel(), features.reshape(h * w, channels)
    weights = np.empty((h * w, 9), np.float32)
    for start in range(0, h * w, _CHUNK):
        part = slice(start, min(start + _CHUNK, h * w))
        own = labels[part]
        rows, columns = np.divmod(np.arange(part.start, part.stop, dtype=np.float32), np.float32(w))
        here = np.empty((own.size, channels + 2), np.float32)
        here[:, :channels] = pixels[part] / colour_sigma
        here[:, channels] = rows / reach
        here[:, channels + 1] = columns / reach
        gap = means[own]
        gap -= here[:, None]
        gap *= gap
        colour = gap[..., :channels].sum(-1)
        # Relative to the nearest, so a pixel unlike all of its neighbours still takes the least unlike one.
        colour -= colour.min(1, keepdims=True)
        near = np.maximum(1 - gap[..., channels:].sum(-1), 0)
        weight = np.exp(-0.5 * colour) * (near * near + _FAR)
        weights[part] = weight / weight.sum(1, keepdims=True)
    starts = np.arange(0, 9 * h * w + 1, 9, dtype=np.int32)
    return sparse.csr_array(
        (weights.ravel(), neighbours[labels].astype(np.int32).ravel(), starts), shape=(h * w, len(segments))
    )


def links(segments: Segments, *, colour_sigma: float, floor: float, reach: int = 2) -> sparse.csr_array:
    """The graph Laplacian that says which neighbouring segments should have the same value.

    Args:
        segments: nodes of the graph.
        colour_sigma: segments that differ by more than this are hardly linked.
        floor: strength of the link between neighbours of quite different colours, relative to equal ones.
        reach: segments up to this many seeds apart are linked.

    Returns:
        float64 (segments, segments), symmetric, positive semi-definite; constants are in its null space.
    """
    rows, columns = segments.grid
    index = np.arange(len(segments)).reshape(rows, columns)
    firsts, seconds = [], []
    for down in range(reach + 1):
        for right in range(-reach, reach + 1):
            if down == 0 and right <= 0:
                continue
            firsts.append(
                index[: max(rows - down, 0), max(0, -right) : max(columns - max(0, right), 0)].ravel()
            )
            seconds.append(index[down:, max(0, right) : max(columns + min(0, right), 0)].ravel())
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    present = (segments.counts[first] > 0) & (segments.counts[second] > 0)
    first, second = first[present], second[present]
    colour = _squares(segments.features[first] - segments.features[second]) / colour_sigma**2
    distance = _squares(segments.centres[first] - segments.centres[second]) / segments.step**2
    strength = (np.exp(-0.5 * colour) + floor) * np.exp(-0.5 * distance)
    graph = sparse.coo_array((strength, (first, second)), shape=(len(segments),) * 2)
    graph = (graph + graph.T).tocsr()
    return sparse.csr_array(sparse.diags_array(graph.sum(axis=1)) - graph)


def _squares(gaps: np.ndarray) -> np.ndarray:
    return np.square(gaps, dtype=np.float64).sum(-1)


def _neighbours(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """The 3 x 3 segments around each one, (k, 9), and whether each exists; where not, the index is the segment's own."""
    rows, columns = segments.grid
    own = np.arange(len(segments))
    around = np.arange(-1, 2)
    row = (own // columns)[:, None] + np.repeat(around, 3)
    column = (own % columns)[:, None] + np.tile(around, 3)
    valid = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    indices = np.where(valid, row * columns + column, own[:, None])
    return indices, valid & (segments.counts[indices] > 0)
