"""The fast path: every sample is spread by its own kernel, and where light competes, what is known best comes first.

Three sums are kept of light and coverage: of front samples that the whole lens sees, whose kernels are exact; of those
that it sees past something nearer, which get no more than the first leave (a polynomial over the lens is no thread, and
what it lacks of one would shine through it); and of the back, which fills what both leave.

For a slice focused at s a sample of disparity q has the signed blur c = g/s - q (positive: behind the focus). Its
kernel is sum_k a_k K_k(|c|), a its visibility; the odd basis functions change sign with c, where the lens is
seen mirrored. All additions are made in a fixed order, so that the result does not depend on the number of threads.

Rows of samples are taken one after another; finished rows of sums leave a ring of as many rows as the largest kernel
has. A sample that the whole lens sees has a kernel with all the symmetries of a square. So the weights of sixteen such
neighbours are looked up for one octant, and sixteen pixels of a row gather what they receive in registers, for the rows
above and below at once. The others are few: each has a kernel formed of its own, and eight neighbours share a window of
the output. Samples of a large blur are spread at a coarser level (samples.py) and join the rows of the finer one as
these enter the ring. The rows of light that leave it wait in a second ring for the warp (resample.py), which takes them
as soon as it has all that four rows of output are made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from focalsim.render.kernels import (
    BASIS_SIZE,
    LARGEST_PX,
    NARROW_PX,
    OCTANT,
    WIDE_PX,
    kernel_table,
    level_of,
    octant_place,
    reach_px,
)
from focalsim.render.resample import Piece, light_and_codes, map_number, source_row, warp_four
from focalsim.render.samples import MERGE_PX, PLANES, Samples, copy_row
from focalsim.render.scatter_code import (
    GROUP,
    gather_1,
    gather_2,
    gather_3,
    gather_4,
    gather_5,
    gather_6,
    lay_16,
    lay_32,
    look_up,
    spread_16,
    spread_32,
)
from focalsim.render.visibility import NONE, PARTIAL, STEEP_FROM_PX, WHOLE, SeenSamples, steeply_seen
from focalsim.simd import (
    BYTES,
    LANES,
    address,
    aligned,
    any_at,
    choose,
    fill,
    larger,
    largest_of,
    load,
    prefetch,
    smaller,
    store,
    take_number,
    zero,
)

_LEAST_ROWS = 32  # of output in one thread's piece of work, which also spreads the samples of some rows around it
# Parts of the samples that have sums of their own: of the front those that the whole lens sees, and those that it sees
# past something nearer; and of the back.
WHOLE_FRONT, PAST, BACK, PARTS = 0, 1, 2, 3
LEAST = 1e-6  # keeps quotients finite where there is nothing
ENOUGH = 0.02  # a coverage below this says nothing of the colour
_MARGIN = LANES  # columns of a row of sums on either side of the samples, for the widest window
_CHUNK = 16  # blocks of sixteen pixels that share looked-up weights, and a block on either side
_PLANE = BYTES * (_CHUNK + 2)
_GATHERED = 6  # rows either side at most that gather at a time, for want of registers
_JOIN_ROWS = 2  # of a coarser level, either side of the one that a row lies in, give the row its light
NEAR, FAR = 22 / 128, 3 / 128  # what a half pixel takes of the differences of neighbours, and of those beyond them


_Arrays = NDArray[Any]


class Scatter:
    """Blurs one scene, its front and back samples, for any focus; the working memory is shared by all slices.

    ``largest_px`` is the largest blur (diameter) of any sample in any slice.
    """

    def __init__(self, layers: Iterable[SeenSamples], largest_px: float) -> None:
        table = kernel_table(largest_px)
        self._table = (np.concatenate([[-1], table.radius]), table.narrow, table.wide, table.octant, _PLANES)
        reach = reach_px(largest_px)
        only = largest_px <= LARGEST_PX
        self._levels = [_Level(Samples.of_layers(layers, reach, only))]
        while largest_px > LARGEST_PX:
            largest_px /= 2
            self._levels.append(self._levels[-1].coarser(reach_px(largest_px)))

    def render(self, focus_disparity_px: NDArray[np.float64], piece: Piece, stack: NDArray[Any]) -> None:
        """Render the slices focused at g/s (S,) into ``stack`` (S, h, w, 3), as far as ``piece`` goes.

        Colour = (front + cut * past + share * back) / coverage, see :func:`shares`.
        """
        finest, *coarser = self._levels
        wanted = [piece.local_rows]
        for level in coarser:
            first, last = wanted[-1]
            wanted.append((max(first // 2 - _JOIN_ROWS, 0), min((last + 1) // 2 + _JOIN_ROWS, level.height)))
        # Sums of coarser levels take much room: where there are some, one slice is rendered after another.
        together = 1 if coarser else len(focus_disparity_px)
        tasks = piece.tasks(_parts(together, wanted[0], finest.reach + piece.warp.rows))
        warped = piece.plan, piece.warp.work, *light_and_codes(stack)
        for n in range(0, len(tasks), together):
            span, sums = _NO_SPAN, _NO_SUMS
            for k in range(len(coarser), -1, -1):
                level, focus_q = self._levels[k], (focus_disparity_px / 2**k).astype(np.float32)
                todo = _rows_of(n, wanted[k], level.reach) if k else tasks[n : n + together].reshape(-1, tasks.shape[2])
                _spread(
                    level.arrays,
                    span,
                    focus_q,
                    k > 0,
                    self._table,
                    sums,
                    level.has_past,
                    level.has_back,
                    level.work,
                    level.left,
                    level.width,
                    todo,
                    wanted[k],
                    level.sums,
                    *warped,
                )
                span, sums = level.span, level.sums


def _parts(slices: int, rows: tuple[int, int], around: int) -> int:
    """Into how many tasks to part each slice, so that all are done soonest; each has to look at rows ``around`` too."""
    count, threads = rows[1] - rows[0], get_num_threads()
    return min(
        range(1, max(count // _LEAST_ROWS, 1) + 1),
        key=lambda parts: -(-slices * parts // threads) * (count / parts + around),
    )


def _rows_of(slice_: int, rows: tuple[int, int], reach: int) -> NDArray[np.int64]:
    """Tasks that are rows of one slice."""
    cuts = np.linspace(*rows, _parts(1, rows, reach) + 1).astype(np.int64)
    return np.stack([np.full(len(cuts) - 1, slice_), cuts[:-1], cuts[1:]], axis=1)


class _Level:
    """One level of both layers and the memory to spread it; ``sums`` (3, H, 4, W) is what it leaves to the finer."""

    def __init__(self, samples: Samples, finest: bool = True) -> None:
        self._samples = s = samples
        _, self.height, self.width, _ = s.span.shape
        self.left, self.reach, threads = s.left_px, s.reach_px, get_num_threads()
        self.arrays = s.light, s.disparity, s.index, s.blocks, s.span, s.pocket, *s.visibility
        self.span, self.has_past, self.has_back = s.span, s.has_past, s.has_back
        self.sums = np.empty((0, 0, 0, 0) if finest else (PARTS, self.height, PLANES, self.width), np.float32)
        padded = s.index.shape[2]
        self.work = (
            aligned((threads, PARTS, 2 * self.reach + 1, PLANES, padded + 2 * _MARGIN), zeros=False),  # rings
            np.empty((threads, padded + 1), np.int64),  # columns of samples that a part of the lens sees
            np.empty((threads, 2, GROUP, 8), np.float32),  # visibility of samples, as this slice sees the lens
            np.empty((threads, 2, GROUP, 3), np.int64),  # addresses of samples' light, kernels and visibility
            np.empty((threads, 2, 1 + self.reach), np.int64),  # addresses of rows of the ring
            np.empty((threads, padded), np.int32),  # levels of kernels
            np.empty((threads, padded), np.int32),  # bytes to rows of the octant's table
            np.empty((threads, 3, padded // LANES + 4), np.int64),  # how far a block's kernels reach
            aligned((threads, OCTANT, LANES * (_CHUNK + 2))),  # weights
            np.empty((threads, self.width // 2 + 5), np.float32),  # a row of the coarser level
        )

    def coarser(self, reach: int) -> _Level:
        return _Level(self._samples.coarser(reach), finest=False)


def reach_rows(largest_px: float) -> tuple[int, int]:
    """How many rows above and below a row its light comes from, and how many rows are one of the coarsest level."""
    reach, joined, cell = reach_px(largest_px), 0, 1
    while largest_px > LARGEST_PX:
        largest_px /= 2
        cell *= 2
        joined += (_JOIN_ROWS + 1) * cell
        reach = max(reach, joined + reach_px(largest_px) * cell)
    return reach, cell


_NO_SUMS = np.empty((PARTS, 0, 0, 0), np.float32)
_NO_SPAN = np.empty((0, 0, 0, 2), np.float32)
_PLANES = octant_place(*np.indices((WIDE_PX + 1, WIDE_PX + 1))).astype(np.int64) * _PLANE  # bytes, [dx, dy]
_level_of: Any = njit(level_of)


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
                    weight *= steeply_seen(seen, dx, dy, blur)
                for c in range(PLANES):
                    row[c, column + dx] += np.float32(weight) * light[c]


@njit(cache=True, nogil=True)
def _is_wide(span, focus_q):
    """Whether a coarser sample takes over: the blur of all that it holds is over MERGE_PX of the finer level."""
    return max(focus_q - span[1], span[0] - focus_q) > np.float32(MERGE_PX / 2)


@njit(cache=True, nogil=True)
def _select(ring, past, y, row, visibility, coarser_span, focus_q, coarse, left, top, levels):
    """Leave out samples that are spread at another level of the scene; spread those too large for any kernel here.

    ``coarser_span`` is that of the coarser level's row, in all pockets; empty where there is no such level.
    """
    light, disparity, index, span, pocket = row
    for i in range(len(levels)):
        if levels[i] == 0:
            continue
        x = min(max(i - left, 0), len(span) - 1)
        taken = not coarse or _is_wide(span[x], focus_q)
        if taken and coarser_span.size > 0:
            taken = not _is_wide(coarser_span[pocket[x], x // 2], focus_q / 2)
        if taken and levels[i] > top + 1:
            whole = index[i] == WHOLE
            seen = visibility[max(index[i] - PARTIAL, 0), BASIS_SIZE:]
            to = ring if whole else past
            _add_large(to, y, _MARGIN + i, light[:, i], focus_q - disparity[i], seen, whole)
            taken = False
        if not taken:
            levels[i] = 0


# Called once a row, with arrays of which some two hundred numbers would be handed over each time.
@njit(cache=True, nogil=True, forceinline=True)
def _gather_whole(
    light, stride, kinds, blocks, levels, left, width, away, table, rows, reaches, weights, places, plane
):
    """Add a row's samples that the whole lens sees to the rows of sums that they reach, ``away`` rows or farther.

    Has the next row's light brought into the cache.
    """
    radii, _, _, octant, planes = table
    first, last = left // LANES, (left + width + LANES - 1) // LANES  # blocks of pixels
    around = 1 if left > 0 else 0
    for i in range(len(levels)):
        rows[i] = levels[i] * np.int32(kinds[i] == WHOLE)
    # How far the kernels of a block of samples reach; from how far a block of pixels gathers; what a block of samples
    # needs so that pixels on either side can.
    own, gathered, needed = reaches[0], reaches[1], reaches[2]
    own[:] = -1
    for block in range(first - around, last + around):
        if blocks[block] & WHOLE:
            highest = largest_of(address(rows) + BYTES * block)
            own[block + 2] = radii[highest] if radii[highest] >= away else -1
    for i in range(1, len(own) - 1):
        gathered[i] = max(own[i - 1], own[i], own[i + 1])
    for i in range(2, len(own) - 2):
        needed[i] = max(gathered[i - 1], gathered[i], gathered[i + 1])
    for i in range(len(rows)):
        rows[i] *= np.int32(4 * OCTANT)
    one = 8 * planes.shape[1]
    for begin in range(first, last, _CHUNK):
        end = min(begin + _CHUNK, last)
        for block in range(begin - around, end + around):
            reach = needed[block + 2]
            if reach >= 0:
                quads = ((reach + 1) * (reach + 2) + 7) // 8
                to = address(weights) + BYTES * (block - begin + 1)
                look_up(address(octant), address(rows) + BYTES * block, quads, to, _PLANE)
        for block in range(begin, end):
            for c in range(PLANES):
                prefetch(light + (PLANES + c) * stride + BYTES * block)
            reach = gathered[block + 2]
            if reach < 0:
                continue
            count = reach // (reach // _GATHERED + 1) + 1
            here, column = address(weights) + BYTES * (block - begin + 1), BYTES * block + 4 * _MARGIN
            sample = light + BYTES * block
            for dy in range(0, reach + 1, count):
                n = min(count, reach + 1 - dy)
                ways, over, under = address(planes) + 8 * dy, address(places) + 8 * dy, address(places[1]) + 8 * dy
                if n == 1:
                    gather_1(sample, stride, here, ways, one, reach, over, under, column, plane)
                elif n == 2:
                    gather_2(sample, stride, here, ways, one, reach, over, under, column, plane)
                elif n == 3:
                    gather_3(sample, stride, here, ways, one, reach, over, under, column, plane)
                elif n == 4:
                    gather_4(sample, stride, here, ways, one, reach, over, under, column, plane)
                elif n == 5:
                    gather_5(sample, stride, here, ways, one, reach, over, under, column, plane)
                else:
                    gather_6(sample, stride, here, ways, one, reach, over, under, column, plane)


@njit(cache=True, nogil=True, forceinline=True)  # as _gather_whole
def _spread_partial(
    light, stride, q, kinds, blocks, levels, visibility, focus_q, away, table, columns, seen, found, places, plane
):
    """Add a row's samples that a part of the lens sees to the sums that they reach, ``away`` rows or farther."""
    radii, narrow, wide, _, _ = table
    count = 0
    for block in range(len(blocks)):
        if blocks[block] & PARTIAL:
            for i in range(LANES * block, LANES * (block + 1)):
                columns[count] = i
                count += (kinds[i] >= PARTIAL) & (levels[i] > 0)
    first = 0
    while first < count:
        group = columns[first] // GROUP * GROUP
        last, highest = first, np.int32(0)
        while last < count and columns[last] < group + GROUP:
            highest = max(highest, levels[columns[last]])
            last += 1
        reach = radii[highest]
        if reach < away:
            first = last
            continue
        if reach <= NARROW_PX:
            parts, limit, kernels = 1, NARROW_PX, address(narrow)
        else:
            parts, limit, kernels = 2, WIDE_PX, address(wide)
        row_bytes = BYTES * parts
        basis_bytes = row_bytes * (1 + limit)
        basic_count, steep_count = 0, 0
        for k in range(first, last):
            i = columns[k]
            blur = focus_q - q[i]
            coefficients = visibility[kinds[i] - PARTIAL]
            if abs(blur) < STEEP_FROM_PX:
                to, n = 0, basic_count
                basic_count += 1
                # Before the focus the lens is seen mirrored: the odd functions change their sign.
                sign = np.float32(1.0) if blur > 0 else np.float32(-1.0)
                for m in range(BASIS_SIZE):
                    seen[0, n, m] = coefficients[m]
                seen[0, n, 1] *= sign
                seen[0, n, 2] *= sign
            else:
                to, n = 1, steep_count
                steep_count += 1
                _steep_here(coefficients[BASIS_SIZE:], blur, seen[1, n])
                seen[1, n, 6] = np.float32(group - i - limit)
            found[to, n, 0] = light + 4 * i
            found[to, n, 1] = kernels + BASIS_SIZE * basis_bytes * np.int64(levels[i]) - 4 * (i - group)
            found[to, n, 2] = address(seen[to, n])
        column = 4 * (group + _MARGIN - limit)
        basic, steep = address(found[0]), address(found[1])
        for dy in range(reach + 1):
            over, under, move = column + places[0, dy], column + places[1, dy], row_bytes * dy
            if basic_count > 0:
                if parts == 1:
                    spread_16(over, under, plane, basic_count, basic, stride, move, basis_bytes)
                else:
                    spread_32(over, under, plane, basic_count, basic, stride, move, basis_bytes)
            if steep_count > 0:
                if parts == 1:
                    lay_16(over, under, plane, steep_count, steep, stride, move, np.float32(dy))
                else:
                    lay_32(over, under, plane, steep_count, steep, stride, move, np.float32(dy))
        first = last


@njit(cache=True, nogil=True)
def _steep_here(coefficients, blur, out):
    """A polynomial over the lens as one over pixels: 1, x, y, x y, x x, y y."""
    scale = np.float32(2.0) / blur
    square = scale * scale
    out[0] = coefficients[0] - np.float32(0.5) * coefficients[5]
    out[1] = scale * coefficients[1]
    out[2] = scale * coefficients[2]
    out[3] = square * coefficients[3]
    out[4] = square * (coefficients[5] + coefficients[4])
    out[5] = square * (coefficients[5] - coefficients[4])


@njit(cache=True, nogil=True, forceinline=True)  # as _gather_whole
def _scatter_row(ring, past, y, away, p, source, left, width, samples, coarser_span, focus_q, coarse, table, memory):
    """Add the samples of row ``source`` of pocket p at y to the rows of sums that they reach, those that a part of the
    lens sees to ``past``.

    The rows that are wanted begin ``away`` rows from y.
    """
    light, disparity, index, blocks, span, pocket, front_seen, back_seen = samples
    visibility = front_seen if 2 * p < len(light) else back_seen
    columns, seen, found, places, levels, rows, reaches, weights = memory
    radii = table[0]
    plane = 4 * ring.shape[2]
    q, kinds, kinds_of_blocks = disparity[p, source], index[p, source], blocks[p, source]
    some = NONE
    for kind in kinds_of_blocks:
        some |= kind
    if some == NONE:
        return
    for block in range(len(kinds_of_blocks)):
        # The next row's, while there is enough to compute: whole scenes and slices do not stay in the cache.
        prefetch(address(q) + 4 * len(q) + BYTES * block)
        prefetch(address(kinds) + 4 * len(q) + BYTES * block)
    top = len(radii) - 2
    select = coarse or coarser_span.size > 0
    ceiling = np.float32(top + 1 if select else top)
    for i in range(len(q)):
        level = np.int32(min(_level_of(abs(focus_q - q[i])) + np.float32(0.5), ceiling))
        levels[i] = (level + np.int32(1)) * np.int32(kinds[i] != NONE)
    if select:
        row = light[p, source], disparity[p, source], index[p, source], span[p, source], pocket[p, source]
        _select(ring, past, y, row, visibility, coarser_span[:, source // 2], focus_q, coarse, left, top, levels)
    stride = 4 * light.shape[3]
    row_light = address(light) + PLANES * stride * (p * light.shape[1] + source)
    if some & WHOLE:
        _find_rows(ring, y, places)
        _gather_whole(
            row_light, stride, kinds, kinds_of_blocks, levels, left, width, away, table, rows, reaches, weights,
            places, plane,
        )  # fmt: skip
    if some & PARTIAL:
        _find_rows(past, y, places)
        _spread_partial(
            row_light, stride, q, kinds, kinds_of_blocks, levels, visibility, focus_q, away, table, columns, seen,
            found, places, plane,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _find_rows(ring, y, places):
    """Addresses (2, n) of the rows of sums from y on upwards and downwards."""
    slots, _, padded = ring.shape
    row = PLANES * 4 * padded
    slot = y % slots
    for dy in range(places.shape[1]):
        over, under = slot - dy, slot + dy
        places[0, dy] = address(ring) + (over if over >= 0 else over + slots) * row
        places[1, dy] = address(ring) + (under if under < slots else under - slots) * row


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
def shares(covered, past, behind):
    """What the three sums' light counts, by their coverage: what is seen past something is cut to what is left, what is
    behind fills what is then left, and all of it makes one.
    """
    one, none, enough, least = np.float32(1.0), np.float32(0.0), np.float32(ENOUGH), np.float32(LEAST)
    cut = min(max(one - covered, none) / max(past, least), one)
    covered += cut * past
    share = max(one - covered, none) / max(behind, enough) if behind > enough else none
    scale = one / max(covered + share * behind, enough)
    return scale, cut * scale, share * scale


@njit(cache=True, nogil=True)
def _finish_row(sums, left, out):
    """One row of colour (3, W') from its sums (4, W''); sixteen pixels at a time, mostly without past or back."""
    whole, past, back = sums
    width = out.shape[1]
    one, none, enough, least = fill(np.float32(1.0)), zero(), fill(np.float32(ENOUGH)), fill(np.float32(LEAST))
    for n in range(width // LANES):
        to, at = BYTES * n, BYTES * n + 4 * left
        covered = load(address(whole[3]) + at)
        if not (any_at(address(past[3]) + at) or any_at(address(back[3]) + at)):
            scale = one / larger(covered, enough)
            for c in range(3):
                store(address(out[c]) + to, load(address(whole[c]) + at) * scale)
            continue
        # As shares.
        beside, behind = load(address(past[3]) + at), load(address(back[3]) + at)
        cut = smaller(larger(one - covered, none) / larger(beside, least), one)
        covered = covered + cut * beside
        share = choose(behind > enough, larger(one - covered, none) / larger(behind, enough), none)
        scale = one / larger(covered + share * behind, enough)
        cut, share = cut * scale, share * scale
        for c in range(3):
            light = load(address(whole[c]) + at) * scale + load(address(past[c]) + at) * cut
            store(address(out[c]) + to, light + load(address(back[c]) + at) * share)
    for x in range(width // LANES * LANES, width):
        i = left + x
        scale, cut, share = shares(whole[3, i], past[3, i], back[3, i])
        for c in range(3):
            out[c, x] = whole[c, i] * scale + past[c, i] * cut + back[c, i] * share


@njit(cache=True, nogil=True, parallel=True)
def _spread(
    samples, coarser_span, focus_q, coarse, table, coarser, has_past, has_back, work, left, width, tasks, wanted, sums,
    plan, room, light, codes,
):  # fmt: skip
    rings, columns, seen, found, places, levels, rows, reaches, weights, buffers = work
    sources, blurred, summed, lines, coded = room
    taken = np.zeros(1, np.int64)
    for n in prange(len(rings)):
        memory = columns[n], seen[n], found[n], places[n], levels[n], rows[n], reaches[n], weights[n]
        to_warp = sources[n], summed[n], lines[n], coded[n]
        # Whoever is free takes the next task.
        task = take_number(address(taken))
        while task < len(tasks):
            _spread_rows(
                samples, coarser_span, focus_q[tasks[task, 0]], coarse, table, coarser, has_past, has_back, rings[n],
                memory, buffers[n], left, width, tasks[task], wanted, sums, blurred[n], plan, to_warp, light, codes,
            )  # fmt: skip
            task = take_number(address(taken))


@njit(cache=True, nogil=True)
def _spread_rows(
    samples, coarser_span, focus_q, coarse, table, coarser, has_past, has_back, rings, memory, buffer, left, width,
    task, wanted, sums, blurred, plan, to_warp, light, codes,
):  # fmt: skip
    """Make some rows of a slice: sums of a coarse level, or the rows of light that the warp takes one after another."""
    pockets, height = samples[1].shape[0] // 2, samples[1].shape[1]
    layers = 2 if has_back else 1
    slots = rings.shape[1]
    reach = slots // 2
    ours = left + _MARGIN  # of the sums' columns
    first, last = task[1], task[2]
    fours = task[3:].copy()
    whole, past, back = rings[WHOLE_FRONT], rings[PAST], rings[BACK]
    rings[:] = np.float32(0.0)
    # A row of samples spreads over `reach` rows of output either way; rows beyond the borders are replicas.
    for y in range(first - reach, last + reach):
        source = min(max(y, 0), height - 1)
        away = max(first - y, y - last + 1)
        for k in range(PARTS):
            if (k == PAST and not has_past) or (k == BACK and not has_back):
                continue
            new = rings[k, (y + reach) % slots]
            _begin_row(new, y + reach, last, ours, width, coarser[k], buffer)
        for p in range(layers * pockets):
            fully, partly = (whole, past) if p < pockets else (back, back)
            _scatter_row(
                fully, partly, y, away, p, source, left, width, samples, coarser_span, focus_q, coarse, table, memory
            )  # fmt: skip
        done = y - reach
        if done < first:
            continue
        if coarse:
            for k in range(PARTS):
                for c in range(PLANES):
                    copy_row(rings[k, done % slots, c, ours : ours + width], sums[k, done, c])
            continue
        row = whole[done % slots], past[done % slots], back[done % slots]
        _finish_row(row, ours, blurred[done % len(blurred)])
        _warp_ready(done, task[0], fours, wanted, blurred, plan, to_warp, light, codes)


@njit(cache=True, nogil=True, forceinline=True)  # as _gather_whole
def _warp_ready(done, slice_, fours, wanted, blurred, plan, to_warp, light, codes):
    """Warp all fours of rows that need no row after ``done``; the next and last ones of each channel are ``fours``."""
    starts, sources = plan[3], to_warp[0]
    channels, count = len(fours) // 2, len(sources)
    for channel in range(channels):
        which = slice_, channel, channels
        number = map_number(which)
        while fours[2 * channel] < fours[2 * channel + 1]:
            four = fours[2 * channel]
            if source_row(starts[number, four] + count - 1, wanted) > done:
                break
            for t in range(count):
                sources[t] = address(blurred[source_row(starts[number, four] + t, wanted) % count])
            warp_four(4 * blurred.shape[2], which, four, plan, to_warp, light[slice_], codes[slice_])
            fours[2 * channel] += 1
