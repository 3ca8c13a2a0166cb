"""The warp (render/resample.py) as a product with a matrix on either side."""

from __future__ import annotations

import torch

from focalsim.render.tensors.axis import AxisTaps


def warp(images: torch.Tensor, x: AxisTaps, y: AxisTaps) -> torch.Tensor:
    """Resample ``images`` (B, S, 3, H, W) to (B, S, h, w, 3)."""
    warped = y.matrices() @ images @ x.matrices().transpose(-1, -2)
    return warped.permute(0, 1, 3, 4, 2).contiguous()
