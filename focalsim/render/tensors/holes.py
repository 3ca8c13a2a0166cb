"""Holes in depth (focalsim/holes.py) filled on the device, all scenes at once."""

from __future__ import annotations

import torch


def nearest_valid(depth_m: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Depth (B, H, W) with every invalid pixel replaced by the nearest valid pixel's; each scene must have a valid one.

    Of pixels equally near the one of the leftmost column is taken, then the upper one, as by the compiled code. The
    gradient of a filled pixel goes to the one it was filled from.
    """
    height, width = valid.shape[1:]
    row = _nearest_row(valid)
    scene, y, x = (~valid).nonzero(as_tuple=True)
    best = torch.full_like(x, 2**62)
    found = torch.zeros_like(x)  # pixels of a scene
    # Columns either side; how many are looked through at once doubles, since every stop waits for the device.
    within = 0
    while len(x) and within < width and within * within <= int(best.max()):
        for away in range(within, min(2 * within + 1, width)):
            # Columns come nearer first: one farther left wins over all before it, one farther right does not.
            for column, wins_ties in ((x + away, False), (x - away, True)):
                inside = (column >= 0) & (column < width)
                column = column.clamp(0, width - 1)
                there = row[scene, y, column]
                square = (there - y).square() + away * away
                closer = inside & (there >= 0) & (square <= best if wins_ties else square < best)
                best = torch.where(closer, square, best)
                found = torch.where(closer, there * width + column, found)
        within = 2 * within + 1
    source = torch.arange(height * width, device=valid.device).expand(len(valid), -1).reshape(valid.shape).clone()
    source[scene, y, x] = found
    return depth_m.flatten(1).gather(1, source.flatten(1)).reshape(depth_m.shape)


def _nearest_row(valid: torch.Tensor) -> torch.Tensor:
    """The row (B, H, W) of the nearest valid pixel in a pixel's column, of two the upper; -1 where there is none."""
    height = valid.shape[1]
    row = torch.arange(height, device=valid.device)[:, None].expand_as(valid)
    above = torch.where(valid, row, -1).cummax(1).values
    below = torch.where(valid, row, height).flip(1).cummin(1).values.flip(1)
    upper = (above >= 0) & ((row - above <= below - row) | (below == height))
    return torch.where(upper, above, torch.where(below < height, below, -1))
