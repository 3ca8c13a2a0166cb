"""Once per scene: which part of the lens sees each sample.

A sample at pixel x with disparity q is hidden from the lens point u (|u| <= 1) by a front sample at pixel x', q' > q,
that stands on the same ray, whatever the focus:  x' = x + u (q' - q) / 2.  So

    V(u) = 1 - sum over x' of  a(x') tent(x' - x - u (q' - q) / 2),   clipped to >= 0,

a the front's coverage, tent the bilinear kernel. V is sampled on 32 lens points and kept as two polynomials of second
order (kernels.lens_basis): the one that fits best, whose kernels are sums of six, for small blur; and a steep one that
is cut to 0..1. An edge makes V a step, which no smooth sum follows: by what it lacks, light of a blurred background
leaks as far as the disc reaches onto what is sharp before it. A cut half-plane, strip or ellipse is exact. Each ray is
thereby counted once: slices are plain sums without an order.
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
from focalsim.render.layers import Layers, lens_reach_px
from focalsim.render.unmix import EDGE_PX
from focalsim.render.visibility_code import any_below, clip, first_bit, hide, hiders, missing
from focalsim.simd import BYTES, LANES, address, fill, fma, load, store, zero

NONE, WHOLE, PARTIAL = 0, 1, 2  # a sample's index: none, seen by the whole lens, or PARTIAL + its row of coefficients
RAY_PX = np.float32(1.42)  # a ray passes pixels whose centres are so near
_FIRST_SQUARE_PX = 3
RAYS = 32  # two vectors of sixteen
_RINGS = 6, 10, 15  # of lens points around the one in the centre
UNSEEN = 0.01  # a sample that less of the lens sees adds nothing
# Blur (pixels) from which on a kernel is the whole lens' one times what the lens sees there, cut to 0..1. For
# smaller ones that is too coarse, and what is wrong with their sum of basis kernels lies within a pixel or two.
STEEP_FROM_PX = np.float32(6.0)
# How the steep polynomial is found: from the fit, so many times as steep about a half, by so many steps of this length
# toward what each ray lacks (a projected gradient; 1 would be the fit's own).
STEEPER, ROUNDS, STEP = np.float32(3.0), 4, np.float32(1.8)
ALL = np.float32(0.97)  # a sample that every ray sees so much of is seen by the whole lens
ANY_FOCUS = (-np.inf, np.inf)  # lowest and highest disparity, pixels, that slices are focused at
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
def _rays() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Half of x and y of the points (2, RAYS), lens_basis there (6, RAYS), its fit (RAYS, 16) to what is seen, and what
    turns STEEPER times a fit about a half (16,).
    """
    points = lens_points()
    rays = np.ascontiguousarray(points.T / 2, np.float32)
    fit = np.zeros((RAYS, LANES), np.float32)
    basis = lens_basis(points)
    fit[:, :BASIS_SIZE] = np.linalg.pinv(basis).T
    start = np.eye(1, LANES, dtype=np.float32)[0] * (1 - STEEPER) / 2
    return rays, np.ascontiguousarray(basis.T, np.float32), fit, start


def lens_visibility(
    disparity_px: NDArray[np.float32],
    present: NDArray[np.bool_],
    front_disparity_px: NDArray[np.float32],
    front_coverage: NDArray[np.float32],
    rows: slice = slice(None),
    focus_px: tuple[float, float] = ANY_FOCUS,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """What the lens sees of the samples ``present`` (H, W) in these rows: index (H, W) and coefficients (n, 12) of
    lens_basis, the fit's and the steep polynomial's.

    index is NONE where no sample is or none of it is seen, WHOLE where all of the lens sees it, else PARTIAL + n.
    ``disparity_px`` (H, W) belongs to the samples, ``front_*`` (H, W) to what may stand before them. The steep
    polynomial is found only of samples that are blurred so much by a focus within ``focus_px``.
    """
    (reach,) = _occluder_reach([(disparity_px, present)], front_disparity_px)
    return _look_for(disparity_px, present, reach, (front_disparity_px, front_coverage), rows, focus_px)


def _look_for(
    disparity_px: NDArray[np.float32],
    present: NDArray[np.bool_],
    reach: NDArray[np.int16],
    front: tuple[NDArray[np.float32], NDArray[np.float32]],
    rows: slice,
    focus_px: tuple[float, float],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """:func:`lens_visibility`, looking as far as ``reach``."""
    index = present.astype(np.int32) * WHOLE
    first, _, _ = rows.indices(len(index))
    todo = np.flatnonzero(reach[rows] > 0) + first * index.shape[1]
    coefficients = np.empty((len(todo), 2 * BASIS_SIZE), np.float32)
    room = np.empty((-(-len(todo) // _BLOCK), RAYS), np.float32)
    focus = np.float32(focus_px[0]), np.float32(focus_px[1])
    _visibility(todo, disparity_px, reach, *front, focus, *_rays(), index, coefficients, room)
    return index[rows], coefficients


def _occluder_reach(
    samples: list[tuple[NDArray[np.float32], NDArray[np.bool_]]], front_disparity_px: NDArray[np.float32]
) -> list[NDArray[np.int16]]:
    """How far (H, W) around each sample there may be something that hides it from a part of the lens; 0 = nothing.

    Of each layer of samples, disparity and where there are any (H, W). Looked for in squares that grow: what stands t
    pixels away must be nearer by a gap of 2 (t - RAY_PX) or more.
    """
    reaches = [np.zeros(front_disparity_px.shape, np.int16) for _ in samples]
    lowest = [cv2.minMaxLoc(q, present.view(np.uint8))[0] for q, present in samples if present.any()]
    nearest: NDArray[Any] = front_disparity_px
    within, farthest = 0, lens_reach_px(min(lowest), float(front_disparity_px.max())) if lowest else 0
    while within < farthest:
        before, within = within, min(max(_FIRST_SQUARE_PX, 2 * within), farthest)
        nearest = cv2.dilate(nearest, np.ones((2 * (within - before) + 1,) * 2, np.uint8))
        for (q, present), reach in zip(samples, reaches, strict=True):
            _look_within(within, max(EDGE_PX, 2 * (before + 1 - RAY_PX)), nearest, q, present, reach)
    return reaches


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


def seen_samples(
    layers: Layers, rows: slice = slice(None), focus_px: tuple[float, float] = ANY_FOCUS
) -> Iterator[SeenSamples]:
    """Front and back: colour (H, W, 3), coverage and disparity (H, W), index and coefficients of lens_visibility, of
    these rows and focus. One after the other, so that the first need not be kept for the second.
    """
    front = layers.front_disparity_px, layers.front_coverage
    both = (
        (layers.front_rgb, layers.front_coverage, layers.front_disparity_px),
        (layers.back_rgb, layers.back_coverage, layers.back_disparity_px),
    )
    present = [coverage > 0 for _, coverage, _ in both]
    reaches = _occluder_reach([(q, some) for (_, _, q), some in zip(both, present, strict=True)], front[0])
    for (color, coverage, q), some, reach in zip(both, present, reaches, strict=True):
        yield color[rows], coverage[rows], q[rows], *_look_for(q, some, reach, front, rows, focus_px)


@njit(cache=True, nogil=True, parallel=True)
def _visibility(todo, q, reaches, f_q, f_cov, focus, rays, basis, fit, about_half, index, coefficients, room):
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
            if any_below(seen1, ALL) or any_below(seen2, ALL):
                store(found, seen1)
                store(found + BYTES, seen2)
                fitted = _fitted(fit, room[block])
                store(found, fitted)
                if room[block, 0] <= UNSEEN:
                    index[y, x] = NONE
                    continue
                index[y, x] = PARTIAL + i
                for k in range(BASIS_SIZE):
                    coefficients[i, k] = coefficients[i, BASIS_SIZE + k] = room[block, k]
                if max(abs(focus[0] - own), abs(focus[1] - own)) < STEEP_FROM_PX:
                    continue
                steep = fma(load(address(about_half)), fitted, STEEPER)
                for _ in range(ROUNDS):
                    store(found, steep)
                    value1, value2 = zero(), zero()
                    for k in range(BASIS_SIZE):
                        value1 = fma(value1, load(address(basis[k])), room[block, k])
                        value2 = fma(value2, load(address(basis[k]) + BYTES), room[block, k])
                    store(found, missing(seen1, value1))
                    store(found + BYTES, missing(seen2, value2))
                    steep = fma(steep, _fitted(fit, room[block]), STEP)
                store(found, steep)
                for k in range(BASIS_SIZE):
                    coefficients[i, BASIS_SIZE + k] = room[block, k]


@njit(cache=True, nogil=True)
def steeply_seen(coefficients, dx, dy, blur):
    """What the lens sees of a sample where it is spread by (dx, dy) pixels."""
    c, x, y = coefficients, 2 * dx / blur, 2 * dy / blur
    value = c[0] + c[1] * x + c[2] * y + c[3] * x * y + c[4] * (x * x - y * y) + c[5] * (x * x + y * y - 0.5)
    return min(max(value, 0.0), 1.0)


@njit(cache=True, nogil=True)
def _fitted(fit, values):
    """The coefficients that fit ``values`` (RAYS,) best."""
    a, b, c, d = zero(), zero(), zero(), zero()  # sums side by side, none of which waits for another
    for m in range(0, RAYS, 4):
        row = address(fit) + BYTES * m
        a, b = fma(a, load(row), values[m]), fma(b, load(row + BYTES), values[m + 1])
        c, d = fma(c, load(row + 2 * BYTES), values[m + 2]), fma(d, load(row + 3 * BYTES), values[m + 3])
    return (a + b) + (c + d)
