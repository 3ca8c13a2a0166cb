"""What all slices of a batch of scenes share, its samples, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from focalsim.render.kernels import BASIS_SIZE
from focalsim.render.layers import Layers
from focalsim.render.unmix import EDGE_PX
from focalsim.render.visibility import NONE, PARTIAL, seen_samples


@dataclass(frozen=True, slots=True)
class SampleTensors:
    """Front and back samples of every pixel of B scenes; at coarser levels each in two pockets, then L = 4.

    light         (B, L, 4, H, W) r, g, b and one, times coverage and the share of the lens that sees the sample
    disparity_px  (B, L, H, W) q = g/d
    ratio         (B, L, 5, H, W) where PARTIAL, coefficients 1 to 5 of kernels.lens_basis over the first, that share
    steep         (B, L, 6, H, W) where PARTIAL, the polynomial whose part between 0 and 1 the lens sees
    kind          (B, L, H, W) int8: NONE, WHOLE or PARTIAL of visibility.py
    share         (B, L, H, W) of the lens that sees the sample, 1 where not PARTIAL
    """

    light: torch.Tensor
    disparity_px: torch.Tensor
    ratio: torch.Tensor
    steep: torch.Tensor
    kind: torch.Tensor
    share: torch.Tensor

    @classmethod
    def empty(cls, scenes: int, layers: int, height: int, width: int, device: torch.device) -> SampleTensors:
        """Room for samples."""
        return cls(
            torch.empty(scenes, layers, 4, height, width, device=device),
            torch.empty(scenes, layers, height, width, device=device),
            torch.empty(scenes, layers, BASIS_SIZE - 1, height, width, device=device),
            torch.empty(scenes, layers, BASIS_SIZE, height, width, device=device),
            torch.empty(scenes, layers, height, width, device=device, dtype=torch.int8),
            torch.empty(scenes, layers, height, width, device=device),
        )

    @classmethod
    def compiled(cls, scenes: list[Layers], device: torch.device) -> SampleTensors:
        """Samples of layers that the compiled code of the CPU found, and of which it finds what the lens sees."""
        fields = [_as_arrays(*samples) for layers in scenes for samples in seen_samples(layers)]
        tensors = (
            torch.from_numpy(np.ascontiguousarray(np.stack(arrays)))
            .to(device)
            .reshape(len(scenes), 2, *arrays[0].shape)
            for arrays in zip(*fields, strict=True)
        )
        return cls(*tensors)

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


def _as_arrays(
    color: NDArray[Any], coverage: NDArray[Any], q: NDArray[Any], index: NDArray[Any], seen: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    kind = np.minimum(index, PARTIAL).astype(np.int8)
    partial = kind == PARTIAL
    light = np.concatenate([color * coverage[..., None], coverage[..., None]], axis=-1)
    light[kind == NONE] = 0.0
    ratio, steep = (np.zeros((*q.shape, size), np.float32) for size in (BASIS_SIZE - 1, BASIS_SIZE))
    coefficients = seen[index[partial] - PARTIAL]
    light[partial] *= coefficients[:, :1]
    ratio[partial] = coefficients[:, 1:BASIS_SIZE] / coefficients[:, :1]
    steep[partial] = coefficients[:, BASIS_SIZE:]
    share = np.ones_like(q)
    share[partial] = coefficients[:, 0]
    return light.transpose(2, 0, 1), q, ratio.transpose(2, 0, 1), steep.transpose(2, 0, 1), kind, share


def range_3x3(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lowest and highest value (B, H, W) of a pixel and its eight neighbours."""
    return -torch.nn.functional.max_pool2d(-planes, 3, 1, 1), torch.nn.functional.max_pool2d(planes, 3, 1, 1)
