"""The rays of a picture, pixel by pixel, and what they hit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics


class Rays(NamedTuple):
    """Rays (u, v, 1) from the camera; those of pixel p = y * width + x are first[p] to first[p + 1]."""

    u: NDArray[np.float64]  # (n,)
    v: NDArray[np.float64]
    first: NDArray[np.int64]  # (H * W + 1,)
    width: int
    spread_px: float  # how far a ray may lie from its pixel's centre along each axis
    focal_px: float
    centre_px: tuple[float, float]


class Hits(NamedTuple):
    """The visible and the next surface of each ray; the backdrop holds both places at first."""

    depth: NDArray[np.float64]  # (2, n)
    key: NDArray[np.int32]  # (2, n), see primitives.FACES
    group: NDArray[np.int32]  # (n,) of the visible surface


def rays_of(
    pixels: NDArray[np.int64], offsets: NDArray[np.float64], width: int, height: int, intrinsics: Intrinsics
) -> Rays:
    """Rays through ``pixels`` (k,), in order, at ``offsets`` (j, 2) px from the centre of each: k * j rays."""
    f, centre = intrinsics.fx_px, (intrinsics.cx_px, intrinsics.cy_px)
    rows = pixels // width
    columns = pixels - rows * width
    x, y = columns[:, None] + offsets[:, 0], rows[:, None] + offsets[:, 1]
    first = np.zeros(height * width + 1, np.int64)
    np.cumsum(np.bincount(pixels, minlength=height * width) * len(offsets), out=first[1:])
    u, v = (x.ravel() - centre[0]) / f, (y.ravel() - centre[1]) / f
    return Rays(u, v, first, width, float(np.abs(offsets).max()), f, centre)
