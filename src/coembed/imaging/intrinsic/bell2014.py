"""Bell, Bala and Snavely, "Intrinsic Images in the Wild", ACM Transactions on Graphics (SIGGRAPH) 2014.

A photo shows few paints. Twenty reflectances are clustered; then, in turn, a fully connected conditional random
field (Kraehenbuehl and Koltun 2013) chooses a reflectance for each pixel, and the reflectances' intensities are
moved so that the shading has small steps where paints meet. All weights are the published ones.

What differs from the authors' program: the work is done on an area mean of at most ``working_side`` pixels;
there the pairwise kernel is computed exactly instead of on a lattice; the photo's brightest working pixel is
brought to 1 first, so that exposure does not change the albedo; mean field ends early once it stands still; and
the result is upsampled by a guided filter.

What does not: the start asks for a shading of 0.5, so a pixel looks for a paint twice as bright as itself, and
paints brighter than half the brightest cluster become one. A photo of a few paints of similar lightness comes
out worse than by retinex; on scenes made from photos the two are about equal (benchmarks/intrinsic.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from skimage import measure

from coembed.errors import ConfigError
from coembed.imaging.resize import area_average

_DARKEST = 1e-4  # the photo is clipped here before logarithms
# Published parameters, which are not options.
_INTENSITY_SHARE = 0.5  # of the intensity beside the two chromaticities when clustering
_GREY_POINT, _GREY_WEIGHT = 0.5, 500.0  # absolute shading
_SMOOTH_WEIGHT, _SMOOTH_SIGMA = 20_000.0, 0.1  # shading target; its blur in diagonals of the image
_PAIR_WEIGHT = 10_000.0
_THETA_INTENSITY, _THETA_CHROMATICITY, _THETA_POSITION = 0.1, 0.025, 0.1
_IRLS_ROUNDS, _IRLS_FLOOR, _IRLS_TOLERANCE = 100, 1e-6, 1e-6
# Ours.
_KMEANS_ROUNDS = 30
_UNCHANGED, _FEW = 1e-6, 0.4  # below which a probability stays as it was; share of pixels worth singling out
_STANDS_STILL = 1e-3  # largest change of a label's probability that ends mean field
_GUIDE_RADIUS, _GUIDE_RIDGE = 2, 2e-3


@dataclass(frozen=True)
class Bell2014Options:
    """Size and effort of the method.

    Attributes:
        working_side: longer side the field is solved at, pixels; 8 to 96. Time grows with its fourth power.
        labels: reflectances to start from, at least 1.
        rounds: times the two stages alternate, at least 1.
        field_rounds: mean-field updates a round at most, at least 1.
        seed: of the clustering's starting points.

    Raises:
        ConfigError: a number outside its range.
    """

    working_side: int = 64
    labels: int = 20
    rounds: int = 25
    field_rounds: int = 10
    seed: int = 0

    def __post_init__(self):
        if not 8 <= self.working_side <= 96:
            raise ConfigError(f"working_side is {self.working_side!r}, expected 8 to 96")
        for name in ("labels", "rounds", "field_rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected at least 1")


def bell2014(rgb: np.ndarray, options: Bell2014Options) -> np.ndarray:
    """Log albedo, grey, of one photo.

    Args:
        rgb: (h, w, 3) float32 linear light, at least 0.
        options: size and effort.

    Returns:
        (h, w) float32, nats, up to a constant.
    """
    h, w = rgb.shape[:2]
    shrink = min(1.0, options.working_side / max(h, w))
    size = max(1, round(h * shrink)), max(1, round(w * shrink))
    small = area_average(rgb, size)
    brightest = np.float32(small.mean(2).max())
    if brightest <= 0:
        return np.zeros((h, w), np.float32)
    low = _solve(np.maximum(small / brightest, np.float32(_DARKEST)), options)
    if size == (h, w):
        return low
    return _guided(low, np.log(np.maximum(small / brightest, _DARKEST)), rgb, brightest)


def _solve(rgb: np.ndarray, options: Bell2014Options) -> np.ndarray:
    size = rgb.shape[:2]
    diagonal = math.hypot(*size)
    grey = rgb.mean(2)
    chromaticity = rgb[..., :2] / rgb.sum(2, keepdims=True)
    kernel = _kernel(grey, chromaticity, diagonal)
    log_grey = np.log(grey)
    points = np.concatenate([_INTENSITY_SHARE * grey[..., None], chromaticity], axis=2).reshape(-1, 3)
    centres = _kmeans(points.astype(np.float64), options.labels, np.random.default_rng(options.seed))
    log_paint = np.log(centres[:, 0] / _INTENSITY_SHARE)
    chroma = centres[:, 1:]
    labels = np.zeros(size, np.intp)
    target = None
    for i in range(options.rounds):
        labels = _label(log_grey, log_paint, chroma, target, kernel, options.field_rounds)
        used, labels = np.unique(labels, return_inverse=True)
        labels = labels.reshape(size)
        log_paint, chroma = log_paint[used], chroma[used]
        if len(used) == 1:
            break
        if i == options.rounds - 1:
            labels, log_paint = _components(labels, log_paint)
        log_paint = _smooth_shading(labels, log_paint, log_grey)
        # The next round's target: blurred ever less.
        target = _blur(log_grey - log_paint[labels], _SMOOTH_SIGMA * diagonal / (2 + i))
    return log_paint[labels].astype(np.float32)


def _kmeans(points: np.ndarray, clusters: int, generator: np.random.Generator) -> np.ndarray:
    """Centres of at most ``clusters`` clusters, (k, dimensions); k-means++ starts, then Lloyd's rounds."""
    centres = points[generator.integers(len(points))][None]
    nearest = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < clusters and nearest.sum() > 1e-12:
        centre = points[generator.choice(len(points), p=nearest / nearest.sum())]
        centres = np.concatenate([centres, centre[None]])
        nearest = np.minimum(nearest, ((points - centre) ** 2).sum(1))
    for _ in range(_KMEANS_ROUNDS):
        members = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
        counts = np.bincount(members, minlength=len(centres))
        sums = np.stack([np.bincount(members, x, len(centres)) for x in points.T], axis=1)
        moved = sums[counts > 0] / counts[counts > 0, None]
        if moved.shape == centres.shape and np.allclose(moved, centres, atol=1e-7):
            break
        centres = moved
    return centres


def _kernel(grey: np.ndarray, chromaticity: np.ndarray, diagonal: float) -> np.ndarray:
    """The normalised pairwise kernel between all pixels, (n, n) float32, symmetric."""
    rows, columns = np.indices(grey.shape) / (_THETA_POSITION * diagonal)
    colour = chromaticity.reshape(-1, 2) / _THETA_CHROMATICITY
    features = np.column_stack([grey.ravel() / _THETA_INTENSITY, colour, rows.ravel(), columns.ravel()])
    features = (features - features.mean(0)).astype(np.float32)
    half = np.float32(0.5) * (features**2).sum(1)
    kernel = features @ features.T
    kernel -= half
    kernel -= half[:, None]
    np.minimum(kernel, 0, out=kernel)
    np.exp(kernel, out=kernel)
    weight = 1 / np.sqrt(kernel.sum(1))
    kernel *= weight
    kernel *= weight[:, None]
    return kernel


def _label(
    log_grey: np.ndarray,
    log_paint: np.ndarray,
    chroma: np.ndarray,
    target: np.ndarray | None,
    kernel: np.ndarray,
    rounds: int,
) -> np.ndarray:
    """Stage 1: each pixel's most probable label under mean field, (n,)."""
    log_shading = log_grey.reshape(-1, 1) - log_paint
    unary = _GREY_WEIGHT * np.abs(log_shading - math.log(_GREY_POINT))
    if target is not None:
        unary += _SMOOTH_WEIGHT * (log_shading - target.reshape(-1, 1)) ** 2
    log_rgb = np.log(np.maximum(_colours(log_paint, chroma), 1e-5))
    difference = _PAIR_WEIGHT * np.abs(log_rgb[:, None] - log_rgb).sum(2)
    belief = _softmax(-unary).astype(np.float32)
    message = kernel @ belief
    for i in range(rounds):
        new = _softmax(-unary - message @ difference).astype(np.float32)
        if i == rounds - 1:
            return new.argmax(1)
        change = new - belief
        largest = np.abs(change).max(1)
        if largest.max() < _STANDS_STILL:
            break
        # After an update or two few pixels still change, and only their share of the message must be renewed.
        changed = np.flatnonzero(largest > _UNCHANGED)
        if len(changed) < _FEW * len(new):
            message += kernel[changed].T @ change[changed]
            belief[changed] = new[changed]
        else:
            message, belief = kernel @ new, new
    return belief.argmax(1)


def _colours(log_paint: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """The labels' reflectances, (k, 3), of mean exp(log_paint)."""
    shares = np.column_stack([chroma, 1 - chroma.sum(1)])
    return 3 * np.exp(log_paint)[:, None] * shares


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def _blur(layer: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur that keeps the mean."""
    blurred = ndimage.gaussian_filter(layer, sigma, mode="nearest")
    return blurred + (layer.mean() - blurred.mean())


def _components(labels: np.ndarray, log_paint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each 4-connected region of one label becomes a label of its own."""
    regions = np.asarray(measure.label(labels, background=-1, connectivity=1)) - 1
    _, first = np.unique(regions, return_index=True)
    return regions, log_paint[labels.ravel()[first]]


def _smooth_shading(labels: np.ndarray, log_paint: np.ndarray, log_grey: np.ndarray) -> np.ndarray:
    """Stage 2: log intensities of least sum of |steps of log shading| where labels meet; reweighted squares."""
    pairs = []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        meet = labels[a] != labels[b]
        step = (log_grey[a] - log_grey[b])[meet].astype(np.float64)
        pairs.append((labels[a][meet], labels[b][meet], step))
    here, there, wanted = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if not len(wanted):
        return log_paint
    wanted = wanted - log_paint[here] + log_paint[there]
    edges, labels_n = np.arange(len(wanted)), len(log_paint)
    ends = (np.tile(edges, 2), np.concatenate([here, there]))
    signs = np.repeat([1.0, -1.0], len(wanted))
    incidence = sparse.csr_array((signs, ends), shape=(len(wanted), labels_n))
    best, best_error = np.zeros(labels_n), np.inf
    weight = np.ones(len(wanted))
    for _ in range(_IRLS_ROUNDS):
        weighted = (incidence * weight[:, None]).T
        normal = sparse.csc_array(weighted @ incidence)
        # The common shift is free; a trace of ridge keeps the shortest solution, as the authors' damping does.
        normal += sparse.eye_array(labels_n, format="csc") * (1e-10 * normal.diagonal().max())
        delta = spsolve(sparse.csc_matrix(normal), weighted @ wanted)
        residual = np.abs(incidence @ delta - wanted)
        gain = best_error - residual.mean()
        if gain > 0:
            best, best_error = delta, residual.mean()
        if gain < _IRLS_TOLERANCE:
            break
        weight = 1 / (residual + _IRLS_FLOOR)
    moved = log_paint + best
    # The median of an even count is no member, so it is taken of the intensities themselves, as published.
    return moved + math.log(np.median(np.exp(log_paint)) / np.median(np.exp(moved)))


def _guided(low: np.ndarray, guide: np.ndarray, rgb: np.ndarray, brightest: np.float32) -> np.ndarray:
    """Upsample by a guided filter: linear in log RGB near each working pixel, so near exact in even light."""
    h, w = rgb.shape[:2]
    mean = _box(guide)
    square = (guide[..., :, None] * guide[..., None, :]).reshape(*low.shape, 9)
    covariance = _box(square).reshape(*low.shape, 3, 3)
    covariance -= mean[..., :, None] * mean[..., None, :]
    joint = _box(guide * low[..., None]) - mean * _box(low[..., None])
    slope = np.linalg.solve(covariance + _GUIDE_RIDGE * np.eye(3, dtype=np.float32), joint[..., None])[..., 0]
    offset = _box(low[..., None]) - (slope * mean).sum(2, keepdims=True)
    plane = _box(np.concatenate([slope, offset], axis=2)).astype(np.float32)
    plane = cv2.resize(plane, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, 4)
    log_albedo = plane[..., 3].copy()
    for c in range(3):
        log_albedo += plane[..., c] * np.log(np.maximum(rgb[..., c] / brightest, np.float32(_DARKEST)))
    return log_albedo


def _box(layer: np.ndarray) -> np.ndarray:
    width = 2 * _GUIDE_RADIUS + 1
    return ndimage.uniform_filter(layer.astype(np.float32), width, mode="nearest", axes=(0, 1))
