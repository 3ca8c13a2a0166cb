"""What all slices of a batch of scenes share: its samples, and the kernels that spread them, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from focalsim.render.kernels import LARGEST_PX, WIDE_PX, diameter_of, kernel_table
from focalsim.render.layers import EDGE_PX, Layers
from focalsim.render.visibility import NONE, PARTIAL, seen_samples


@dataclass(frozen=True, slots=True)
class SampleTensors:
    """Front and back samples of every pixel of B scenes.

    light         (B, 2, 4, H, W) r, g, b and one, times coverage and the share of the lens that sees the sample
    disparity_px  (B, 2, H, W) q = g/d
    ratio         (B, 2, 5, H, W) where PARTIAL, coefficients 1 to 5 of kernels.lens_basis over the first, that share
    kind          (B, 2, H, W) int8: NONE, WHOLE or PARTIAL of visibility.py
    """

    light: torch.Tensor
    disparity_px: torch.Tensor
    ratio: torch.Tensor
    kind: torch.Tensor

    @classmethod
    def empty(cls, scenes: int, height: int, width: int, device: torch.device) -> SampleTensors:
        """Room for samples."""
        return cls(
            torch.empty(scenes, 2, 4, height, width, device=device),
            torch.empty(scenes, 2, height, width, device=device),
            torch.empty(scenes, 2, 5, height, width, device=device),
            torch.empty(scenes, 2, height, width, device=device, dtype=torch.int8),
        )

    @classmethod
    def compiled(cls, scenes: list[Layers], device: torch.device) -> SampleTensors:
        """Samples of layers that the compiled code of the CPU found, and of which it finds what the lens sees."""
        fields = [_as_arrays(*samples) for layers in scenes for samples in seen_samples(layers)]
        light, q, ratio, kind = (
            torch.from_numpy(np.stack(arrays)).to(device).reshape(len(scenes), 2, *arrays[0].shape)
            for arrays in zip(*fields, strict=True)
        )
        return cls(light, q, ratio, kind)

    def following(self, rgb_linear: torch.Tensor, disparity_px: torch.Tensor) -> SampleTensors:
        """The same samples as functions of the frames (B, H, W, 3) and (B, H, W) that they were found in.

        Coverage, visibility and what is hidden are held constant. A pixel's colour is that of its front sample, and of
        both where it is mixed of two, so that they go on adding up to it; its disparity is that of the sample that has
        it. The values do not change.
        """
        color, q = rgb_linear - rgb_linear.detach(), disparity_px - disparity_px.detach()  # zeros
        low, high = range_3x3(disparity_px.detach())
        mixed = (high - low > EDGE_PX) & (self.kind[:, 1] != NONE)
        moved = torch.stack([torch.ones_like(mixed), mixed], dim=1)[:, :, None] * color.movedim(-1, 1)[:, None]
        light = torch.cat([self.light[:, :, :3] + self.light[:, :, 3:] * moved, self.light[:, :, 3:]], dim=2)
        own = self.disparity_px == disparity_px.detach()[:, None]
        return replace(self, light=light, disparity_px=self.disparity_px + own * q[:, None])

    def blur_px(self, focus_disparity_px: torch.Tensor) -> torch.Tensor:
        """The largest blur (B,) of any sample in slices focused at g/s = ``focus_disparity_px`` (B, S)."""
        there = self.kind != NONE
        nearest = torch.where(there, self.disparity_px, -torch.inf).amax((1, 2, 3))
        farthest = torch.where(there, self.disparity_px, torch.inf).amin((1, 2, 3))
        return torch.maximum(nearest - focus_disparity_px.amin(1), focus_disparity_px.amax(1) - farthest).clamp(min=0)


def _as_arrays(
    color: NDArray[Any], coverage: NDArray[Any], q: NDArray[Any], index: NDArray[Any], seen: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    kind = np.minimum(index, PARTIAL).astype(np.int8)
    partial = kind == PARTIAL
    light = np.concatenate([color * coverage[..., None], coverage[..., None]], axis=-1)
    light[kind == NONE] = 0.0
    ratio = np.zeros((*q.shape, 5), np.float32)
    coefficients = seen[index[partial] - PARTIAL]
    light[partial] *= coefficients[:, :1]
    ratio[partial] = coefficients[:, 1:] / coefficients[:, :1]
    return light.transpose(2, 0, 1), q, ratio.transpose(2, 0, 1), kind


def range_3x3(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lowest and highest value (B, H, W) of a pixel and its eight neighbours."""
    return -torch.nn.functional.max_pool2d(-planes, 3, 1, 1), torch.nn.functional.max_pool2d(planes, 3, 1, 1)


@lru_cache(maxsize=8)
def quadrant_kernels(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Basis kernels (6, R + 1, R + 1, levels), their taps with dy >= 0 and dx >= 0, and the radius (levels,) of each.

    The others are the same, but for the sign of those that are odd. One tap of all levels stands together: neighbours
    of like blur read from one place.
    """
    table = kernel_table(LARGEST_PX)
    middle = WIDE_PX + 8
    reach = int(table.radius.max())
    taps = table.wide[1:, :, : reach + 1, middle : middle + reach + 1].transpose(1, 2, 3, 0)
    return torch.from_numpy(np.ascontiguousarray(taps)).to(device), torch.from_numpy(table.radius).int().to(device)


@lru_cache(maxsize=8)
def quadrant_slopes(device: torch.device) -> torch.Tensor:
    """How the taps of :func:`quadrant_kernels` change with the diameter, a pixel; of even ones not where it is zero."""
    taps, _ = quadrant_kernels(device)
    diameters = torch.tensor([diameter_of(level) for level in range(taps.shape[-1])], device=device)
    (slopes,) = torch.gradient(taps, spacing=(diameters,), dim=-1)
    slopes[[0, 3, 4, 5], :, :, 0] = 0.0
    return slopes
