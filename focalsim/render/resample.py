"""The breathing warp: one separable resampling, area-exact, for zoom, shift and change of size together.

A pixel is the average of the scene over its area, so the sums of pixels along a row are exact samples of the scene's
primitive at the pixel borders. The primitive is interpolated (Lanczos, 4 lobes, normalised) and differenced over each
output pixel's own footprint: the result is again the average over the pixel's area, whatever the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LOBES = 4


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

    def weights(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """First source pixel (n_out,), which may lie outside, and weights (n_out, taps) of it and its followers."""
        first = np.empty(self.n_out, np.int64)
        weights = np.empty((self.n_out, int(np.ceil(self.slope)) + 2 * LOBES + 1), np.float32)
        _fill_weights(self.slope, self.offset, first, weights)
        return first, weights


@njit(cache=True, nogil=True)
def _lanczos(distance, values):
    """values[b] = Lanczos kernel at distance - b, normalised to sum one."""
    total = 0.0
    whole = np.sin(np.pi * distance)  # of all taps, but for the sign
    for b in range(len(values)):
        d = distance - b
        sign = -1.0 if b % 2 else 1.0
        if abs(d) < 1e-9:
            values[b] = 1.0
        elif abs(d) < LOBES:
            values[b] = sign * whole * np.sin(np.pi * d / LOBES) * LOBES / (np.pi * np.pi * d * d)
        else:
            values[b] = 0.0
        total += values[b]
    for b in range(len(values)):
        values[b] /= total


@njit(cache=True, nogil=True)
def _fill_weights(slope, offset, first, weights):
    taps = weights.shape[1]
    low, high = np.empty(taps + 1), np.empty(taps + 1)
    for j in range(len(first)):
        x = slope * j + offset
        first[j] = int(np.floor(x - slope / 2 + 0.5)) - LOBES
        border = first[j] - 0.5  # the first pixel's left border
        _lanczos(x - slope / 2 - border, low)
        _lanczos(x + slope / 2 - border, high)
        # The primitive at a border holds all pixels before it, so a pixel takes the rise of every border after it.
        after, total = 0.0, 0.0
        for t in range(taps - 1, -1, -1):
            after += high[t + 1] - low[t + 1]
            weights[j, t] = after
            total += after
        for t in range(taps):
            weights[j, t] /= total


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


def resample(image: NDArray[np.float32], x: AxisMap, y: AxisMap, out: NDArray[np.float32]) -> None:
    """Resample ``image`` (H, W, 4), whose fourth channel is ignored, into ``out`` (h, w, 3); borders are replicated."""
    if x.identity and y.identity:
        out[:] = image[..., :3]
    else:
        _resample(image, *x.weights(), *y.weights(), out)


def _emit_weighted_pixel(_typing: Any, pixel: Any, row: Any, i: Any, weights: Any, j: Any, taps: Any) -> Any:
    """pixel[:4] = sum over t < taps of weights[j + t] * row[i + 4 t : i + 4 t + 4], in one vector register."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        four = ir.VectorType(ir.FloatType(), 4)

        def data(array: int) -> Any:
            return context.make_array(signature.args[array])(context, builder, args[array]).data

        def vector(pointer: Any) -> Any:
            return builder.bitcast(pointer, four.as_pointer())

        total = cgutils.alloca_once_value(builder, ir.Constant(four, [0.0] * 4))
        with cgutils.for_range(builder, args[5]) as loop:
            weight = builder.load(builder.gep(data(3), [builder.add(args[4], loop.index)]))
            place = builder.add(args[2], builder.mul(loop.index, ir.Constant(loop.index.type, 4)))
            light = builder.load(vector(builder.gep(data(1), [place])), align=4)
            spread = ir.Constant(four, ir.Undefined)
            for n in range(4):
                spread = builder.insert_element(spread, weight, ir.Constant(ir.IntType(32), n))
            builder.store(builder.fadd(builder.load(total), builder.fmul(light, spread)), total)
        builder.store(builder.load(total), vector(data(0)), align=4)
        return context.get_dummy_value()

    return types.void(pixel, row, i, weights, j, taps), codegen


_weighted_pixel: Any = intrinsic(_emit_weighted_pixel)


@njit(cache=True, nogil=True, parallel=True)
def _resample(image, first_x, weight_x, first_y, weight_y, out):
    height, width, _ = image.shape
    taps_x, taps_y = weight_x.shape[1], weight_y.shape[1]
    weights_x = weight_x.reshape(-1)
    lines = image.reshape(height, -1)
    for y in prange(len(first_y)):
        # One row, with replicated pixels on either side so that no tap has to be checked.
        row = np.zeros((width + 2 * taps_x) * 4, np.float32)
        middle = row[taps_x * 4 : (taps_x + width) * 4]
        for t in range(taps_y):
            weight = weight_y[y, t]
            line = lines[min(max(first_y[y] + t, 0), height - 1)]
            for i in range(width * 4):
                middle[i] += weight * line[i]
        for i in range(taps_x * 4):
            row[i] = middle[i % 4]
            row[(taps_x + width) * 4 + i] = middle[(width - 1) * 4 + i % 4]
        pixel = np.empty(4, np.float32)
        for j in range(len(first_x)):
            place = min(max(first_x[j] + taps_x, 0), width + taps_x) * 4
            _weighted_pixel(pixel, row, place, weights_x, j * taps_x, taps_x)
            for c in range(3):
                out[y, j, c] = pixel[c]
