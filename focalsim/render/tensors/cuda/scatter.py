"""The sums of all slices (render/scatter.py) as a kernel that gathers: a pixel takes up what its neighbours spread.

A program computes a tile of a few slices. It goes through the neighbours of its pixels one offset after another, only
so far as the blur of the samples around reaches, so that sharp regions cost little. The table of kernels is laid out
so that neighbours of like blur read next to each other; it stays in the L1 cache, and so do the samples of a tile.
Additions are made in float32 in a fixed order: the same call gives the same result every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from focalsim.render import kernels as tables
from focalsim.render import scatter as compiled
from focalsim.render import visibility
from focalsim.render.samples import MERGE_PX
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks
from focalsim.render.tensors.kernels import Disc
from focalsim.render.tensors.samples import SampleTensors

LEVELS_PER_PX = tl.constexpr(float(tables.LEVELS_PER_PX))
_COARSER = tables.COARSE_LEVELS_PER_PX / tables.LEVELS_PER_PX
COARSER = tl.constexpr(_COARSER)
FIRST_COARSE = tl.constexpr((tables.COARSE_FROM_PX * tables.LEVELS_PER_PX + 0.5) * (1 - _COARSER))
WIDE = tl.constexpr(float(MERGE_PX * tables.LEVELS_PER_PX))
STEEP_FROM = tl.constexpr(float(visibility.STEEP_FROM_PX * tables.LEVELS_PER_PX))
ENOUGH, LEAST = tl.constexpr(compiled.ENOUGH), tl.constexpr(compiled.LEAST)
WHOLE_FRONT, PAST, BACK = (tl.constexpr(part) for part in (compiled.WHOLE_FRONT, compiled.PAST, compiled.BACK))
PARTIAL = tl.constexpr(visibility.PARTIAL)
_SQUARE_PX = 8  # samples are summed up by squares of this size, to tell how far they reach
SQUARE_PX = tl.constexpr(_SQUARE_PX)
AROUND = tl.constexpr(-(-tables.WIDE_PX // _SQUARE_PX))  # squares that the widest kernel reaches across


@dataclass(frozen=True, slots=True)
class Tiling:
    """What one program computes: ``slices`` slices of ``rows`` x ``columns`` pixels, by ``warps`` of 32 threads.

    Powers of two, rows and columns at least 8. More slices share the reading of samples, but go as far as the most
    blurred of them. One warp asks at every offset, without waiting for others, whether any sample is seen by only a
    part of the lens, which costs several times as much: few are, and only near edges.
    """

    slices: int = 2
    rows: int = 8
    columns: int = 8
    warps: int = 1


DEFAULT = Tiling()


def blur_at_once(
    samples: SampleTensors, focus_disparity_px: torch.Tensor, disc: Disc, tiling: Tiling = DEFAULT
) -> torch.Tensor:
    """Slices (B, S, 3, H, W) of all scenes, focused at g/s = ``focus_disparity_px`` (B, S); no blur is large."""
    scenes, slices = focus_disparity_px.shape
    height, width = samples.disparity_px.shape[-2:]
    lowest, highest, partial = squares(samples)
    table, radii = disc.quadrant, disc.radii
    blurred = focus_disparity_px.new_empty(scenes, slices, 3, height, width)
    tiles_x = blocks(width, tiling.columns)
    _blur[(tiles_x * blocks(height, tiling.rows), blocks(slices, tiling.slices), scenes)](
        samples.light, samples.disparity_px, samples.ratio, samples.steep, samples.share, samples.kind,
        lowest, highest, partial, table, radii, focus_disparity_px.contiguous(), blurred,
        slices, height, width, tiles_x, lowest.shape[-2], lowest.shape[-1], len(radii) - 1, table.shape[1],
        SLICES=tiling.slices, ROWS=tiling.rows, COLUMNS=tiling.columns, **{**OPTIONS, "num_warps": tiling.warps},
    )  # fmt: skip
    return blurred


def squares(samples: SampleTensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every square (B, 2, h, w): lowest and highest disparity of its samples, and whether any is PARTIAL (int8).

    A square without samples has the lowest above the highest.
    """
    height, width = samples.kind.shape[-2:]
    edge = (0, -width % _SQUARE_PX, 0, -height % _SQUARE_PX)

    def of(values: torch.Tensor, outside: float) -> torch.Tensor:
        padded = torch.nn.functional.pad(values, edge, value=outside)
        across, down = (n // _SQUARE_PX for n in reversed(padded.shape[-2:]))
        return padded.reshape(*padded.shape[:-2], down, _SQUARE_PX, across, _SQUARE_PX)

    there, q = samples.kind != visibility.NONE, samples.disparity_px
    lowest = of(torch.where(there, q, torch.inf), torch.inf).amin((-3, -1))
    highest = of(torch.where(there, q, -torch.inf), -torch.inf).amax((-3, -1))
    return lowest, highest, of(samples.kind, visibility.NONE).amax((-3, -1))


@triton.jit
def level_of(blur):
    """kernels.level_of, to be cut to a whole one, of a blur in fine levels: beyond the first coarse one the flatter
    line is lower.
    """
    level = tl.abs(blur) + 0.5
    return tl.minimum(level, level * COARSER + FIRST_COARSE)


@triton.jit
def _clamped_level(blur, top):
    return tl.minimum(level_of(blur), top).to(tl.int32)


@triton.jit
def shares(covered, past, behind):
    """scatter.shares: what the three sums' light counts."""
    cut = tl.minimum(tl.maximum(1 - covered, 0.0) / tl.maximum(past, LEAST), 1.0)
    covered += cut * past
    share = tl.where(behind > ENOUGH, tl.maximum(1 - covered, 0.0) / tl.maximum(behind, ENOUGH), 0.0)
    scale = 1.0 / tl.maximum(covered + share * behind, ENOUGH)
    return scale, cut * scale, share * scale


@triton.jit
def _blur(
    light, disparity, ratio, steep, share, kind, lowest, highest, partial, table, radii, focus, blurred,
    slices, height, width, tiles_x, squares_y, squares_x, top, side,
    SLICES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    scene = tl.program_id(2).to(tl.int64)
    first_y = tl.program_id(0) // tiles_x * ROWS
    first_x = tl.program_id(0) % tiles_x * COLUMNS
    n = tl.arange(0, ROWS * COLUMNS)
    y, x = first_y + n // COLUMNS, first_x + n % COLUMNS
    s = tl.program_id(1) * SLICES + tl.arange(0, SLICES)
    f = tl.load(focus + scene * slices + tl.minimum(s, slices - 1)) * LEVELS_PER_PX
    red, green, blue, covered = _gather_part(
        light, disparity, ratio, steep, share, kind, lowest, highest, partial, table, radii, scene * 2, f,
        first_y, first_x, y, x, height, width, squares_y, squares_x, top, side, WHOLE_FRONT, SLICES, ROWS, COLUMNS,
    )  # fmt: skip
    p_red, p_green, p_blue, past = _gather_part(
        light, disparity, ratio, steep, share, kind, lowest, highest, partial, table, radii, scene * 2, f,
        first_y, first_x, y, x, height, width, squares_y, squares_x, top, side, PAST, SLICES, ROWS, COLUMNS,
    )  # fmt: skip
    b_red, b_green, b_blue, behind = _gather_part(
        light, disparity, ratio, steep, share, kind, lowest, highest, partial, table, radii, scene * 2 + 1, f,
        first_y, first_x, y, x, height, width, squares_y, squares_x, top, side, BACK, SLICES, ROWS, COLUMNS,
    )  # fmt: skip
    first, second, third = shares(covered, past, behind)
    size = height * width
    inside = (s < slices)[:, None] & ((y < height) & (x < width))[None, :]
    # Clamped so that the compiler takes single pixels a thread, as it does where samples are read: were it to store
    # four at once, it would pass all that is read through shared memory to get there.
    pixel = tl.minimum(y, height - 1) * width + tl.minimum(x, width - 1)
    place = blurred + (scene * slices + s)[:, None] * 3 * size + pixel[None, :]
    tl.store(place, first * red + second * p_red + third * b_red, mask=inside)
    tl.store(place + size, first * green + second * p_green + third * b_green, mask=inside)
    tl.store(place + 2 * size, first * blue + second * p_blue + third * b_blue, mask=inside)


@triton.jit
def _gather_part(
    light, disparity, ratio, steep, share, kind, lowest, highest, partial, table, radii, layer, f,
    first_y, first_x, y, x, height, width, squares_y, squares_x, top, side,
    PART: tl.constexpr, SLICES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums (SLICES, ROWS * COLUMNS) of a PART of a layer: red, green, blue, coverage. ``f`` is in levels, as all blur
    here.
    """
    # How far do samples reach that reach this tile? Asked of the squares around.
    square, away, there = squares_around(first_y, first_x, squares_y, squares_x, ROWS, COLUMNS)
    square += layer * squares_y * squares_x
    low = tl.load(lowest + square, mask=there, other=float("inf"))
    high = tl.load(highest + square, mask=there, other=float("-inf"))
    there = there & (low <= high)
    low, high = tl.where(there, low, 0.0), tl.where(there, high, 0.0)
    low, high = low[None, :] * LEVELS_PER_PX, high[None, :] * LEVELS_PER_PX
    largest = tl.maximum(tl.abs(f[:, None] - low), tl.abs(high - f[:, None]))
    radius = tl.load(radii + _clamped_level(largest, top), mask=there[None, :], other=-1)
    reaching = there[None, :] & (radius >= away[None, :])
    reach = tl.max(tl.max(tl.where(reaching, radius, -1), 1), 0)
    near = tl.max(reaching.to(tl.int32), 0) > 0
    some_partial = tl.max(tl.where(near, tl.load(partial + square, mask=near, other=0).to(tl.int32), 0), 0) == PARTIAL

    return gather(
        light, disparity, ratio, steep, share, kind, disparity, disparity, table, layer, f, y, x, reach, some_partial,
        height, width, top, side, PART, False, False, SLICES, ROWS * COLUMNS,
    )  # fmt: skip


@triton.jit
def squares_around(first_y, first_x, squares_y, squares_x, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Squares around a tile, from which kernels may reach it: which, how far away they are, and whether there are."""
    ACROSS: tl.constexpr = COLUMNS // SQUARE_PX + 2 * AROUND
    DOWN: tl.constexpr = ROWS // SQUARE_PX + 2 * AROUND
    n = tl.arange(0, triton.next_power_of_2(DOWN * ACROSS))
    row = first_y // SQUARE_PX - AROUND + n // ACROSS
    column = first_x // SQUARE_PX - AROUND + n % ACROSS
    there = (n < DOWN * ACROSS) & (row >= 0) & (row < squares_y) & (column >= 0) & (column < squares_x)
    far_y = tl.maximum(row * SQUARE_PX - (first_y + ROWS - 1), first_y - (row * SQUARE_PX + SQUARE_PX - 1))
    far_x = tl.maximum(column * SQUARE_PX - (first_x + COLUMNS - 1), first_x - (column * SQUARE_PX + SQUARE_PX - 1))
    return row * squares_x + column, tl.maximum(tl.maximum(far_y, far_x), 0), there


@triton.jit
def is_taken(span, coarser_span, j, size, f, OWN: tl.constexpr, ABOVE: tl.constexpr):
    """levels.is_taken of samples j at blur in fine levels, f (SLICES, 1): of OWN wide blur, not taken from ABOVE."""
    taken = tl.full((1, 1), 1, tl.int1)
    if OWN:
        low, high = tl.load(span + j)[None, :], tl.load(span + size + j)[None, :]
        wide = tl.maximum(f - high * LEVELS_PER_PX, low * LEVELS_PER_PX - f)
        taken = taken & (wide > WIDE / 2)
    if ABOVE:
        low, high = tl.load(coarser_span + j)[None, :], tl.load(coarser_span + size + j)[None, :]
        wide = tl.maximum(f - high * LEVELS_PER_PX, low * LEVELS_PER_PX - f)
        taken = taken & (wide <= WIDE)
    return taken


@triton.jit
def gather(
    light, disparity, ratio, steep, share, kind, span, coarser_span, table, layer, f, y, x, reach, some_partial,
    height, width, top, side, PART: tl.constexpr, OWN: tl.constexpr, ABOVE: tl.constexpr, SLICES: tl.constexpr,
    PIXELS: tl.constexpr,
):  # fmt: skip
    """Sums (SLICES, PIXELS) of what the samples of ``layer`` and PART within ``reach`` spread: red, green, blue,
    coverage.
    """
    size = height * width
    light += layer * 4 * size
    disparity += layer * size
    ratio += layer * 5 * size
    steep += layer * 6 * size
    share += layer * size
    kind += layer * size
    span += layer * 2 * size
    coarser_span += layer * 2 * size
    plane = side * side * (top + 1)  # of the table, one basis function
    red = tl.zeros((SLICES, PIXELS), tl.float32)
    green, blue, covered = red, red, red
    if PART == PAST:
        reach = tl.where(some_partial, reach, -1)
    for dy in range(-reach, reach + 1):
        line = tl.minimum(tl.maximum(y - dy, 0), height - 1) * width
        for dx in range(-reach, reach + 1):
            j = line + tl.minimum(tl.maximum(x - dx, 0), width - 1)
            c = f[:, None] - tl.load(disparity + j)[None, :] * LEVELS_PER_PX
            tap = table + (tl.maximum(dy, -dy) * side + tl.maximum(dx, -dx)) * (top + 1) + _clamped_level(c, top)
            weight = tl.load(tap)
            if PART == WHOLE_FRONT:
                weight = tl.where((tl.load(kind + j) == PARTIAL)[None, :], 0.0, weight)
            elif some_partial:
                is_partial = (tl.load(kind + j) == PARTIAL)[None, :]
                if PART == PAST:
                    weight = tl.where(is_partial, weight, 0.0)
                steep_here = is_partial & (tl.abs(c) >= STEEP_FROM)
                basic = is_partial & ~steep_here
                if tl.max(tl.max(basic.to(tl.int32), 1), 0) > 0:
                    weight = _add_partial(weight, tap, plane, ratio + j, size, basic, c, dy, dx)
                if tl.max(tl.max(steep_here.to(tl.int32), 1), 0) > 0:
                    weight *= _cut(steep + j, share + j, size, steep_here, c, dy, dx)
            if OWN or ABOVE:
                taken = is_taken(span, coarser_span, j, size, f[:, None], OWN, ABOVE) & (level_of(c) < top + 1)
                weight = tl.where(taken, weight, 0.0)
            red += weight * tl.load(light + j)[None, :]
            green += weight * tl.load(light + size + j)[None, :]
            blue += weight * tl.load(light + 2 * size + j)[None, :]
            covered += weight * tl.load(light + 3 * size + j)[None, :]
    return red, green, blue, covered


@triton.jit
def _add_partial(weight, tap, plane, ratio, size, mask, c, dy, dx):
    """The kernel of samples that a part of the lens sees; the odd basis functions change sign with c, dy or dx."""
    is_partial = tl.max(mask.to(tl.int32), 0) > 0  # in one of the slices
    sign = tl.where(c > 0, 1.0, -1.0)
    sign_y = tl.where(dy < 0, -1.0, 1.0)
    sign_x = tl.where(dx < 0, -1.0, 1.0)
    a1 = tl.load(ratio, mask=is_partial, other=0.0) * sign_x
    a2 = tl.load(ratio + size, mask=is_partial, other=0.0) * sign_y
    a3 = tl.load(ratio + 2 * size, mask=is_partial, other=0.0) * (sign_x * sign_y)
    a4 = tl.load(ratio + 3 * size, mask=is_partial, other=0.0)
    a5 = tl.load(ratio + 4 * size, mask=is_partial, other=0.0)
    odd = a1[None, :] * tl.load(tap + plane, mask=mask, other=0.0)
    odd += a2[None, :] * tl.load(tap + 2 * plane, mask=mask, other=0.0)
    even = a3[None, :] * tl.load(tap + 3 * plane, mask=mask, other=0.0)
    even += a4[None, :] * tl.load(tap + 4 * plane, mask=mask, other=0.0)
    even += a5[None, :] * tl.load(tap + 5 * plane, mask=mask, other=0.0)
    return weight + sign * odd + even


@triton.jit
def _cut(steep, share, size, mask, c, dy, dx):
    """What the lens sees of samples where it spreads them over (dy, dx), over the share of it that sees them; of others
    one.
    """
    found = tl.max(mask.to(tl.int32), 0) > 0
    e0 = tl.load(steep, mask=found, other=0.0)
    e1 = tl.load(steep + size, mask=found, other=0.0)
    e2 = tl.load(steep + 2 * size, mask=found, other=0.0)
    e3 = tl.load(steep + 3 * size, mask=found, other=0.0)
    e4 = tl.load(steep + 4 * size, mask=found, other=0.0)
    e5 = tl.load(steep + 5 * size, mask=found, other=0.0)
    # By powers of a pixel's size on the lens, the same for all slices.
    constant, linear = e0 - 0.5 * e5, dx * e1 + dy * e2
    square = dx * dy * e3 + (dx * dx - dy * dy) * e4 + (dx * dx + dy * dy) * e5
    scale = 1 / tl.where(mask, c, 1.0) * (2 * LEVELS_PER_PX)
    value = constant[None, :] + scale * (linear[None, :] + scale * square[None, :])
    cut = tl.minimum(tl.maximum(value, 0.0), 1.0) / tl.load(share, mask=found, other=1.0)[None, :]
    return tl.where(mask, cut, 1.0)
