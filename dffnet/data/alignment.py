"""Bring the slices of a stack into the geometry of its reference slice, from what is known of the camera."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def align_stack(images: Tensor, magnification: Tensor, shift_px: Tensor) -> Tensor:
    """Undo breathing and shift: every slice as seen in the geometry of the reference slice.

    A point x of the reference slice lies in slice n at  c + M_n (x - c) + t_n,  c = ((W-1)/2, (H-1)/2).

    images         (N, 3, H, W) in [0, 1]
    magnification  (N,) M, relative to the reference slice
    shift_px       (N, 2) t, +x right, +y down

    Returns (N, 3, H, W) in [0, 1]. Cubic, because linear interpolation blurs and blur is the cue; what lies
    outside a slice takes its nearest border pixel.
    """
    height, width = images.shape[-2:]
    x = _normalised(width, magnification, shift_px[:, 0])
    y = _normalised(height, magnification, shift_px[:, 1])
    grid = torch.stack([x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1)
    warped = F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=True)
    return warped.clamp(0.0, 1.0)


def thin_lens_magnification(focus_distance_m: Tensor, focal_length_m: float) -> Tensor:
    """Image scale (N,) of each slice relative to the nearest one, v_n / v_near with 1/v = 1/f - 1/s.

    ``focus_distance_m`` (N,), infinity allowed; raises ValueError unless all exceed the focal length.
    """
    if not bool((focus_distance_m > focal_length_m).all()) or not focal_length_m > 0:
        raise ValueError(
            "the focal length must be positive and smaller than every focus distance, got "
            f"{focal_length_m:g} and {float(focus_distance_m.min()):g}"
        )
    inverse_v = 1.0 / focal_length_m - 1.0 / focus_distance_m.double()
    return (inverse_v.min() / inverse_v).float()


def _normalised(size: int, magnification: Tensor, shift_px: Tensor) -> Tensor:
    """Where to sample each slice along one axis, (N, size); -1 and 1 are the outermost pixel centres."""
    if size == 1:
        return torch.zeros(len(magnification), 1)
    centred = torch.linspace(-1.0, 1.0, size)
    return magnification[:, None] * centred + shift_px[:, None] * (2.0 / (size - 1))
