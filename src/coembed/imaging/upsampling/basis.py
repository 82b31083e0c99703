"""Basis functions on segments, and their links: the matrices behind ``Interp(w, theta; S)`` (section 4.2).

The paper sums, at each pixel, the basis functions of the samples in the pixel's own segment. Read here as
follows.

* One basis function a segment, a bump around the segment's centre in position and in colour, divided by the sum
  over the 3 x 3 segments around the pixel (so a constant comes back as itself). A pixel near a boundary inside
  a smooth region mixes both sides, a pixel at an edge of the photo takes its own side: soft membership, no
  outlines.
* Colour does what the orientation does in the paper: the level lines of a basis function follow the photo's own
  edges. No orientation is solved for, which keeps the result linear in the field.
* Weights are solved with a penalty on the differences between linked segments and a weak one on their distance
  from the low-resolution field; the paper's penalty on magnitude would pull every field towards one level.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree

from coembed.imaging.upsampling.segments import Segments

_FAR = 1e-3  # what is left of a basis function beyond its radius, for the ends of long segments
_CHUNK = 1 << 15  # pixels at once: the temporaries stay in cache
_THREADS = 2


def soft_membership(
    segments: Segments, features: np.ndarray, *, colour_sigma: float, radius: float
) -> sparse.csr_array:
    """Weights with which each pixel mixes the segments around it.

    Args:
        segments: of the same image.
        features: (h, w, c) float32.
        colour_sigma: width of a basis function in units of the features.
        radius: where it ends, in steps of the seeds. Crossing into the next segment exchanges the segments 1.5
            steps away, so a larger radius draws the segments' outlines.

    Returns:
        float32 (h * w, segments), 9 entries a row, non-negative, every row sums to 1.
    """
    h, w, channels = features.shape
    reach = radius * segments.step
    neighbours, valid = _neighbours(segments)
    # A segment outside the grid or without pixels gets a colour so far away that its weight is exactly 0.
    colours = np.where(
        valid[..., None], segments.features[neighbours] / np.float32(colour_sigma), np.float32(1e4)
    )
    colours = np.ascontiguousarray(colours.transpose(1, 2, 0), np.float32)  # (9, c, k)
    centres = np.ascontiguousarray((segments.centres[neighbours] / reach).transpose(1, 2, 0), np.float32)
    labels = segments.labels.ravel()
    pixels = np.ascontiguousarray(features.reshape(h * w, channels).T) * np.float32(1 / colour_sigma)
    weights = np.empty((h * w, 9), np.float32)

    def fill(start: int) -> None:
        part = slice(start, min(start + _CHUNK, h * w))
        own = labels[part]
        rows, columns = np.divmod(np.arange(part.start, part.stop, dtype=np.float32), np.float32(w))
        place = (rows / np.float32(reach), columns / np.float32(reach))
        colour = np.stack([_distances(pixels[:, part], table, own) for table in colours])
        near = np.stack([_distances(place, table, own) for table in centres])
        # Relative to the nearest, so a pixel unlike all of its neighbours still takes the least unlike one.
        colour -= colour.min(0)
        near = np.maximum(1 - near, 0)
        weight = np.exp(-0.5 * colour) * (near * near + np.float32(_FAR))
        weights[part] = (weight / weight.sum(0)).T

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(fill, range(0, h * w, _CHUNK)))
    starts = np.arange(0, 9 * h * w + 1, 9, dtype=np.int32)
    indices = neighbours.astype(np.int32)[labels].ravel()
    return sparse.csr_array((weights.ravel(), indices, starts), shape=(h * w, len(segments)))


def _distances(here: np.ndarray | tuple[np.ndarray, ...], table: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Squared distances of pixels (c, p) from entries (c, k) of a table, entry ``own`` (p,) for each pixel."""
    total = np.zeros(own.shape, np.float32)
    for axis, entries in zip(here, table, strict=True):
        gap = entries[own]
        gap -= axis
        gap *= gap
        total += gap
    return total


def links(
    segments: Segments, *, colour_sigma: float, floor: float, kin: int, kin_reach: float, kin_strength: float
) -> sparse.csr_array:
    """The graph Laplacian that says which segments should have about the same value.

    Two kinds of links: to the neighbours within two steps, and to the nearest relatives in colour and position
    together. The second kind carries what one wide cell says about a colour to the same colour a few cells on
    (leaves before a sky, letters on a wall); it is sparse, so the factorisation hardly pays for it.

    Args:
        segments: nodes of the graph.
        colour_sigma: segments that differ by more than this are hardly linked.
        floor: strength of the link between neighbours of quite different colours, relative to equal ones.
        kin: number of relatives a segment.
        kin_reach: how many steps apart count as much as one ``colour_sigma``.
        kin_strength: of a link between distant relatives, next to one between touching twins.

    Returns:
        float64 (segments, segments), symmetric, positive semi-definite; constants are in its null space.
    """
    first, second = (np.concatenate(ends) for ends in zip(*_near_pairs(segments.grid), strict=True))
    present = (segments.counts[first] > 0) & (segments.counts[second] > 0)
    first, second = first[present], second[present]
    colours = segments.features.astype(np.float64) / colour_sigma
    places = segments.centres.astype(np.float64) / segments.step
    apart = np.square(places[first] - places[second]).sum(-1)
    unlike = np.square(colours[first] - colours[second]).sum(-1)
    strength = (np.exp(-0.5 * unlike) + floor) * np.exp(-0.5 * apart)

    nodes = np.flatnonzero(segments.counts)
    points = np.concatenate([colours, places / kin_reach], axis=1)[nodes]
    kin = min(kin, len(nodes) - 1)
    distance, nearest = KDTree(points).query(points, kin + 1)
    distance, nearest = distance.reshape(len(nodes), -1)[:, 1:], nearest.reshape(len(nodes), -1)[:, 1:]
    first = np.concatenate([first, np.repeat(nodes, kin)])
    second = np.concatenate([second, nodes[nearest].ravel()])
    # A pair of relatives is listed once or twice; half a strength each time it is.
    strength = np.concatenate([strength, 0.5 * kin_strength * np.exp(-0.5 * distance**2).ravel()])

    graph = sparse.coo_array((strength, (first, second)), shape=(len(segments),) * 2)
    graph = (graph + graph.T).tocsr()
    return sparse.csr_array(sparse.diags_array(graph.sum(axis=1)) - graph)


def _near_pairs(grid: tuple[int, int], reach: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every pair of grid places at most ``reach`` rows and columns apart, once."""
    rows, columns = grid
    index = np.arange(rows * columns).reshape(rows, columns)
    pairs = []
    for down in range(reach + 1):
        for right in range(-reach, reach + 1):
            if down > 0 or right > 0:
                upper = index[: max(rows - down, 0), max(0, -right) : max(columns - max(0, right), 0)]
                lower = index[down:, max(0, right) : max(columns + min(0, right), 0)]
                pairs.append((upper.ravel(), lower.ravel()))
    return pairs


def _neighbours(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """The 3 x 3 segments around each one, (k, 9), and whether each exists; if not, its own index stands in."""
    rows, columns = segments.grid
    own = np.arange(len(segments))
    around = np.arange(-1, 2)
    row = (own // columns)[:, None] + np.repeat(around, 3)
    column = (own % columns)[:, None] + np.tile(around, 3)
    valid = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    indices = np.where(valid, row * columns + column, own[:, None])
    return indices, valid & (segments.counts[indices] > 0)
