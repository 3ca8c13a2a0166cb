"""Blur and warp in plain PyTorch, for any device: the kernels' taps one after another, each a dense multiplication and
addition. The kernels for CUDA are tested against it.
"""

from __future__ import annotations

import torch

from focalsim.render.kernels import COARSE_FROM_PX, COARSE_LEVELS_PER_PX, LEVELS_PER_PX
from focalsim.render.layers import split_layers
from focalsim.render.scatter import ENOUGH
from focalsim.render.tensors.axis import AxisTaps
from focalsim.render.tensors.samples import SampleTensors, quadrant_kernels
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
    height, width = q.shape
    table, radii = quadrant_kernels(q.device)
    there = light[3] > 0
    sums = light.new_zeros(len(focus), 4, height, width)
    if not there.any():
        return sums
    levels = level_of((focus[:, None, None] - q).abs()).clamp(max=len(radii) - 1)
    r = int(radii[torch.where(there, levels, 0)].max())
    edge = (r, r, r, r)
    light, q, ratio = (torch.nn.functional.pad(a[None], edge, mode="replicate")[0] for a in (light, q[None], ratio))
    blur = focus[:, None, None] - q[0]  # (S, H', W')
    levels = level_of(blur.abs()).clamp(max=len(radii) - 1)
    # The odd basis functions change sign with the blur.
    sign = torch.where(blur > 0, 1.0, -1.0)
    seen = torch.stack(
        [torch.ones_like(blur), sign * ratio[0], sign * ratio[1], *(a.expand_as(blur) for a in ratio[2:])]
    )
    for dy in range(-r, r + 1):
        for dx in range(-r, r + 1):
            rows, columns = slice(r - dy, r - dy + height), slice(r - dx, r - dx + width)
            x, y = (-1 if dx < 0 else 1), (-1 if dy < 0 else 1)
            taps = table[:, abs(dy), abs(dx)] * table.new_tensor([1, x, y, x * y, 1, 1])[:, None]
            weight = (taps[:, levels[:, rows, columns]] * seen[:, :, rows, columns]).sum(0)
            sums += weight[:, None] * light[:, rows, columns]
    return sums


def level_of(diameter_px: torch.Tensor) -> torch.Tensor:
    """kernels.level_of, rounded, for tensors."""
    level, first_coarse = diameter_px * LEVELS_PER_PX, COARSE_FROM_PX * LEVELS_PER_PX
    beyond = (level - first_coarse).clamp(min=0)
    return (level.clamp(max=first_coarse) + beyond * (COARSE_LEVELS_PER_PX / LEVELS_PER_PX) + 0.5).long()


def warp(images: torch.Tensor, x: AxisTaps, y: AxisTaps) -> torch.Tensor:
    """Resample ``images`` (B, S, 3, H, W) to (B, S, h, w, 3), a product with a matrix on either side."""
    warped = y.matrices() @ images @ x.matrices().transpose(-1, -2)
    return warped.permute(0, 1, 3, 4, 2).contiguous()
