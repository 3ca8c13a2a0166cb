"""What the lens sees of every sample (render/visibility.py) as a kernel: 32 rays for all pixels of a tile at once.

Every thread has one pixel and a quarter of the rays.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import triton
import triton.language as tl

from focalsim.render import visibility as compiled
from focalsim.render import visibility_code
from focalsim.render.kernels import lens_basis
from focalsim.render.tensors.cuda.launch import OPTIONS, blocks
from focalsim.render.tensors.cuda.layers import window_extreme
from focalsim.render.tensors.samples import SampleTensors
from focalsim.render.unmix import EDGE_PX as _EDGE_PX

_ROWS, _COLUMNS = 4, 8  # pixels of a tile, one for each thread of a warp

EDGE_PX = tl.constexpr(_EDGE_PX)
UNSEEN = tl.constexpr(compiled.UNSEEN)
WHOLE, PARTIAL = tl.constexpr(compiled.WHOLE), tl.constexpr(compiled.PARTIAL)
ALL, SURE = tl.constexpr(float(compiled.ALL)), tl.constexpr(visibility_code.SURE)
STEEPER, STEP = tl.constexpr(float(compiled.STEEPER)), tl.constexpr(float(compiled.STEP))
HALF, ROUNDS = tl.constexpr(0.5), tl.constexpr(compiled.ROUNDS)


def seen_samples(layers: torch.Tensor) -> SampleTensors:
    """Samples of ``layers`` (B, 2, 5, H, W) and what the lens sees of them."""
    scenes, _, _, height, width = layers.shape
    front = layers[:, 0, 4].contiguous()
    present_q = torch.where(layers[:, :, 3] > 0, layers[:, :, 4], torch.inf)
    reach = ((front.amax((1, 2)) - present_q.amin((1, 2, 3))) / 2).ceil().int() + 1
    nearest = window_extreme(front, reach, highest=True)
    samples = SampleTensors.empty(scenes, 2, height, width, layers.device)
    tiles_x = blocks(width, _COLUMNS)
    _see[(tiles_x * blocks(height, _ROWS), 2, scenes)](
        layers, nearest, _rays(layers.device), samples.light, samples.disparity_px, samples.ratio, samples.steep,
        samples.kind, samples.share, height, width, tiles_x,
        ROWS=_ROWS, COLUMNS=_COLUMNS, RAYS=compiled.RAYS, **OPTIONS,
    )  # fmt: skip
    return samples


@lru_cache(maxsize=8)
def _rays(device: torch.device) -> torch.Tensor:
    """Half the lens points, x and y, and the weights of the six coefficients: (8, RAYS)."""
    points = compiled.lens_points()
    rows = np.concatenate([points.T / 2, np.linalg.pinv(lens_basis(points))])
    return torch.from_numpy(rows.astype(np.float32)).to(device)


@triton.jit
def _see(
    layers, nearest, rays, light, disparity, ratio, steep, kind, shares, height, width, tiles_x,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RAYS: tl.constexpr,
):  # fmt: skip
    scene = tl.program_id(2).to(tl.int64)
    layer = tl.program_id(1)
    size = height * width
    n = tl.arange(0, ROWS * COLUMNS)
    y = tl.program_id(0) // tiles_x * ROWS + n // COLUMNS
    x = tl.program_id(0) % tiles_x * COLUMNS + n % COLUMNS
    inside = (y < height) & (x < width)
    i = y * width + x
    front = layers + scene * 10 * size
    own = front + layer * 5 * size + i
    red = tl.load(own, mask=inside, other=0.0)
    green = tl.load(own + size, mask=inside, other=0.0)
    blue = tl.load(own + 2 * size, mask=inside, other=0.0)
    coverage = tl.load(own + 3 * size, mask=inside, other=0.0)
    q = tl.load(own + 4 * size, mask=inside, other=0.0)
    present = coverage > 0
    gap = tl.load(nearest + scene * size + i, mask=inside, other=0.0) - q
    todo = present & (gap > EDGE_PX)

    # Where nothing stands before any of them, the whole lens sees all.
    visible, partial, share = present, present & (gap > float("inf")), tl.full((ROWS * COLUMNS,), 1.0, tl.float32)
    place = scene * 2 + layer
    reach = tl.max(tl.where(todo, gap / 2 + 1.5, 0.0).to(tl.int32), 0)
    if reach > 0:
        ray = tl.arange(0, RAYS)
        ux, uy = tl.load(rays + ray), tl.load(rays + RAYS + ray)
        seen = tl.full((RAYS, ROWS * COLUMNS), 1.0, tl.float32)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                there = todo & (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
                j = i + dy * width + dx
                ahead = tl.load(front + 4 * size + j, mask=there, other=float("-inf")) - q
                far = ahead / 2 + 1.42
                hit = (ahead > EDGE_PX) & (dy * dy + dx * dx <= far * far)
                if tl.max(hit.to(tl.int32), 0) > 0:
                    cover = tl.load(front + 3 * size + j, mask=hit, other=0.0)
                    ahead = tl.where(hit, ahead, 0.0)
                    tent_x = tl.maximum(1 - tl.abs(dx - ux[:, None] * ahead[None, :]), 0.0)
                    tent_y = tl.maximum(1 - tl.abs(dy - uy[:, None] * ahead[None, :]), 0.0)
                    seen -= cover[None, :] * tent_x * tent_y
        seen = tl.maximum(seen, 0.0)
        fit = rays + 2 * RAYS + ray
        a0 = _fitted(seen, fit)
        hidden = tl.min(seen, 0) < ALL
        visible = present & ((hidden == 0) | (a0 > UNSEEN))
        partial = visible & hidden
        share = tl.where(partial, a0, 1.0)
        if tl.max(partial.to(tl.int32), 0) > 0:
            a1, a2, a3 = _fitted(seen, fit + RAYS), _fitted(seen, fit + 2 * RAYS), _fitted(seen, fit + 3 * RAYS)
            a4, a5 = _fitted(seen, fit + 4 * RAYS), _fitted(seen, fit + 5 * RAYS)
            to = ratio + place * 5 * size + i
            tl.store(to, a1 / share, mask=partial)
            tl.store(to + size, a2 / share, mask=partial)
            tl.store(to + 2 * size, a3 / share, mask=partial)
            tl.store(to + 3 * size, a4 / share, mask=partial)
            tl.store(to + 4 * size, a5 / share, mask=partial)
            # About a half, so that it becomes steeper where it is; then toward what each ray lacks.
            e0, e1, e2 = (a0 - HALF) * STEEPER + HALF, a1 * STEEPER, a2 * STEEPER
            e3, e4, e5 = a3 * STEEPER, a4 * STEEPER, a5 * STEEPER
            for _ in range(ROUNDS):
                tl.debug_barrier()  # else all weights are loaded before, into registers that the loop above needs
                lack = _missing(seen, _polynomial(e0, e1, e2, e3, e4, e5, ux, uy))
                e0 += _fitted(lack, fit) * STEP
                e1 += _fitted(lack, fit + RAYS) * STEP
                e2 += _fitted(lack, fit + 2 * RAYS) * STEP
                e3 += _fitted(lack, fit + 3 * RAYS) * STEP
                e4 += _fitted(lack, fit + 4 * RAYS) * STEP
                e5 += _fitted(lack, fit + 5 * RAYS) * STEP
            to = steep + place * 6 * size + i
            tl.store(to, e0, mask=partial)
            tl.store(to + size, e1, mask=partial)
            tl.store(to + 2 * size, e2, mask=partial)
            tl.store(to + 3 * size, e3, mask=partial)
            tl.store(to + 4 * size, e4, mask=partial)
            tl.store(to + 5 * size, e5, mask=partial)
    weight = tl.where(visible, coverage * share, 0.0)
    tl.store(disparity + place * size + i, q, mask=inside)
    tl.store(kind + place * size + i, tl.where(visible, tl.where(partial, PARTIAL, WHOLE), 0).to(tl.int8), mask=inside)
    tl.store(shares + place * size + i, share, mask=inside)
    light += place * 4 * size + i
    tl.store(light, red * weight, mask=inside)
    tl.store(light + size, green * weight, mask=inside)
    tl.store(light + 2 * size, blue * weight, mask=inside)
    tl.store(light + 3 * size, weight, mask=inside)


@triton.jit
def _fitted(values, fit):
    """A coefficient that fits ``values`` (rays, pixels), by its weights of the rays."""
    return tl.sum(values * tl.load(fit)[:, None], 0)


@triton.jit
def _polynomial(e0, e1, e2, e3, e4, e5, ux, uy):
    """The sum of lens_basis times coefficients (pixels,) at rays whose halves of x and y are given: (rays, pixels)."""
    x, y = ux[:, None], uy[:, None]
    along_x = (2 * e1)[None, :] + x * (4 * (e5 + e4))[None, :] + y * (4 * e3)[None, :]
    along_y = (2 * e2)[None, :] + y * (4 * (e5 - e4))[None, :]
    return (e0 - 0.5 * e5)[None, :] + x * along_x + y * along_y


@triton.jit
def _missing(seen, found):
    """What polynomials lack to what rays see: where these see all or nothing, it may go beyond."""
    beyond = ((seen > 1 - SURE) & (found > seen)) | ((seen < SURE) & (found < seen))
    return tl.where(beyond, 0.0, seen - found)
