"""What the loader gives a network: one stack, or a batch of them (the same fields with a leading axis B)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A batch of B focal stacks of N slices (without the axis B: one stack)."""

    images: Tensor  # (B, N, 3, H, W) float32 sRGB in [0, 1]
    focus_positions: Tensor  # (B, N) far to near, in the unit of the target
    target: Tensor  # (B, H, W) depth, geometry of the reference slice; 0 where not valid
    valid: Tensor  # (B, H, W) bool
    all_in_focus: Tensor  # (B, 3, H, W) float32 sRGB in [0, 1], geometry of the reference slice
    magnification: Tensor  # (B, N) of ``images`` relative to the reference slice: 1 where aligned
    shift_px: Tensor  # (B, N, 2) +x right, +y down, of ``images`` relative to the reference slice: 0 where aligned
