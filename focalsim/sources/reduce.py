"""Light averaged over areas: the weights of OpenCV's INTER_AREA, in a third of its time.

Several parts of an axis, each with a scale of its own, are reduced in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit, uintp
from numpy.typing import NDArray

_NOTHING = 1e-3  # a smaller share of a pixel is left out


class Taps(NamedTuple):
    """What each pixel of a reduced axis is made of: its first source pixel (n,), and the weights (n, taps) from there.

    No tap lies outside the source.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float32]


def area_taps(parts: Sequence[tuple[slice, int]], n_in: int) -> Taps:
    """Taps of neighbouring parts of an axis of ``n_in`` pixels, given as (where it is, number of pixels it becomes)."""
    longest = max(int(np.ceil((part.stop - part.start) / n)) + 1 for part, n in parts)
    firsts, weights = zip(*(_part_taps(part.stop - part.start, n, longest) for part, n in parts), strict=True)
    first = np.concatenate([part.start + f for (part, _), f in zip(parts, firsts, strict=True)])
    weight = np.concatenate(weights)
    inside = np.minimum(first, max(n_in - longest, 0))
    # Taps past the end weigh nothing: where they would lie outside, all move back.
    columns = np.arange(min(longest, n_in)) - (first - inside)[:, None]
    moved = np.take_along_axis(weight, columns.clip(0, longest - 1), axis=1)
    return Taps(inside, np.where((columns >= 0) & (columns < longest), moved, np.float32(0)))


@lru_cache(maxsize=64)  # the frames of a source are mostly of one size
def _part_taps(n_in: int, n_out: int, taps: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    scale = 1.0 / (n_out / n_in)
    left = np.arange(n_out) * scale
    right = left + scale
    area = np.minimum(scale, n_in - left)
    last = np.minimum(np.floor(right), n_in - 1)  # the pixel that the right border runs through
    whole = np.minimum(np.ceil(left), last)  # the first pixel right of the left border
    first = np.where(whole - left > _NOTHING, whole - 1, whole)
    source = first[:, None] + np.arange(taps)
    share = np.where(source < last[:, None], 1.0, np.minimum(np.minimum(right - last, 1.0), area)[:, None])
    share = np.where(source < whole[:, None], (whole - left)[:, None], share)
    counts = (source < last[:, None]) | ((source == last[:, None]) & (right - last > _NOTHING)[:, None])
    return first.astype(np.intp), np.where(counts, share / area[:, None], 0.0).astype(np.float32)


@njit(cache=True, nogil=True)
def average_area(light: NDArray[np.float32], rows: Taps, columns: Taps) -> NDArray[np.float32]:
    """``light`` (H, W, C), contiguous, reduced to (len(rows.first), len(columns.first), C)."""
    height, width, channels = len(rows.first), len(columns.first), light.shape[2]
    averaged = np.empty((height, width, channels), np.float32)
    line = np.empty(light.shape[1] * channels, np.float32)
    for y in range(height):
        # Down first: that is done to whole rows at once, and leaves fewer of them to reduce along.
        line[:] = np.float32(0.0)
        for t in range(rows.weights.shape[1]):
            weight = rows.weights[y, t]
            if weight == 0.0:
                continue
            source = light[rows.first[y] + t].reshape(-1)
            for i in range(len(line)):
                line[i] += weight * source[i]
        if channels == 3:
            _reduce_colours(line, columns.first, columns.weights, averaged[y])
        else:
            _reduce(line, columns.first, columns.weights, averaged[y])
    return averaged


@njit(cache=True, nogil=True)
def _reduce_colours(
    line: NDArray[np.float32], first: NDArray[np.intp], weights: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    for x in range(len(first)):
        red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        place = uintp(3) * uintp(first[x])  # unsigned: else every index is first asked whether it counts from the end
        for t in range(weights.shape[1]):
            weight = weights[x, t]
            red += weight * line[place]
            green += weight * line[place + uintp(1)]
            blue += weight * line[place + uintp(2)]
            place += uintp(3)
        out[x, 0], out[x, 1], out[x, 2] = red, green, blue


@njit(cache=True, nogil=True)
def _reduce(
    line: NDArray[np.float32], first: NDArray[np.intp], weights: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """The same of any number of channels, which takes the compiler longer for each of three."""
    channels = out.shape[1]
    for x in range(len(first)):
        for c in range(channels):
            total = np.float32(0.0)
            for t in range(weights.shape[1]):
                total += weights[x, t] * line[(first[x] + t) * channels + c]
            out[x, c] = total
