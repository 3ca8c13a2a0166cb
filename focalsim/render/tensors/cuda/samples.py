"""The next coarser level of samples (render/samples.py) as a kernel: four pixels in one, parted where surfaces meet."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from focalsim.render import samples as compiled
from focalsim.render import visibility
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks
from focalsim.render.tensors.samples import SampleTensors

_BLOCK = 128  # coarser pixels a program

SURFACE_PX = tl.constexpr(compiled.SURFACE_PX)
NONE, WHOLE, PARTIAL = (tl.constexpr(kind) for kind in (visibility.NONE, visibility.WHOLE, visibility.PARTIAL))


def merge(samples: SampleTensors, span: torch.Tensor) -> tuple[SampleTensors, torch.Tensor, torch.Tensor]:
    """The next level and its spans, two pockets of each layer, and these spans as the finer samples see them."""
    scenes, layers, height, width = samples.kind.shape
    h, w = (height + 1) // 2, (width + 1) // 2
    coarser = SampleTensors.empty(scenes, 4, h, w, span.device)
    coarser_span, seen_span = span.new_empty(scenes, 4, 2, h, w), torch.empty_like(span)
    _merge[(blocks(h * w, _BLOCK), 2, scenes)](
        samples.light, samples.disparity_px, samples.ratio, samples.steep, samples.kind, samples.share, span,
        coarser.light, coarser.disparity_px, coarser.ratio, coarser.steep, coarser.kind, coarser.share,
        coarser_span, seen_span,
        height, width, h, w, POCKETS=layers // 2, BLOCK=_BLOCK, **OPTIONS,
    )  # fmt: skip
    return coarser, coarser_span, seen_span


@triton.jit
def _merge(
    light, disparity, ratio, steep, kind, share, span,
    to_light, to_disparity, to_ratio, to_steep, to_kind, to_share, to_span, seen_span,
    height, width, h, w, POCKETS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    layer = tl.program_id(2).to(tl.int64) * 2 + tl.program_id(1)
    size = height * width
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < h * w
    y, x = 2 * (i // w), 2 * (i % w)
    first = layer * POCKETS
    light += first * 4 * size
    disparity += first * size
    ratio += first * 5 * size
    steep += first * 6 * size
    kind += first * size
    share += first * size
    span += first * 2 * size

    # The widest gap between two surfaces: each sample's to the nearest below it.
    gap, split = tl.full((BLOCK,), SURFACE_PX, tl.float32), tl.full((BLOCK,), float("inf"), tl.float32)
    for m in range(4 * POCKETS):
        there, j = _sample(kind, m, y, x, height, width, inside)
        rim = tl.load(disparity + j, mask=there, other=float("inf"))
        below = tl.full((BLOCK,), float("-inf"), tl.float32)
        for k in range(4 * POCKETS):
            other_there, other = _sample(kind, k, y, x, height, width, inside)
            q = tl.load(disparity + other, mask=other_there, other=float("inf"))
            below = tl.where((q < rim) & (q > below), q, below)
        found = there & (below > float("-inf"))
        rise = tl.where(found, rim - tl.where(found, below, 0.0), 0.0)
        wider = (rise > gap) | ((rise == gap) & (rim < split) & (split < float("inf")))
        gap, split = tl.where(wider, rise, gap), tl.where(wider, rim, split)

    for pocket in tl.static_range(2):
        weights, total_q = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
        red, green, blue, a0 = weights, weights, weights, weights
        a1, a2, a3, a4, a5 = weights, weights, weights, weights, weights
        e0, e1, e2, e3, e4, e5 = weights, weights, weights, weights, weights, weights
        low, high = tl.full((BLOCK,), float("inf"), tl.float32), tl.full((BLOCK,), float("-inf"), tl.float32)
        some, some_partial = i < 0, i < 0
        for m in range(4 * POCKETS):
            there, j = _sample(kind, m, y, x, height, width, inside)
            q = tl.load(disparity + j, mask=there, other=0.0)
            member = there & ((q >= split) == (pocket == 1))
            is_partial = member & (tl.load(kind + j, mask=member, other=NONE) == PARTIAL)
            seen = tl.load(share + j, mask=member, other=1.0)
            place = j + m // 4 * 3 * size  # of four planes
            covered = tl.load(light + place + 3 * size, mask=member, other=0.0)
            a0 += covered
            red += tl.load(light + place, mask=member, other=0.0) / seen
            green += tl.load(light + place + size, mask=member, other=0.0) / seen
            blue += tl.load(light + place + 2 * size, mask=member, other=0.0) / seen
            place = ratio + j + m // 4 * 4 * size  # of five planes
            a1 += covered * tl.load(place, mask=is_partial, other=0.0)
            a2 += covered * tl.load(place + size, mask=is_partial, other=0.0)
            a3 += covered * tl.load(place + 2 * size, mask=is_partial, other=0.0)
            a4 += covered * tl.load(place + 3 * size, mask=is_partial, other=0.0)
            a5 += covered * tl.load(place + 4 * size, mask=is_partial, other=0.0)
            covered /= seen
            weights += covered
            total_q += covered * q
            place = steep + j + m // 4 * 5 * size  # of six planes; the whole lens' polynomial is one
            e0 += covered * tl.load(place, mask=is_partial, other=1.0)
            e1 += covered * tl.load(place + size, mask=is_partial, other=0.0)
            e2 += covered * tl.load(place + 2 * size, mask=is_partial, other=0.0)
            e3 += covered * tl.load(place + 3 * size, mask=is_partial, other=0.0)
            e4 += covered * tl.load(place + 4 * size, mask=is_partial, other=0.0)
            e5 += covered * tl.load(place + 5 * size, mask=is_partial, other=0.0)
            place = span + j + m // 4 * size  # of two planes
            low = tl.minimum(low, tl.load(place, mask=member, other=float("inf")))
            high = tl.maximum(high, tl.load(place + size, mask=member, other=float("-inf")))
            some |= member
            some_partial |= is_partial
        low, high = low / 2, high / 2
        norm, seen_norm = 1.0 / tl.where(some, weights, 1.0), 1.0 / tl.where(some_partial, a0, 1.0)
        seen = tl.where(some_partial, a0 * norm, 1.0)
        to = layer * 2 + pocket
        place = to_light + to * 4 * h * w + i
        tl.store(place, red / 4 * seen, mask=inside)
        tl.store(place + h * w, green / 4 * seen, mask=inside)
        tl.store(place + 2 * h * w, blue / 4 * seen, mask=inside)
        tl.store(place + 3 * h * w, weights / 4 * seen, mask=inside)
        place = to_ratio + to * 5 * h * w + i
        tl.store(place, a1 * seen_norm, mask=inside)
        tl.store(place + h * w, a2 * seen_norm, mask=inside)
        tl.store(place + 2 * h * w, a3 * seen_norm, mask=inside)
        tl.store(place + 3 * h * w, a4 * seen_norm, mask=inside)
        tl.store(place + 4 * h * w, a5 * seen_norm, mask=inside)
        place = to_steep + to * 6 * h * w + i
        tl.store(place, e0 * norm, mask=inside)
        tl.store(place + h * w, e1 * norm, mask=inside)
        tl.store(place + 2 * h * w, e2 * norm, mask=inside)
        tl.store(place + 3 * h * w, e3 * norm, mask=inside)
        tl.store(place + 4 * h * w, e4 * norm, mask=inside)
        tl.store(place + 5 * h * w, e5 * norm, mask=inside)
        merged = tl.where(some, tl.where(some_partial, PARTIAL, WHOLE), NONE)
        tl.store(to_disparity + to * h * w + i, total_q / 2 * norm, mask=inside)
        tl.store(to_kind + to * h * w + i, merged.to(tl.int8), mask=inside)
        tl.store(to_share + to * h * w + i, seen, mask=inside)
        tl.store(to_span + to * 2 * h * w + i, low, mask=inside)
        tl.store(to_span + (to * 2 + 1) * h * w + i, high, mask=inside)
        for m in range(4 * POCKETS):
            there, j = _sample(kind, m, y, x, height, width, inside)
            member = there & ((tl.load(disparity + j, mask=there, other=0.0) >= split) == (pocket == 1))
            place = seen_span + first * 2 * size + j + m // 4 * size
            tl.store(place, 2 * low, mask=member)
            tl.store(place + size, 2 * high, mask=member)


@triton.jit
def _sample(kind, m, y, x, height, width, inside):
    """Whether there is the m-th of the four pixels' samples, pocket by pocket, and where. Beyond an odd border the
    frame is replicated.
    """
    yy, xx = tl.minimum(y + m // 2 % 2, height - 1), tl.minimum(x + m % 2, width - 1)
    j = m // 4 * height * width + yy * width + xx
    return tl.load(kind + j, mask=inside, other=NONE) != NONE, j
