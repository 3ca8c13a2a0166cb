"""The breathing warp: one separable resampling, area-exact, for zoom, shift and change of size together.

A pixel is the average of the scene over its area, so the sums of pixels along a row are exact samples of the scene's
primitive at the pixel borders. The primitive is interpolated (Lanczos, 4 lobes, normalised) and differenced over each
output pixel's own footprint: the result is again the average over the pixel's area, whatever the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]
from numpy.typing import NDArray

from focalsim.separable import Taps, by_lanes
from focalsim.simd import BYTES, LANES, address, fma, fma_each, load, store, store_pixels, zero

LOBES = 4
ALL_CHANNELS = slice(0, 3)  # red, green and blue
_TOGETHER = 4  # rows of output


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Source coordinate of output pixel j along one axis:  x = slope j + offset  (pixel centres at integers)."""

    slope: float
    offset: float
    n_out: int
    n_in: int

    @property
    def identity(self) -> bool:
        """True where nothing moves."""
        return self.slope == 1.0 and self.offset == 0.0 and self.n_out == self.n_in

    def nearest(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Index of the source pixel nearest to each output pixel's centre, and whether it lies inside the source."""
        x = np.rint(self.slope * np.arange(self.n_out) + self.offset).astype(np.intp)
        return np.clip(x, 0, self.n_in - 1), (x >= 0) & (x < self.n_in)

    @property
    def taps(self) -> int:
        """Source pixels that an output pixel is made of."""
        return int(np.ceil(self.slope)) + 2 * LOBES + 1

    def done_before(self, stop: int) -> int:
        """How many output pixels, the first ones, need no source pixel from ``stop`` on; at the source's end all."""
        if stop >= self.n_in:
            return self.n_out
        ends = _first(self.slope, self.offset, self.n_out) + self.taps
        return int(np.searchsorted(ends, stop, "right"))

    def weights(self) -> Taps:
        """What each output pixel is made of."""
        return Taps(*_weights(self.slope, self.offset, self.n_out, self.taps))


ChannelMap = tuple[slice, AxisMap, AxisMap]  # channels, and their maps along x and y


# Sine and cosine of pi k / LOBES, by which k pixels turn the kernel's angle; they repeat after 2 LOBES.
_SINES, _COSINES = (f(np.pi / LOBES * np.arange(2 * LOBES)) for f in (np.sin, np.cos))


@njit(cache=True, nogil=True)
def _first(slope, offset, n_out):
    """The first source pixel of each output pixel."""
    first = np.empty(n_out, np.int64)
    for j in range(n_out):
        first[j] = int(np.floor(slope * j + offset - slope / 2 + 0.5)) - LOBES
    return first


@njit(cache=True, nogil=True, error_model="numpy")  # a check for division by 0 would keep the loops from vectors
def _weights(slope, offset, n_out, taps):
    """:class:`Taps` of an axis."""
    first = _first(slope, offset, n_out)
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
    after = _primitive(distance, sine, cosine, taps)
    weights = np.empty((n_out, taps), np.float32)
    for j in range(n_out):
        # The right border is the next pixel's left one, seen from that one's first source pixel.
        moved = first[j] - first[j - 1] if j > 0 else 0
        total = 0.0
        for t in range(taps):
            left = after[t + moved, j] if t + moved < taps else 0.0
            total += after[t, j + 1] - left
        scale = 1 / total
        for t in range(taps):
            left = after[t + moved, j] if t + moved < taps else 0.0
            weights[j, t] = (after[t, j + 1] - left) * scale
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
        kernel[taps, i] /= total[i]
    for b in range(taps - 1, -1, -1):
        for i in range(borders):
            kernel[b, i] = kernel[b + 1, i] + kernel[b, i] / total[i]
    return kernel[1:]


def breathing_map(
    source_size: tuple[int, int],
    output_size: tuple[int, int],
    magnification: float,
    principal_point_px: tuple[float, float],
) -> tuple[AxisMap, AxisMap]:
    """Maps of the two axes (x, y) for sizes (W, H): the source, reduced to the output's scale, is zoomed about its
    centre by ``magnification`` and moved by ``principal_point_px`` output pixels. One scale serves both axes.
    """
    scale = source_scale(source_size, output_size)
    slope = scale / magnification
    x, y = (
        AxisMap(slope, (n_in - 1) / 2 - slope * ((n_out - 1) / 2 + shift), n_out, n_in)
        for n_in, n_out, shift in zip(source_size, output_size, principal_point_px, strict=True)
    )
    return x, y


def source_scale(source_size: tuple[int, int], output_size: tuple[int, int]) -> float:
    """Source pixels per output pixel, the same along both axes."""
    return min(source_size[0] / output_size[0], source_size[1] / output_size[1])


def planar(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An image (H, 3, W') for a frame of ``shape`` (H, W): channels apart, rows padded to whole vectors."""
    height, width = shape
    return np.empty((height, 3, -(-width // LANES) * LANES), np.float32)


def resample(
    image: NDArray[np.float32], x: AxisMap, y: AxisMap, out: NDArray[np.float32], top: int = 0, first: int = 0
) -> None:
    """Resample ``image``, :func:`planar`, into ``out`` (h, w, 3); borders are replicated.

    Of large pictures ``image`` holds the rows from ``top`` on, and ``out`` the output's rows from ``first`` on.
    """
    if x.identity and y.identity:
        out[:] = image[first - top : first - top + len(out), :, : x.n_in].transpose(0, 2, 1)
        return
    part = slice(first, first + len(out))
    left, lanes, starts, shared, pad = _plan(
        (x.slope, x.offset, x.n_out, x.taps), (y.slope, y.offset, y.n_out, y.taps), x.n_in, part, top
    )
    rows = np.empty((get_num_threads(), _TOGETHER, 3, x.n_in + 2 * pad), np.float32)
    lines = np.empty((get_num_threads(), LANES, 3), np.float32)
    _resample(image, x.n_in, left, lanes, starts, shared, rows, lines, out)


@njit(cache=True, nogil=True)
def _plan(x, y, width, part, top):
    """By sixteens what the output's columns are made of, and by fours its rows in this part."""
    first, weights = _weights(*x)
    left, lanes = by_lanes(first, weights, 1)
    # A row between the two passes has replicated pixels at either end, so that no tap has to be checked.
    pad = max(-left.min(), left.max() + lanes.shape[1] + LANES - width, LANES)
    first, weights = _weights(*y)
    starts, shared = _together(first[part] - top, weights[part])
    return left, lanes, starts, shared, pad


@njit(cache=True, nogil=True)
def _together(first, weights):
    """Rows by fours: their first source row (n,), and weights (n, 4, sources) of this and its followers.

    Those of the last four that are no more are the last row again.
    """
    groups, taps = (len(first) + _TOGETHER - 1) // _TOGETHER, weights.shape[1]
    spread = 0
    for y in range(len(first)):
        spread = max(spread, first[y] - first[y // _TOGETHER * _TOGETHER])
    starts, shared = np.empty(groups, np.int64), np.zeros((groups, _TOGETHER, taps + spread), np.float32)
    for group in range(groups):
        starts[group] = first[_TOGETHER * group]
        for k in range(_TOGETHER):
            y = min(_TOGETHER * group + k, len(first) - 1)
            late = first[y] - starts[group]
            shared[group, k, late : late + taps] = weights[y]
    return starts, shared


@njit(cache=True, nogil=True, parallel=True)
def _resample(image, width, left, lanes, starts, shared, rows, lines, out):
    height, _, stride = image.shape
    plane, taps = 4 * stride, lanes.shape[1]
    next_row = 4 * rows.shape[3]
    pad = (rows.shape[3] - width) // 2
    n_out = out.shape[1]
    for group in prange(len(starts)):
        thread = get_thread_id()
        four, line = rows[thread], lines[thread]  # line holds the last pixels of a row, fewer than sixteen
        _down_columns(address(image), plane, height, starts[group], shared[group], address(four) + 4 * pad, next_row)
        for k in range(min(_TOGETHER, len(out) - _TOGETHER * group)):
            row, y = four[k], _TOGETHER * group + k
            for c in range(3):
                row[c, :pad] = row[c, pad]
                row[c, pad + width :] = row[c, pad + width - 1]
            read, write = address(row) + 4 * pad, address(out[y])
            for n in range(len(left)):
                weights, place = address(lanes) + BYTES * taps * n, read + 4 * left[n]
                red, green, blue = zero(), zero(), zero()
                for t in range(taps):
                    weight = load(weights + BYTES * t)
                    red = fma_each(red, weight, load(place + 4 * t))
                    green = fma_each(green, weight, load(place + next_row + 4 * t))
                    blue = fma_each(blue, weight, load(place + 2 * next_row + 4 * t))
                whole = LANES * (n + 1) <= n_out
                store_pixels(write + 3 * BYTES * n if whole else address(line), red, green, blue)
            if n_out % LANES > 0:
                out[y, n_out - n_out % LANES :] = line[: n_out % LANES]


@njit(cache=True, nogil=True)
def _down_columns(image, plane, height, start, weights, to, next_row):
    """Four rows of three channels at a time, so that what they share is read once: it does not stay in the cache."""
    for i in range(0, plane, BYTES):
        a = b = c = d = (zero(), zero(), zero())
        for t in range(weights.shape[1]):
            place = image + 3 * plane * min(max(start + t, 0), height - 1) + i
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
