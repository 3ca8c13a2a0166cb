"""Blur kernels: the part of a lens that sees a point, convolved with an interpolating kernel.

An all-in-focus pixel is already an average over its area, so the disc is convolved with an INTERPOLATING kernel
(Keys 1981, the fourth-order six-point cubic), not with another box: its zeroth to third moments are those of a delta,
so a disc of diameter c keeps its standard deviation c/4 per axis exactly, and c = 0 leaves the image as it is.

A point may be hidden from part of the lens. Its visibility over the lens V(u), |u| <= 1, is held as a polynomial of
second order, V(u) = sum_k a_k b_k(u) with the BASIS below, and its kernel is the same sum of basis kernels:

    K_k(c)[dy, dx] = 1/pi  integral over |u| <= 1 of  b_k(u) h(dx - c/2 u_x) h(dy - c/2 u_y)  du

b_0 = 1 integrates to one, all others to zero, so a_0 is the share of the lens that sees the point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.render.simd import GROUP, aligned

LEVELS_PER_PX = 16  # kernels are made for every 1/16 px of diameter,
COARSE_LEVELS_PER_PX = 4  # and for every 1/4 px
COARSE_FROM_PX = 16  # from here on, where that is as small a part of the blur
SUPPORT_PX = 3  # half width of the interpolating kernel
BASIS_SIZE = 6
LARGEST_PX = 18.0  # the largest diameter that kernels are made for
NARROW_PX, WIDE_PX = 4, 12  # eight neighbours' kernels of this radius share a window of 16 and of 32 pixels
OCTANT = -(-(WIDE_PX + 1) * (WIDE_PX + 2) // 8) * 4  # places of a whole lens' kernel that the others mirror
_RIM_FLOOR = 2e-3  # outer rows and columns below this share of a kernel's peak are cut


def keys6(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Six-point cubic convolution kernel of fourth order (Keys 1981, eq. 32), support |x| < 3."""
    t = np.abs(x)
    return np.select(
        [t < 1, t < 2, t < 3],
        [
            4 / 3 * t**3 - 7 / 3 * t**2 + 1,
            -7 / 12 * t**3 + 3 * t**2 - 59 / 12 * t + 15 / 6,
            1 / 12 * t**3 - 2 / 3 * t**2 + 21 / 12 * t - 3 / 2,
        ],
        0.0,
    )


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

    def reach_px(self, diameter_px: float) -> int:
        """Pixels that a blur of this diameter reaches from its centre."""
        if diameter_px > LARGEST_PX:
            return int(np.ceil(diameter_px / 2)) + SUPPORT_PX
        return int(self.radius[int(np.ceil(level_of(diameter_px)))])


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


@lru_cache(maxsize=8)
def _kernel_table(levels: int) -> KernelTable:
    kernels = [_cut_kernels(level) for level in range(levels)]
    radius = np.array([kernel.shape[1] // 2 for kernel in kernels], np.int64)
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
def _cut_kernels(level: int) -> NDArray[np.float64]:
    """The six kernels of a level without their empty rim; ask for the lower levels first.

    What the rim held goes back in proportion, so that every kernel sums to exactly one.
    """
    if level == 0:
        return np.eye(BASIS_SIZE, 1)[..., None]
    kernel = basis_kernels(diameter_of(level))
    needed = np.abs(kernel).max(axis=0) >= _RIM_FLOOR * np.abs(kernel).max()
    middle = len(needed) // 2
    r = max(middle - int(needed.any(axis=0).argmax()), len(_cut_kernels(level - 1)[0]) // 2)
    cut = kernel[:, middle - r : middle + r + 1, middle - r : middle + r + 1]
    whole: NDArray[np.float64] = cut / cut[0].sum()
    return whole


def _lower_rows(kernels: list[NDArray[np.float64]], reach: int) -> NDArray[np.float32]:
    rows = aligned((len(kernels) + 1, BASIS_SIZE, reach + 1, 2 * reach + GROUP))
    for level, kernel in enumerate(kernels):
        r = kernel.shape[1] // 2
        if r <= reach:
            rows[level + 1, :, : r + 1, reach - r : reach + r + 1] = kernel[:, r:]
    return rows


def basis_kernels(diameter_px: float) -> NDArray[np.float64]:
    """The six kernels (6, n, n) of one diameter, [basis, dy, dx], centred; Gauss quadrature over the disc."""
    nodes, weights = np.polynomial.legendre.leggauss(min(16 + 2 * int(diameter_px), 64))
    half_chord = np.sqrt(1.0 - nodes**2)
    ux = half_chord[:, None] * nodes[None, :]
    uy = np.broadcast_to(nodes[:, None], ux.shape)
    area = weights[:, None] * weights[None, :] * half_chord[:, None] / np.pi
    basis = lens_basis(np.stack([ux, uy], axis=-1)) * area[..., None]  # (y, x, 6)
    radius = int(np.ceil(diameter_px / 2)) + SUPPORT_PX
    taps = np.arange(-radius, radius + 1)
    hx = keys6(taps - diameter_px / 2 * ux[..., None])  # (y, x, dx)
    hy = keys6(taps - diameter_px / 2 * nodes[:, None])  # (y, dy)
    rows = np.einsum("yxk,yxd->kyd", basis, hx, optimize=True)
    kernels = np.einsum("kyd,ye->ked", rows, hy, optimize=True)
    # The quadrature takes rows and columns each in its own way; the kernels are the same seen along either: x and y
    # change places, and x^2 - y^2 its sign.
    turned = kernels.transpose(0, 2, 1)[[0, 2, 1, 3, 4, 5]] * np.array([1, 1, 1, 1, -1, 1])[:, None, None]
    mean: NDArray[np.float64] = (kernels + turned) / 2
    return mean
