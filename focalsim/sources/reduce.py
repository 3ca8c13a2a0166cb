"""Light averaged over areas: the weights of OpenCV's INTER_AREA, in a third of its time.

Several parts of an axis, each with a scale of its own, are reduced in one pass, and 8-bit codes are decoded in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from focalsim.color import SRGB8_TO_LINEAR
from focalsim.simd import BYTES, LANES, address, fma_each, load, store, zero

_NOTHING = 1e-3  # a smaller share of a pixel is left out


class Part(NamedTuple):
    """A piece of an axis, from pixel ``start`` to ``stop``, and how many pixels it becomes."""

    start: int
    stop: int
    pixels: int


class Taps(NamedTuple):
    """What each pixel of a reduced axis is made of: its first source pixel (n,), and the weights (n, taps) from there.

    No tap lies outside the source.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float32]


class LaneTaps(NamedTuple):
    """The same for rows of ``channels`` values a pixel, sixteen values at a time that read from one place.

    Value ``lane`` of group g is the sum over t of weights[g, t, lane] times what stands at place
    left[g] + t channels + lane, which may lie before the row's first value or after its last.
    """

    left: NDArray[np.int64]
    weights: NDArray[np.float32]
    channels: int


@lru_cache(maxsize=64)  # the frames of a source are mostly of one size
def area_taps(parts: tuple[Part, ...], n_in: int) -> Taps:
    """Taps of neighbouring ``parts`` of an axis of ``n_in`` pixels."""
    longest = max(int(np.ceil((part.stop - part.start) / part.pixels)) + 1 for part in parts)
    firsts, weights = zip(*(_part_taps(part.stop - part.start, part.pixels, longest) for part in parts), strict=True)
    first = np.concatenate([part.start + f for part, f in zip(parts, firsts, strict=True)])
    weight = np.concatenate(weights)
    inside = np.minimum(first, max(n_in - longest, 0))
    # Taps past the end weigh nothing: where they would lie outside, all move back.
    columns = np.arange(min(longest, n_in)) - (first - inside)[:, None]
    moved = np.take_along_axis(weight, columns.clip(0, longest - 1), axis=1)
    return Taps(inside, np.where((columns >= 0) & (columns < longest), moved, np.float32(0)))


@lru_cache(maxsize=64)
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


@lru_cache(maxsize=64)
def lane_taps(parts: tuple[Part, ...], n_in: int, channels: int) -> LaneTaps:
    """:func:`area_taps` of rows of ``channels`` values a pixel."""
    taps = area_taps(parts, n_in)
    place, lane = np.divmod(np.arange(-(-len(taps.first) * channels // LANES) * LANES), LANES)
    pixel, channel = np.divmod(np.arange(place.size), channels)
    pixel = np.minimum(pixel, len(taps.first) - 1)  # the last group may have values to spare
    # Of one group, these differ by whole pixels.
    first = (channels * taps.first[pixel] + channel - lane).reshape(-1, LANES)
    left = first.min(axis=1)
    late = (first - left[:, None]) // channels
    weights = np.zeros((len(left), taps.weights.shape[1] + int(late.max()), LANES), np.float32)
    for t in range(taps.weights.shape[1]):
        weights[np.arange(len(left))[:, None], late + t, np.arange(LANES)] = taps.weights[pixel, t].reshape(-1, LANES)
    return LaneTaps(left, weights, channels)


def average_area(image: NDArray[Any], rows: Sequence[Part], columns: Sequence[Part]) -> NDArray[np.float32]:
    """Mean light over the area of each pixel that ``rows`` and ``columns`` of ``image`` (H, W) or (H, W, C) become.

    ``image`` is linear light, float32, or 8-bit sRGB codes, which are decoded row by row.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    down = area_taps(tuple(rows), image.shape[0])
    along = lane_taps(tuple(columns), image.shape[1], channels)
    height, width = len(down.first), sum(part.pixels for part in columns)
    # A row's last sixteen values may end in the next one, which is written after it.
    room = np.empty(height * width * channels + LANES, np.float32)
    flat = np.ascontiguousarray(image).reshape(len(image), -1)
    _average(flat, down, along, SRGB8_TO_LINEAR, room[: height * width * channels].reshape(height, -1))
    return room[: height * width * channels].reshape(height, width, *image.shape[2:])


@njit(cache=True, nogil=True)
def _average(
    image: NDArray[Any], down: Taps, along: LaneTaps, table: NDArray[np.float32], averaged: NDArray[np.float32]
) -> None:
    taps, size = along.weights.shape[1], image.shape[1]
    margin = along.channels * taps + LANES
    light = np.empty((down.weights.shape[1], size), np.float32)  # the rows of the image in use, by turns
    newest = -1
    line = np.zeros(size + 2 * margin, np.float32)
    for y in range(len(down.first)):
        # Down first: that leaves fewer rows to reduce along.
        total = line[margin : margin + size]
        total[:] = np.float32(0.0)
        for t in range(len(light)):
            weight = down.weights[y, t]
            if weight == 0.0:
                continue
            row = down.first[y] + t
            source = light[row % len(light)]
            if row > newest:
                _to_light(image[row], table, source)
                newest = row
            for i in range(size):
                total[i] += weight * source[i]
        start, weights, write = address(line) + 4 * margin, address(along.weights), address(averaged[y])
        for left in along.left:
            read, values = start + 4 * left, zero()
            for _ in range(taps):
                values = fma_each(values, load(weights), load(read))
                weights += BYTES
                read += 4 * along.channels
            store(write, values)
            write += BYTES


def _to_light(row: Any, table: Any, light: Any) -> None:
    """Write the light of a row of light or codes."""
    raise NotImplementedError  # of compiled code


@overload(_to_light)
def _compiled_to_light(row: Any, table: Any, light: Any) -> Any:  # noqa: ARG001
    if row.dtype != types.uint8:

        def copy(row: Any, table: Any, light: Any) -> None:  # noqa: ARG001
            light[:] = row

        return copy

    def decode(row: Any, table: Any, light: Any) -> None:
        for i in range(row.size):
            light[i] = table[row[i]]

    return decode
