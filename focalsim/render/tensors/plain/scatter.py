"""The sums of all slices (render/scatter.py): the kernels' taps one after another, each a dense multiplication and
addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import pi
from typing import Any

import torch

from focalsim.render.kernels import BASIS_SIZE
from focalsim.render.scatter import BACK, ENOUGH, FAR, LEAST, NEAR, PARTS, PAST
from focalsim.render.tensors.kernels import Kernels, level_of, place_in_taps, slopes, taps
from focalsim.render.tensors.levels import Level, is_taken
from focalsim.render.tensors.samples import SampleTensors
from focalsim.render.visibility import PARTIAL, STEEP_FROM_PX

_AT_ONCE = 1 << 20  # weights of samples larger than any kernel


def blur(levels: list[Level], focus_disparity_px: torch.Tensor, kernels: Kernels) -> torch.Tensor:
    """Slices (B, S, 3, H, W) of all scenes, focused at g/s = ``focus_disparity_px`` (B, S)."""
    return torch.stack([_blur_scene(levels, n, focus, kernels) for n, focus in enumerate(focus_disparity_px)])


def _blur_scene(levels: list[Level], scene: int, focus: torch.Tensor, kernels: Kernels) -> torch.Tensor:
    sums: torch.Tensor | None = None
    for n, level in reversed(list(enumerate(levels))):
        coarser = sums
        sums = torch.stack([_sum_part(level, scene, part, focus / 2**n, kernels) for part in range(PARTS)])
        if coarser is not None:
            sums = sums + join(coarser, *sums.shape[-2:])
    assert sums is not None
    total, past, back = sums  # and their shares, as scatter.shares
    total = total + ((1 - total[:, 3:]).clamp(min=0) / past[:, 3:].clamp(min=LEAST)).clamp(max=1) * past
    behind = back[:, 3:]
    share = torch.where(behind > ENOUGH, (1 - total[:, 3:]).clamp(min=0) / behind.clamp(min=ENOUGH), 0.0)
    total = total + share * back
    color: torch.Tensor = total[:, :3] / total[:, 3:].clamp(min=ENOUGH)
    return color


def _sum_part(level: Level, scene: int, part: int, focus: torch.Tensor, kernels: Kernels) -> torch.Tensor:
    """Sums (S, 4, H, W), light and coverage, of a PART of the samples, without those of other levels."""
    samples = level.samples
    pockets = samples.kind.shape[1] // 2
    layer = int(part == BACK)
    sums = samples.light.new_zeros(len(focus), *samples.light.shape[2:])
    for p in range(layer * pockets, (layer + 1) * pockets):
        light, q = samples.light[scene, p], samples.disparity_px[scene, p]
        spans = (None if a is None else a[scene, p] for a in (level.span, level.coarser_span))
        there = light[3] > 0
        if part != BACK:
            there = there & ((samples.kind[scene, p] == PARTIAL) == (part == PAST))
        taken = is_taken(focus, *spans)
        there = there.expand(len(focus), -1, -1) if taken is None else there & taken
        if there.any():
            sums = sums + _spread(light, q, _sight(samples, scene, p), there, focus, kernels)
    return sums


def _sight(samples: SampleTensors, scene: int, p: int) -> torch.Tensor:
    """What the lens sees of samples (13, H, W): kernels.lens_basis over the first, steep coefficients, share."""
    ratio, steep, share = (a[scene, p] for a in (samples.ratio, samples.steep, samples.share[:, :, None]))
    whole = torch.eye(len(steep), 1, device=ratio.device)[:, :, None]
    partial = samples.kind[scene, p] == PARTIAL
    basic = torch.cat([torch.ones_like(share), torch.where(partial, ratio, 0.0)])
    return torch.cat([basic, torch.where(partial, steep, whole), share])


def join(coarser: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What a coarser level's sums (..., h, w) are at the finer one (..., height, width), see scatter._begin_row."""
    return _halve(_halve(coarser, -2, height), -1, width)


def _halve(averages: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Averages over two pixels become averages over one, along an axis."""
    count = averages.shape[dim]
    around = torch.arange(-2, count + 2, device=averages.device).clamp(0, count - 1)
    before2, before, own, after, after2 = (
        averages.index_select(dim, around[n : n + count]) for n in range(5)
    )  # fmt: skip
    slope = NEAR * (before - after) - FAR * (before2 - after2)
    return torch.stack([own + slope, own - slope], dim=dim).flatten(dim - 1, dim).narrow(dim, 0, size)


def _spread(
    light: torch.Tensor,
    q: torch.Tensor,
    sight: torch.Tensor,
    there: torch.Tensor,
    focus: torch.Tensor,
    kernels: Kernels,
) -> torch.Tensor:
    """Sums (S, 4, H, W) of one scene's samples (H, W) of one pocket, of those that are ``there`` (S, H, W)."""
    blur_px = focus[:, None, None] - q
    levels = len(kernels.radii)
    place = place_in_taps(kernels, blur_px.detach())
    # Larger than any kernel is what stays at this level only because its neighbours' blur is smaller.
    large = there & (level_of(blur_px.detach().abs()) >= levels)
    small = there & ~large
    place = torch.where(there, torch.where(large, 2 * levels + 1, place), 2 * levels)
    reach = int(kernels.radii[place[small] % levels].max()) if small.any() else 0
    far = int((blur_px.detach().abs()[large].max() / 2 + 1).floor()) if large.any() else 0
    edge = [max(reach, far)] * 4
    light, q, sight = (torch.nn.functional.pad(a[None], edge, mode="replicate")[0] for a in (light, q[None], sight))
    place = torch.nn.functional.pad(place[None].float(), edge, mode="replicate")[0].long()
    spread: Any = _Spread.apply
    sums: torch.Tensor = spread(light, focus[:, None, None] - q[0], sight, place, kernels, reach, far)
    return sums


class _Spread(torch.autograd.Function):
    """Sums (S, 4, H, W) of light (4, H', W') with the blur (S, H', W'), which reach beyond them by the larger of
    ``reach`` and ``far`` all round: so far go the kernels, whose ``place`` (S, H', W') in kernels.taps is given, and
    the discs larger than any kernel.

    Backwards every sample gathers from the pixels that it was spread over: for its light by the same kernel, for its
    blur by the kernel's slope over the diameter. Nothing is kept of the taps, which would be many times the stack.
    """

    @staticmethod
    def forward(
        ctx: Any,
        light: torch.Tensor,
        blur_px: torch.Tensor,
        sight: torch.Tensor,
        place: torch.Tensor,
        kernels: Kernels,
        reach: int,
        far: int,
    ) -> torch.Tensor:
        ctx.kernels, ctx.reach, ctx.far = kernels, reach, far
        ctx.save_for_backward(light, blur_px, sight, place)
        basic = sight[:BASIS_SIZE]
        steep_there = _steep(blur_px)
        edge = max(reach, far)
        height, width = light.shape[1] - 2 * edge, light.shape[2] - 2 * edge
        sums = light.new_zeros(len(blur_px), 4, height, width)
        for dy, dx in _offsets(reach):
            rows, columns = slice(edge - dy, edge - dy + height), slice(edge - dx, edge - dx + width)
            tap = taps(kernels, dy, dx)[:, place[:, rows, columns]]
            weight = (tap * basic[:, None, rows, columns]).sum(0)
            if steep_there is not None:
                here = sight[:, rows, columns], blur_px[:, rows, columns]
                weight = torch.where(steep_there[:, rows, columns], tap[0] * _seen(dy, dx, *here), weight)
            sums += weight[:, None] * light[:, rows, columns]
        if far:
            flat = light.new_zeros(len(blur_px) * height * width, 4)
            for s, y, x, down, right in _large_samples(place, 2 * len(kernels.radii) + 1, far):
                weight = _disc(down, right, blur_px[s, y, x], sight[:, y, x])
                to_y, to_x = y + down - edge, x + right - edge
                inside = (to_y >= 0) & (to_y < height) & (to_x >= 0) & (to_x < width)
                arriving = weight[..., None] * light[:, y, x].movedim(0, -1)
                flat.index_add_(0, ((s * height + to_y) * width + to_x)[inside], arriving[inside])
            sums += flat.reshape(-1, height, width, 4).movedim(-1, 1)
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        light, blur_px, sight, place = ctx.saved_tensors
        kernels, reach, far = ctx.kernels, ctx.reach, ctx.far
        basic = sight[:BASIS_SIZE]
        steep_there = _steep(blur_px)
        height, width = light.shape[1:]
        edge = max(reach, far)
        arriving = torch.nn.functional.pad(gradients[0], [2 * edge] * 4)
        to_light, to_blur = torch.zeros_like(light), torch.zeros_like(blur_px)
        for dy, dx in _offsets(reach):
            there = arriving[:, :, edge + dy : edge + dy + height, edge + dx : edge + dx + width]
            tap, slope = taps(kernels, dy, dx)[:, place], slopes(kernels, dy, dx)[:, place]
            weight, steepness = ((a * basic[:, None]).sum(0) for a in (tap, slope))
            if steep_there is not None:
                with torch.enable_grad():
                    size = blur_px.detach().requires_grad_()
                    seen = _seen(dy, dx, sight, size)
                    (growth,) = torch.autograd.grad(seen.sum(), size)
                seen = seen.detach()
                weight = torch.where(steep_there, tap[0] * seen, weight)
                steepness = torch.where(steep_there, slope[0] * seen + tap[0] * growth, steepness)
            to_light += (weight[:, None] * there).sum(0)
            to_blur += steepness * (there * light).sum(1)
        for s, y, x, down, right in _large_samples(place, 2 * len(kernels.radii) + 1, far):
            there = arriving[s, :, edge + y + down, edge + x + right]  # (n, taps, 4)
            with torch.enable_grad():
                size = blur_px[s, y, x].requires_grad_()
                weight = _disc(down, right, size, sight[:, y, x])
                gain = (weight * (there * light[:, y, x].movedim(0, -1)).sum(-1)).sum()
            to_blur[s, y, x] += torch.autograd.grad(gain, size)[0]
            to_pixel = (weight.detach()[..., None] * there).sum(1)
            to_light.index_put_((torch.arange(4)[:, None], y[:, 0], x[:, 0]), to_pixel.T, accumulate=True)
        return to_light, to_blur, None, None, None, None, None


def _steep(blur_px: torch.Tensor) -> torch.Tensor | None:
    """Which samples (S, H', W') are seen by the steep polynomial; None = none."""
    there = blur_px.abs() >= float(STEEP_FROM_PX)
    return there if there.any() else None


def _seen(dy: Any, dx: Any, sight: torch.Tensor, blur_px: torch.Tensor) -> torch.Tensor:
    """What the lens sees of samples where it spreads them over (dy, dx), over the share of it that sees them."""
    a0, a1, a2, a3, a4, a5, share = sight[BASIS_SIZE:]
    # In focus, where the other polynomial counts, no number must be infinite.
    blur_px = torch.where(blur_px == 0, 1.0, blur_px)
    x, y = 2 * dx / blur_px, 2 * dy / blur_px
    value = a0 + a1 * x + a2 * y + a3 * x * y + a4 * (x * x - y * y) + a5 * (x * x + y * y - 0.5)
    seen: torch.Tensor = value.clamp(0, 1) / share
    return seen


def _offsets(reach: int) -> Iterator[tuple[int, int]]:
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            yield dy, dx


def _large_samples(place: torch.Tensor, mark: int, far: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Slice, row and column (n, 1) of the samples so marked, a few at a time; all offsets (taps,) within ``far``."""
    along = torch.arange(-far, far + 1, device=place.device)
    dy, dx = along.repeat_interleave(len(along)), along.repeat(len(along))
    marked = (place == mark).nonzero()
    at_once = max(_AT_ONCE // len(dy), 1)
    for n in range(0, len(marked), at_once):
        s, y, x = marked[n : n + at_once, :, None].unbind(1)
        yield s, y, x, dy, dx


def _disc(dy: torch.Tensor, dx: torch.Tensor, blur_px: torch.Tensor, sight: torch.Tensor) -> torch.Tensor:
    """scatter._add_large: weights (n, taps) at offsets (taps,) of discs with a linear rim, of blur (n, 1) and sight
    (13, n, 1).
    """
    radius = blur_px.abs() / 2
    norm = 1 / (pi * (radius * radius + 1 / 12))
    rim = (radius + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0, 1)
    weight: torch.Tensor = norm * rim * _seen(dy, dx, sight, blur_px)
    return weight
