"""Every step as Triton kernels, for CUDA devices: one file for each file of the compiled code that it mirrors.

Triton comes with the CUDA wheels of PyTorch and compiles at the first call; nothing here is imported where it is not
used.
"""

from __future__ import annotations

import torch

from focalsim.render.tensors.cuda.layers import split_layers
from focalsim.render.tensors.cuda.resample import warp
from focalsim.render.tensors.cuda.scatter import blur
from focalsim.render.tensors.cuda.visibility import seen_samples
from focalsim.render.tensors.plain import merge
from focalsim.render.tensors.samples import SampleTensors

__all__ = ["blur", "merge", "prepare", "warp"]


def prepare(
    rgb: torch.Tensor, q: torch.Tensor, hidden_rgb: torch.Tensor | None, hidden_q: torch.Tensor | None
) -> SampleTensors:
    """Samples of frames (B, H, W, 3) with disparities (B, H, W)."""
    return seen_samples(split_layers(rgb, q, hidden_rgb, hidden_q))
