"""Blur kernels: the part of a lens that sees a point, laid over pixels.

A point may be hidden from part of the lens. Its visibility over the lens V(u), |u| <= 1, is held as a polynomial of
second order, V(u) = sum_k a_k b_k(u) with the :func:`lens_basis` below, and its kernel is the same sum of basis
kernels: K_k(c)[dy, dx] is what a pixel gives to the one (dx, dy) away through the disc of diameter c, weighted by b_k.

Where the disc is large enough, its pixels ask a steeper polynomial instead (visibility.py): K(c) = K_0(c) V(u), u the
pixel's place in the disc.

b_0 = 1 integrates to one, all others to zero, so a_0 is the share of the lens that sees the point. A disc of diameter c
keeps its standard deviation c/4 per axis exactly, and c = 0 leaves the image as it is (interpolation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.render.interpolation import best_kernels
from focalsim.render.scatter_code import GROUP
from focalsim.simd import aligned

LEVELS_PER_PX = 16  # kernels are made for every 1/16 px of diameter,
COARSE_LEVELS_PER_PX = 4  # and for every 1/4 px
COARSE_FROM_PX = 16  # from here on, where that is as small a part of the blur
BASIS_SIZE = 6
RIM_PX = 1.25  # pixels that a kernel takes beyond the rim of its disc, at most,
LEAST_PX = 2  # but so many at least
_STEP = 2.0**-20  # of a kernel's numbers
LARGEST_PX = 18.0  # the largest diameter that kernels are made for
NARROW_PX, WIDE_PX = 4, 12  # eight neighbours' kernels of this radius share a window of 16 and of 32 pixels
OCTANT = -(-(WIDE_PX + 1) * (WIDE_PX + 2) // 8) * 4  # places of a whole lens' kernel that the others mirror


def lens_basis(u: NDArray[np.floating]) -> NDArray[np.floating]:
    """The six basis functions on the unit disc at points u (..., 2): (..., 6). Zero mean but for the first."""
    x, y = u[..., 0], u[..., 1]
    return np.stack([np.ones_like(x), x, y, x * y, x * x - y * y, x * x + y * y - 0.5], axis=-1)


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Basis kernels of all blur levels, see :func:`level_of`.

    Only the rows dy >= 0 are kept: those above are the same, but for the sign of the two basis kernels odd in dy.

    radius  (L,) pixels that the kernels of a level reach from their centre
    narrow  (1 + L, 6, 1 + NARROW_PX, 2 NARROW_PX + 8): first a kernel of zeros, then each level's basis kernels (zeros
            where they reach farther than NARROW_PX), their middle column at NARROW_PX, zeros after them: seven, which
            are those before the next row too
    wide    (1 + L, 6, 1 + WIDE_PX, 2 WIDE_PX + 8), the same with WIDE_PX
    octant  (1 + L, OCTANT), the first of the six: (dy, dx) with dx >= dy >= 0, in the order of :func:`octant_place`
    """

    radius: NDArray[np.int64]
    narrow: NDArray[np.float32]
    wide: NDArray[np.float32]
    octant: NDArray[np.float32]


def kernel_table(max_diameter_px: float) -> KernelTable:
    """Kernels of every level up to ``max_diameter_px``; made once per process and size class."""
    step = 2.0  # pixels
    return _kernel_table(int(level_of(min(np.ceil(max_diameter_px / step) * step, LARGEST_PX))) + 1)


def level_of(diameter_px: Any) -> Any:
    """The level, not yet rounded, of a blur disc's diameter. Compiled for float32 too, hence the single precision."""
    level = diameter_px * np.float32(LEVELS_PER_PX)
    first_coarse = np.float32(COARSE_FROM_PX * LEVELS_PER_PX)
    beyond = max(level - first_coarse, np.float32(0))
    return min(level, first_coarse) + beyond * np.float32(COARSE_LEVELS_PER_PX / LEVELS_PER_PX)


def diameter_of(level: int) -> float:
    """The inverse of :func:`level_of`."""
    coarse = max(level - COARSE_FROM_PX * LEVELS_PER_PX, 0)
    return (level - coarse) / LEVELS_PER_PX + coarse / COARSE_LEVELS_PER_PX


def radius_of(level: int) -> int:
    """Pixels that the kernels of a level reach from their centre."""
    return max(int(diameter_of(level) / 2 + RIM_PX), LEAST_PX) if level > 0 else 0


def reach_px(diameter_px: float) -> int:
    """Pixels that a blur of this diameter reaches from its centre."""
    return radius_of(int(np.ceil(level_of(diameter_px))))


@lru_cache(maxsize=8)
def _kernel_table(levels: int) -> KernelTable:
    radius = np.array([radius_of(level) for level in range(levels)], np.int64)
    kernels = [kernel for r in np.unique(radius) for kernel in _kernels_of_radius(int(r))][:levels]
    wide = _lower_rows(kernels, WIDE_PX)
    dy, dx = np.triu_indices(WIDE_PX + 1)
    octant = aligned((levels + 1, OCTANT))
    octant[:, octant_place(dy, dx)] = wide[:, 0, dy, WIDE_PX + dx]
    return KernelTable(radius, _lower_rows(kernels, NARROW_PX), wide, octant)


def octant_place(dy: Any, dx: Any) -> Any:
    """Where a row of :attr:`KernelTable.octant` has (dy, dx), distances >= 0: a kernel of radius r has the first
    (r + 1) (r + 2) / 2 places.
    """
    far, near = np.maximum(dy, dx), np.minimum(dy, dx)
    return far * (far + 1) // 2 + near


@cache  # a larger table begins with the smaller ones
def _kernels_of_radius(radius: int) -> NDArray[np.float64]:
    """The kernels (n, 6, 2 radius + 1, 2 radius + 1) of all levels that have this radius.

    Of whole steps, which leave nothing of how another machine's solver rounds, and bundles have the same bytes there.
    """
    if radius == 0:
        return np.eye(BASIS_SIZE, 1)[None, ..., None]  # in focus
    levels = [level for level in range(int(level_of(LARGEST_PX)) + 1) if radius_of(level) == radius]
    kernels = np.round(best_kernels(np.array([diameter_of(level) for level in levels]), radius) / _STEP) * _STEP
    kernels[..., radius, radius] += np.eye(1, BASIS_SIZE) - kernels.sum(axis=(2, 3))  # exact: all are whole steps
    return kernels


def _lower_rows(kernels: list[NDArray[np.float64]], reach: int) -> NDArray[np.float32]:
    rows = aligned((len(kernels) + 1, BASIS_SIZE, reach + 1, 2 * reach + GROUP))
    for level, kernel in enumerate(kernels):
        r = kernel.shape[1] // 2
        if r <= reach:
            rows[level + 1, :, : r + 1, reach - r : reach + r + 1] = kernel[:, r:]
    return rows
