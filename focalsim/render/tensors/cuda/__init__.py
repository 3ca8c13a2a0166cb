"""Every step as Triton kernels, for CUDA devices: one file for each file of the compiled code that it mirrors.

Triton comes with the CUDA wheels of PyTorch and compiles at the first call; nothing here is imported where it is not
used.
"""

from __future__ import annotations

import torch

from focalsim.render.tensors import plain
from focalsim.render.tensors.cuda.layers import split_layers
from focalsim.render.tensors.cuda.levels import blur_levels
from focalsim.render.tensors.cuda.resample import warp
from focalsim.render.tensors.cuda.samples import merge
from focalsim.render.tensors.cuda.scatter import blur_at_once
from focalsim.render.tensors.cuda.visibility import seen_samples
from focalsim.render.tensors.kernels import Kernels, Polygon
from focalsim.render.tensors.levels import Level
from focalsim.render.tensors.samples import SampleTensors

__all__ = ["blur", "merge", "prepare", "warp"]


def blur(levels: list[Level], focus_disparity_px: torch.Tensor, kernels: Kernels) -> torch.Tensor:
    """Slices (B, S, 3, H, W) of all scenes, focused at g/s = ``focus_disparity_px`` (B, S)."""
    if isinstance(kernels, Polygon):
        return plain.blur(levels, focus_disparity_px, kernels)
    if len(levels) > 1:
        return blur_levels(levels, focus_disparity_px, kernels)
    return blur_at_once(levels[0].samples, focus_disparity_px, kernels)


def prepare(
    rgb: torch.Tensor, q: torch.Tensor, hidden_rgb: torch.Tensor | None, hidden_q: torch.Tensor | None
) -> SampleTensors:
    """Samples of frames (B, H, W, 3) with disparities (B, H, W)."""
    return seen_samples(split_layers(rgb, q, hidden_rgb, hidden_q))
