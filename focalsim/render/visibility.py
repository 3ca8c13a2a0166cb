"""Once per scene: which part of the lens sees each sample.

A sample at pixel x with disparity q is hidden from the lens point u (|u| <= 1) by a front sample at pixel x', q' > q,
that stands on the same ray, whatever the focus:  x' = x + u (q' - q) / 2.  So

    V(u) = 1 - sum over x' of  a(x') tent(x' - x - u (q' - q) / 2),   clipped to >= 0,

a the front's coverage, tent the bilinear kernel. V is sampled on 37 lens points and kept as the polynomial of second
order of kernels.lens_basis that fits best. Each ray is thereby counted once: slices are plain sums without an order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.kernels import lens_basis
from focalsim.render.layers import EDGE_PX, Layers, lens_reach_px

NONE, WHOLE, PARTIAL = 0, 1, 2  # a sample's index: none, seen by the whole lens, or PARTIAL + its row of coefficients
_RAY_PX = 1.42  # a ray passes pixels whose centres are so near
_FIRST_SQUARE_PX = 3
UNSEEN = 0.01  # a sample that less of the lens sees adds nothing


def lens_points() -> NDArray[np.float64]:
    """37 points (37, 2) that share the unit disc evenly: the centre and rings of 6, 12 and 18."""
    points = [np.zeros((1, 2))]
    for ring in (1, 2, 3):
        angle = 2 * np.pi * (np.arange(6 * ring) + 0.5 * (ring % 2)) / (6 * ring)
        radius = np.sqrt((3 * ring * ring + 0.5) / 37.0)
        points.append(radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    return np.concatenate(points)


@cache
def _rays() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Half of x and y (37,) of the points, and the fit (6, 37) of lens_basis to what is seen from them."""
    points = lens_points()
    x, y = np.ascontiguousarray(points.T / 2, np.float32)
    return x, y, np.linalg.pinv(lens_basis(points)).astype(np.float32)


def lens_visibility(
    disparity_px: NDArray[np.float32],
    present: NDArray[np.bool_],
    front_disparity_px: NDArray[np.float32],
    front_coverage: NDArray[np.float32],
    rows: slice = slice(None),
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """What the lens sees of the samples ``present`` (H, W) in these rows: index (H, W) and coefficients (n, 6) of
    lens_basis.

    index is NONE where no sample is or none of it is seen, WHOLE where all of the lens sees it, else PARTIAL + n.
    ``disparity_px`` (H, W) belongs to the samples, ``front_*`` (H, W) to what may stand before them.
    """
    index = present.astype(np.int32) * WHOLE
    if not present.any():
        return index[rows], np.empty((0, 6), np.float32)
    first, _, _ = rows.indices(len(index))
    reach = _occluder_reach(disparity_px, present, front_disparity_px)
    todo = np.flatnonzero(reach[rows] > 0) + first * index.shape[1]
    coefficients = np.empty((len(todo), 6), np.float32)
    _visibility(
        todo,
        disparity_px,
        reach,
        front_disparity_px,
        front_coverage,
        *_rays(),
        index,
        coefficients,
    )
    return index[rows], coefficients


def _occluder_reach(
    disparity_px: NDArray[np.float32], present: NDArray[np.bool_], front_disparity_px: NDArray[np.float32]
) -> NDArray[np.int16]:
    """How far (H, W) around each sample there may be something that hides it from a part of the lens; 0 = nothing.

    Looked for in squares that grow: what stands t pixels away must be nearer by a gap of 2 (t - _RAY_PX) or more.
    """
    reach = np.zeros(disparity_px.shape, np.int16)
    nearest: NDArray[Any] = front_disparity_px
    within = 0
    farthest = lens_reach_px(float(disparity_px[present].min()), float(front_disparity_px.max()))
    while within < farthest:
        before, within = within, min(max(_FIRST_SQUARE_PX, 2 * within), farthest)
        nearest = cv2.dilate(nearest, np.ones((2 * (within - before) + 1,) * 2, np.uint8))
        _look_within(within, max(EDGE_PX, 2 * (before + 1 - _RAY_PX)), nearest, disparity_px, present, reach)
    return reach


@njit(cache=True, nogil=True, parallel=True)
def _look_within(within, least_gap, nearest, q, present, reach):
    for y in prange(len(q)):
        for x in range(q.shape[1]):
            gap = nearest[y, x] - q[y, x]
            if present[y, x] and gap > least_gap:
                reach[y, x] = min(int(gap / 2 + _RAY_PX), within)


SeenSamples = tuple[
    NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]
]


def seen_samples(layers: Layers, rows: slice = slice(None)) -> Iterator[SeenSamples]:
    """Front and back: colour (H, W, 3), coverage and disparity (H, W), index and coefficients of lens_visibility, of
    these rows. One after the other, so that the first need not be kept for the second.
    """
    occluder = layers.front_disparity_px, layers.front_coverage
    for color, coverage, q in (
        (layers.front_rgb, layers.front_coverage, layers.front_disparity_px),
        (layers.back_rgb, layers.back_coverage, layers.back_disparity_px),
    ):
        yield color[rows], coverage[rows], q[rows], *lens_visibility(q, coverage > 0, *occluder, rows)


@njit(cache=True, nogil=True, parallel=True)
def _visibility(todo, q, reaches, f_q, f_cov, ux, uy, fit, index, coefficients):
    height, width = q.shape
    n = len(ux)
    one = np.float32(1.0)
    zero = np.float32(0.0)
    for i in prange(len(todo)):
        y, x = todo[i] // width, todo[i] % width
        seen = np.ones(n, np.float32)
        own = q[y, x]
        reach = reaches[y, x]
        blocked = False
        for yy in range(max(y - reach, 0), min(y + reach + 1, height)):
            for xx in range(max(x - reach, 0), min(x + reach + 1, width)):
                gap = f_q[yy, xx] - own
                if gap <= EDGE_PX:
                    continue
                dx = np.float32(xx - x)
                dy = np.float32(yy - y)
                if dx * dx + dy * dy > (gap / 2 + _RAY_PX) ** 2:
                    continue
                blocked = True
                coverage = f_cov[yy, xx]
                for m in range(n):
                    tent_x = max(one - abs(dx - ux[m] * gap), zero)
                    tent_y = max(one - abs(dy - uy[m] * gap), zero)
                    seen[m] -= coverage * tent_x * tent_y
        if not blocked:
            continue
        partial = False
        for m in range(n):
            seen[m] = max(seen[m], zero)
            partial |= seen[m] < np.float32(0.97)
        if partial:
            for k in range(6):
                value = zero
                for m in range(n):
                    value += fit[k, m] * seen[m]
                coefficients[i, k] = value
            index[y, x] = PARTIAL + i if coefficients[i, 0] > UNSEEN else NONE
