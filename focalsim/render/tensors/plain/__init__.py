"""Every step in plain PyTorch, for any device, and such that PyTorch can go through it backwards. The kernels for CUDA
are tested against it.
"""

from __future__ import annotations

import torch

from focalsim.render.layers import split_layers
from focalsim.render.tensors.plain.resample import warp
from focalsim.render.tensors.plain.samples import merge
from focalsim.render.tensors.plain.scatter import blur
from focalsim.render.tensors.samples import SampleTensors

__all__ = ["blur", "merge", "prepare", "warp"]


def prepare(
    rgb: torch.Tensor, q: torch.Tensor, hidden_rgb: torch.Tensor | None, hidden_q: torch.Tensor | None
) -> SampleTensors:
    """Samples of frames (B, H, W, 3) with disparities (B, H, W), by the compiled code of the CPU."""
    arrays = [a.cpu().numpy() for a in (rgb, q, hidden_rgb, hidden_q) if a is not None]
    return SampleTensors.compiled([split_layers(*frame) for frame in zip(*arrays, strict=True)], rgb.device)
