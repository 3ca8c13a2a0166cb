"""Apertures that are no disc: polygons of blades, with kernel tables and a scatter of their own.

The model is that of kernels.py and scatter.py with the integral taken over the polygon,

    K_k(c)[dy, dx] = 1/|P|  integral over P of  b_k(u) h(dx - c/2 u_x) h(dy - c/2 u_y)  du,

so that the share of the polygon that sees a point, and not of the disc, lights its kernel. The fast scatter lives on
the symmetries of the disc; polygons have others or none, so theirs is plain, and the disc pays nothing for them. Before
the focus (c < 0) the kernel is turned by half a turn: K(-c)[dy, dx] = K(c)[-dy, -dx].
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.camera.effects import Aperture
from focalsim.render.interpolation import SUPPORT_PX, keys6
from focalsim.render.kernels import BASIS_SIZE, diameter_of, lens_basis, level_of
from focalsim.render.resample import Piece
from focalsim.render.scatter import shares
from focalsim.render.visibility import NONE, PARTIAL, STEEP_FROM_PX, SeenSamples, steeply_seen

_RIM_POINTS = 4001  # of a rim of bent blades
_BAND = 64  # rows of output in one piece of work, at most


def rim_radius(aperture: Aperture, angle: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distance of the rim from the centre in a direction (radians, from +x towards +y); 1 at the corners."""
    half = np.pi / aperture.blades
    from_corner = np.mod(angle - np.radians(aperture.rotation_deg), 2 * half)
    straight = np.cos(half) / np.cos(from_corner - half)
    radius: NDArray[np.floating] = (1 - aperture.curvature) * straight + aperture.curvature
    return radius


def _chords(aperture: Aperture, nodes_per_radius: int) -> tuple[NDArray[np.float64], ...]:
    """Rows through the opening for Gauss quadrature, (n,) each: y, weight, and the x at which it begins and ends."""
    corners = np.radians(aperture.rotation_deg) + 2 * np.pi / aperture.blades * np.arange(aperture.blades)
    angle = np.union1d(np.mod(corners, 2 * np.pi), np.linspace(0, 2 * np.pi, _RIM_POINTS))
    radius = rim_radius(aperture, angle)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    # From one corner's height to the next everything is smooth.
    heights = np.unique(np.round([y.min(), *np.sin(corners), y.max()], 12))
    rows, weights = [], []
    for low, high in pairwise(heights):
        t, w = np.polynomial.legendre.leggauss(4 + int(np.ceil(nodes_per_radius * (high - low))))
        rows.append(low + (t + 1) / 2 * (high - low))
        weights.append(w / 2 * (high - low))
    row, weight = np.concatenate(rows), np.concatenate(weights)
    # The opening is convex: its rim is two chains between the lowest and the highest point.
    around = np.roll(np.arange(len(y)), -int(y.argmin()))
    top = int(y[around].argmax())
    right, left = around[: top + 1], np.append(around[top:], around[0])[::-1]
    return row, weight, np.interp(row, y[left], x[left]), np.interp(row, y[right], x[right])


@dataclass(frozen=True, slots=True)
class ApertureTable:
    """Basis kernels of all blur levels (kernels.level_of): level l has six squares of (2 radius[l] + 1)^2 numbers, each
    [dy, dx], basis after basis, from weights[start[l]] on.
    """

    radius: NDArray[np.int64]
    start: NDArray[np.int64]
    weights: NDArray[np.float32]


def aperture_table(aperture: Aperture, max_diameter_px: float) -> ApertureTable:
    """Kernels of every level up to ``max_diameter_px``; made once per process, aperture and size class."""
    return _aperture_table(aperture, -(-(int(np.ceil(level_of(max_diameter_px))) + 1) // 32) * 32)


@lru_cache(maxsize=8)
def _aperture_table(aperture: Aperture, levels: int) -> ApertureTable:
    kernels = [np.ones((BASIS_SIZE, 1, 1)) * (np.arange(BASIS_SIZE) == 0)[:, None, None]]
    kernels += [aperture_kernels(aperture, diameter_of(level)) for level in range(1, levels)]
    return ApertureTable(
        radius=np.array([kernel.shape[1] // 2 for kernel in kernels]),
        start=np.cumsum([0] + [kernel.size for kernel in kernels[:-1]]),
        weights=np.concatenate([kernel.ravel() for kernel in kernels]).astype(np.float32),
    )


def aperture_kernels(aperture: Aperture, diameter_px: float) -> NDArray[np.float64]:
    """The six kernels (6, n, n) of one diameter (of the circle through the corners), [basis, dy, dx]."""
    uy, row_weight, begin, end = _chords(aperture, 4 + int(diameter_px))
    t, weight = np.polynomial.legendre.leggauss(8 + int(diameter_px))
    ux = begin[:, None] + (t + 1) / 2 * (end - begin)[:, None]
    area = row_weight[:, None] * weight * (end - begin)[:, None]
    points = np.stack([ux, np.broadcast_to(uy[:, None], ux.shape)], axis=-1)
    basis = lens_basis(points) * (area / area.sum())[..., None]  # (y, x, 6)
    radius = int(np.ceil(diameter_px / 2)) + SUPPORT_PX - 1
    taps = np.arange(-radius, radius + 1)
    hx = keys6(taps - diameter_px / 2 * ux[..., None])  # (y, x, dx)
    hy = keys6(taps - diameter_px / 2 * uy[:, None])  # (y, dy)
    rows = basis.transpose(0, 2, 1) @ hx  # (y, 6, dx)
    kernels: NDArray[np.float64] = hy.T @ rows.transpose(1, 0, 2)
    return kernels


class ApertureScatter:
    """Blurs one scene through a polygon for any focus up to a blur of ``largest_px``, as scatter.Scatter does through
    the disc.
    """

    def __init__(self, layers: Iterable[SeenSamples], aperture: Aperture, largest_px: float) -> None:
        self._front, self._back = layers
        table = aperture_table(aperture, largest_px)
        self._table = (table.radius, table.start, table.weights)

    def render(self, focus_disparity_px: NDArray[np.float64], piece: Piece, stack: NDArray[Any]) -> None:
        """As scatter.Scatter.render."""
        top, end = piece.local_rows
        blurred = np.empty((end - top, self._front[2].shape[1], 3), np.float32)
        for n, focus_q in enumerate(focus_disparity_px.astype(np.float32)):
            _blur(self._front, self._back, focus_q, self._table, top, blurred)
            piece.apply(blurred, n, stack)


def reach_rows(aperture: Aperture, largest_px: float) -> tuple[int, int]:
    """As scatter.reach_rows; there are no coarser levels."""
    return int(aperture_table(aperture, largest_px).radius[int(np.ceil(level_of(largest_px)))]), 1


_level_of: Any = njit(level_of)


@njit(cache=True, nogil=True)
def _spread_row(whole, past, row, reach, samples, y, focus_q, table, kernel):
    """Add the samples of row y, and their replicas beyond its ends, to sums, whose row ``row`` is theirs: those that a
    part of the lens sees to ``past``.
    """
    rgb, coverage, disparity, index, visibility = samples
    radii, starts, weights = table
    width = disparity.shape[1]
    for column in range(width + 2 * reach):
        x = min(max(column - reach, 0), width - 1)
        kind = index[y, x]
        if kind == NONE:
            continue
        blur = focus_q - disparity[y, x]
        level = min(int(_level_of(abs(blur)) + np.float32(0.5)), len(radii) - 1)
        radius, start = radii[level], starts[level]
        side = 2 * radius + 1
        size = side * side
        first, step = (start, 1) if blur > 0 else (start + size - 1, -1)
        for i in range(size):
            kernel[i] = weights[first + step * i]
        sums = whole
        if kind >= PARTIAL:
            sums = past
            seen = visibility[kind - PARTIAL]
            if abs(blur) < STEEP_FROM_PX:
                for i in range(size):
                    kernel[i] *= seen[0]
                for k in range(1, BASIS_SIZE):
                    for i in range(size):
                        kernel[i] += seen[k] * weights[first + k * size + step * i]
            else:
                for i in range(size):
                    kernel[i] *= steeply_seen(seen[BASIS_SIZE:], i % side - radius, i // side - radius, blur)
        alpha = coverage[y, x]
        red, green, blue = alpha * rgb[y, x, 0], alpha * rgb[y, x, 1], alpha * rgb[y, x, 2]
        for dy in range(side):
            for dx in range(side):
                weight = kernel[dy * side + dx]
                pixel = sums[row - radius + dy, column + reach - radius + dx]
                pixel[0] += weight * red
                pixel[1] += weight * green
                pixel[2] += weight * blue
                pixel[3] += weight * alpha


@njit(cache=True, nogil=True, parallel=True)
def _blur(seen, behind, focus_q, table, top, out):
    height, width = seen[1].shape
    count = len(out)
    reach = int(table[0][-1])
    bands = -(-count // _BAND)
    for band in prange(bands):
        first, last = top + count * band // bands, top + count * (band + 1) // bands  # output rows [first, last)
        whole = np.zeros((last - first + 4 * reach, width + 4 * reach, 4), np.float32)
        past, back = np.zeros_like(whole), np.zeros_like(whole)
        kernel = np.empty((2 * reach + 1) ** 2, np.float32)
        for y in range(first - reach, last + reach):
            source = min(max(y, 0), height - 1)
            _spread_row(whole, past, y - first + 2 * reach, reach, seen, source, focus_q, table, kernel)
            _spread_row(back, back, y - first + 2 * reach, reach, behind, source, focus_q, table, kernel)
        for y in range(first, last):
            for x in range(width):
                row, column = y - first + 2 * reach, x + 2 * reach
                a, b, c = shares(whole[row, column, 3], past[row, column, 3], back[row, column, 3])
                for k in range(3):
                    out[y - top, x, k] = a * whole[row, column, k] + b * past[row, column, k] + c * back[row, column, k]
