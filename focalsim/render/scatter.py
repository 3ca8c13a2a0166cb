"""The fast path: every sample is spread by its own kernel, front and back apart; the back fills what the front leaves.

For a slice focused at s a sample of disparity q has the signed blur c = g/s - q (positive: behind the focus). Its
kernel is sum_k a_k K_k(|c|), a its visibility; the odd basis functions change sign with c, where the lens is
seen mirrored. All additions are made in a fixed order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import get_num_threads, get_thread_id, njit, prange, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy.typing import NDArray

from focalsim.render.kernels import LEVELS_PER_PX, KernelTable

_BAND = 64  # rows of output in one piece of work
_ENOUGH = 0.02  # a coverage below this says nothing of the colour
_NONE, _WHOLE, _PARTIAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Samples:
    """One sample a pixel, on a grid padded by ``pad`` replicated rows and columns on every side.

    light       (H', W', 4) float32: r, g, b times coverage, and coverage
    disparity   (H', W') float32
    visibility  (H', W', 6) float32, coefficients of kernels.lens_basis
    kind        (H', W') uint8: 0 no sample, 1 seen by the whole lens, 2 by a part of it
    """

    light: NDArray[np.float32]
    disparity: NDArray[np.float32]
    visibility: NDArray[np.float32]
    kind: NDArray[np.uint8]


def pad_samples(
    color: NDArray[np.float32],
    coverage: NDArray[np.float32],
    disparity: NDArray[np.float32],
    visibility: NDArray[np.float32],
    partial: NDArray[np.bool_],
    pad: int,
) -> Samples:
    """Samples of a layer: colour (H, W, 3), coverage, disparity and partial (H, W), visibility (H, W, 6)."""
    border = [(pad, pad), (pad, pad)]
    light = np.concatenate([color * coverage[..., None], coverage[..., None]], axis=-1)
    kind = np.where(coverage > 0, np.where(partial, _PARTIAL, _WHOLE), _NONE).astype(np.uint8)
    return Samples(
        np.pad(light, [*border, (0, 0)], mode="edge"),
        np.pad(disparity, border, mode="edge"),
        np.pad(visibility, [*border, (0, 0)], mode="edge"),
        np.pad(kind, border, mode="edge"),
    )


class Scatter:
    """Blurs one scene for any focus; the working memory is shared by all slices.

    front, back  samples padded by ``table.reach_px`` on every side
    """

    def __init__(self, front: Samples, back: Samples, table: KernelTable) -> None:
        pad = table.reach_px
        rows, columns = front.kind.shape
        self.shape = (rows - 2 * pad, columns - 2 * pad)
        self._front, self._back = (
            (layer.light.reshape(-1), layer.disparity, layer.visibility, layer.kind) for layer in (front, back)
        )
        self._table = (table.radius, table.stride, table.start, table.weights)
        stride = 4 * (columns + 2 * pad + 4)
        self._sums = np.empty((get_num_threads(), 2, (_BAND + 4 * pad) * stride), np.float32)

    def blur(self, focus_disparity_px: float, out: NDArray[np.float32]) -> None:
        """Render the slice focused at g/s into ``out`` (H, W, 4); its fourth channel becomes 0.

        Colour = (front + share * back) / coverage, where the back fills just what the front leaves uncovered.
        """
        _blur(self._front, self._back, np.float32(focus_disparity_px), self._table, self._sums, out)


def _emit_add_block(_typing: Any, target: Any, i: Any, weights: Any, j: Any, r: Any, g: Any, b: Any, a: Any) -> Any:
    """target[i:i+16] += repeat(weights[j:j+4], 4) * tile([r, g, b, a], 4), without bounds checks: 4 taps of 4 channels.

    Written in LLVM's own vector types because the compiler does not find this shuffle by itself.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        four, sixteen = ir.VectorType(ir.FloatType(), 4), ir.VectorType(ir.FloatType(), 16)
        lanes = ir.VectorType(ir.IntType(32), 16)

        def pointer(array: int, vector: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            return builder.bitcast(builder.gep(data, [args[array + 1]]), vector.as_pointer())

        def shuffle(vector: Any, mask: list[int]) -> Any:
            return builder.shuffle_vector(vector, ir.Constant(four, ir.Undefined), ir.Constant(lanes, mask))

        color = ir.Constant(four, ir.Undefined)
        for n, channel in enumerate(args[4:]):
            color = builder.insert_element(color, channel, ir.Constant(ir.IntType(32), n))
        taps = builder.load(pointer(2, four), align=4)
        product = builder.fmul(shuffle(taps, [n // 4 for n in range(16)]), shuffle(color, [n % 4 for n in range(16)]))
        place = pointer(0, sixteen)
        builder.store(builder.fadd(builder.load(place, align=4), product), place, align=4)
        return context.get_dummy_value()

    return types.void(target, i, weights, j, r, g, b, a), codegen


_add_block: Any = intrinsic(_emit_add_block)


@njit(cache=True, nogil=True)
def _kernel_of(kernel, weights, start, size, sign, seen):
    """kernel = sum of basis kernels by a sample's visibility; the odd ones take the sign of the blur."""
    even, odd_x, odd_y = weights[start : start + size], weights[start + size :], weights[start + 2 * size :]
    cross, astigmatic, radial = weights[start + 3 * size :], weights[start + 4 * size :], weights[start + 5 * size :]
    a0, a1, a2, a3, a4, a5 = seen[0], sign * seen[1], sign * seen[2], seen[3], seen[4], seen[5]
    for i in range(size):
        kernel[i] = a0 * even[i] + a1 * odd_x[i] + a2 * odd_y[i] + a3 * cross[i] + a4 * astigmatic[i] + a5 * radial[i]


@njit(cache=True, nogil=True)
def _scatter_row(sums, stride, row, reach, samples, y, focus_q, table, kernel):
    """Add all samples of row y to the flat sums (rows of ``stride`` floats), their centres on ``row``."""
    light, disparity, visibility, kinds = samples
    radii, kernel_strides, starts, weights = table
    width = disparity.shape[1]
    for x in range(width):
        kind = kinds[y, x]
        if kind == _NONE:
            continue
        blur = focus_q - disparity[y, x]
        level = min(int(abs(blur) * np.float32(LEVELS_PER_PX) + np.float32(0.5)), len(radii) - 1)
        radius = int(radii[level])
        kernel_stride = int(kernel_strides[level])
        start = starts[level]
        place = (row - radius) * stride + 4 * (x + reach - radius)
        source = 4 * (y * width + x)
        rows = 2 * radius + 1
        red, green, blue, alpha = light[source], light[source + 1], light[source + 2], light[source + 3]
        if kind == _WHOLE:
            for r in range(rows):
                for b in range(0, kernel_stride, 4):
                    _add_block(
                        sums,
                        place + r * stride + 4 * b,
                        weights,
                        start + r * kernel_stride + b,
                        red,
                        green,
                        blue,
                        alpha,
                    )
        else:
            sign = np.float32(1.0) if blur > 0 else np.float32(-1.0)
            _kernel_of(kernel, weights, start, rows * kernel_stride, sign, visibility[y, x])
            for r in range(rows):
                for b in range(0, kernel_stride, 4):
                    _add_block(sums, place + r * stride + 4 * b, kernel, r * kernel_stride + b, red, green, blue, alpha)


@njit(cache=True, nogil=True, parallel=True)
def _blur(front, back, focus_q, table, sums, out):
    height, width, _ = out.shape
    rows, columns = front[1].shape
    reach = table[0][-1]
    stride = 4 * (columns + 2 * reach + 4)
    one, zero, enough = np.float32(1.0), np.float32(0.0), np.float32(_ENOUGH)
    for band in prange((height + _BAND - 1) // _BAND):
        first = band * _BAND  # output rows [first, last)
        last = min(first + _BAND, height)
        size = (last - first + 4 * reach) * stride
        over, under = sums[get_thread_id(), 0, :size], sums[get_thread_id(), 1, :size]
        over[:] = zero
        under[:] = zero
        kernel = np.empty((2 * reach + 1) * (2 * reach + 4), np.float32)
        # A row of samples, which are padded by `reach`, spreads over as many rows of output either way.
        for y in range(first, min(last + 2 * reach, rows)):
            row = y - first + reach
            _scatter_row(over, stride, row, reach, front, y, focus_q, table, kernel)
            _scatter_row(under, stride, row, reach, back, y, focus_q, table, kernel)
        for y in range(first, last):
            place = (y - first + 2 * reach) * stride + 8 * reach
            for x in range(width):
                i = place + 4 * x
                covered, behind = over[i + 3], under[i + 3]
                share = max(one - covered, zero) / behind if behind > enough else zero
                scale = one / max(covered + share * behind, enough)
                for c in range(3):
                    out[y, x, c] = (over[i + c] + share * under[i + c]) * scale
                out[y, x, 3] = zero
