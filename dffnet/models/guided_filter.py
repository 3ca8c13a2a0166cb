"""The guided filter (He, Sun & Tang 2013), with weights: edge-aware smoothing by box filters alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def guided_filter(guide: Tensor, maps: Tensor, radius: int, epsilon: float, weight: Tensor | None = None) -> Tensor:
    """Smooth ``maps`` where ``guide`` is smooth: locally each map is a linear function of the guide.

    guide    (B, 1, H, W) in [0, 1]
    maps     (B, C, H, W)
    radius   of the windows, pixels
    epsilon  variance of the guide below which a window counts as flat
    weight   (B, 1, H, W) positive: how far each pixel of the maps is to be trusted; None = all alike

    Returns (B, C, H, W). Windows are cut at the border.
    """

    def mean(x: Tensor) -> Tensor:
        return box_mean(x, radius) if weight is None else box_mean(x * weight, radius) / box_mean(weight, radius)

    mean_guide, mean_maps = mean(guide), mean(maps)
    variance = (mean(guide * guide) - mean_guide.square()).clamp(min=0.0)
    slope = (mean(guide * maps) - mean_guide * mean_maps) / (variance + epsilon)
    offset = mean_maps - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def box_mean(maps: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1) squared windows, cut at the border; (B, C, H, W)."""
    size = 2 * radius + 1
    for kernel, padding in (((1, size), (0, radius)), ((size, 1), (radius, 0))):
        maps = F.avg_pool2d(maps, kernel, stride=1, padding=padding, count_include_pad=False)
    return maps
