"""The weights of the warp (render/resample.py) for all scenes, slices and channels at once, where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch

from focalsim.render.resample import LOBES, AxisMap


@dataclass(frozen=True, slots=True)
class AxisTaps:
    """First source pixel (B, S, C, n_out) int32, which may lie outside, weights (B, S, C, taps, n_out) of it and its
    followers; ``n_in`` pixels of source.
    """

    first: torch.Tensor
    weights: torch.Tensor
    n_in: int

    @property
    def n_out(self) -> int:
        """Pixels of output."""
        return self.first.shape[-1]

    @property
    def taps(self) -> int:
        """Pixels of source for one of output."""
        return self.weights.shape[-2]

    @property
    def channels(self) -> int:
        """1 where all channels are mapped alike, or 3."""
        return self.first.shape[2]

    def matrices(self) -> torch.Tensor:
        """Weights as matrices (B, S, C, n_out, n_in); taps beyond the border fall on it."""
        taps = torch.arange(self.taps, device=self.first.device)
        source = (self.first[..., None] + taps).clamp(0, self.n_in - 1).long()
        matrices = self.weights.new_zeros(*self.first.shape, self.n_in)
        return matrices.scatter_add_(-1, source, self.weights.transpose(-1, -2))


def axis_taps(axis: AxisMap, device: torch.device) -> AxisTaps:
    """Weights of maps (B, S, C), C = 1 or 3, on ``device``; found there if it is a GPU with double precision."""
    place = device if device.type == "cuda" else torch.device("cpu")
    slope, offset = (torch.from_numpy(a).to(place)[..., None] for a in (axis.slope, axis.offset))
    x = slope * torch.arange(axis.n_out, dtype=torch.float64, device=place) + offset
    first = (x - slope / 2 + 0.5).floor() - LOBES
    border = first - 0.5  # the first pixel's left border
    borders = ceil(float(axis.slope.max())) + 2 * LOBES + 2
    rise = _lanczos(x + slope / 2 - border, borders) - _lanczos(x - slope / 2 - border, borders)
    # The primitive at a border holds all pixels before it, so a pixel takes the rise of every border after it.
    weights = rise[..., 1:, :].flip(-2).cumsum(-2).flip(-2)
    weights = weights / weights.sum(-2, keepdim=True)
    return AxisTaps(first.int().to(device), weights.float().contiguous().to(device), axis.n_in)


def _lanczos(distance: torch.Tensor, borders: int) -> torch.Tensor:
    """Lanczos kernel (..., borders, n) at distance (..., n) - border, normalised to sum one."""
    d = distance[..., None, :] - torch.arange(borders, dtype=torch.float64, device=distance.device)[:, None]
    values = torch.where(d.abs() < LOBES, torch.sinc(d) * torch.sinc(d / LOBES), 0.0)
    return values / values.sum(-2, keepdim=True)
