"""Front and back samples of every pixel (render/layers.py) as kernels: un-mix edge pixels, fill in what is hidden."""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl

from focalsim.render import unmix as compiled
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks
from focalsim.render.tensors.samples import range_3x3

PLANES = 5  # of a layer: red, green, blue, coverage, disparity
_BLOCK = 128  # pixels a program

EDGE_PX = tl.constexpr(compiled.EDGE_PX)
COVERAGE_TRUST = tl.constexpr(1 / compiled.COVERAGE_STD**2)
MIXED = tl.constexpr(compiled.MIXED)
NOISE_VARIANCE = tl.constexpr(compiled.NOISE_VARIANCE)


def split_layers(
    rgb: torch.Tensor, q: torch.Tensor, hidden_rgb: torch.Tensor | None, hidden_q: torch.Tensor | None
) -> torch.Tensor:
    """Layers (B, 2, 5, H, W), front and back, of frames (B, H, W, 3) with disparities (B, H, W)."""
    scenes, height, width = q.shape
    low, high = range_3x3(q)
    edge = (high - low > compiled.EDGE_PX).to(torch.int8)
    layers = q.new_empty(scenes, 2, PLANES, height, width)
    before = torch.empty_like(layers)
    mixed = torch.empty_like(edge)
    grid = blocks(height * width, _BLOCK), scenes
    known = hidden_rgb is not None and hidden_q is not None
    hidden = (hidden_rgb, hidden_q) if known else (rgb, q)
    frame = rgb, q, low, high, edge, _edge_coverage(q.device), *hidden
    options = {"HIDDEN": known, "BLOCK": _BLOCK, **OPTIONS}
    _unmix[grid](*frame, layers, before, mixed, height, width, FIRST=True, **options)
    _unmix[grid](*frame, before, layers, mixed, height, width, FIRST=False, **options)
    reach = ((q.amax((1, 2)) - q.amin((1, 2))) / 2).ceil().int() + 1
    _fill[grid](layers, mixed, window_extreme(q, reach, highest=False), height, width, BLOCK=_BLOCK, **OPTIONS)
    return layers


@lru_cache(maxsize=8)
def _edge_coverage(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(compiled.edge_coverage()).to(device)


def window_extreme(planes: torch.Tensor, reach: torch.Tensor, *, highest: bool) -> torch.Tensor:
    """Lowest or highest value of (B, H, W) in a square of 2 reach + 1 pixels, ``reach`` (B,) int32."""
    scenes, height, width = planes.shape
    for extent, stride in ((width, 1), (height, width)):
        target = torch.empty_like(planes)
        grid = blocks(height * width, 256), scenes
        _extreme_along[grid](
            planes, target, reach, extent, stride, height * width, HIGHEST=highest, BLOCK=256, **OPTIONS
        )
        planes = target
    return planes


@triton.jit
def _extreme_along(source, target, reach, extent, stride, size, HIGHEST: tl.constexpr, BLOCK: tl.constexpr):
    scene = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    at = (i // stride) % extent
    source += scene * size
    r = tl.load(reach + scene)
    found = tl.load(source + i, mask=inside, other=0.0)
    for d in range(-r, r + 1):
        there = inside & (at + d >= 0) & (at + d < extent)
        if HIGHEST:
            found = tl.maximum(found, tl.load(source + i + d * stride, mask=there, other=float("-inf")))
        else:
            found = tl.minimum(found, tl.load(source + i + d * stride, mask=there, other=float("inf")))
    tl.store(target + scene * size + i, found, mask=inside)


@triton.jit
def _unmix(
    rgb, q, low, high, edge, shapes, hidden_rgb, hidden_q, before, layers, mixed, height, width,
    FIRST: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A round of layers.split_layers before the filling: ``layers`` from those ``before``, or in the first from the
    frame; ``mixed`` marks edge pixels that have a back sample of their own.
    """
    scene = tl.program_id(1).to(tl.int64)
    size = height * width
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    y, x = i // width, i % width
    rgb += scene * 3 * size
    q += scene * size
    edge += scene * size
    red = tl.load(rgb + 3 * i, mask=inside, other=0.0)
    green = tl.load(rgb + 3 * i + 1, mask=inside, other=0.0)
    blue = tl.load(rgb + 3 * i + 2, mask=inside, other=0.0)
    own = tl.load(q + i, mask=inside, other=1.0)
    on_edge = tl.load(edge + i, mask=inside, other=0) > 0

    before += scene * 10 * size
    # As if there were no edge: the front is the frame, the back what is known.
    f_red, f_green, f_blue, f_cov, f_q = red, green, blue, tl.full((BLOCK,), 1.0, tl.float32), own
    b_red, b_green, b_blue = tl.zeros_like(own), tl.zeros_like(own), tl.zeros_like(own)
    b_cov, b_q = tl.zeros_like(own), tl.zeros_like(own)
    had = tl.zeros_like(on_edge)
    h_red, h_green, h_blue, hq = b_red, b_green, b_blue, b_q
    if HIDDEN:
        hq = tl.load(hidden_q + scene * size + i, mask=inside, other=float("inf"))
        had = own - hq > EDGE_PX  # not where it is NaN
        hidden_rgb += scene * 3 * size
        h_red = tl.load(hidden_rgb + 3 * i, mask=had, other=0.0)
        h_green = tl.load(hidden_rgb + 3 * i + 1, mask=had, other=0.0)
        h_blue = tl.load(hidden_rgb + 3 * i + 2, mask=had, other=0.0)
        hq = tl.where(had, hq, 0.0)
        b_red, b_green, b_blue, b_cov, b_q = h_red, h_green, h_blue, tl.where(had, 1.0, 0.0), hq
    if not FIRST:
        f_red, f_green = tl.load(before + i, mask=inside, other=0.0), tl.load(before + size + i, mask=inside, other=0.0)
        f_blue = tl.load(before + 2 * size + i, mask=inside, other=0.0)
        f_cov = tl.load(before + 3 * size + i, mask=inside, other=0.0)
        f_q = tl.load(before + 4 * size + i, mask=inside, other=0.0)
        b_red = tl.load(before + 5 * size + i, mask=inside, other=0.0)
        b_green = tl.load(before + 6 * size + i, mask=inside, other=0.0)
        b_blue = tl.load(before + 7 * size + i, mask=inside, other=0.0)
        b_cov = tl.load(before + 8 * size + i, mask=inside, other=0.0)
        b_q = tl.load(before + 9 * size + i, mask=inside, other=0.0)

    if tl.max(on_edge.to(tl.int32), 0) > 0:
        lo = tl.load(low + scene * size + i, mask=inside, other=0.0)
        hi = tl.load(high + scene * size + i, mask=inside, other=0.0)
        middle = 0.5 * (lo + hi)
        code, none = tl.zeros((BLOCK,), tl.int32), tl.zeros_like(own)
        sum_f, q_f, fr, fg, fb, square_f, weights_f = none, none, none, none, none, none, none
        sum_b, q_b, br, bg, bb, square_b, weights_b = none, none, none, none, none, none, none
        for n in range(25 if FIRST else 50):
            place = n % 25  # all front samples around, then all back samples
            dy, dx = place // 5 - 2, place % 5 - 2
            square = dy * dy + dx * dx
            yy = tl.minimum(tl.maximum(y + dy, 0), height - 1)
            xx = tl.minimum(tl.maximum(x + dx, 0), width - 1)
            j = yy * width + xx
            near_by = tl.where(square == 0, 0.0, 1.0 / tl.maximum(square * square, 1))
            if FIRST:
                r = tl.load(rgb + 3 * j, mask=on_edge, other=0.0)
                g = tl.load(rgb + 3 * j + 1, mask=on_edge, other=0.0)
                b = tl.load(rgb + 3 * j + 2, mask=on_edge, other=0.0)
                there = tl.load(q + j, mask=on_edge, other=0.0)
                share = tl.where(tl.load(edge + j, mask=on_edge, other=0) > 0, MIXED, 1.0)
            else:
                sample = before + (n // 25) * 5 * size + j
                r = tl.load(sample, mask=on_edge, other=0.0)
                g = tl.load(sample + size, mask=on_edge, other=0.0)
                b = tl.load(sample + 2 * size, mask=on_edge, other=0.0)
                there = tl.load(sample + 4 * size, mask=on_edge, other=0.0)
                covered = tl.load(before + 3 * size + j, mask=on_edge, other=0.0)
                share = tl.where(n < 25, covered, 1 - covered)
            is_near = (square <= 2) & (n < 25) & (tl.load(q + j, mask=on_edge, other=0.0) > middle)
            code |= tl.where(is_near, 1 << tl.maximum(3 * dy + dx + 4, 0), 0)
            bright = r * r + g * g + b * b
            w = tl.where((there > middle) & (there < hi + EDGE_PX), share * near_by, 0.0)
            sum_f += w
            q_f += w * there
            fr += w * r
            fg += w * g
            fb += w * b
            square_f += w * bright
            weights_f += w * w
            w = tl.where((there <= middle) & (there > lo - EDGE_PX), share * near_by, 0.0)
            sum_b += w
            q_b += w * there
            br += w * r
            bg += w * g
            bb += w * b
            square_b += w * bright
            weights_b += w * w
        usable = on_edge & (sum_f > 0) & (sum_b > 0)
        sum_f = tl.where(usable, sum_f, 1.0)
        sum_b = tl.where(usable, sum_b, 1.0)
        fr, fg, fb = fr / sum_f, fg / sum_f, fb / sum_f
        br, bg, bb = br / sum_b, bg / sum_b, bb / sum_b
        own_near = own > middle
        known = own_near & had
        variance_f = _variance(square_f / sum_f, fr, fg, fb, sum_f, weights_f)
        variance_b = tl.where(known, NOISE_VARIANCE, _variance(square_b / sum_b, br, bg, bb, sum_b, weights_b))
        prior = tl.load(shapes + code)
        br = tl.where(known, h_red, br)
        bg = tl.where(known, h_green, bg)
        bb = tl.where(known, h_blue, bb)
        along = (red - br) * (fr - br) + (green - bg) * (fg - bg) + (blue - bb) * (fb - bb)
        contrast = (fr - br) * (fr - br) + (fg - bg) * (fg - bg) + (fb - bb) * (fb - bb)
        trust = prior * prior * variance_f + (1 - prior) * (1 - prior) * variance_b
        coverage = (along / trust + prior * COVERAGE_TRUST) / (contrast / trust + COVERAGE_TRUST)
        least, most = tl.where(own_near, 0.3, 0.0), tl.where(own_near, 1.0, 0.7)
        coverage = tl.minimum(tl.maximum(coverage, least), most)
        spread = coverage * coverage * variance_f + (1 - coverage) * (1 - coverage) * variance_b
        pull = coverage * variance_f / spread
        front_r, back_r = _share(red, fr, br, coverage, pull)
        front_g, back_g = _share(green, fg, bg, coverage, pull)
        front_b, back_b = _share(blue, fb, bb, coverage, pull)
        f_red = tl.where(usable, front_r, f_red)
        f_green = tl.where(usable, front_g, f_green)
        f_blue = tl.where(usable, front_b, f_blue)
        b_red = tl.where(usable, back_r, b_red)
        b_green = tl.where(usable, back_g, b_green)
        b_blue = tl.where(usable, back_b, b_blue)
        f_cov = tl.where(usable, coverage, f_cov)
        b_cov = tl.where(usable, 1.0, b_cov)
        f_q = tl.where(usable & (own <= middle), q_f / sum_f, f_q)
        b_q = tl.where(usable, tl.where(own_near, tl.where(known, hq, q_b / sum_b), own), b_q)

    layers += scene * 10 * size + i
    tl.store(layers, f_red, mask=inside)
    tl.store(layers + size, f_green, mask=inside)
    tl.store(layers + 2 * size, f_blue, mask=inside)
    tl.store(layers + 3 * size, f_cov, mask=inside)
    tl.store(layers + 4 * size, f_q, mask=inside)
    tl.store(layers + 5 * size, b_red, mask=inside)
    tl.store(layers + 6 * size, b_green, mask=inside)
    tl.store(layers + 7 * size, b_blue, mask=inside)
    tl.store(layers + 8 * size, b_cov, mask=inside)
    tl.store(layers + 9 * size, b_q, mask=inside)
    tl.store(mixed + scene * size + i, (on_edge & (b_cov > 0)).to(tl.int8), mask=inside)


@triton.jit
def _variance(squares, red, green, blue, weights, square_weights):
    """layers._variance"""
    scatter = tl.maximum(squares - (red * red + green * green + blue * blue), 0.0) / 3
    share = tl.minimum(square_weights / (weights * weights), 0.5)
    return scatter * (1 + share) / (1 - share) + NOISE_VARIANCE


@triton.jit
def _share(color, front, back, coverage, pull):
    """One channel of front and back, that mixed by ``coverage`` give ``color``."""
    misfit = color - coverage * front - (1 - coverage) * back
    own = tl.maximum(front + pull * misfit, 0.0)
    positive = tl.where(coverage > 0, coverage, 1.0)
    own = tl.where(coverage > 0, tl.minimum(own, tl.maximum(color, 0.0) / positive), own)
    clear = coverage < 0.999
    rest = (color - coverage * own) / tl.where(clear, 1 - coverage, 1.0)
    return own, tl.where(clear, rest, back)


@triton.jit
def _fill(layers, mixed, farthest, height, width, BLOCK: tl.constexpr):
    """layers._fill_back: what is written here no program reads, so that their order does not matter."""
    scene = tl.program_id(1).to(tl.int64)
    size = height * width
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    y, x = i // width, i % width
    layers += scene * 10 * size
    mixed += scene * size
    # Disparity before un-mixing: that of the front, but where the pixel was mixed, and such a one has a back already.
    own = tl.load(layers + 4 * size + i, mask=inside, other=0.0)
    gap = own - tl.load(farthest + scene * size + i, mask=inside, other=0.0)
    todo = inside & (gap > EDGE_PX) & (tl.load(layers + 8 * size + i, mask=inside, other=1.0) == 0)
    if tl.max(todo.to(tl.int32), 0) > 0:
        reach = tl.where(todo, (gap / 2 + 1).to(tl.int32), 0)
        best = reach * reach + 1
        q_near = tl.zeros_like(own)
        r = tl.max(reach, 0)
        for dy in range(-r, r + 1):
            for dx in range(-r, r + 1):
                square = dy * dy + dx * dx
                there = todo & (square < best) & (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
                there = there & (dy <= reach) & (-dy <= reach) & (dx <= reach) & (-dx <= reach)
                j = i + dy * width + dx
                layer = tl.load(mixed + j, mask=there, other=0).to(tl.int32) * 5
                behind = tl.load(layers + (layer + 4) * size + j, mask=there, other=float("inf"))
                closer = behind < own - EDGE_PX
                best = tl.where(closer, square, best)
                q_near = tl.where(closer, behind, q_near)
        found = todo & (best <= reach * reach)
        radius = tl.where(found, (tl.sqrt(best.to(tl.float32)) + 1.5).to(tl.int32), 0)
        weights, total = tl.zeros_like(own), tl.zeros_like(own)
        red, green, blue = tl.zeros_like(own), tl.zeros_like(own), tl.zeros_like(own)
        r = tl.max(radius, 0)
        for dy in range(-r, r + 1):
            for dx in range(-r, r + 1):
                square = dy * dy + dx * dx
                there = found & (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
                there = there & (square <= radius * radius)  # the pixel itself is not behind itself
                j = i + dy * width + dx
                is_mixed = tl.load(mixed + j, mask=there, other=0).to(tl.int32)
                place = layers + is_mixed * 5 * size + j
                behind = tl.load(place + 4 * size, mask=there, other=float("inf"))
                taken = there & (behind < own - EDGE_PX) & (tl.abs(behind - q_near) < 2 * EDGE_PX)
                r_, g_, b_ = (
                    tl.load(place, mask=taken, other=0.0),
                    tl.load(place + size, mask=taken, other=0.0),
                    tl.load(place + 2 * size, mask=taken, other=0.0),
                )
                weight = 1.0 / tl.maximum(square, 1)
                weight = weight / (1 + tl.maximum(r_, tl.maximum(g_, b_)))
                weight = tl.where(taken, weight, 0.0)
                weights += weight
                total += weight * tl.where(taken, behind, 0.0)
                red += weight * r_
                green += weight * g_
                blue += weight * b_
        some = found & (weights > 0)
        norm = 1.0 / tl.where(some, weights, 1.0)
        place = layers + 5 * size + i
        tl.store(place, red * norm, mask=some)
        tl.store(place + size, green * norm, mask=some)
        tl.store(place + 2 * size, blue * norm, mask=some)
        tl.store(place + 3 * size, tl.full((BLOCK,), 1.0, tl.float32), mask=some)
        tl.store(place + 4 * size, total * norm, mask=some)
