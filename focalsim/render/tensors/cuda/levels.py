"""The sums of all slices whose blur is large, as kernels: level by level, from the coarsest (render/scatter.py).

How far the samples of a square of 8 x 8 reach at a level is found before, since most of them are spread at another.
"""

from __future__ import annotations

from math import pi

import torch
import triton
import triton.language as tl

from focalsim.render import scatter as compiled
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks
from focalsim.render.tensors.cuda.scatter import (
    BACK,
    LEVELS_PER_PX,
    PARTIAL,
    PAST,
    SQUARE_PX,
    WHOLE_FRONT,
    gather,
    is_taken,
    level_of,
    shares,
    squares,
    squares_around,
)
from focalsim.render.tensors.kernels import Disc
from focalsim.render.tensors.levels import Level
from focalsim.render.visibility import NONE as _NONE

NONE = tl.constexpr(_NONE)
PARTS = tl.constexpr(compiled.PARTS)
NEAR, FAR = tl.constexpr(compiled.NEAR), tl.constexpr(compiled.FAR)
PI = tl.constexpr(pi)
_SLICES, _TILE_PX = 2, 8  # a program computes two slices of a tile
_MEMORY_BYTES = 1 << 30  # of sums, for so many slices at a time
_BLOCK = 512  # pixels a program, where pixels are on their own


def blur_levels(levels: list[Level], focus_disparity_px: torch.Tensor, disc: Disc) -> torch.Tensor:
    """Slices (B, S, 3, H, W) of all scenes, focused at g/s = ``focus_disparity_px`` (B, S)."""
    scenes, slices = focus_disparity_px.shape
    height, width = levels[0].samples.kind.shape[-2:]
    blurred = focus_disparity_px.new_empty(scenes, slices, 3, height, width)
    at_once = max(_MEMORY_BYTES // (16 * compiled.PARTS * scenes * height * width), 1)
    for first in range(0, slices, at_once):
        some = slice(first, first + at_once)
        sums: torch.Tensor | None = None
        for n, level in reversed(list(enumerate(levels))):
            sums = _sum_level(level, (focus_disparity_px[:, some] / 2**n).contiguous(), sums, disc)
        assert sums is not None
        pixels = height * width
        _finish[(blocks(pixels, _BLOCK), sums.shape[1], scenes)](
            sums, blurred[:, some], sums.shape[1], pixels, blurred.stride(0), BLOCK=_BLOCK, **OPTIONS
        )
    return blurred


def _sum_level(level: Level, focus: torch.Tensor, coarser: torch.Tensor | None, disc: Disc) -> torch.Tensor:
    """Sums (B, S, 3, 4, H, W) of the three parts: light and coverage, those of the ``coarser`` level included."""
    samples = level.samples
    scenes, layers, height, width = samples.kind.shape
    slices = focus.shape[1]
    tiles_y, tiles_x = blocks(height, _TILE_PX), blocks(width, _TILE_PX)  # and squares
    taken, flags = _what_is_taken(level)
    reach = torch.empty(scenes, slices, layers, tiles_y, tiles_x, dtype=torch.int32, device=focus.device)
    far = torch.empty_like(reach)
    _survey[(tiles_y * tiles_x, layers, scenes)](
        *taken, disc.radii, focus, reach, far, slices, height, width, tiles_x, tiles_y * tiles_x, len(disc.radii) - 1,
        **flags, **OPTIONS,
    )  # fmt: skip
    sums = focus.new_empty(scenes, slices, compiled.PARTS, 4, height, width)
    if coarser is not None:
        _join[(scenes * slices * compiled.PARTS * 4, blocks(height * width, _BLOCK))](
            coarser, sums, height, width, *coarser.shape[-2:], BLOCK=_BLOCK, **OPTIONS
        )
    _, _, partial = squares(samples)
    for part in range(compiled.PARTS):
        _add[(tiles_y * tiles_x, blocks(slices, _SLICES), scenes)](
            *taken, samples.light, samples.ratio, samples.steep, samples.share, partial, reach, disc.quadrant, focus,
            sums, slices, height, width, tiles_x, tiles_y, len(disc.radii) - 1, disc.quadrant.shape[1],
            PART=part, **flags, JOINED=coarser is not None, POCKETS=layers // 2, SLICES=_SLICES, TILE_PX=_TILE_PX,
            **{**OPTIONS, "num_warps": 1},
        )  # fmt: skip
    if far.any():  # waits for the device
        add_large(level, focus, far, sums, disc)
    return sums


def add_large(level: Level, focus: torch.Tensor, far: torch.Tensor, sums: torch.Tensor, disc: Disc) -> None:
    """Add discs larger than any kernel to ``sums``; those of a square's samples reach ``far`` (B, S, L, h, w)."""
    samples = level.samples
    scenes, slices, layers, tiles_y, tiles_x = far.shape
    taken, flags = _what_is_taken(level)
    for part in range(compiled.PARTS):
        _add_large[(tiles_y * tiles_x, slices, scenes)](
            *taken, samples.light, samples.steep, samples.share, far, focus, sums,
            slices, *samples.kind.shape[-2:], tiles_x, tiles_y, blocks(int(far.max()), _TILE_PX), len(disc.radii) - 1,
            PART=part, **flags, POCKETS=layers // 2, TILE_PX=_TILE_PX, **{**OPTIONS, "num_warps": 1},
        )  # fmt: skip


def _what_is_taken(level: Level) -> tuple[list[torch.Tensor], dict[str, bool]]:
    """What decides on the samples that a level spreads: disparities, kinds and spans, and which spans there are."""
    q = level.samples.disparity_px
    spans = [q if span is None else span for span in (level.span, level.coarser_span)]
    return [q, level.samples.kind, *spans], {
        "OWN": level.span is not None,
        "ABOVE": level.coarser_span is not None,
    }


@triton.jit
def _survey(
    disparity, kind, span, coarser_span, radii, focus, reach, far, slices, height, width, squares_x, count, top,
    OWN: tl.constexpr, ABOVE: tl.constexpr,
):  # fmt: skip
    """How far a square's samples that are taken reach in every slice: by kernels, -1 = not at all, and by discs larger
    than any kernel, 0 = none.
    """
    scene, layers = tl.program_id(2).to(tl.int64), tl.num_programs(1)
    square = tl.program_id(0)
    layer = scene * layers + tl.program_id(1)
    size = height * width
    n = tl.arange(0, SQUARE_PX * SQUARE_PX)
    y, x = square // squares_x * SQUARE_PX + n // SQUARE_PX, square % squares_x * SQUARE_PX + n % SQUARE_PX
    inside = (y < height) & (x < width)
    j = tl.where(inside, y * width + x, 0)
    there = inside & (tl.load(kind + layer * size + j) != NONE)
    q = tl.load(disparity + layer * size + j) * LEVELS_PER_PX
    span += layer * 2 * size
    coarser_span += layer * 2 * size
    for s in range(slices):
        f = tl.load(focus + scene * slices + s) * LEVELS_PER_PX
        taken = there[None, :] & is_taken(span, coarser_span, j, size, f, OWN, ABOVE)
        blur = tl.abs(f - q)[None, :]
        level = level_of(blur)
        small = taken & (level < top + 1)
        radius = tl.load(radii + tl.minimum(level, top).to(tl.int32), mask=small, other=-1)
        disc = tl.where(taken & (level >= top + 1), (blur / (2 * LEVELS_PER_PX) + 1).to(tl.int32), 0)
        place = ((scene * slices + s) * layers + tl.program_id(1)) * count + square
        tl.store(reach + place, tl.max(tl.max(radius, 1), 0))
        tl.store(far + place, tl.max(tl.max(disc, 1), 0))


@triton.jit
def _join(coarser, sums, height, width, h, w, BLOCK: tl.constexpr):
    """The light of the coarser level, averages over two pixels made averages over one along either axis."""
    plane = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < height * width
    y, x = i // width, i % width
    coarser += plane * h * w
    middle = x // 2
    own = _joined_rows(coarser, y, middle, h, w, inside)
    near = _joined_rows(coarser, y, middle - 1, h, w, inside) - _joined_rows(coarser, y, middle + 1, h, w, inside)
    beyond = _joined_rows(coarser, y, middle - 2, h, w, inside) - _joined_rows(coarser, y, middle + 2, h, w, inside)
    slope = NEAR * near - FAR * beyond
    tl.store(sums + plane * height * width + i, own + tl.where(x % 2 == 0, slope, -slope), mask=inside)


@triton.jit
def _joined_rows(coarser, y, column, h, w, inside):
    place = coarser + tl.minimum(tl.maximum(column, 0), w - 1)
    middle = y // 2
    own = tl.load(place + middle * w, mask=inside, other=0.0)
    up = tl.load(place + tl.maximum(middle - 1, 0) * w, mask=inside, other=0.0)
    down = tl.load(place + tl.minimum(middle + 1, h - 1) * w, mask=inside, other=0.0)
    up2 = tl.load(place + tl.maximum(middle - 2, 0) * w, mask=inside, other=0.0)
    down2 = tl.load(place + tl.minimum(middle + 2, h - 1) * w, mask=inside, other=0.0)
    slope = NEAR * (up - down) - FAR * (up2 - down2)
    return own + tl.where(y % 2 == 0, slope, -slope)


@triton.jit
def _add(
    disparity, kind, span, coarser_span, light, ratio, steep, share, partial, reaches, table, focus, sums,
    slices, height, width, squares_x, squares_y, top, side,
    PART: tl.constexpr, OWN: tl.constexpr, ABOVE: tl.constexpr, JOINED: tl.constexpr, POCKETS: tl.constexpr,
    SLICES: tl.constexpr, TILE_PX: tl.constexpr,
):  # fmt: skip
    """Add what the kernels spread into a tile of a part; where nothing is JOINED, to zero."""
    scene = tl.program_id(2).to(tl.int64)
    layer = PART // BACK
    first_y, first_x = tl.program_id(0) // squares_x * TILE_PX, tl.program_id(0) % squares_x * TILE_PX
    n = tl.arange(0, TILE_PX * TILE_PX)
    y, x = first_y + n // TILE_PX, first_x + n % TILE_PX
    s = tl.program_id(1) * SLICES + tl.arange(0, SLICES)
    f = tl.load(focus + scene * slices + tl.minimum(s, slices - 1)) * LEVELS_PER_PX
    size = height * width
    # Clamped as in scatter._blur.
    pixel = tl.minimum(y, height - 1) * width + tl.minimum(x, width - 1)
    place = sums + (((scene * slices + s) * PARTS + PART) * 4 * size)[:, None] + pixel[None, :]
    inside = (s < slices)[:, None] & ((y < height) & (x < width))[None, :]
    red, green = tl.zeros((SLICES, TILE_PX * TILE_PX), tl.float32), tl.zeros((SLICES, TILE_PX * TILE_PX), tl.float32)
    blue, covered = red, red
    if JOINED:
        red, green = tl.load(place, mask=inside, other=0.0), tl.load(place + size, mask=inside, other=0.0)
        blue, covered = (
            tl.load(place + 2 * size, mask=inside, other=0.0),
            tl.load(place + 3 * size, mask=inside, other=0.0),
        )
    square, away, there = squares_around(first_y, first_x, squares_y, squares_x, TILE_PX, TILE_PX)
    for p in range(POCKETS):
        own = layer * POCKETS + p  # among the scene's
        at = ((scene * slices + tl.minimum(s, slices - 1)) * 2 * POCKETS + own) * squares_y * squares_x
        radius = tl.load(reaches + at[:, None] + square[None, :], mask=there[None, :], other=-1)
        reaching = radius >= away[None, :]
        reach = tl.max(tl.max(tl.where(reaching, radius, -1), 1), 0)
        near = tl.max(reaching.to(tl.int32), 0) > 0
        own += scene * 2 * POCKETS
        kinds = tl.load(partial + own * squares_y * squares_x + square, mask=near, other=0).to(tl.int32)
        some_partial = tl.max(tl.where(near, kinds, 0), 0) == PARTIAL
        more_red, more_green, more_blue, more_covered = gather(
            light, disparity, ratio, steep, share, kind, span, coarser_span, table, own, f, y, x, reach, some_partial,
            height, width, top, side, PART, OWN, ABOVE, SLICES, TILE_PX * TILE_PX,
        )  # fmt: skip
        red, green, blue, covered = red + more_red, green + more_green, blue + more_blue, covered + more_covered
    tl.store(place, red, mask=inside)
    tl.store(place + size, green, mask=inside)
    tl.store(place + 2 * size, blue, mask=inside)
    tl.store(place + 3 * size, covered, mask=inside)


@triton.jit
def _add_large(
    disparity, kind, span, coarser_span, light, steep, share, far, focus, sums,
    slices, height, width, squares_x, squares_y, around, top,
    PART: tl.constexpr, OWN: tl.constexpr, ABOVE: tl.constexpr, POCKETS: tl.constexpr, TILE_PX: tl.constexpr,
):  # fmt: skip
    """scatter._add_large: what discs larger than any kernel spread into a tile, sample by sample; they are few.

    Beyond the borders there are replicas of the samples at the border: their squares are those at the border.
    """
    scene = tl.program_id(2).to(tl.int64)
    layer = PART // BACK
    row, column = tl.program_id(0) // squares_x, tl.program_id(0) % squares_x
    n = tl.arange(0, TILE_PX * TILE_PX)
    y, x = row * TILE_PX + n // TILE_PX, column * TILE_PX + n % TILE_PX
    s = tl.program_id(1)
    f = tl.load(focus + scene * slices + s) * LEVELS_PER_PX
    size = height * width
    red = tl.zeros((TILE_PX * TILE_PX,), tl.float32)
    green, blue, covered = red, red, red
    for p in range(POCKETS):
        own = layer * POCKETS + p
        reaches = far + ((scene * slices + s) * 2 * POCKETS + own) * squares_y * squares_x
        own += scene * 2 * POCKETS
        own_span, own_coarser_span = span + own * 2 * size, coarser_span + own * 2 * size
        for down in range(-around, around + 1):
            for right in range(-around, around + 1):
                their_row = tl.minimum(tl.maximum(row + down, 0), squares_y - 1)
                their_column = tl.minimum(tl.maximum(column + right, 0), squares_x - 1)
                reach = tl.load(reaches + their_row * squares_x + their_column)
                away = TILE_PX * (tl.maximum(tl.maximum(tl.abs(down), tl.abs(right)), 1) - 1)
                if reach > away:
                    for m in range(TILE_PX * TILE_PX):
                        from_y = (row + down) * TILE_PX + m // TILE_PX
                        from_x = (column + right) * TILE_PX + m % TILE_PX
                        j = tl.minimum(tl.maximum(from_y, 0), height - 1) * width
                        j += tl.minimum(tl.maximum(from_x, 0), width - 1)
                        blur = f - tl.load(disparity + own * size + j) * LEVELS_PER_PX
                        place = j + tl.zeros((1,), tl.int32)
                        taken = tl.max(is_taken(own_span, own_coarser_span, place, size, f, OWN, ABOVE).to(tl.int32), 1)
                        seen = tl.load(kind + own * size + j)
                        wanted = seen != NONE
                        if PART == WHOLE_FRONT:
                            wanted = wanted & (seen != PARTIAL)
                        if PART == PAST:
                            wanted = seen == PARTIAL
                        if (level_of(blur) >= top + 1) & wanted & (tl.max(taken, 0) > 0):
                            dy, dx = (y - from_y).to(tl.float32), (x - from_x).to(tl.float32)
                            blur = blur / LEVELS_PER_PX
                            radius = tl.abs(blur) / 2
                            rim = tl.minimum(tl.maximum(radius + 0.5 - tl.sqrt(dy * dy + dx * dx), 0.0), 1.0)
                            weight = rim / (PI * (radius * radius + 1 / 12))
                            if seen == PARTIAL:
                                e = steep + own * 6 * size + j
                                ux, uy = 2 * dx / blur, 2 * dy / blur
                                value = (
                                    tl.load(e)
                                    + tl.load(e + size) * ux
                                    + tl.load(e + 2 * size) * uy
                                    + tl.load(e + 3 * size) * ux * uy
                                    + tl.load(e + 4 * size) * (ux * ux - uy * uy)
                                    + tl.load(e + 5 * size) * (ux * ux + uy * uy - 0.5)
                                )
                                weight *= tl.minimum(tl.maximum(value, 0.0), 1.0) / tl.load(share + own * size + j)
                            color = light + own * 4 * size + j
                            red += weight * tl.load(color)
                            green += weight * tl.load(color + size)
                            blue += weight * tl.load(color + 2 * size)
                            covered += weight * tl.load(color + 3 * size)
    inside = (y < height) & (x < width)
    place = sums + ((scene * slices + s) * PARTS + PART) * 4 * size + y * width + x
    tl.store(place, tl.load(place, mask=inside, other=0.0) + red, mask=inside)
    tl.store(place + size, tl.load(place + size, mask=inside, other=0.0) + green, mask=inside)
    tl.store(place + 2 * size, tl.load(place + 2 * size, mask=inside, other=0.0) + blue, mask=inside)
    tl.store(place + 3 * size, tl.load(place + 3 * size, mask=inside, other=0.0) + covered, mask=inside)


@triton.jit
def _finish(sums, blurred, slices, size, scene_stride, BLOCK: tl.constexpr):
    """Slices of the sums of all parts."""
    scene, s = tl.program_id(2).to(tl.int64), tl.program_id(1)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    whole = sums + (scene * slices + s) * PARTS * 4 * size + i
    past, back = whole + PAST * 4 * size, whole + BACK * 4 * size
    first, second, third = shares(
        tl.load(whole + 3 * size, mask=inside, other=1.0),
        tl.load(past + 3 * size, mask=inside, other=0.0),
        tl.load(back + 3 * size, mask=inside, other=0.0),
    )
    blurred += scene * scene_stride + s * 3 * size + i
    for c in tl.static_range(3):
        color = first * tl.load(whole + c * size, mask=inside, other=0.0)
        color += second * tl.load(past + c * size, mask=inside, other=0.0)
        color += third * tl.load(back + c * size, mask=inside, other=0.0)
        tl.store(blurred + c * size, color, mask=inside)
