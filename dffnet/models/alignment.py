"""The alignment network of Won & Jeon 2022: scale and shift of every slice relative to the last, the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAK = 0.1
LEVELS = 3  # the pyramid has full, half and quarter size


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a point x of the reference slice stands in slice n: c + magnification[n] (x - c) + shift_px[n]."""

    magnification: Tensor  # (B, N), 1 for the reference slice
    shift_px: Tensor  # (B, N, 2) +x right, +y down, 0 for the reference slice


class AlignmentNet(nn.Module):
    """Coarse to fine over a feature pyramid of (c, 2c, 4c) channels at full, half and quarter size.

    At each level the features of every slice are warped by the estimate so far and compared with those of the
    reference slice: four convolutions give each pixel's vote for the displacement that is left, and its
    weight. The similarity that fits the votes best, in closed form, is a mean over space: any N, H and W.
    (The published network pools features and lets a layer guess scale and shift from the mean; but what scale a
    displacement speaks for depends on where in the image it is, which the mean has lost.)
    """

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(LEVELS)]
        self.features = nn.ModuleList(
            nn.Sequential(_conv(before, width), _conv(width, width))
            for before, width in zip([3, *widths], widths, strict=False)
        )
        self.votes = nn.ModuleList(_votes(2 * width + 2, 2 * width) for width in widths)

    def forward(self, stack: Tensor) -> Alignment:
        """(B, N, 3, H, W) sRGB in [0, 1], the last slice the reference -> its alignment."""
        batch, slices, _, height, width = stack.shape
        magnification = stack.new_ones(batch * slices)
        shift = stack.new_zeros(batch * slices, 2)
        movable = (torch.arange(slices, device=stack.device) < slices - 1).repeat(batch)
        pyramid = self._pyramid(stack.flatten(0, 1) * 2.0 - 1.0)
        for level in reversed(range(LEVELS)):
            features = pyramid[level]
            stacked = features.reshape(batch, slices, *features.shape[1:])
            reference = stacked[:, -1:].expand_as(stacked).flatten(0, 1)
            places = pixel_places(features.shape[-2:], (height, width), stack.device)
            at = magnification[:, None, None, None] * places + shift[:, None, None]
            grid = torch.stack([at[..., 0] / width, at[..., 1] / height], dim=-1) * 2.0  # borders at -1 and 1
            warped = F.grid_sample(features.float(), grid, padding_mode="border", align_corners=False)
            step = 2.0**level  # pixels of the full image in one of this level
            flow = ((at - places) / step).permute(0, 3, 1, 2)
            votes = self.votes[level](torch.cat([warped, reference, flow], dim=1))
            inside = (grid.abs() <= 1.0).all(dim=-1)
            scale, move = fit_similarity(places, step * votes[:, :2].permute(0, 2, 3, 1), votes[:, 2], inside)
            magnification = magnification + torch.where(movable, scale, 0.0)
            shift = shift + torch.where(movable[:, None], move, 0.0)
        return Alignment(magnification.reshape(batch, slices), shift.reshape(batch, slices, 2))

    def _pyramid(self, slices: Tensor) -> list[Tensor]:
        """Features from fine to coarse; halving keeps image borders where they are, whatever the size."""
        pyramid: list[Tensor] = []
        for level, layer in enumerate(self.features):
            if level:
                size = [(side + 1) // 2 for side in slices.shape[-2:]]
                slices = F.interpolate(slices, size=size, mode="bilinear", align_corners=False)
            slices = layer(slices)
            pyramid.append(slices)
        return pyramid


def pixel_places(shape: Sequence[int], full: Sequence[int], device: torch.device) -> Tensor:
    """(h, w, 2) x and y of each pixel of an h x w level from the image's centre, in pixels of the full H x W image."""
    (h, w), (height, width) = shape, full
    x = ((torch.arange(w, device=device) + 0.5) / w - 0.5) * width
    y = ((torch.arange(h, device=device) + 0.5) / h - 0.5) * height
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def fit_similarity(places: Tensor, displacements: Tensor, log_weights: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The change of scale a and shift b for which  a x + b  comes closest to the displacements.

    places (h, w, 2) and displacements (S, h, w, 2) in pixels, log_weights (S, h, w), inside (S, h, w) bool: where
    a displacement counts at all. Returns a (S,), b (S, 2). Weighted least squares, in float32.
    """
    weights = log_weights.float().masked_fill(~inside, -torch.inf).flatten(1)
    weights = torch.where(inside.flatten(1).any(dim=1, keepdim=True), weights, 0.0).softmax(dim=1)[..., None]
    x, u = places.flatten(0, 1), displacements.float().flatten(1, 2)
    mean_x, mean_u = (weights * x).sum(dim=1, keepdim=True), (weights * u).sum(dim=1, keepdim=True)
    spread = (weights * (x - mean_x).square()).sum(dim=(1, 2))
    scale = (weights * (x - mean_x) * (u - mean_u)).sum(dim=(1, 2)) / (spread + 1.0)  # 1 px^2: no spread, no scale
    return scale, (mean_u - scale[:, None, None] * mean_x)[:, 0]


def _conv(before: int, after: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=_LEAK)
    return nn.Sequential(conv, nn.LeakyReLU(_LEAK, inplace=True))


def _votes(before: int, width: int) -> nn.Sequential:
    """Four convolutions to displacement x, y and log weight. Fresh votes are near 0: a fresh network moves little."""
    last = nn.Conv2d(width, 3, 3, padding=1, bias=False)
    nn.init.normal_(last.weight, std=1e-3)
    return nn.Sequential(_conv(before, width), _conv(width, width), _conv(width, width), last)
