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
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS_PER_PX = 16  # kernels are made for every 1/16 px of diameter,
COARSE_LEVELS_PER_PX = 4  # and for every 1/4 px
COARSE_FROM_PX = 16  # from here on, where that is as small a part of the blur
SUPPORT_PX = 3  # half width of the interpolating kernel
BASIS_SIZE = 6
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

    Level l has 2 radius[l] + 1 rows of stride[l] floats (a multiple of 4, zeros at the right), basis after basis,
    from weights[start[l]] on.
    """

    radius: NDArray[np.int32]
    stride: NDArray[np.int32]
    start: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def reach_px(self) -> int:
        """Pixels that the largest kernel reaches from its centre."""
        return int(self.radius[-1])


def kernel_table(max_diameter_px: float) -> KernelTable:
    """Kernels of every level up to ``max_diameter_px``; made once per process and size class."""
    step = 2 * LEVELS_PER_PX
    return _kernel_table(int(np.ceil(level_of(max_diameter_px) / step)) * step + 1)


def level_of(diameter_px: Any) -> Any:
    """The level, not yet rounded, of a blur disc's diameter. Compiled for float32 too, hence the single precision."""
    level = diameter_px * np.float32(LEVELS_PER_PX)
    first_coarse = np.float32(COARSE_FROM_PX * LEVELS_PER_PX)
    if level > first_coarse:
        level = first_coarse + (level - first_coarse) * np.float32(COARSE_LEVELS_PER_PX / LEVELS_PER_PX)
    return level


def diameter_of(level: int) -> float:
    """The inverse of :func:`level_of`."""
    coarse = max(level - COARSE_FROM_PX * LEVELS_PER_PX, 0)
    return (level - coarse) / LEVELS_PER_PX + coarse / COARSE_LEVELS_PER_PX


@lru_cache(maxsize=8)
def _kernel_table(levels: int) -> KernelTable:
    kernels = [np.zeros((BASIS_SIZE, 1, 1))]
    kernels[0][0] = 1.0
    for level in range(1, levels):
        kernel = basis_kernels(diameter_of(level))
        # Cut the empty rim; what it held goes back in proportion, so that every kernel sums to exactly one.
        needed = np.abs(kernel).max(axis=0) >= _RIM_FLOOR * np.abs(kernel).max()
        middle = len(needed) // 2
        radius = max(middle - int(needed.any(axis=0).argmax()), len(kernels[-1][0]) // 2)
        cut = kernel[:, middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
        kernels.append(cut / cut[0].sum())
    size = np.array([kernel.shape[1] for kernel in kernels])
    stride = -(-size // 4) * 4
    rows = [
        np.pad(kernel, [(0, 0), (0, 0), (0, s - n)]).ravel() for kernel, n, s in zip(kernels, size, stride, strict=True)
    ]
    return KernelTable(
        radius=(size // 2).astype(np.int32),
        stride=stride.astype(np.int32),
        start=np.cumsum([0] + [len(row) for row in rows[:-1]]).astype(np.int64),
        weights=np.concatenate(rows).astype(np.float32),
    )


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
    kernels: NDArray[np.float64] = np.einsum("kyd,ye->ked", rows, hy, optimize=True)
    return kernels
