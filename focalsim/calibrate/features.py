"""Similarities between photos of any still scene, without a target: SIFT features, pairs, one consistent chain."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.calibrate.similarity import Complex, chain_similarities

# Coarse features survive defocus and are placed without bias by it; finer ones favour the sharper photo.
_WORK_SIZE_PX = 640
_FEATURES = 2000
_RATIO = 0.8  # Lowe's test
_INLIER_PX = 1.0
_LEAST_INLIERS = 20
_LARGEST_SCALE = 1.5  # between two photos; no lens breathes more; many features matched to one can shrink to it
_ALL_PAIRS = 16  # up to so many photos every pair is matched, beyond it steps of 1, 2, 4, ...

Features = tuple[Complex, NDArray[np.float32]]  # places from the image centre, full-size pixels; descriptors


def find_features(gray: NDArray[np.uint8]) -> Features:
    """SIFT features of a photo: places (n,) x + iy from the image centre in its own pixels, descriptors (n, 128)."""
    factor = min(1.0, _WORK_SIZE_PX / max(gray.shape))
    small = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    detector: Any = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=0.01)
    keypoints, descriptors = detector.detectAndCompute(small, None)
    if not keypoints:
        return np.empty(0, np.complex128), np.empty((0, 128), np.float32)
    xy = np.array([point.pt for point in keypoints])
    x = (xy[:, 0] - (small.shape[1] - 1) / 2) * (gray.shape[1] / small.shape[1])
    y = (xy[:, 1] - (small.shape[0] - 1) / 2) * (gray.shape[0] / small.shape[0])
    return x + 1j * y, np.asarray(descriptors, np.float32)


def register_features(features: Sequence[Features], width_px: int) -> tuple[NDArray[np.intp], Complex]:
    """Slices that hang together (k,), and their A, B (2, k) relative to the first of them: z_n = A_n z_first + B_n.

    Slices whose features match too few others are left out.
    """
    matched, values = [], []
    tolerance = _INLIER_PX * max(1.0, width_px / _WORK_SIZE_PX)
    for i, j in _pairs(len(features)):
        pair = _match(features[i], features[j], tolerance)
        if pair is not None:
            matched.append((i, j))
            values.append(pair)
    slices = _largest_group(len(features), matched)
    position = {int(n): k for k, n in enumerate(slices)}
    kept = [k for k, (i, _) in enumerate(matched) if i in position]
    if not kept:
        return np.empty(0, np.intp), np.empty((2, 0), np.complex128)
    pairs = np.array([[position[i], position[j]] for i, j in (matched[k] for k in kept)])
    a, b = np.array([values[k] for k in kept], np.complex128).T
    # A pair is off by about as much however far apart its slices are, but steps add up: long pairs are worth more.
    return slices, chain_similarities(pairs, a, b, np.abs(pairs[:, 1] - pairs[:, 0]).astype(np.float64))


def _pairs(n: int) -> list[tuple[int, int]]:
    return [(i, j) for i, j in combinations(range(n), 2) if n <= _ALL_PAIRS or (j - i) & (j - i - 1) == 0]


def _match(first: Features, second: Features, tolerance_px: float) -> tuple[complex, complex] | None:
    """a, b of second = a first + b; None where too few features agree on them."""
    if min(len(first[0]), len(second[0])) < _LEAST_INLIERS:
        return None
    nearest = cv2.BFMatcher().knnMatch(first[1], second[1], k=2)
    good = [m for m, other in nearest if m.distance < _RATIO * other.distance]
    if len(good) < _LEAST_INLIERS:
        return None
    source, target = first[0][[m.queryIdx for m in good]], second[0][[m.trainIdx for m in good]]
    cv2.setRNGSeed(0)  # RANSAC draws; the same photos must give the same numbers
    matrix, inliers = cv2.estimateAffinePartial2D(
        np.stack([source.real, source.imag], axis=1),
        np.stack([target.real, target.imag], axis=1),
        ransacReprojThreshold=tolerance_px,
        maxIters=5000,
        confidence=0.999,
    )
    if matrix is None or inliers.sum() < _LEAST_INLIERS:
        return None
    a = complex(matrix[0, 0], matrix[1, 0])
    return (a, complex(matrix[0, 2], matrix[1, 2])) if 1 / _LARGEST_SCALE < abs(a) < _LARGEST_SCALE else None


def _largest_group(n: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """The most slices that pairs connect, ascending; none where there is no pair."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs:
        return np.empty(0, np.intp)
    i, j = np.array(pairs).T
    _, label = connected_components(coo_array((np.ones(len(pairs)), (i, j)), shape=(n, n)), directed=False)
    return np.flatnonzero(label == np.bincount(label).argmax())
