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

from focalsim.render.kernels import KernelTable, level_of

_BAND = 128  # rows of output in one piece of work, at most
_UNSEEN = 0.01  # a sample that less of the lens sees adds nothing
_ENOUGH = 0.02  # a coverage below this says nothing of the colour
_NONE, _WHOLE, _PARTIAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Samples:
    """One sample a pixel; beyond the borders they are replicated.

    light       (H, W, 4) float32: r, g, b times coverage, and coverage
    disparity   (H, W) float32
    visibility  (H, W, 6) float32, coefficients of kernels.lens_basis
    kind        (H, W) uint8: 0 no sample, 1 seen by the whole lens, 2 by a part of it
    """

    light: NDArray[np.float32]
    disparity: NDArray[np.float32]
    visibility: NDArray[np.float32]
    kind: NDArray[np.uint8]

    @classmethod
    def of_layer(
        cls,
        color: NDArray[np.float32],
        coverage: NDArray[np.float32],
        disparity: NDArray[np.float32],
        visibility: NDArray[np.float32],
        partial: NDArray[np.bool_],
    ) -> Samples:
        """Samples of colour (H, W, 3), coverage, disparity and partial (H, W), visibility (H, W, 6)."""
        light = np.empty((*coverage.shape, 4), np.float32)
        np.multiply(color, coverage[..., None], out=light[..., :3])
        light[..., 3] = coverage
        seen = (coverage > 0) & (visibility[..., 0] > _UNSEEN)
        kind = np.where(seen, np.where(partial, _PARTIAL, _WHOLE), _NONE).astype(np.uint8)
        return cls(light, disparity, visibility, kind)


class Scatter:
    """Blurs one scene for any focus; the working memory is shared by all slices."""

    def __init__(self, front: Samples, back: Samples, table: KernelTable) -> None:
        self._front, self._back = (
            (layer.light.reshape(-1), layer.disparity, layer.visibility, layer.kind) for layer in (front, back)
        )
        self._has_back = bool(back.kind.any())
        self._table = (table.radius, table.stride, table.start, table.weights)
        stride = 4 * (front.kind.shape[1] + 4 * table.reach_px + 4)
        self._sums = np.empty((get_num_threads(), 2, (_BAND + 4 * table.reach_px) * stride), np.float32)

    def blur(self, focus_disparity_px: float, out: NDArray[np.float32]) -> None:
        """Render the slice focused at g/s into ``out`` (H, W, 4); its fourth channel becomes 0.

        Colour = (front + share * back) / coverage, where the back fills just what the front leaves uncovered.
        """
        focus_q = np.float32(focus_disparity_px)
        _blur(self._front, self._back, self._has_back, focus_q, self._table, self._sums, out)


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
_level_of: Any = njit(level_of)


@njit(cache=True, nogil=True)
def _kernel_of(kernel, weights, start, size, sign, seen):
    """kernel = sum of basis kernels by a sample's visibility; the odd ones take the sign of the blur."""
    even, odd_x, odd_y = weights[start : start + size], weights[start + size :], weights[start + 2 * size :]
    cross, astigmatic, radial = weights[start + 3 * size :], weights[start + 4 * size :], weights[start + 5 * size :]
    a0, a1, a2, a3, a4, a5 = seen[0], sign * seen[1], sign * seen[2], seen[3], seen[4], seen[5]
    for i in range(size):
        kernel[i] = a0 * even[i] + a1 * odd_x[i] + a2 * odd_y[i] + a3 * cross[i] + a4 * astigmatic[i] + a5 * radial[i]


@njit(cache=True, nogil=True)
def _add_kernel(sums, place, stride, weights, start, rows, blocks, red, green, blue, alpha):
    """Add a sample's light through its kernel; the usual widths are written out, which halves the loop's own cost."""
    for _ in range(rows):
        if blocks == 2:
            _add_block(sums, place, weights, start, red, green, blue, alpha)
            _add_block(sums, place + 16, weights, start + 4, red, green, blue, alpha)
        elif blocks == 3:
            _add_block(sums, place, weights, start, red, green, blue, alpha)
            _add_block(sums, place + 16, weights, start + 4, red, green, blue, alpha)
            _add_block(sums, place + 32, weights, start + 8, red, green, blue, alpha)
        else:
            for b in range(blocks):
                _add_block(sums, place + 16 * b, weights, start + 4 * b, red, green, blue, alpha)
        place += stride
        start += 4 * blocks


@njit(cache=True, nogil=True)
def _scatter_row(sums, stride, row, reach, samples, y, focus_q, table, kernel):
    """Add all samples of row y, and their replicas beyond its ends, to the flat sums (rows of ``stride`` floats)."""
    light, disparity, visibility, kinds = samples
    radii, kernel_strides, starts, weights = table
    width = disparity.shape[1]
    for column in range(width + 2 * reach):
        x = min(max(column - reach, 0), width - 1)
        kind = kinds[y, x]
        if kind == _NONE:
            continue
        blur = focus_q - disparity[y, x]
        level = min(int(_level_of(abs(blur)) + np.float32(0.5)), len(radii) - 1)
        radius = int(radii[level])
        blocks = int(kernel_strides[level]) // 4
        start = int(starts[level])
        rows = 2 * radius + 1
        place = (row - radius) * stride + 4 * (column + reach - radius)
        source = 4 * (y * width + x)
        red, green, blue, alpha = light[source], light[source + 1], light[source + 2], light[source + 3]
        if kind == _WHOLE:
            _add_kernel(sums, place, stride, weights, start, rows, blocks, red, green, blue, alpha)
        else:
            sign = np.float32(1.0) if blur > 0 else np.float32(-1.0)
            _kernel_of(kernel, weights, start, rows * 4 * blocks, sign, visibility[y, x])
            _add_kernel(sums, place, stride, kernel, 0, rows, blocks, red, green, blue, alpha)


@njit(cache=True, nogil=True, parallel=True)
def _blur(front, back, has_back, focus_q, table, sums, out):
    height, width, _ = out.shape
    reach = table[0][-1]
    stride = 4 * (width + 4 * reach + 4)
    one, zero, enough = np.float32(1.0), np.float32(0.0), np.float32(_ENOUGH)
    bands = 2 * ((height + 2 * _BAND - 1) // (2 * _BAND))  # even, so that they share out well
    for band in prange(bands):
        first, last = height * band // bands, height * (band + 1) // bands  # output rows [first, last)
        size = (last - first + 4 * reach) * stride
        over, under = sums[get_thread_id(), 0, :size], sums[get_thread_id(), 1, :size]
        over[:] = zero
        if has_back:
            under[:] = zero
        kernel = np.empty((2 * reach + 1) * (2 * reach + 4), np.float32)
        # A row of samples spreads over `reach` rows of output either way; rows beyond the borders are replicas.
        for y in range(first - reach, last + reach):
            row = y - first + 2 * reach
            source = min(max(y, 0), height - 1)
            _scatter_row(over, stride, row, reach, front, source, focus_q, table, kernel)
            if has_back:
                _scatter_row(under, stride, row, reach, back, source, focus_q, table, kernel)
        for y in range(first, last):
            place = (y - first + 2 * reach) * stride + 8 * reach
            for x in range(width):
                i = place + 4 * x
                share = zero
                covered = over[i + 3]
                if has_back and under[i + 3] > enough:
                    share = max(one - covered, zero) / under[i + 3]
                    covered += share * under[i + 3]
                scale = one / max(covered, enough)
                for c in range(3):
                    value = over[i + c]
                    if has_back:
                        value += share * under[i + c]
                    out[y, x, c] = value * scale
                out[y, x, 3] = zero
