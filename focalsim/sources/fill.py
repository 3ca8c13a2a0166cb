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
    depth_m, valid = np.ascontiguousarray(depth_m), np.ascontiguousarray(valid)
    filled = _cross_holes(depth_m, valid)
    _fill_corners(filled, valid)
    return _filled_depth_m(depth_m, valid, np.asarray(cv2.medianBlur(filled, _MEDIAN_PX), np.float32))


def _fill_corners(filled: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Fill in place where neither the row nor the column has a valid pixel.

    Those are the crossings of empty rows and empty columns, so the nearest pixel that is filled already lies straight
    along the row or the column.
    """
    rows = np.asarray(valid.any(axis=1))
    if rows.all():
        return
    columns = np.asarray(valid.any(axis=0))
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


@njit(cache=True, nogil=True, error_model="numpy")
def _cross_holes(depth_m: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """1/z, each hole crossed along the axis on which it is shorter; 0 where no row and no column has a valid pixel."""
    height, width = valid.shape
    inverse = np.empty((height, width), np.float32)
    length = np.empty((height, width), np.float32)  # of the hole along its row, in holes only
    one = np.float32(1.0)
    for y in range(height):
        before = -1  # the last valid pixel
        for x in range(width):
            if valid[y, x]:
                inverse[y, x] = one / depth_m[y, x]
                if before < x - 1:
                    _cross_row(inverse[y], length[y], before, x)
                before = x
        if before < width - 1:
            _cross_row(inverse[y], length[y], before, width)
    before_in = np.full(width, -1)  # of every column
    for y in range(height):
        for x in range(width):
            if valid[y, x]:
                if before_in[x] < y - 1:
                    _cross_column(inverse, length, x, before_in[x], y)
                before_in[x] = y
    for x in range(width):
        if before_in[x] < height - 1:
            _cross_column(inverse, length, x, before_in[x], height)
    return inverse


@njit(cache=True, nogil=True)
def _cross_row(inverse: NDArray[np.float32], length: NDArray[np.float32], before: int, after: int) -> None:
    """Fill the hole between two valid pixels of a row, of which one may lie outside."""
    for x in range(before + 1, after):
        length[x] = _length(x, before, after, len(inverse))
        inverse[x] = _between(inverse, x, before, after)


@njit(cache=True, nogil=True)
def _cross_column(inverse: NDArray[np.float32], length: NDArray[np.float32], x: int, before: int, after: int) -> None:
    """Fill the same of a column, where the hole is shorter than along its rows."""
    for y in range(before + 1, after):
        if length[y, x] > _length(y, before, after, len(inverse)):
            inverse[y, x] = _between(inverse[:, x], y, before, after)


@njit(cache=True, nogil=True)
def _length(at: int, before: int, after: int, size: int) -> np.float32:
    """A hole with one end counts as long as one of which this pixel is the middle; with none it is infinite."""
    if before < 0 and after == size:
        return np.float32(np.inf)
    to_before = at - before if before >= 0 else after - at
    return np.float32(to_before + (after - at if after < size else to_before))


@njit(cache=True, nogil=True)
def _between(inverse: NDArray[np.float32], at: int, before: int, after: int) -> float:
    """1/z in a hole from that of its ends; 0 where it has none."""
    if before < 0 and after == len(inverse):
        return 0.0
    first = inverse[before] if before >= 0 else inverse[after]
    last = inverse[after] if after < len(inverse) else inverse[before]
    farther, nearer = min(first, last), max(first, last)
    if nearer <= farther * _SURFACE_RATIO:
        return float(first + (last - first) * ((at - before) / (after - before)))
    return float(farther)


@njit(cache=True, nogil=True, error_model="numpy")
def _filled_depth_m(
    depth_m: NDArray[np.float32], valid: NDArray[np.bool_], inverse: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Depth where it is valid, else 1 / ``inverse``."""
    filled = np.empty(valid.shape, np.float32)
    for y in range(valid.shape[0]):
        for x in range(valid.shape[1]):
            filled[y, x] = depth_m[y, x] if valid[y, x] else np.float32(1.0) / inverse[y, x]
    return filled
