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


@njit(cache=True, nogil=True, error_model="numpy")  # a check for division by 0 would keep the loop from vectors
def _lanczos(distance, sine, cosine, values):
    """values[b] = Lanczos kernel at distance - b, normalised to sum one; sine and cosine of pi distance / LOBES."""
    # sin(pi distance), the sine of the LOBES-fold angle, of all taps, but for the sign.
    whole = 4 * sine * cosine * (1 - 2 * sine * sine)
    for b in range(len(values)):
        values[b] = whole * sine
        whole = -whole
        # From one tap to the next by a turn of pi / LOBES.
        sine, cosine = sine * _COSINES[1] - cosine * _SINES[1], cosine * _COSINES[1] + sine * _SINES[1]
    total = 0.0
    for b in range(len(values)):
        d = distance - b
        value = values[b] * (LOBES / np.pi**2) / (d * d)
        values[b] = 1.0 if abs(d) < 1e-9 else value if abs(d) < LOBES else 0.0
        total += values[b]
    values *= 1 / total


@njit(cache=True, nogil=True)
def _weights(slope, offset, n_out, taps):
    """:class:`Taps` of an axis."""
    first, weights = _first(slope, offset, n_out), np.empty((n_out, taps), np.float32)
    low, high = np.empty(taps + 1), np.empty(taps + 1)
    # Pixel borders are counted from the left border of the first source pixel.
    left = offset - slope / 2 - first[0] + 0.5
    _lanczos(left, np.sin(np.pi / LOBES * left), np.cos(np.pi / LOBES * left), low)
    # Of the angle of the right border, and what it turns by from pixel to pixel.
    angle, turn = np.pi / LOBES * (offset + slope / 2 + 0.5), np.pi / LOBES * slope
    sine, cosine, turn_sine, turn_cosine = np.sin(angle), np.cos(angle), np.sin(turn), np.cos(turn)
    for j in range(n_out):
        back_sine, back_cosine = _SINES[first[j] % (2 * LOBES)], _COSINES[first[j] % (2 * LOBES)]
        _lanczos(
            slope * j + offset + slope / 2 - first[j] + 0.5,
            sine * back_cosine - cosine * back_sine,
            cosine * back_cosine + sine * back_sine,
            high,
        )
        sine, cosine = sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine
        # The primitive at a border holds all pixels before it, so a pixel takes the rise of every border after it.
        after, total = 0.0, 0.0
        for t in range(taps - 1, -1, -1):
            after += high[t + 1] - low[t + 1]
            weights[j, t] = after
            total += after
        scale = 1 / total
        for t in range(taps):
            weights[j, t] *= scale
        # The right border is the next pixel's left one, seen from that one's first source pixel.
        moved = first[min(j + 1, n_out - 1)] - first[j]
        low[: taps + 1 - moved] = high[moved:]
        low[taps + 1 - moved :] = 0.0
    return first, weights


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
    left, lanes = by_lanes(*x.weights(), 1)
    # A row between the two passes has replicated pixels at either end, so that no tap has to be checked.
    pad = max(-int(left.min()), int(left.max()) + lanes.shape[1] + LANES - x.n_in, LANES)
    rows = np.empty((get_num_threads(), 3, x.n_in + 2 * pad), np.float32)
    lines = np.empty((get_num_threads(), LANES, 3), np.float32)
    first_y, weight_y = (a[first : first + len(out)] for a in y.weights())
    sources = np.empty((get_num_threads(), weight_y.shape[1]), np.int64)
    _resample(image, x.n_in, left, lanes, first_y - top, weight_y, rows, lines, sources, out)


@njit(cache=True, nogil=True, parallel=True)
def _resample(image, width, left, lanes, first_y, weight_y, rows, lines, sources, out):
    height, _, stride = image.shape
    taps = lanes.shape[1]
    pad = (rows.shape[2] - width) // 2
    n_out = out.shape[1]
    for y in prange(len(first_y)):
        thread = get_thread_id()
        row, line = rows[thread], lines[thread]  # line holds the last pixels, fewer than sixteen
        for t in range(weight_y.shape[1]):
            sources[thread, t] = address(image) + 4 * 3 * stride * min(max(first_y[y] + t, 0), height - 1)
        read, write = address(row), address(out[y])
        next_row = 4 * row.shape[1]
        for i in range(0, 4 * stride, BYTES):
            red, green, blue = zero(), zero(), zero()
            for t in range(weight_y.shape[1]):
                place, weight = sources[thread, t] + i, weight_y[y, t]
                red = fma(red, load(place), weight)
                green = fma(green, load(place + 4 * stride), weight)
                blue = fma(blue, load(place + 8 * stride), weight)
            store(read + 4 * pad + i, red)
            store(read + 4 * pad + next_row + i, green)
            store(read + 4 * pad + 2 * next_row + i, blue)
        for c in range(3):
            row[c, :pad] = row[c, pad]
            row[c, pad + width :] = row[c, pad + width - 1]
        for group in range(len(left)):
            weights = address(lanes) + BYTES * taps * group
            place = read + 4 * (left[group] + pad)
            red, green, blue = zero(), zero(), zero()
            for t in range(taps):
                weight = load(weights + BYTES * t)
                red = fma_each(red, weight, load(place + 4 * t))
                green = fma_each(green, weight, load(place + next_row + 4 * t))
                blue = fma_each(blue, weight, load(place + 2 * next_row + 4 * t))
            whole = LANES * (group + 1) <= n_out
            store_pixels(write + 3 * BYTES * group if whole else address(line), red, green, blue)
        if n_out % LANES > 0:
            out[y, n_out - n_out % LANES :] = line[: n_out % LANES]
