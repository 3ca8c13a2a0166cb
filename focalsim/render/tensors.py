"""The renderer's sums as tensor operations: the same kernels, the same light, on whatever device PyTorch has.

What the slices share is prepared by the compiled code of the CPU; blur and warp of all slices at once are tensors. The
kernels' taps are taken one after another, each a dense multiplication and addition, so that the result is the same
every time. No coarser levels: a blur of more than MAX_BLUR_PX is left to the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from focalsim.errors import RenderError
from focalsim.render.kernels import (
    BASIS_SIZE,
    COARSE_FROM_PX,
    COARSE_LEVELS_PER_PX,
    LARGEST_PX,
    LEVELS_PER_PX,
    WIDE_PX,
    kernel_table,
)
from focalsim.render.layers import Layers
from focalsim.render.resample import AxisMap
from focalsim.render.scatter import ENOUGH
from focalsim.render.visibility import NONE, PARTIAL, WHOLE, seen_samples

MAX_BLUR_PX = LARGEST_PX
_ODD = (1, 2)  # basis functions that change sign with the blur


ChannelMap = tuple[slice, AxisMap, AxisMap]


def render_tensors(
    layers: Layers,
    largest_px: float,
    focus_disparity_px: NDArray[np.float64],
    maps: list[list[ChannelMap]],
    output_size: tuple[int, int],
    device: torch.device | str,
) -> torch.Tensor:
    """Slices (S, H, W, 3) on ``device``, each warped by its maps (channels, x, y)."""
    device = torch.device(device)
    focus = torch.as_tensor(focus_disparity_px, dtype=torch.float32, device=device)
    blurred = TensorScatter(layers, largest_px, device).blur(focus)
    width, height = output_size
    stack = torch.empty(len(focus), height, width, 3, device=device)
    for slice_, image, channel_maps in zip(stack, blurred, maps, strict=True):
        for channels, x, y in channel_maps:
            slice_[..., channels] = warp(image[channels], x, y)
    return stack


class TensorScatter:
    """Blurs one scene for all focus distances together, as scatter.Scatter does for one."""

    def __init__(self, layers: Layers, largest_px: float, device: torch.device) -> None:
        if largest_px > MAX_BLUR_PX:
            raise RenderError(
                f"on {device} the blur may be {MAX_BLUR_PX:g} pixels at most, here it is {largest_px:.1f}: "
                "render on the CPU (device=None), or a smaller picture"
            )
        table = kernel_table(largest_px)
        self._reach = table.reach_px(largest_px)
        self._top = len(table.radius) - 1
        # (taps dy >= 0, taps dx, basis, level): one tap of all levels stands together.
        middle = WIDE_PX + 8
        columns = slice(middle - self._reach, middle + self._reach + 1)
        taps = table.wide[1:, :, : self._reach + 1, columns].transpose(2, 3, 1, 0)
        self._taps = torch.from_numpy(np.ascontiguousarray(taps)).to(device)
        self._layers = [self._upload(*samples, device) for samples in seen_samples(layers) if samples[3].any()]

    def _upload(
        self,
        color: NDArray[np.float32],
        coverage: NDArray[np.float32],
        q: NDArray[np.float32],
        index: NDArray[np.int32],
        seen: NDArray[np.float32],
        device: torch.device,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Light (4, H', W'), disparity (H', W') and visibility (6, H', W') of samples, borders replicated."""
        light = np.concatenate([color * coverage[..., None], coverage[..., None]], axis=-1)
        light[index == NONE] = 0.0
        visibility = np.zeros((*q.shape, BASIS_SIZE), np.float32)
        visibility[index == WHOLE, 0] = 1.0
        partial = index >= PARTIAL
        visibility[partial] = seen[index[partial] - PARTIAL]
        edge = ((self._reach, self._reach), (self._reach, self._reach))
        arrays = (
            np.pad(light, (*edge, (0, 0)), mode="edge").transpose(2, 0, 1),
            np.pad(q, edge, mode="edge"),
            np.pad(visibility, (*edge, (0, 0)), mode="edge").transpose(2, 0, 1),
        )
        light_, q_, visibility_ = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
        return light_, q_, visibility_

    def blur(self, focus_disparity_px: torch.Tensor) -> torch.Tensor:
        """Slices (S, 3, H, W) focused at g/s = ``focus_disparity_px`` (S,)."""
        sums = [self._spread(*layer, focus_disparity_px) for layer in self._layers]
        total = sums[0]
        if len(sums) > 1:
            behind = sums[1][:, 3:]
            share = torch.where(behind > ENOUGH, (1 - total[:, 3:]).clamp(min=0) / behind.clamp(min=ENOUGH), 0.0)
            total = total + share * sums[1]
        return total[:, :3] / total[:, 3:].clamp(min=ENOUGH)

    def _spread(
        self, light: torch.Tensor, q: torch.Tensor, visibility: torch.Tensor, focus: torch.Tensor
    ) -> torch.Tensor:
        r = self._reach
        height, width = q.shape[0] - 2 * r, q.shape[1] - 2 * r
        blur = focus[:, None, None] - q  # (S, H', W')
        levels = (_level_of(blur.abs()) + 0.5).long().clamp(max=self._top)
        seen = visibility.expand(len(focus), -1, -1, -1).clone()
        for k in _ODD:
            seen[:, k] = torch.where(blur > 0, seen[:, k], -seen[:, k])
        sums = light.new_zeros(len(focus), 4, height, width)
        for dy in range(-r, r + 1):
            for dx in range(-r, r + 1):
                rows, columns = slice(r - dy, r - dy + height), slice(r - dx, r - dx + width)
                weights = self._taps[abs(dy), dx + r][:, levels[:, rows, columns]]  # (6, S, H, W)
                if dy < 0:
                    weights[2:4] *= -1
                weight = torch.einsum("kshw,skhw->shw", weights, seen[:, :, rows, columns])
                sums += weight[:, None] * light[:, rows, columns]
        return sums


def _level_of(diameter_px: torch.Tensor) -> torch.Tensor:
    """kernels.level_of for tensors."""
    level, first_coarse = diameter_px * LEVELS_PER_PX, COARSE_FROM_PX * LEVELS_PER_PX
    beyond = (level - first_coarse).clamp(min=0)
    return level.clamp(max=first_coarse) + beyond * (COARSE_LEVELS_PER_PX / LEVELS_PER_PX)


def warp(image: torch.Tensor, x: AxisMap, y: AxisMap) -> torch.Tensor:
    """Resample ``image`` (C, H, W) to (h, w, C), as resample.resample does: a product with a matrix on either side."""
    if x.identity and y.identity:
        return image.permute(1, 2, 0)
    rows, columns = (_matrix(axis, image.device) for axis in (y, x))
    return torch.einsum("ih,chw,jw->ijc", rows, image, columns)


def _matrix(axis: AxisMap, device: torch.device) -> torch.Tensor:
    """Weights (n_out, n_in); taps beyond the border fall on it."""
    first, weights = axis.weights()
    source = np.clip(first[:, None] + np.arange(weights.shape[1]), 0, axis.n_in - 1)
    matrix = np.zeros((axis.n_out, axis.n_in), np.float32)
    np.add.at(matrix, (np.arange(axis.n_out)[:, None], source), weights)
    return torch.from_numpy(matrix).to(device)
