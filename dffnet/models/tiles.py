"""Large images in overlapping tiles: memory is that of a tile. Logits are joined, not depth; they fade over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from focalsim.progress import progress_bar

MULTIPLE = 32  # tiles start on the grid of the coarsest volume, so that a tile's pixels are pooled as the image's are
OVERLAP_PX = 128
RIM_PX = 16  # where the padding of a tile shows most: counts nothing


def join(logits: Callable[[Tensor], list[Tensor]], volume: Tensor, tile_px: int | None) -> Tensor:
    """The last of ``logits(tile)`` for tiles of a volume (B, C, N, H, W), joined to (B, N, H, W).

    Neighbours overlap by about 128 px or more; there the weight of one falls as that of the other rises. H and W are
    multiples of 32; ``tile_px`` is rounded down to one, 256 or more.
    """
    side = max(2 * OVERLAP_PX, (tile_px or 0) // MULTIPLE * MULTIPLE)
    height, width = volume.shape[-2:]
    total = volume.new_zeros(volume.shape[0], volume.shape[2], height, width)
    weights = volume.new_zeros(height, width)
    corners = [(top, left) for top in starts(height, side) for left in starts(width, side)]
    for top, left in progress_bar(corners, desc="predict", unit="tile", leave=False):
        place = (..., slice(top, top + side), slice(left, left + side))
        weight = _weight(volume[place], top, left, height, width)
        total[place] += weight * logits(volume[place])[-1].to(total.dtype)
        weights[place] += weight
    return total / weights


def starts(length: int, side: int) -> list[int]:
    """Where tiles of ``side`` start so that they cover ``length`` and overlap enough; multiples of 32."""
    if length <= side:
        return [0]
    count = -(-(length - OVERLAP_PX) // (side - OVERLAP_PX))
    step = (length - side) / (count - 1)
    return [round(k * step / MULTIPLE) * MULTIPLE for k in range(count - 1)] + [length - side]


def _weight(tile: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """(h, w): 1 inside, falling to 0 at the sides of the tile that are not sides of the image."""
    rows, columns = (
        _ramp(n, start > 0, start + n < full)
        for n, start, full in ((tile.shape[-2], top, height), (tile.shape[-1], left, width))
    )
    return (rows[:, None] * columns).to(tile)


def _ramp(n: int, rises: bool, falls: bool) -> Tensor:
    up = ((torch.arange(n) + 0.5 - RIM_PX) / (OVERLAP_PX - 2 * RIM_PX)).clamp(0.0, 1.0)
    ones = torch.ones(n)
    return (up if rises else ones) * (up.flip(0) if falls else ones)
