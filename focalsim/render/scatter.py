"""The fast path: every sample is spread by its own kernel, front and back apart; the back fills what the front leaves.

For a slice focused at s a sample of disparity q has the signed blur c = g/s - q (positive: behind the focus). Its
kernel is sum_k a_k K_k(|c|), a its visibility; the odd basis functions change sign with c, where the lens is
seen mirrored. All additions are made in a fixed order, so that the result does not depend on the number of threads.

Eight neighbours share a window of the output that stays in registers while their kernels' rows are added, channel by
channel; finished rows leave a ring of as many rows as the largest kernel has. Samples of a large blur are spread at a
coarser level (samples.py) and join the rows of the finer one as these enter the ring.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import get_num_threads, get_thread_id, njit, prange  # type: ignore[attr-defined]
from numpy.typing import NDArray

from focalsim.render.kernels import BASIS_SIZE, LARGEST_PX, NARROW_PX, WIDE_PX, kernel_table, level_of
from focalsim.render.samples import MERGE_PX, PLANES, Samples
from focalsim.render.simd import (
    BYTES,
    GROUP,
    LANES,
    add,
    add_16,
    add_32,
    add_mirrored_16,
    add_mirrored_32,
    address,
    fma,
    load,
    store,
    subtract,
    zero,
)
from focalsim.render.visibility import NONE, PARTIAL, WHOLE, SeenSamples

_BAND = 128  # rows of output in one piece of work, at most
ENOUGH = 0.02  # a coverage below this says nothing of the colour
_MARGIN = 16  # columns of a row of sums left of the first sample, for the widest window
_ZEROS = 4 * GROUP  # bytes of zeros before a kernel's row
_JOIN_ROWS = 2  # of a coarser level, either side of the one that a row lies in, give the row its light
NEAR, FAR = 22 / 128, 3 / 128  # what a half pixel takes of the differences of neighbours, and of those beyond them


_Arrays = NDArray[Any]


class Scatter:
    """Blurs one scene, its front and back samples, for any focus; the working memory is shared by all slices.

    ``largest_px`` is the largest blur (diameter) of any sample in any slice.
    """

    def __init__(self, layers: Iterable[SeenSamples], largest_px: float) -> None:
        table = kernel_table(largest_px)
        self._table = (np.concatenate([[-1], table.radius]), table.narrow, table.wide)
        reach = table.reach_px(largest_px)
        front, back = (Samples.of_layer(*samples, reach) for samples in layers)
        self._levels = [_Level(front, back)]
        while largest_px > LARGEST_PX:
            largest_px /= 2
            self._levels.append(self._levels[-1].coarser(table.reach_px(largest_px)))

    def blur(self, focus_disparity_px: float, out: NDArray[np.float32], top: int = 0) -> None:
        """Render the rows from ``top`` of the slice focused at g/s into ``out``, an image as resample.planar gives it.

        Colour = (front + share * back) / coverage, where the back fills just what the front leaves uncovered.
        """
        above = self._levels[1:] + [None]
        rows = [(top, top + len(out))]
        for level in self._levels[1:]:
            first, last = rows[-1]
            rows.append((max(first // 2 - _JOIN_ROWS, 0), min((last + 1) // 2 + _JOIN_ROWS, level.height)))
        for n, level, coarser in reversed(list(zip(range(len(above)), self._levels, above, strict=True))):
            spans, sums = (_NO_SPANS, _NO_SUMS) if coarser is None else (coarser.spans, coarser.sums)
            focus_q = np.float32(focus_disparity_px / 2**n)
            _blur(
                level.arrays,
                spans,
                focus_q,
                n > 0,
                self._table,
                sums,
                level.has_back,
                level.work,
                level.width,
                rows[n],
                level.sums,
                out,
            )


class _Level:
    """One level of both layers and the memory to spread it; ``sums`` (2, H, 4, W) is what it leaves to the finer."""

    def __init__(self, front: Samples, back: Samples, finest: bool = True) -> None:
        self._layers = (front, back)
        pockets, self.height, self.width, _ = front.span.shape
        reach, threads = front.reach_px, get_num_threads()
        self.arrays = tuple(
            (s.light.reshape(pockets, self.height, -1), s.disparity, s.index, s.groups, s.span, s.pocket, s.visibility)
            for s in self._layers
        )
        self.spans = (front.span, back.span)
        self.has_back = bool(back.groups.any())
        self.sums = np.empty((0, 0, 0, 0) if finest else (2, self.height, PLANES, self.width), np.float32)
        self.work = (
            np.empty((threads, 2, 2 * reach + 1, PLANES, front.index.shape[2] + 2 * LANES), np.float32),  # rings
            np.zeros((threads, GROUP, 2, 2, 1 + WIDE_PX, 2 * LANES + GROUP), np.float32),  # kernels formed
            np.empty((threads, 2, GROUP), np.int64),  # addresses of kernels
            np.empty((threads, 2, 1 + reach), np.int64),  # addresses of rows of the ring
            np.empty((threads, GROUP), np.int32),  # levels of kernels
            np.empty((threads, self.width // 2 + 5), np.float32),  # a row of the coarser level
        )

    def coarser(self, reach: int) -> _Level:
        front, back = (layer.coarser(reach) for layer in self._layers)
        return _Level(front, back, finest=False)


def reach_rows(largest_px: float) -> tuple[int, int]:
    """How many rows above and below a row its light comes from, and how many rows are one of the coarsest level."""
    table = kernel_table(largest_px)
    reach, joined, cell = table.reach_px(largest_px), 0, 1
    while largest_px > LARGEST_PX:
        largest_px /= 2
        cell *= 2
        joined += (_JOIN_ROWS + 1) * cell
        reach = max(reach, joined + table.reach_px(largest_px) * cell)
    return reach, cell


_NO_SUMS = np.empty((2, 0, 0, 0), np.float32)
_NO_SPANS = (np.empty((0, 0, 0, 2), np.float32), np.empty((0, 0, 0, 2), np.float32))
_level_of: Any = njit(level_of)


@njit(cache=True, nogil=True)
def _form_kernel(above, below, basis, reach, parts, seen, sign):
    """Write a sample's kernel by its visibility, rows 0..-reach from ``above`` on and rows 0..reach from ``below`` on.

    The odd basis kernels take the sign of the blur, and those odd in dy change it above the middle.
    """
    a0, a1, a2, a3, a4, a5 = seen[0], sign * seen[1], sign * seen[2], seen[3], seen[4], seen[5]
    row_bytes = BYTES * parts + _ZEROS
    level_bytes = row_bytes * (1 + (NARROW_PX if parts == 1 else WIDE_PX))
    for row in range(reach + 1):
        for part in range(parts):
            move = row_bytes * row + BYTES * part
            place = basis + move
            even = fma(zero(), load(place), a0)
            even = fma(even, load(place + level_bytes), a1)
            even = fma(even, load(place + 4 * level_bytes), a4)
            even = fma(even, load(place + 5 * level_bytes), a5)
            odd = fma(fma(zero(), load(place + 2 * level_bytes), a2), load(place + 3 * level_bytes), a3)
            store(above + move, subtract(even, odd))
            store(below + move, add(even, odd))


@njit(cache=True, nogil=True)
def _add_large(ring, y, column, light, blur, seen, whole):
    """Spread one sample whose blur is larger than any kernel made, at this level because its neighbours' is not."""
    slots, _, width = ring.shape
    radius = abs(blur) / 2
    norm = 1 / (np.pi * (radius * radius + 1 / 12))  # of a disc with a linear rim one pixel wide
    reach = min(int(radius + 1), slots // 2)
    for dy in range(-reach, reach + 1):
        row = ring[(y + dy) % slots]
        for dx in range(max(-reach, -column), min(reach + 1, width - column)):
            weight = norm * min(max(radius + 0.5 - np.sqrt(dx * dx + dy * dy), 0.0), 1.0)
            if weight > 0:
                if not whole:
                    ux, uy = 2 * dx / blur, 2 * dy / blur
                    weight *= (
                        seen[0] + seen[1] * ux + seen[2] * uy
                        + seen[3] * ux * uy + seen[4] * (ux * ux - uy * uy) + seen[5] * (ux * ux + uy * uy - 0.5)
                    )  # fmt: skip
                for c in range(PLANES):
                    row[c, column + dx] += np.float32(weight) * light[c]


@njit(cache=True, nogil=True)
def _is_wide(span, focus_q):
    """Whether a coarser sample takes over: the blur of all that it holds is over MERGE_PX of the finer level."""
    return max(focus_q - span[1], span[0] - focus_q) > np.float32(MERGE_PX / 2)


@njit(cache=True, nogil=True)
def _select(ring, y, p, source, i, samples, coarser_span, focus_q, coarse, top, levels):
    """Leave out samples that are spread at another level of the scene; spread those too large for any kernel here.

    The highest level of kernels left is returned.
    """
    light, disparity, index, _, span, pocket, visibility = samples
    highest = np.int32(0)
    for k in range(GROUP):
        if levels[k] == 0:
            continue
        x = min(max(i + k - len(ring) // 2, 0), span.shape[2] - 1)
        taken = not coarse or _is_wide(span[p, source, x], focus_q)
        if taken and coarser_span.size > 0:
            taken = not _is_wide(coarser_span[pocket[p, source, x], source // 2, x // 2], focus_q / 2)
        if taken and levels[k] > top + 1:
            kind = index[p, source, i + k]
            seen = visibility[max(kind - PARTIAL, 0)]
            color = light[p, source, PLANES * (i + k) : PLANES * (i + k + 1)]
            _add_large(ring, y, _MARGIN + i + k, color, focus_q - disparity[p, source, i + k], seen, kind == WHOLE)
            taken = False
        if not taken:
            levels[k] = 0
        highest = max(highest, levels[k])
    return highest


@njit(cache=True, nogil=True)
def _scatter_row(
    ring, y, first, last, p, source, samples, coarser_span, focus_q, coarse, table, formed, rows, places, levels
):
    """Add the samples of a pocket's row ``source`` at y to the rows [first, last) of sums that they reach."""
    light, disparity, index, groups, _, _, visibility = samples
    radii, narrow, wide = table
    slots, _, padded = ring.shape
    plane = 4 * padded
    q, kinds, kinds_of_groups = disparity[p, source], index[p, source], groups[p, source]
    top = len(radii) - 2
    select = coarse or coarser_span.size > 0
    ceiling = np.float32(top + 1 if select else top)
    row_light = address(light) + 4 * light.shape[2] * (p * light.shape[1] + source)
    slot = y % slots
    for dy in range(places.shape[1]):
        over, under = slot - dy, slot + dy
        places[0, dy] = address(ring) + (over if over >= 0 else over + slots) * PLANES * plane
        places[1, dy] = address(ring) + (under if under < slots else under - slots) * PLANES * plane
    scratch_bytes = (2 * BYTES + _ZEROS) * (1 + WIDE_PX)
    for i in range(0, len(q), GROUP):
        kind = kinds_of_groups[i // GROUP]
        if kind == NONE:
            continue
        highest = np.int32(0)
        for k in range(GROUP):
            level = np.int32(min(_level_of(abs(focus_q - q[i + k])) + np.float32(0.5), ceiling))
            levels[k] = (level + np.int32(1)) * np.int32(kinds[i + k] != NONE)
            highest = max(highest, levels[k])
        if select:
            highest = _select(ring, y, p, source, i, samples, coarser_span, focus_q, coarse, top, levels)
        reach = radii[highest]
        if reach < 0 or y + reach < first or y - reach >= last:
            continue
        if reach <= NARROW_PX:
            parts, limit, kernels = 1, NARROW_PX, address(narrow)
        else:
            parts, limit, kernels = 2, WIDE_PX, address(wide)
        row_bytes = BYTES * parts + _ZEROS
        for k in range(GROUP):
            rows[0, k] = kernels + BASIS_SIZE * row_bytes * (1 + limit) * np.int64(levels[k]) + _ZEROS
            rows[1, k] = rows[0, k]
        if kind == PARTIAL:
            for k in range(GROUP):
                if kinds[i + k] >= PARTIAL and levels[k] > 0:
                    sign = np.float32(1.0) if focus_q > q[i + k] else np.float32(-1.0)
                    kernel = rows[0, k]
                    rows[0, k] = address(formed) + scratch_bytes * (4 * k + 2 * (parts - 1)) + _ZEROS
                    rows[1, k] = rows[0, k] + scratch_bytes
                    seen = visibility[kinds[i + k] - PARTIAL]
                    _form_kernel(rows[1, k], rows[0, k], kernel, reach, parts, seen, sign)
        place = row_light + 4 * PLANES * i
        column = 4 * (i + _MARGIN - limit)
        for dy in range(reach + 1):
            over, under = column + places[0, dy], column + places[1, dy]
            move = row_bytes * dy
            if kind < PARTIAL and parts == 1:
                add_mirrored_16(over, under, plane, place, address(rows), move)
            elif kind < PARTIAL:
                add_mirrored_32(over, under, plane, place, address(rows), move)
            elif parts == 1:
                add_16(over, under, plane, place, address(rows), move)
            else:
                add_32(over, under, plane, place, address(rows), move)


@njit(cache=True, nogil=True)
def _begin_row(row, y, last, left, width, coarser, buffer):
    """A new row (4, W') of sums: zeros, or what the coarser level (Hc, 4, Wc) has there.

    Averages over two pixels become averages over one by the parabola or quartic that has them (average interpolation:
    Donoho 1993; Harten 1989): half a difference of neighbours goes to one half and from the other.
    """
    row[:] = np.float32(0.0)
    if coarser.size == 0 or y >= last:
        return
    near, far = np.float32(NEAR), np.float32(FAR)
    height, _, coarse_width = coarser.shape
    middle = y // 2
    side = np.float32(1.0) if y % 2 == 0 else np.float32(-1.0)
    up, down = max(middle - 1, 0), min(middle + 1, height - 1)
    up2, down2 = max(middle - 2, 0), min(middle + 2, height - 1)
    for c in range(PLANES):
        for i in range(coarse_width + 4):
            x = min(max(i - 2, 0), coarse_width - 1)
            slope = near * (coarser[up, c, x] - coarser[down, c, x]) - far * (coarser[up2, c, x] - coarser[down2, c, x])
            buffer[i] = coarser[middle, c, x] + side * slope
        for x in range(width):
            i = x // 2 + 2
            slope = near * (buffer[i - 1] - buffer[i + 1]) - far * (buffer[i - 2] - buffer[i + 2])
            row[c, left + x] = buffer[i] + (slope if x % 2 == 0 else -slope)


@njit(cache=True, nogil=True)
def _finish_row(over, under, has_back, left, width, out):
    """One row of colour (3, W) from its sums (4, W'), front and back."""
    one, none, enough = np.float32(1.0), np.float32(0.0), np.float32(ENOUGH)
    if has_back:
        for x in range(width):
            i = x + left
            covered = over[3, i]
            behind = under[3, i]
            share = max(one - covered, none) / max(behind, enough) if behind > enough else none
            scale = one / max(covered + share * behind, enough)
            for c in range(3):
                out[c, x] = (over[c, i] + share * under[c, i]) * scale
    else:
        for x in range(width):
            scale = one / max(over[3, x + left], enough)
            for c in range(3):
                out[c, x] = over[c, x + left] * scale


@njit(cache=True, nogil=True, parallel=True)
def _blur(layers, spans, focus_q, coarse, table, coarser, has_back, work, width, wanted, sums, out):
    rings, formed, rows, places, levels, buffers = work
    front, back = layers
    front_span, back_span = spans
    pockets, height = front[1].shape[:2]
    slots = rings.shape[2]
    reach = slots // 2
    left = reach + _MARGIN
    begin, count = wanted[0], wanted[1] - wanted[0]
    bands = 2 * ((count + 2 * _BAND - 1) // (2 * _BAND))  # even, so that they share out well
    for band in prange(bands):
        first, last = begin + count * band // bands, begin + count * (band + 1) // bands  # output rows [first, last)
        thread = get_thread_id()
        over, under = rings[thread, 0], rings[thread, 1]
        memory = formed[thread], rows[thread], places[thread], levels[thread]
        over[:] = np.float32(0.0)
        under[:] = np.float32(0.0)
        # A row of samples spreads over `reach` rows of output either way; rows beyond the borders are replicas.
        for y in range(first - reach, last + reach):
            source = min(max(y, 0), height - 1)
            new = (y + reach) % slots
            _begin_row(over[new], y + reach, last, left, width, coarser[0], buffers[thread])
            for p in range(pockets):
                _scatter_row(over, y, first, last, p, source, front, front_span, focus_q, coarse, table, *memory)
            if has_back:
                _begin_row(under[new], y + reach, last, left, width, coarser[1], buffers[thread])
                for p in range(pockets):
                    _scatter_row(under, y, first, last, p, source, back, back_span, focus_q, coarse, table, *memory)
            done = y - reach
            if done >= first and coarse:
                sums[0, done] = over[done % slots, :, left : left + width]
                sums[1, done] = under[done % slots, :, left : left + width]
            elif done >= first:
                _finish_row(over[done % slots], under[done % slots], has_back, left, width, out[done - begin])
