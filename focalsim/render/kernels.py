"""Blur kernels: the part of a lens that sees a point, convolved with an interpolating kernel.

An all-in-focus pixel is already an average over its area, so the disc is convolved with an INTERPOLATING kernel
(Keys 1981, the fourth-order six-point cubic), not with another box: its zeroth to third moments are those of a delta, so
a disc of diameter c keeps its standard deviation c/4 per axis exactly, and c = 0 leaves the image as it is.

A point may be hidden from part of the lens. Its visibility over the lens V(u), |u| <= 1, is held as a polynomial of
second order, V(u) = sum_k a_k b_k(u) with the BASIS below, and its kernel is the same sum of basis kernels:

    K_k(c)[dy, dx] = 1/pi  integral over |u| <= 1 of  b_k(u) h(dx - c/2 u_x) h(dy - c/2 u_y)  du

b_0 = 1 integrates to one, all others to zero, so a_0 is the share of the lens that sees the point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LEVELS_PER_PX = 16  # kernels are made for every 1/16 px of diameter
SUPPORT_PX = 3  # half width of the interpolating kernel
BASIS_SIZE = 6
# A tap is left out of the kernels in which it is smaller than this share of a uniform disc's height (or of 1).
_TAP_FLOOR = 1e-4


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
    """Basis kernels of all blur levels, one quadrant (the others follow by the parity of the basis).

    tap_dx, tap_dy  (T,) int, >= 0, sorted so that the taps a small blur needs come first
    first_level     (T,) the smallest level that needs the tap; levels above it all do
    weights         (T, 6, L) float32: weights[t, k, level] = K_k at (dx, dy)
    """

    tap_dx: NDArray[np.int32]
    tap_dy: NDArray[np.int32]
    first_level: NDArray[np.int32]
    weights: NDArray[np.float32]


def kernel_table(max_diameter_px: float) -> KernelTable:
    """Kernels of every level up to ``max_diameter_px``; made once per process and size class."""
    classes = 4 * LEVELS_PER_PX
    levels = int(np.ceil(max_diameter_px * LEVELS_PER_PX / classes)) * classes + 1
    return _kernel_table(levels)


@lru_cache(maxsize=8)
def _kernel_table(levels: int) -> KernelTable:
    radius = int(np.ceil((levels - 1) / LEVELS_PER_PX / 2)) + SUPPORT_PX
    size = radius + 1
    quadrants = np.zeros((levels, BASIS_SIZE, size, size))
    quadrants[0, 0, 0, 0] = 1.0
    for level in range(1, levels):
        quadrants[level] = _quadrant(level / LEVELS_PER_PX, size)
    diameters = np.arange(levels) / LEVELS_PER_PX
    height = 1.0 / np.maximum(np.pi / 4 * diameters**2, 1.0)
    needed = np.abs(quadrants).max(axis=1) >= _TAP_FLOOR * height[:, None, None]
    # A tap once needed is kept for all larger blurs, so that one comparison decides.
    needed = np.logical_or.accumulate(needed, axis=0)
    quadrants *= needed[:, None]
    # What the dropped taps held goes back to the others, in proportion: every kernel sums to exactly one.
    parity = np.where(np.arange(size) == 0, 1.0, 2.0)
    total = np.einsum("lyx,y,x->l", quadrants[:, 0], parity, parity)
    quadrants /= total[:, None, None, None]
    first_level = np.where(needed.any(axis=0), needed.argmax(axis=0), levels)
    dy, dx = np.nonzero(first_level < levels)
    order = np.argsort(first_level[dy, dx], kind="stable")
    dy, dx = dy[order], dx[order]
    return KernelTable(
        tap_dx=dx.astype(np.int32),
        tap_dy=dy.astype(np.int32),
        first_level=first_level[dy, dx].astype(np.int32),
        weights=np.ascontiguousarray(quadrants[:, :, dy, dx].transpose(2, 1, 0), dtype=np.float32),
    )


def _quadrant(diameter_px: float, size: int) -> NDArray[np.float64]:
    """Basis kernels (6, size, size) of one diameter at dx, dy = 0 .. size - 1, by Gauss quadrature over the disc."""
    nodes, weights = np.polynomial.legendre.leggauss(min(16 + 2 * int(diameter_px), 64))
    half_chord = np.sqrt(1.0 - nodes**2)
    uy = np.broadcast_to(nodes[:, None], (len(nodes), len(nodes)))
    ux = half_chord[:, None] * nodes[None, :]
    area = weights[:, None] * weights[None, :] * half_chord[:, None] / np.pi
    basis = lens_basis(np.stack([ux, uy], axis=-1)) * area[..., None]  # (y, x, 6)
    taps = np.arange(size)
    hx = keys6(taps - diameter_px / 2 * ux[..., None])  # (y, x, dx)
    hy = keys6(taps - diameter_px / 2 * nodes[:, None])  # (y, dy)
    rows = np.einsum("yxk,yxd->kyd", basis, hx, optimize=True)
    return np.einsum("kyd,ye->ked", rows, hy, optimize=True)
