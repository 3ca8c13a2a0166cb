"""Blur and warp in plain PyTorch, for any device: the kernels' taps one after another, each a dense multiplication and
addition. The kernels for CUDA are tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from focalsim.render.kernels import COARSE_FROM_PX, COARSE_LEVELS_PER_PX, LEVELS_PER_PX
from focalsim.render.layers import split_layers
from focalsim.render.scatter import ENOUGH
from focalsim.render.tensors.axis import AxisTaps
from focalsim.render.tensors.samples import SampleTensors, quadrant_kernels, quadrant_slopes
from focalsim.render.visibility import PARTIAL


def prepare(
    rgb: torch.Tensor, q: torch.Tensor, hidden_rgb: torch.Tensor | None, hidden_q: torch.Tensor | None
) -> SampleTensors:
    """Samples of frames (B, H, W, 3) with disparities (B, H, W), by the compiled code of the CPU."""
    arrays = [a.cpu().numpy() for a in (rgb, q, hidden_rgb, hidden_q) if a is not None]
    return SampleTensors.compiled([split_layers(*frame) for frame in zip(*arrays, strict=True)], rgb.device)


def blur(samples: SampleTensors, focus_disparity_px: torch.Tensor) -> torch.Tensor:
    """Slices (B, S, 3, H, W) of all scenes, focused at g/s = ``focus_disparity_px`` (B, S)."""
    ratio = torch.where((samples.kind == PARTIAL)[:, :, None], samples.ratio, 0.0)
    scenes = zip(samples.light, samples.disparity_px, ratio, focus_disparity_px, strict=True)
    return torch.stack([_blur_scene(*scene) for scene in scenes])


def _blur_scene(light: torch.Tensor, q: torch.Tensor, ratio: torch.Tensor, focus: torch.Tensor) -> torch.Tensor:
    total, back = (_spread(*layer, focus) for layer in zip(light, q, ratio, strict=True))
    behind = back[:, 3:]
    share = torch.where(behind > ENOUGH, (1 - total[:, 3:]).clamp(min=0) / behind.clamp(min=ENOUGH), 0.0)
    total = total + share * back
    return total[:, :3] / total[:, 3:].clamp(min=ENOUGH)


def _spread(light: torch.Tensor, q: torch.Tensor, ratio: torch.Tensor, focus: torch.Tensor) -> torch.Tensor:
    """Sums (S, 4, H, W) of a layer: light and coverage."""
    _, radii = quadrant_kernels(q.device)
    there = light[3] > 0
    if not there.any():
        return light.new_zeros(len(focus), *light.shape)
    levels = level_of((focus[:, None, None] - q).abs()).clamp(max=len(radii) - 1)
    reach = int(radii[torch.where(there, levels, 0)].max())
    edge = [reach] * 4
    light, q, ratio = (torch.nn.functional.pad(a[None], edge, mode="replicate")[0] for a in (light, q[None], ratio))
    spread: Any = _Spread.apply
    sums: torch.Tensor = spread(light, focus[:, None, None] - q[0], ratio, reach)
    return sums


class _Spread(torch.autograd.Function):
    """Sums (S, 4, H, W) of light (4, H', W') with the blur (S, H', W'), which reach beyond them by ``reach`` all round.

    Backwards every sample gathers from the pixels that it was spread over: for its light by the same kernel, for its
    blur by the kernel's slope over the diameter. Nothing is kept of the taps, which would be many times the stack.
    """

    @staticmethod
    def forward(ctx: Any, light: torch.Tensor, blur: torch.Tensor, ratio: torch.Tensor, reach: int) -> torch.Tensor:
        ctx.reach = reach
        ctx.save_for_backward(light, blur, ratio)
        table, _ = quadrant_kernels(light.device)
        levels, seen = _seen(blur, ratio, table.shape[-1] - 1)
        height, width = light.shape[1] - 2 * reach, light.shape[2] - 2 * reach
        sums = light.new_zeros(len(blur), 4, height, width)
        for dy, dx, taps in _taps(table, reach):
            rows, columns = slice(reach - dy, reach - dy + height), slice(reach - dx, reach - dx + width)
            weight = (taps[:, levels[:, rows, columns]] * seen[:, :, rows, columns]).sum(0)
            sums += weight[:, None] * light[:, rows, columns]
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        light, blur, ratio = ctx.saved_tensors
        reach = ctx.reach
        table, _ = quadrant_kernels(light.device)
        levels, seen = _seen(blur, ratio, table.shape[-1] - 1)
        # Kernels that are even in the blur change with its sign, those that are odd do not.
        slopes = quadrant_slopes(light.device)
        tilted = seen * torch.where(blur > 0, 1.0, -1.0)
        height, width = light.shape[1:]
        arriving = torch.nn.functional.pad(gradients[0], [2 * reach] * 4)
        to_light, to_blur = torch.zeros_like(light), torch.zeros_like(blur)
        for (dy, dx, taps), (_, _, steepness) in zip(_taps(table, reach), _taps(slopes, reach), strict=True):
            there = arriving[:, :, reach + dy : reach + dy + height, reach + dx : reach + dx + width]
            to_light += ((taps[:, levels] * seen).sum(0)[:, None] * there).sum(0)
            to_blur += (steepness[:, levels] * tilted).sum(0) * (there * light).sum(1)
        return to_light, to_blur, None, None


def _seen(blur: torch.Tensor, ratio: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels (S, H', W') and coefficients (6, S, H', W'), of which the odd ones change sign with the blur."""
    sign = torch.where(blur > 0, 1.0, -1.0)
    even = (a.expand_as(blur) for a in ratio[2:])
    seen = torch.stack([torch.ones_like(blur), sign * ratio[0], sign * ratio[1], *even])
    return level_of(blur.abs()).clamp(max=top), seen


def _taps(table: torch.Tensor, reach: int) -> Iterator[tuple[int, int, torch.Tensor]]:
    """(dy, dx, weights (6, levels)) of every tap."""
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            x, y = (-1 if dx < 0 else 1), (-1 if dy < 0 else 1)
            yield dy, dx, table[:, abs(dy), abs(dx)] * table.new_tensor([1, x, y, x * y, 1, 1])[:, None]


def level_of(diameter_px: torch.Tensor) -> torch.Tensor:
    """kernels.level_of, rounded, for tensors."""
    level, first_coarse = diameter_px * LEVELS_PER_PX, COARSE_FROM_PX * LEVELS_PER_PX
    beyond = (level - first_coarse).clamp(min=0)
    return (level.clamp(max=first_coarse) + beyond * (COARSE_LEVELS_PER_PX / LEVELS_PER_PX) + 0.5).long()


def warp(images: torch.Tensor, x: AxisTaps, y: AxisTaps) -> torch.Tensor:
    """Resample ``images`` (B, S, 3, H, W) to (B, S, h, w, 3), a product with a matrix on either side."""
    warped = y.matrices() @ images @ x.matrices().transpose(-1, -2)
    return warped.permute(0, 1, 3, 4, 2).contiguous()
