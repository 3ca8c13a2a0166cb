"""The fast path: every sample is spread by its own kernel, front and back apart, and what the front leaves open is back.

For a slice focused at s a sample of disparity q has the signed blur c = g/s - q (positive: behind the focus). Its kernel
is sum_k a_k K_k(|c|), a its visibility; the odd basis functions change sign with c, since the lens is seen mirrored.
Rows are handled in segments of SEGMENT pixels: for each tap one table look-up a pixel, then four contiguous
additions per channel, one to each quadrant. All work is in fixed order and without reassociation, so that the
result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from focalsim.render.kernels import LEVELS_PER_PX, KernelTable

SEGMENT = 32
_BAND = 64  # rows of output in one piece of work
_ENOUGH = 0.02  # a coverage below this says nothing of the colour
"""Sample planes are (4, H, W): r, g, b times coverage, and coverage; W a multiple of SEGMENT."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _spread(acc, row, column, weighted):  # type: ignore[no-untyped-def]
    for c in range(4):
        target = acc[c, row, column : column + SEGMENT]
        source = weighted[c]
        for i in range(SEGMENT):
            target[i] += source[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _multiply(out, planes, y, x, weight):  # type: ignore[no-untyped-def]
    for c in range(4):
        source = planes[c, y, x : x + SEGMENT]
        target = out[c]
        for i in range(SEGMENT):
            target[i] = source[i] * weight[i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scatter_whole(acc, planes, y, x, row, column, level, top, dxs, dys, first, table, weight, out):  # type: ignore[no-untyped-def]
    """Samples that the whole lens sees: one even kernel."""
    for t in range(len(dxs)):
        if first[t] > top:
            break
        values = table[t, 0]
        for i in range(SEGMENT):
            weight[i] = values[level[i]]
        _multiply(out, planes, y, x, weight)
        dx, dy = dxs[t], dys[t]
        _spread(acc, row + dy, column + dx, out)
        if dx:
            _spread(acc, row + dy, column - dx, out)
        if dy:
            _spread(acc, row - dy, column + dx, out)
            if dx:
                _spread(acc, row - dy, column - dx, out)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scatter_partial(  # type: ignore[no-untyped-def]
    acc, planes, seen, y, x, row, column, level, sign, top, dxs, dys, first, table, parts, weight, out
):
    """Samples hidden from part of the lens: kernels even, odd in x, odd in y, and odd in both."""
    even, odd_x, odd_y, odd_xy = parts[0], parts[1], parts[2], parts[3]
    a0 = seen[0, y, x : x + SEGMENT]
    a1 = seen[1, y, x : x + SEGMENT]
    a2 = seen[2, y, x : x + SEGMENT]
    a3 = seen[3, y, x : x + SEGMENT]
    a4 = seen[4, y, x : x + SEGMENT]
    a5 = seen[5, y, x : x + SEGMENT]
    for t in range(len(dxs)):
        if first[t] > top:
            break
        k = table[t]
        for i in range(SEGMENT):
            j = level[i]
            even[i] = a0[i] * k[0, j] + a4[i] * k[4, j] + a5[i] * k[5, j]
            odd_x[i] = sign[i] * a1[i] * k[1, j]
            odd_y[i] = sign[i] * a2[i] * k[2, j]
            odd_xy[i] = a3[i] * k[3, j]
        dx, dy = dxs[t], dys[t]
        for i in range(SEGMENT):
            weight[i] = even[i] + odd_x[i] + odd_y[i] + odd_xy[i]
        _multiply(out, planes, y, x, weight)
        _spread(acc, row + dy, column + dx, out)
        if dx:
            for i in range(SEGMENT):
                weight[i] = even[i] - odd_x[i] + odd_y[i] - odd_xy[i]
            _multiply(out, planes, y, x, weight)
            _spread(acc, row + dy, column - dx, out)
        if dy:
            for i in range(SEGMENT):
                weight[i] = even[i] + odd_x[i] - odd_y[i] - odd_xy[i]
            _multiply(out, planes, y, x, weight)
            _spread(acc, row - dy, column + dx, out)
            if dx:
                for i in range(SEGMENT):
                    weight[i] = even[i] - odd_x[i] - odd_y[i] + odd_xy[i]
                _multiply(out, planes, y, x, weight)
                _spread(acc, row - dy, column - dx, out)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scatter_row(acc, planes, q, seen, kind, focus_q, y, row, offset, dxs, dys, first, table, level, sign, parts, weight, out):  # type: ignore[no-untyped-def]
    highest = table.shape[2] - 1
    for segment in range(kind.shape[1]):
        if kind[y, segment] == 0:
            continue
        x = segment * SEGMENT
        top = 0
        for i in range(SEGMENT):
            blur = focus_q - q[y, x + i]
            sign[i] = np.float32(1.0) if blur > 0 else np.float32(-1.0)
            level[i] = min(np.int32(abs(blur) * np.float32(LEVELS_PER_PX) + np.float32(0.5)), highest)
        for i in range(SEGMENT):
            top = max(top, level[i])
        column = x + offset
        if kind[y, segment] == 1:
            _scatter_whole(acc, planes, y, x, row, column, level, top, dxs, dys, first, table, weight, out)
        else:
            _scatter_partial(
                acc, planes, seen, y, x, row, column, level, sign, top, dxs, dys, first, table, parts, weight, out
            )


@njit(cache=True, nogil=True, parallel=True)  # type: ignore[untyped-decorator]
def _render(f_planes, f_q, f_seen, f_kind, b_planes, b_q, b_seen, b_kind, focus_q, pad, dxs, dys, first, table, result):  # type: ignore[no-untyped-def]
    slices, height, width, _ = result.shape
    rows = f_q.shape[0]
    reach = 0
    for t in range(len(dxs)):
        reach = max(reach, dxs[t], dys[t])
    bands = (height + _BAND - 1) // _BAND
    for job in prange(slices * bands):
        n = job // bands
        start = (job % bands) * _BAND  # output rows [start, stop)
        stop = min(start + _BAND, height)
        shape = (4, stop - start + 4 * reach, f_q.shape[1] + 2 * reach)
        front = np.zeros(shape, np.float32)
        back = np.zeros(shape, np.float32)
        level = np.empty(SEGMENT, np.int32)
        sign = np.empty(SEGMENT, np.float32)
        parts = np.empty((4, SEGMENT), np.float32)
        weight = np.empty(SEGMENT, np.float32)
        out = np.empty((4, SEGMENT), np.float32)
        # Sample rows are padded by `pad`; a row reaches `reach` rows of output either way.
        for y in range(max(start + pad - reach, 0), min(stop + pad + reach, rows)):
            row = y - pad - start + 2 * reach
            _scatter_row(
                front, f_planes, f_q, f_seen, f_kind, focus_q[n], y, row, reach,
                dxs, dys, first, table, level, sign, parts, weight, out,
            )  # fmt: skip
            _scatter_row(
                back, b_planes, b_q, b_seen, b_kind, focus_q[n], y, row, reach,
                dxs, dys, first, table, level, sign, parts, weight, out,
            )  # fmt: skip
        for y in range(start, stop):
            row = y - start + 2 * reach
            for x in range(width):
                column = x + pad + reach
                covered = front[3, row, column]
                behind = back[3, row, column]
                share = np.float32(0.0)
                if behind > _ENOUGH:
                    share = max(np.float32(1.0) - covered, np.float32(0.0)) / behind
                whole = max(covered + share * behind, np.float32(_ENOUGH))
                for c in range(3):
                    value = front[c, row, column] + share * back[c, row, column]
                    result[n, y, x, c] = max(value, np.float32(0.0)) / whole


def scatter_stack(
    front: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]],
    back: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]],
    focus_disparity_px: NDArray[np.float32],
    pad: int,
    table: KernelTable,
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Render S slices (S, H, W, 3) from padded samples.

    front, back  (planes (4, H', W'), disparity (H', W'), visibility (6, H', W'), kind (H', W'/SEGMENT)), where kind is
                 0 no sample in the segment, 1 all seen by the whole lens, 2 some seen by a part
    focus_disparity_px  (S,) g/s;  pad  rows and columns added at the top and left;  size (H, W)
    """
    result = np.empty((len(focus_disparity_px), *size, 3), np.float32)
    _render(*front, *back, focus_disparity_px, pad, table.tap_dx, table.tap_dy, table.first_level, table.weights, result)
    return result
