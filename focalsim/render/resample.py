"""The breathing warp: one separable resampling, area-exact, for zoom, shift and change of size together.

A pixel is the average of the scene over its area, so the sums of pixels along a row are exact samples of the scene's
primitive at the pixel borders. The primitive is interpolated (Lanczos, 4 lobes, normalised) and differenced over each
output pixel's own footprint: the result is again the average over the pixel's area, whatever the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from focalsim.camera.effects import LateralColor
from focalsim.color import ENCODING
from focalsim.encode import encode8_into
from focalsim.separable import place_lanes, spread_lanes
from focalsim.simd import BYTES, LANES, address, fma, fma_each, load, load_pixels, store, store_pixels, zero

LOBES = 4
_TOGETHER = 4  # rows of output that are summed at a time, since they share most of their source rows


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Source coordinate of output pixel j along one axis:  x = slope j + offset  (pixel centres at integers).

    ``slope`` and ``offset`` are numbers, or arrays of any shape for as many maps.
    """

    slope: Any
    offset: Any
    n_out: int
    n_in: int

    @property
    def identity(self) -> bool:
        """True where nothing moves in any of the maps."""
        return self.n_out == self.n_in and bool(np.all(self.slope == 1.0) and np.all(self.offset == 0.0))

    def nearest(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Index of the source pixel nearest to each output pixel's centre by one map, and if it lies inside."""
        x = np.rint(np.ravel(self.slope) * np.arange(self.n_out) + np.ravel(self.offset)).astype(np.intp)
        return np.clip(x, 0, self.n_in - 1), (x >= 0) & (x < self.n_in)

    @property
    def taps(self) -> int:
        """Source pixels that an output pixel is made of, at most."""
        return 1 if self.identity else int(np.ceil(np.max(self.slope))) + 2 * LOBES + 1

    def farthest_ahead(self, pixels: int, beside: int = 0) -> int:
        """By how much the first source pixels of output pixels that are so many apart can differ, by more or less than
        ``beside`` for each.
        """
        farthest = np.max(np.abs(self.offset)) + np.max(self.slope) * (self.n_out + 1)
        rounding = 0.0 if self.identity else 8 * float(np.spacing(farthest))
        return int(np.ceil(np.max(np.abs(np.subtract(self.slope, beside))) * pixels + rounding))


# Sine and cosine of pi k / LOBES, by which k pixels turn the kernel's angle; they repeat after 2 LOBES.
_SINES, _COSINES = (f(np.pi / LOBES * np.arange(2 * LOBES)) for f in (np.sin, np.cos))


@njit(cache=True, nogil=True, error_model="numpy")  # a check for division by 0 would keep the loops from vectors
def _weights(slope, offset, n_out, n_in, taps):
    """:class:`focalsim.separable.Taps` of one map."""
    first, weights = np.empty(n_out, np.int64), np.zeros((n_out, taps), np.float32)
    if slope == 1.0 and offset == 0.0 and n_out == n_in:
        for j in range(n_out):
            first[j], weights[j, 0] = j, np.float32(1.0)  # not a bit is lost where nothing moves
        return first, weights
    for j in range(n_out):
        first[j] = int(np.floor(slope * j + offset - slope / 2 + 0.5)) - LOBES
    # Borders of output pixels: how far right of the left border of the source pixel that comes first for the output
    # pixel before; and sine and cosine of pi / LOBES times that, from border to border by one turn.
    borders = n_out + 1
    distance, sine, cosine = np.empty(borders), np.empty(borders), np.empty(borders)
    distance[0] = offset - slope / 2 - first[0] + 0.5
    sine[0], cosine[0] = np.sin(np.pi / LOBES * distance[0]), np.cos(np.pi / LOBES * distance[0])
    angle, turn = np.pi / LOBES * (offset + slope / 2 + 0.5), np.pi / LOBES * slope
    s, c, turn_s, turn_c = np.sin(angle), np.cos(angle), np.sin(turn), np.cos(turn)
    for j in range(n_out):
        distance[j + 1] = slope * j + offset + slope / 2 - first[j] + 0.5
        back_s, back_c = _SINES[first[j] % (2 * LOBES)], _COSINES[first[j] % (2 * LOBES)]
        sine[j + 1], cosine[j + 1] = s * back_c - c * back_s, c * back_c + s * back_s
        s, c = s * turn_c + c * turn_s, c * turn_c - s * turn_s
    after, parts = _primitive(distance, sine, cosine, taps), np.empty(taps)
    for j in range(n_out):
        # The right border is the next pixel's left one, seen from that one's first source pixel.
        moved = first[j] - first[j - 1] if j > 0 else 0
        total = 0.0
        for t in range(taps):
            left = after[t + moved, j] if t + moved < taps else 0.0
            parts[t] = after[t, j + 1] - left
            total += parts[t]
        scale = 1 / total
        for t in range(taps):
            weights[j, t] = parts[t] * scale
    return first, weights


@njit(cache=True, nogil=True, error_model="numpy")
def _primitive(distance, sine, cosine, taps):
    """What source pixel t adds to the primitive at each border (taps, borders), interpolated by Lanczos' kernel.

    The primitive at a source pixel's border holds all pixels before it: so a pixel adds the kernel, normalised to sum
    one, at every border after it. Uses up sine and cosine.
    """
    borders = len(distance)
    kernel = np.empty((taps + 1, borders))  # at the left border of source pixel b
    total, whole = np.zeros(borders), np.empty(borders)
    for i in range(borders):
        # sin(pi distance), the sine of the LOBES-fold angle, of all taps, but for the sign.
        whole[i] = 4 * sine[i] * cosine[i] * (1 - 2 * sine[i] * sine[i])
    for b in range(taps + 1):
        sign = LOBES / np.pi**2 if b % 2 == 0 else -LOBES / np.pi**2
        for i in range(borders):
            d, s, c = distance[i] - b, sine[i], cosine[i]
            value = sign * whole[i] * s / (d * d)
            value = 1.0 if abs(d) < 1e-9 else value
            value = value if abs(d) < LOBES else 0.0
            kernel[b, i] = value
            total[i] += value
            # From one tap to the next by a turn of pi / LOBES.
            sine[i], cosine[i] = s * _COSINES[1] - c * _SINES[1], c * _COSINES[1] + s * _SINES[1]
    for i in range(borders):
        total[i] = 1 / total[i]
        kernel[taps, i] *= total[i]
    for b in range(taps - 1, -1, -1):
        for i in range(borders):
            kernel[b, i] = kernel[b + 1, i] + kernel[b, i] * total[i]
    return kernel[1:]


def breathing_maps(
    shape: tuple[int, ...],
    window: tuple[int, int, int, int],
    output_size: tuple[int, int],
    magnification: Any,
    principal_point_px: Any,
    lateral_color: LateralColor | None = None,
) -> tuple[AxisMap, AxisMap]:
    """Maps of the two axes (x, y), each of slopes and offsets (..., C), for magnifications (...) and points (..., 2).

    The ``window`` (left, top, width, height) of a source of ``shape`` (H, W), reduced to the scale of ``output_size``
    (W, H), is zoomed about its centre and moved by ``principal_point_px`` output pixels. One scale serves both axes.
    C is 1, or 3 where the channels differ.
    """
    scales = [1.0] if lateral_color is None else [1 + lateral_color.red, 1.0, 1 + lateral_color.blue]
    slope = source_scale(window[2:], output_size) / (np.asarray(magnification)[..., None] * scales)
    shift = np.asarray(principal_point_px)
    x, y = (
        AxisMap(slope, (n - 1) / 2 - slope * ((n_out - 1) / 2 + shift[..., axis, None]) + start, n_out, n_in)
        for axis, (n, n_out, start, n_in) in enumerate(
            zip(window[2:], output_size, window[:2], shape[1::-1], strict=True)
        )
    )
    return x, y


def source_scale(source_size: tuple[int, int], output_size: tuple[int, int]) -> float:
    """Source pixels per output pixel, the same along both axes."""
    return min(source_size[0] / output_size[0], source_size[1] / output_size[1])


@njit(cache=True, nogil=True)
def _part_channels(pixels, channels):
    """A row (W, 3) as three rows (3, W'), which are padded to whole vectors."""
    width = len(pixels)
    for n in range(width // LANES):
        _store(address(channels) + BYTES * n, 4 * channels.shape[1], load_pixels(address(pixels) + 3 * BYTES * n))
    for x in range(width // LANES * LANES, width):
        for c in range(3):
            channels[c, x] = pixels[x, c]


class Warp:
    """Breathing of S slices in C channels (1 where all move alike, or 3), ready to be applied.

    Output rows are made by fours, each from ``rows`` rows of the source at most.
    """

    def __init__(self, x: AxisMap, y: AxisMap) -> None:
        maps, threads, groups = np.size(x.slope), get_num_threads(), -(-x.n_out // LANES)
        late = x.farthest_ahead(LANES - 1, beside=1)
        self.rows = y.taps + y.farthest_ahead(_TOGETHER - 1)
        left, lanes = np.empty((maps, groups), np.int64), np.zeros((maps, groups, x.taps + late, LANES), np.float32)
        starts = np.empty((*np.shape(y.slope), -(-y.n_out // _TOGETHER)), np.int64)
        shared = np.zeros((maps, starts.shape[-1], _TOGETHER, self.rows), np.float32)
        _plan(_parts(x), _parts(y), left, lanes, starts.reshape(maps, -1), shared)
        # A row between the two passes has replicated pixels at either end, so that no tap has to be checked.
        pad = max(-int(left.min()), int(left.max()) + lanes.shape[2] + LANES - x.n_in, LANES)
        self.plan = x.n_in, left, lanes, starts.reshape(maps, -1), shared, ENCODING
        self._starts = starts  # (S, C, fours): the first of their source rows
        self._height = y.n_in
        self.work = (
            np.empty((threads, self.rows), np.int64),  # addresses of source rows
            np.empty((threads, self.rows, 3, -(-x.n_in // LANES) * LANES), np.float32),  # and these, channels apart
            np.empty((threads, _TOGETHER, 3, x.n_in + 2 * pad), np.float32),  # sums down the columns
            np.empty((threads, _TOGETHER, 3 * LANES * groups), np.float32),  # rows of output
            np.empty((threads, 3 * x.n_out), np.uint8),  # and the codes of one
        )

    def whole(self) -> Piece:
        """All fours of all slices, of a source that is blurred as a whole."""
        ready = self.fours(self._height)
        return Piece(self, np.zeros_like(ready), ready, slice(0, self._height), 0)

    def fours(self, stop: int) -> NDArray[np.intp]:
        """How many fours (S, C), the first ones, need no source row from ``stop`` on; at the source's end all."""
        count: NDArray[np.intp] = np.sum((self._starts + self.rows <= stop) | (stop >= self._height), axis=2)
        return count


@dataclass(frozen=True, slots=True)
class Piece:
    """What a band of blurred rows gives a warp to do: of slices and channels (S, C) the fours ``done`` to ``ready``.

    rows  of the source that are blurred
    top   the row from which on it is counted below
    """

    warp: Warp
    done: NDArray[np.intp]
    ready: NDArray[np.intp]
    rows: slice
    top: int

    @property
    def local_rows(self) -> tuple[int, int]:
        """The blurred rows."""
        return self.rows.start - self.top, self.rows.stop - self.top

    @property
    def plan(self) -> tuple[Any, ...]:
        """For :func:`warp_four`."""
        width, left, lanes, starts, *others = self.warp.plan
        return width, left, lanes, starts - self.top, *others

    def tasks(self, parts: int) -> NDArray[np.int64]:
        """Each slice in so many parts: (S, parts, 3 + 2 C), a task is a slice, the first and last of the rows that it
        needs, and the first and last of its fours in each channel.
        """
        slices, channels = self.done.shape
        tasks = np.empty((slices, parts, 3 + 2 * channels), np.int64)
        _share_out(self.done, self.ready, self.plan[3], self.local_rows, self.warp.rows, tasks)
        return tasks

    def apply(self, image: NDArray[np.float32], slice_: int, stack: NDArray[Any]) -> None:
        """Warp the blurred rows (H, W, 3) of a slice into ``stack`` (S, h, w, 3)."""
        light, codes = light_and_codes(stack)
        image = np.ascontiguousarray(image)
        for channel, fours in enumerate(zip(self.done[slice_], self.ready[slice_], strict=True)):
            channels = self.done.shape[1]
            which = slice_, channel, channels
            _apply(image, self.local_rows, which, fours, self.plan, self.warp.work, light[slice_], codes[slice_])


def light_and_codes(stack: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """``stack`` (S, h, w, 3) as the one it is, and an empty one as the other: compiled code takes both."""
    empty = np.empty((len(stack), 0, 0, 3), np.uint8 if stack.dtype == np.float32 else np.float32)
    return (stack, empty) if stack.dtype == np.float32 else (empty, stack)


def _parts(axis: AxisMap) -> tuple[NDArray[np.float64], NDArray[np.float64], int, int, int]:
    return np.ravel(axis.slope), np.ravel(axis.offset), axis.n_out, axis.n_in, axis.taps


@njit(cache=True, nogil=True, parallel=True)
def _plan(x, y, left, lanes, starts, shared):
    for m in prange(len(left)):
        _plan_map(m, x, y, left[m], lanes[m], starts[m], shared[m])


@njit(cache=True, nogil=True)
def _plan_map(m, x, y, left, lanes, starts, shared):
    """By sixteens what the output's columns are made of, and by fours its rows, of one map."""
    slope, offset, n_out, n_in, taps = x
    first, weights = _weights(slope[m], offset[m], n_out, n_in, taps)
    place_lanes(first, 1, left)
    spread_lanes(first, weights, 1, left, lanes)
    slope, offset, n_out, n_in, taps = y
    first, weights = _weights(slope[m], offset[m], n_out, n_in, taps)
    _put_together(first, weights, starts, shared)


@njit(cache=True, nogil=True)
def _put_together(first, weights, starts, shared):
    """Rows by fours: their first source row (fours,), and weights (fours, 4, rows) of this and its followers.

    Those of the last four that are no more are the last row again. ``shared`` holds zeros before.
    """
    taps = weights.shape[1]
    for four in range(len(starts)):
        starts[four] = first[_TOGETHER * four]
        for k in range(_TOGETHER):
            y = min(_TOGETHER * four + k, len(first) - 1)
            late = first[y] - starts[four]
            for t in range(taps):
                shared[four, k, late + t] = weights[y, t]


@njit(cache=True, nogil=True)
def _share_out(done, ready, starts, rows, together, tasks):
    """Fill in the tasks of :meth:`Piece.tasks`; a four is made of so many rows ``together`` from its start on."""
    slices, parts, _ = tasks.shape
    channels = done.shape[1]
    for n in range(slices):
        for part in range(parts):
            task = tasks[n, part]
            first, last = rows[1], rows[0]
            for channel in range(channels):
                todo = ready[n, channel] - done[n, channel]
                low = done[n, channel] + todo * part // parts
                high = done[n, channel] + todo * (part + 1) // parts
                if low < high:
                    row = starts[n * channels + channel]
                    first, last = min(first, row[low]), max(last, row[high - 1] + together)
                task[3 + 2 * channel], task[4 + 2 * channel] = low, high
            task[0] = n
            task[1], task[2] = source_row(first, rows), source_row(last - 1, rows) + 1


@njit(cache=True, nogil=True, parallel=True)
def _apply(image, rows, which, fours, plan, work, light, codes):
    sources, ring, sums, lines, coded = work
    starts, number = plan[3], map_number(which)
    threads, count = sources.shape
    done, todo = fours[0], fours[1] - fours[0]
    for n in prange(threads):
        memory = sources[n], sums[n], lines[n], coded[n]
        newest = -1
        for four in range(done + todo * n // threads, done + todo * (n + 1) // threads):
            for t in range(count):
                row = source_row(starts[number, four] + t, rows)
                place = ring[n, row % count]
                if row > newest:
                    _part_channels(image[row - rows[0]], place)
                    newest = row
                sources[n, t] = address(place)
            warp_four(4 * ring.shape[3], which, four, plan, memory, light, codes)


@njit(cache=True, nogil=True)
def source_row(row, rows):
    """``row``, or the nearest of the source's ``rows`` [first, last): borders are replicated."""
    return min(max(row, rows[0]), rows[1] - 1)


@njit(cache=True, nogil=True)
def map_number(which):
    """The number of the map of a slice and channel: see :func:`warp_four`."""
    slice_, channel, channels = which
    return slice_ * channels + channel


@njit(cache=True, nogil=True)
def warp_four(plane, which, four, plan, memory, light, codes):
    """Make four rows of a slice's ``light`` or ``codes`` (h, w, 3), the other of which is empty.

    plane   bytes from a channel of the source to the next
    which   slice, channel, and how many channels have maps of their own: 1 = that of all, or 3
    memory  addresses of the source's rows, and room for what comes between; the addresses are used up
    """
    width, left, lanes, _, shared, table = plan
    number, channel = map_number(which), which[1] if which[2] > 1 else -1  # -1: all
    sources, sums, lines, coded = memory
    encoded = codes.size > 0
    height, n_out = (codes.shape if encoded else light.shape)[:2]
    direct = not encoded and channel < 0
    next_row = 4 * sums.shape[2]
    pad = (sums.shape[2] - width) // 2
    _down_columns(sources, plane, shared[number, four], address(sums) + 4 * pad, next_row)
    for k in range(_TOGETHER):
        row = sums[k]
        for c in range(3):
            row[c, :pad] = row[c, pad]
            row[c, pad + width :] = row[c, pad + width - 1]
    first = _TOGETHER * four
    count = min(_TOGETHER, height - first)
    for k in range(_TOGETHER):  # from here on where rows of output go
        sources[k] = address(light[first + k]) if direct and k < count else address(lines[k])
    _along_rows(address(sums) + 4 * pad, next_row, left[number], lanes[number], sources, n_out, lines)
    for k in range(count):
        if encoded and channel < 0:
            encode8_into(lines[k, : 3 * n_out], table, codes[first + k].reshape(3 * n_out))
        elif encoded:
            encode8_into(lines[k, : 3 * n_out], table, coded)
            _put(coded, channel, codes[first + k])
        else:
            done = n_out // LANES * LANES if direct else 0
            _put(lines[k, 3 * done :], channel, light[first + k, done:])


@njit(cache=True, nogil=True)
def _along_rows(sums, next_row, left, lanes, to, n_out, lines):
    """Four rows at a time, whose weights are the same, to these addresses; the last pixels, fewer than sixteen, to
    ``lines``.
    """
    for n in range(len(left)):
        weights, place = address(lanes[n]), sums + 4 * left[n]
        a = b = c = d = (zero(), zero(), zero())
        for t in range(lanes.shape[1]):
            weight = load(weights + BYTES * t)
            a = _add_each(a, weight, place + 4 * t, next_row)
            b = _add_each(b, weight, place + 4 * t + 3 * next_row, next_row)
            c = _add_each(c, weight, place + 4 * t + 6 * next_row, next_row)
            d = _add_each(d, weight, place + 4 * t + 9 * next_row, next_row)
        whole, move = LANES * (n + 1) <= n_out, 3 * BYTES * n
        store_pixels((to[0] if whole else address(lines[0])) + move, a[0], a[1], a[2])
        store_pixels((to[1] if whole else address(lines[1])) + move, b[0], b[1], b[2])
        store_pixels((to[2] if whole else address(lines[2])) + move, c[0], c[1], c[2])
        store_pixels((to[3] if whole else address(lines[3])) + move, d[0], d[1], d[2])


@njit(cache=True, nogil=True)
def _add_each(sums, weight, place, next_row):
    red, green, blue = load(place), load(place + next_row), load(place + 2 * next_row)
    return fma_each(sums[0], weight, red), fma_each(sums[1], weight, green), fma_each(sums[2], weight, blue)


@njit(cache=True, nogil=True)
def _put(values, channel, row):
    """Take over a row (n, 3), or one channel of it, from values one after another."""
    for x in range(len(row)):
        for c in range(3):
            if channel < 0 or c == channel:
                row[x, c] = values[3 * x + c]


@njit(cache=True, nogil=True)
def _down_columns(sources, plane, weights, to, next_row):
    """Four rows of three channels at a time, so that what they share is read once: it does not stay in the cache."""
    for i in range(0, plane, BYTES):
        a = b = c = d = (zero(), zero(), zero())
        for t in range(len(sources)):
            place = sources[t] + i
            values = load(place), load(place + plane), load(place + 2 * plane)
            a, b = _add(a, values, weights[0, t]), _add(b, values, weights[1, t])
            c, d = _add(c, values, weights[2, t]), _add(d, values, weights[3, t])
        _store(to + i, next_row, a)
        _store(to + i + 3 * next_row, next_row, b)
        _store(to + i + 6 * next_row, next_row, c)
        _store(to + i + 9 * next_row, next_row, d)


@njit(cache=True, nogil=True)
def _add(sums, values, weight):
    return fma(sums[0], values[0], weight), fma(sums[1], values[1], weight), fma(sums[2], values[2], weight)


@njit(cache=True, nogil=True)
def _store(place, next_row, channels):
    store(place, channels[0])
    store(place + next_row, channels[1])
    store(place + 2 * next_row, channels[2])
