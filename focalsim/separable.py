"""Pictures at another size or place: every value is a weighted sum of pixels down the columns, then along the rows.

Outside the picture its border is replicated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from focalsim.color import SRGB8_TO_LINEAR
from focalsim.encode import decode8
from focalsim.simd import BYTES, LANES, address, fma, fma_each, load, store, zero


class Taps(NamedTuple):
    """What each pixel of an axis is made of: its first source pixel (n,) and the weights (n, taps) of it and its
    followers. The first pixels may lie outside, and do not decrease.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float32]


class LaneTaps(NamedTuple):
    """The same for rows with ``channels`` values a pixel, sixteen values at a time that read from one place.

    Value ``lane`` of group g is the sum over t of weights[g, t, lane] times what stands at place
    left[g] + t channels + lane, which may lie before the row's first value or after its last.
    """

    left: NDArray[np.int64]  # (groups,)
    weights: NDArray[np.float32]  # (groups, taps, 16)
    channels: int
    pixels: int  # that the row becomes


def lane_taps(taps: Taps, channels: int) -> LaneTaps:
    """``taps`` of rows with so many values a pixel."""
    return LaneTaps(*by_lanes(taps.first, taps.weights, channels), channels, len(taps.first))


@njit(cache=True, nogil=True)
def by_lanes(
    first: NDArray[np.int64], weights: NDArray[np.float32], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``left`` and ``weights`` of :class:`LaneTaps`."""
    left = np.empty((channels * len(first) + LANES - 1) // LANES, np.int64)
    spread = np.zeros((len(left), weights.shape[1] + place_lanes(first, channels, left), LANES), np.float32)
    spread_lanes(first, weights, channels, left, spread)
    return left, spread


# Value j, of pixel p, would read its first source pixel at place channels (first[p] - p) + (j - lane): the last is the
# same for all sixteen.
@njit(cache=True, nogil=True)
def place_lanes(first: NDArray[np.int64], channels: int, left: NDArray[np.int64]) -> int:
    """Fill ``left`` of :class:`LaneTaps`; returns how many more taps than a pixel some sixteen values have."""
    latest = 0
    for group in range(len(left)):
        pixel, end = LANES * group // channels, min((LANES * (group + 1) - 1) // channels + 1, len(first))
        low = high = first[pixel] - pixel
        for p in range(pixel + 1, end):
            low, high = min(low, first[p] - p), max(high, first[p] - p)
        left[group] = channels * low + LANES * group
        latest = max(latest, high - low)
    return latest


@njit(cache=True, nogil=True)
def spread_lanes(
    first: NDArray[np.int64],
    weights: NDArray[np.float32],
    channels: int,
    left: NDArray[np.int64],
    spread: NDArray[np.float32],
) -> None:
    """Fill in ``weights`` of :class:`LaneTaps`, zeros before."""
    for group in range(len(left)):
        low = (left[group] - LANES * group) // channels
        for lane in range(min(LANES, channels * len(first) - LANES * group)):
            pixel = (LANES * group + lane) // channels
            late = first[pixel] - pixel - low
            for t in range(weights.shape[1]):
                spread[group, late + t, lane] = weights[pixel, t]


def combine(image: NDArray[Any], down: Taps, along: LaneTaps) -> NDArray[np.float32]:
    """The sums (h, w) or (h, w, C) over ``image`` (H, W) or (H, W, C): linear light, or 8-bit sRGB codes of it."""
    height, size = len(down.first), along.pixels * along.channels
    # A row's last sixteen values may end in the next row, which is written after it.
    room = np.empty(height * size + LANES, np.float32)
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    _combine(flat, down, along, SRGB8_TO_LINEAR, room[: height * size].reshape(height, size))
    return room[: height * size].reshape(height, along.pixels, *image.shape[2:])


@njit(cache=True, nogil=True)
def _combine(
    image: NDArray[Any], down: Taps, along: LaneTaps, table: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    rows, taps, size, channels = down.weights.shape[1], along.weights.shape[1], image.shape[1], along.channels
    stride = (size + LANES - 1) // LANES * LANES
    light = np.zeros((rows, stride), np.float32)  # the rows of the image in use, by turns
    sources = np.empty(rows, np.int64)
    newest = -1
    before = max(-along.left.min(), 0)  # values that are read before the first one of a row
    line = np.empty(max(before + stride, before + along.left.max() + channels * (taps - 1) + LANES), np.float32)
    for y in range(len(down.first)):
        for t in range(rows):
            row = min(max(down.first[y] + t, 0), len(image) - 1)
            if row > newest:
                _to_light(image[row], table, light[row % rows])
                newest = row
            sources[t] = address(light) + 4 * stride * (row % rows)
        place = address(line) + 4 * before
        for i in range(0, 4 * stride, BYTES):
            values = zero()
            for t in range(rows):
                values = fma(values, load(sources[t] + i), down.weights[y, t])
            store(place + i, values)
        for i in range(before):
            line[before - 1 - i] = line[before + channels - 1 - i % channels]
        for i in range(before + size, len(line)):
            line[i] = line[i - channels]
        weights, write = address(along.weights), address(out[y])
        for left in along.left:
            read, values = place + 4 * left, zero()
            for _ in range(taps):
                values = fma_each(values, load(weights), load(read))
                weights += BYTES
                read += 4 * channels
            store(write, values)
            write += BYTES


def _to_light(row: Any, table: Any, light: Any) -> None:
    """Write the light of a row of light or codes."""
    raise NotImplementedError  # of compiled code


@overload(_to_light)
def _compiled_to_light(row: Any, table: Any, light: Any) -> Any:  # noqa: ARG001
    if row.dtype != types.uint8:

        def copy(row: Any, table: Any, light: Any) -> None:  # noqa: ARG001
            light[: row.size] = row

        return copy

    def decode(row: Any, table: Any, light: Any) -> None:
        decode8(row, table, light)

    return decode
