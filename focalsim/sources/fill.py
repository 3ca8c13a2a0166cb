"""Holes in a depth map, filled so that the renderer has a depth everywhere. They stay marked as not valid."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from focalsim.holes import nearest_valid

# The two ends of a hole within this ratio of each other are taken for one surface.
_SURFACE_RATIO = 1.1
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
    inverse = np.divide(1, depth_m, out=np.zeros_like(depth_m), where=valid)
    along_x, length_x = _cross(inverse, valid)
    along_y, length_y = (crossed.T for crossed in _cross(inverse.T, valid.T))
    filled = np.where(valid, inverse, np.where(length_x <= length_y, along_x, along_y))
    reached = valid | np.isfinite(np.minimum(length_x, length_y))
    filled = nearest_valid(filled, reached)
    filled = np.where(valid, filled, cv2.medianBlur(filled, _MEDIAN_PX))
    return np.where(valid, depth_m, 1 / filled)


def _cross(inverse: NDArray[np.float32], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Filled 1/z along the rows, and the length of the hole there; infinite in rows without a valid pixel."""
    n = inverse.shape[1]
    here = np.arange(n)
    before = np.maximum.accumulate(np.where(valid, here, -1), axis=1)
    after = np.minimum.accumulate(np.where(valid, here, n)[:, ::-1], axis=1)[:, ::-1]
    has_before, has_after = before >= 0, after < n
    first = np.take_along_axis(inverse, np.maximum(before, 0), axis=1)
    last = np.take_along_axis(inverse, np.minimum(after, n - 1), axis=1)
    first, last = np.where(has_before, first, last), np.where(has_after, last, first)
    farther, nearer = np.minimum(first, last), np.maximum(first, last)
    t = (here - before) / np.maximum(after - before, 1)
    value = np.where(nearer <= farther * _SURFACE_RATIO, first + (last - first) * t, farther)
    # A hole with one end counts as long as one of which this pixel is the middle.
    to_before = np.where(has_before, here - before, after - here)
    to_after = np.where(has_after, after - here, to_before)
    length = np.where(has_before | has_after, to_before + to_after, np.inf)
    return value.astype(np.float32), length.astype(np.float32)
