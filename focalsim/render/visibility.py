"""Once per scene: which part of the lens sees each sample.

A sample at pixel x with disparity q is hidden from the lens point u (|u| <= 1) by a front sample at pixel x', q' > q,
that stands on the same ray, whatever the focus:  x' = x + u (q' - q) / 2.  So

    V(u) = 1 - sum over x' of  a(x') tent(x' - x - u (q' - q) / 2),   clipped to >= 0,

a the front's coverage, tent the bilinear kernel. V is sampled on 32 lens points and kept as the polynomial of second
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

from focalsim.render.kernels import BASIS_SIZE, lens_basis
from focalsim.render.layers import EDGE_PX, Layers, lens_reach_px
from focalsim.render.visibility_code import any_below, clip, first_bit, hide, hiders
from focalsim.simd import BYTES, LANES, address, fill, fma, load, store, zero

NONE, WHOLE, PARTIAL = 0, 1, 2  # a sample's index: none, seen by the whole lens, or PARTIAL + its row of coefficients
RAY_PX = np.float32(1.42)  # a ray passes pixels whose centres are so near
_FIRST_SQUARE_PX = 3
RAYS = 32  # two vectors of sixteen
_RINGS = 6, 10, 15  # of lens points around the one in the centre
UNSEEN = 0.01  # a sample that less of the lens sees adds nothing
_ALL = np.float32(0.97)  # a sample that every ray sees so much of is seen by the whole lens
_EDGE, _ONE = np.float32(EDGE_PX), np.float32(1.0)
_BLOCK = 64  # samples that are looked at one after another


def lens_points() -> NDArray[np.float64]:
    """Points (RAYS, 2) that share the unit disc evenly: the centre and rings, each in the middle of its share.

    From left to right: no point of the first half has x > 0, none of the second x < 0.
    """
    points, within = [np.zeros((1, 2))], 1
    for ring, count in enumerate(_RINGS):
        angle = 2 * np.pi * (np.arange(count) + (0.0 if ring % 2 else 0.5)) / count
        radius = np.sqrt((within + count / 2) / RAYS)
        points.append(radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
        within += count
    shared = np.concatenate(points).round(12)  # where x is to be 0, it is
    return shared[np.argsort(shared[:, 0], kind="stable")]


@cache
def _rays() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Half of x and y of the points (2, RAYS), and the fit (RAYS, 16) of lens_basis to what is seen from them."""
    points = lens_points()
    rays = np.ascontiguousarray(points.T / 2, np.float32)
    fit = np.zeros((RAYS, LANES), np.float32)
    fit[:, :BASIS_SIZE] = np.linalg.pinv(lens_basis(points)).T
    return rays, fit


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
    coefficients = np.empty((len(todo), BASIS_SIZE), np.float32)
    room = np.empty((-(-len(todo) // _BLOCK), RAYS), np.float32)
    occluder = front_disparity_px, front_coverage
    _visibility(todo, disparity_px, reach, *occluder, *_rays(), index, coefficients, room)
    return index[rows], coefficients


def _occluder_reach(
    disparity_px: NDArray[np.float32], present: NDArray[np.bool_], front_disparity_px: NDArray[np.float32]
) -> NDArray[np.int16]:
    """How far (H, W) around each sample there may be something that hides it from a part of the lens; 0 = nothing.

    Looked for in squares that grow: what stands t pixels away must be nearer by a gap of 2 (t - RAY_PX) or more.
    """
    reach = np.zeros(disparity_px.shape, np.int16)
    nearest: NDArray[Any] = front_disparity_px
    within = 0
    farthest = lens_reach_px(float(disparity_px[present].min()), float(front_disparity_px.max()))
    while within < farthest:
        before, within = within, min(max(_FIRST_SQUARE_PX, 2 * within), farthest)
        nearest = cv2.dilate(nearest, np.ones((2 * (within - before) + 1,) * 2, np.uint8))
        _look_within(within, max(EDGE_PX, 2 * (before + 1 - RAY_PX)), nearest, disparity_px, present, reach)
    return reach


@njit(cache=True, nogil=True, parallel=True)
def _look_within(within, least_gap, nearest, q, present, reach):
    for y in prange(len(q)):
        for x in range(q.shape[1]):
            gap = nearest[y, x] - q[y, x]
            if present[y, x] and gap > least_gap:
                reach[y, x] = min(int(gap / 2 + RAY_PX), within)


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
def _visibility(todo, q, reaches, f_q, f_cov, rays, fit, index, coefficients, room):
    height, width = q.shape
    for block in prange(len(room)):
        x1, x2 = load(address(rays[0])), load(address(rays[0]) + BYTES)
        y1, y2 = load(address(rays[1])), load(address(rays[1]) + BYTES)
        found = address(room[block])
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, len(todo))):
            y, x = todo[i] // width, todo[i] % width
            own, reach = q[y, x], reaches[y, x]
            left, right = max(x - reach, 0), min(x + reach + 1, width)
            seen1, seen2 = fill(_ONE), fill(_ONE)
            for yy in range(max(y - reach, 0), min(y + reach + 1, height)):
                dy = np.float32(yy - y)
                for start in range(left, right, LANES):
                    count, dx = np.float32(right - start), np.float32(start - x)
                    bits = hiders(address(f_q[yy]) + 4 * start, count, own, dx, dy, _EDGE, RAY_PX)
                    while bits:
                        xx = start + first_bit(bits)
                        bits &= bits - 1
                        hider = f_q[yy, xx] - own, np.float32(xx - x), dy, f_cov[yy, xx]
                        # Rays through the left half of the lens meet nothing that stands to the right, and so on.
                        if xx <= x:
                            seen1 = hide(seen1, x1, y1, *hider)
                        if xx >= x:
                            seen2 = hide(seen2, x2, y2, *hider)
            seen1, seen2 = clip(seen1), clip(seen2)
            if any_below(seen1, _ALL) or any_below(seen2, _ALL):
                store(found, seen1)
                store(found + BYTES, seen2)
                values = zero()
                for m in range(RAYS):
                    values = fma(values, load(address(fit) + BYTES * m), room[block, m])
                store(found, values)
                coefficients[i] = room[block, :BASIS_SIZE]
                index[y, x] = PARTIAL + i if coefficients[i, 0] > UNSEEN else NONE
