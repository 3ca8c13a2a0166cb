"""Depth from focus without learning: a focus measure, its peak over the slices, edge-aware filtering."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dffnet.models.guided_filter import guided_filter
from dffnet.models.interface import DepthFromFocusModel, DepthOutput, confidence

LUMA = (0.299, 0.587, 0.114)
_DISC_PX, _RING_PX = 1.5, (2.5, 3.5)  # radii of the ring difference filter
_BLUR_PX = 1.0  # before the Laplacian
_FLOOR = 1e-3  # of the mean measure: slices without any texture weigh alike


class Classical(DepthFromFocusModel):
    """Sum-modified Laplacian and ring difference, the peak by a parabola, guided filtering. Nothing to train.

    radius   of the guided filter, pixels
    epsilon  contrast squared, of images in [0, 1], below which the filter takes differences for noise
    power    of the measure where slices are weighed, for all-in-focus image and confidence

    Sources: Nayar & Nakagawa 1994 (sum-modified Laplacian; peak from three slices), Jeon et al. 2019 (ring
    difference filter), He et al. 2013 (guided filter).
    """

    def __init__(self, radius: int = 4, epsilon: float = 1e-3, power: float = 4.0) -> None:
        super().__init__()
        if radius < 1 or epsilon <= 0 or power <= 0:
            raise ValueError(f"radius, epsilon and power must be positive, got {radius}, {epsilon}, {power}")
        self.radius, self.epsilon, self.power = radius, epsilon, power

    def estimate(self, stack: Tensor, focus_positions: Tensor) -> DepthOutput:
        """Measure, aggregate along edges of the sharpest picture, find the peak, fill what has no texture."""
        positions = focus_positions.float()
        measure = focus_measure((stack.float() * stack.new_tensor(LUMA)[:, None, None]).sum(dim=2))
        guide = self._sharpest(measure, stack)
        measure = guided_filter(guide, measure, self.radius, self.epsilon).clamp(min=0.0)
        logs = (measure + _FLOOR * measure.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)).log()
        logits = self.power * logs
        sure = confidence(logits.softmax(dim=1), positions)
        weight = sure[:, None].square().clamp(min=1e-4)
        depth = guided_filter(guide, parabola_peak(logs, positions)[:, None], self.radius, self.epsilon, weight)
        low, high = (bound[:, None, None] for bound in (positions.amin(dim=1), positions.amax(dim=1)))
        depth = depth[:, 0].clamp(low, high)
        return DepthOutput([depth], sure, [logits], stack)

    def _sharpest(self, measure: Tensor, stack: Tensor) -> Tensor:
        """Luma (B, 1, H, W) of the slices weighed by their measure: edges without blur."""
        weights = (self.power * (measure + 1e-6).log()).softmax(dim=1)
        image = (weights[:, :, None] * stack.float()).sum(dim=1)
        return (image * image.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def focus_measure(luma: Tensor) -> Tensor:
    """Sharpness (B, N, H, W) of slices (B, N, H, W): two measures, each over its mean in the stack, added."""
    total = torch.zeros_like(luma)
    for response in (modified_laplacian(_blur(luma)), ring_difference(luma)):
        summed = _box3(response)
        total = total + summed / summed.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    return total


def modified_laplacian(luma: Tensor) -> Tensor:
    """|2I - I(x-1) - I(x+1)| + |2I - I(y-1) - I(y+1)|, borders repeated; (B, N, H, W)."""
    p = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    across = 2 * luma - p[..., 1:-1, :-2] - p[..., 1:-1, 2:]
    down = 2 * luma - p[..., :-2, 1:-1] - p[..., 2:, 1:-1]
    return across.abs() + down.abs()


def ring_difference(luma: Tensor) -> Tensor:
    """|mean over a small disc - mean over a ring around it|: spares noise that a Laplacian amplifies; (B, N, H, W)."""
    reach = int(_RING_PX[1])
    offset = torch.arange(-reach, reach + 1, dtype=luma.dtype, device=luma.device)
    distance = torch.hypot(offset[:, None], offset)
    disc, ring = distance <= _DISC_PX, (distance > _RING_PX[0]) & (distance <= _RING_PX[1])
    kernel = disc / disc.sum() - ring / ring.sum()
    slices = F.pad(luma.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(slices, kernel[None, None]).abs().reshape(luma.shape)


def parabola_peak(values: Tensor, focus_positions: Tensor) -> Tensor:
    """Where the parabola through the largest of N values and its neighbours peaks.

    values (B, N, H, W), focus positions (B, N) at any spacing -> (B, H, W). A largest value at either end of
    the stack is the peak itself.
    """
    n = values.shape[1]
    best = values.argmax(dim=1, keepdim=True)
    positions = focus_positions[:, :, None, None].expand_as(values)
    if n < 3:
        return positions.gather(1, best)[:, 0]
    middle = best.clamp(1, n - 2)
    (x0, x1, x2), (y0, y1, y2) = (
        [volume.gather(1, middle + step)[:, 0] for step in (-1, 0, 1)] for volume in (positions, values)
    )
    # Newton's divided differences; the vertex of the parabola lies where its slope is 0.
    slope, next_slope = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    curvature = (next_slope - slope) / (x2 - x0)
    vertex = (x0 + x1) / 2 - slope / (2 * curvature)
    inside = (best == middle)[:, 0] & (curvature < 0)
    return torch.where(inside, vertex, positions.gather(1, best)[:, 0])


def _blur(luma: Tensor) -> Tensor:
    """Gaussian: a resampled slice has lost its finest detail, and must not lose against one that has not."""
    reach = math.ceil(3 * _BLUR_PX)
    offset = torch.arange(-reach, reach + 1, dtype=luma.dtype, device=luma.device)
    kernel = (-offset.square() / (2 * _BLUR_PX**2)).exp()
    kernel = kernel / kernel.sum()
    slices = F.pad(luma.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(slices, kernel[None, None, None]), kernel[None, None, :, None]).reshape(luma.shape)


def _box3(volume: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(volume, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
