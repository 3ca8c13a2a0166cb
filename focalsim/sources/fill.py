"""Holes in a depth map, filled so that the renderer has a depth everywhere. They stay marked as not valid."""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

# The two ends of a hole within this ratio of each other are taken for one surface.
_SURFACE_RATIO = np.float32(1.1)
_MEDIAN_PX = 5


def fill_holes(depth_m: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth (H, W) with a value in every pixel, within the range of the valid ones; one must be valid.

    Each hole is crossed along the axis on which it is shorter. Where its two ends are one surface, it is
    interpolated between them in 1/z, which is exact for planes. Where they are not, it takes the farther
    end: most such holes are shadows that a near object casts on what is behind it, as the projector or the
    second camera sees another side. A median inside the holes takes out the streaks. Holes that reach the
    border have one end only.
    """
    if valid.all():
        return depth_m
    valid = np.ascontiguousarray(valid)
    inverse = np.divide(1, depth_m, out=np.zeros(depth_m.shape, np.float32), where=valid)
    along_x, length_x = _cross(inverse, valid)
    turned = np.asarray(cv2.transpose(inverse), np.float32)
    turned_valid = cv2.transpose(valid.view(np.uint8)).view(np.bool_)
    along_y, length_y = (cv2.transpose(a) for a in _cross(turned, turned_valid))
    filled = np.where(valid, inverse, np.where(length_x <= length_y, along_x, along_y))
    _fill_corners(filled, valid)
    filled = np.where(valid, filled, cv2.medianBlur(filled, _MEDIAN_PX))
    return np.where(valid, depth_m, 1 / filled)


def _fill_corners(filled: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Fill in place where neither the row nor the column has a valid pixel.

    Those are the crossings of empty rows and empty columns, so the nearest pixel that is filled already lies straight
    along the row or the column.
    """
    rows, columns = np.asarray(valid.any(axis=1)), np.asarray(valid.any(axis=0))
    y, x = np.flatnonzero(~rows), np.flatnonzero(~columns)
    to_y, to_x = _nearest(rows, y), _nearest(columns, x)
    vertical = np.abs(to_y - y)[:, None] <= np.abs(to_x - x)[None, :]
    filled[np.ix_(y, x)] = np.where(vertical, filled[np.ix_(to_y, x)], filled[np.ix_(y, to_x)])


def _nearest(known: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """The nearest known place to each."""
    there = np.flatnonzero(known)
    after = np.searchsorted(there, places).clip(0, len(there) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(there[before] - places) <= np.abs(there[after] - places)
    return np.asarray(np.where(nearer, there[before], there[after]), np.intp)


@njit(cache=True, nogil=True)
def _cross(inverse: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Filled 1/z along the rows, and the length of the hole there; infinite in rows without a valid pixel."""
    height, n = inverse.shape
    value, length = inverse.copy(), np.zeros((height, n), np.float32)
    for y in range(height):
        before = -1  # the last valid pixel
        for after in range(n + 1):
            if after < n and not valid[y, after]:
                continue
            for x in range(before + 1, after):
                if before < 0 and after == n:
                    length[y, x] = np.inf
                    continue
                first = inverse[y, before] if before >= 0 else inverse[y, after]
                last = inverse[y, after] if after < n else inverse[y, before]
                farther, nearer = min(first, last), max(first, last)
                if nearer <= farther * _SURFACE_RATIO:
                    value[y, x] = first + (last - first) * ((x - before) / (after - before))
                else:
                    value[y, x] = farther
                # A hole with one end counts as long as one of which this pixel is the middle.
                to_before = x - before if before >= 0 else after - x
                length[y, x] = to_before + (after - x if after < n else to_before)
            before = after
    return value, length
