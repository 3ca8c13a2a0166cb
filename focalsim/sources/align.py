"""Depth of another size than its colour image, brought to the image's size without inventing surfaces."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.color import linear_to_srgb

_ASPECT_TOLERANCE = 0.01
# Depths within this ratio are one surface: more than the steps of a steep slant, less than most edges.
_SURFACE_RATIO = 1.05
_COLOUR_SIGMA = 25.0  # sRGB codes; colours that differ by more look like another surface


def same_view(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two images (H, W, ...) have the same aspect ratio, so that they may show the same view."""
    return abs(shape[0] * other[1] / (shape[1] * other[0]) - 1.0) <= _ASPECT_TOLERANCE


def enlargement(stored: tuple[int, ...], wanted: tuple[int, ...]) -> float:
    """By how much a depth map of shape ``stored`` is enlarged to ``wanted``, in pixels a side; 1 where it is not."""
    return max(1.0, wanted[0] / stored[0])


def align_depth(depth_m: NDArray[np.float32], rgb: NDArray[Any]) -> NDArray[np.float32]:
    """Depth (h, w), NaN = not known, sampled at the pixels of ``rgb`` (H, W, 3), which shows the same view.

    ``rgb`` is linear light or 8-bit sRGB codes.

    A smaller depth map is enlarged. Where the four depths around a pixel are one surface, it is
    interpolated in 1/z, which is exact for planes. Where they are not, the pixel belongs to the surface of
    that one of the four whose place in the image looks most like the pixel, and is interpolated between
    those of this surface. It is not known where the nearest of the four is not. A larger depth map is
    sampled at the nearest pixel.
    """
    if depth_m.shape == rgb.shape[:2]:
        return depth_m
    y, x = (_centres(n_out, n_in) for n_out, n_in in zip(rgb.shape[:2], depth_m.shape, strict=True))
    nearest: NDArray[np.float32] = depth_m[np.ix_(np.rint(y).astype(int), np.rint(x).astype(int))]
    if depth_m.shape[0] >= rgb.shape[0]:
        return nearest
    inverse = np.nan_to_num(1.0 / depth_m, nan=0.0)
    # Cell (r, c) lies between depth pixels r, r + 1 and c, c + 1. An unknown depth has 1/z = 0: no surface.
    cells = np.lib.stride_tricks.sliding_window_view(np.pad(inverse, (0, 1), mode="edge"), (2, 2))
    mixed = cells.max(axis=(2, 3)) > cells.min(axis=(2, 3)) * _SURFACE_RATIO
    rows, columns = np.nonzero(mixed[np.ix_(y.astype(int), x.astype(int))])
    smooth = cv2.resize(inverse, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    codes = rgb if rgb.dtype == np.uint8 else linear_to_srgb(rgb)
    smooth[rows, columns] = _choose(inverse, codes, rows, columns, y[rows], x[columns])
    np.divide(1.0, smooth, out=nearest, where=~np.isnan(nearest))
    return nearest


def _choose(
    inverse: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
) -> NDArray[np.float32]:
    """1/z (n,) of image pixels, which lie at (y, x) in the depth map, each from one surface."""
    guide = cv2.resize(rgb, inverse.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    down, right = (np.array(offsets)[:, None] for offsets in ((0, 0, 1, 1), (0, 1, 0, 1)))
    i = np.minimum(y.astype(int) + down, inverse.shape[0] - 1)
    j = np.minimum(x.astype(int) + right, inverse.shape[1] - 1)
    known = inverse[i, j] > 0
    nearness = (1 - np.abs(y % 1 - down)) * (1 - np.abs(x % 1 - right)) * known
    difference = np.abs(guide[i, j] - rgb[rows, columns]).mean(axis=2)
    likeness = nearness * np.exp(-0.5 * (difference / _COLOUR_SIGMA) ** 2)
    chosen = np.take_along_axis(inverse[i, j], likeness.argmax(axis=0)[None], axis=0)
    same = (inverse[i, j] <= chosen * _SURFACE_RATIO) & (inverse[i, j] * _SURFACE_RATIO >= chosen)
    total = (nearness * same).sum(axis=0)
    weighted = (nearness * same * inverse[i, j]).sum(axis=0)
    share: NDArray[np.float64] = np.divide(weighted, total, out=np.zeros_like(total), where=total > 0)
    return share.astype(np.float32)


def _centres(n_out: int, n_in: int) -> NDArray[np.float64]:
    """Centres of ``n_out`` pixels in the coordinate of ``n_in`` pixels over the same length."""
    return np.clip((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
