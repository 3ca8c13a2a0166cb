"""Smoothed depth edges made steps again (render/edges.py), all scenes at once."""

from __future__ import annotations

import torch
from torch.nn.functional import max_pool2d

from focalsim.render.edges import (
    CLEAR_PX,
    DIRECTIONS,
    LEAST_PX,
    LEAST_STEP,
    LONGEST_PX,
    SHORT_PX,
    SMOOTHED_SHARE,
)
from focalsim.render.unmix import EDGE_PX


def with_steps(disparity_px: torch.Tensor) -> torch.Tensor:
    """Disparity (B, H, W) with the ramps of smoothed maps made steps, with the same values as by the compiled code.

    The gradient of a pixel that is changed goes to the one whose disparity it takes.
    """
    q = disparity_px.detach()
    height, width = q.shape[1:]
    rise = max_pool2d(q, 3, 1, 1) + max_pool2d(-q, 3, 1, 1)
    scene, y, x = (rise > EDGE_PX).nonzero(as_tuple=True)
    own = q[scene, y, x]

    def inside(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (y >= 0) & (y < height) & (x >= 0) & (x < width)

    def at(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return q[scene, y.clamp(0, height - 1), x.clamp(0, width - 1)]

    steepest, dy, dx = torch.zeros_like(own), torch.zeros_like(y), torch.zeros_like(x)
    for gy, gx, share in DIRECTIONS:
        slope = (at(y + gy, x + gx) - at(y - gy, x - gx)) * own.new_tensor(share)
        steeper = inside(y + gy, x + gx) & inside(y - gy, x - gx) & (slope.abs() > steepest)
        steepest = torch.where(steeper, slope.abs(), steepest)
        up = slope.sign().long()
        dy, dx = torch.where(steeper, gy * up, dy), torch.where(steeper, gx * up, dx)
    least = own.new_tensor(LEAST_STEP) * (at(y + dy, x + dx) - at(y - dy, x - dx))

    def length(dy: torch.Tensor, dx: torch.Tensor, sign: int) -> torch.Tensor:
        """How many pixels it goes on, as edges._length; nowhere without a slope."""
        found, going, here = torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), own
        for k in range(1, LONGEST_PX + 2):
            there = at(y + k * dy, x + k * dx)
            going &= inside(y + k * dy, x + k * dx) & (sign * (there - here) > least)
            found += going
            here = there
        return found

    up, down = length(dy, dx, 1), length(-dy, -dx, -1)
    high, low = at(y + up * dy, x + up * dx), at(y - down * dy, x - down * dx)
    ramp = (up > 0) & (up <= LONGEST_PX) & (down > 0) & (down <= LONGEST_PX) & (high - low > LEAST_PX)
    short = ramp & (torch.maximum(up, down) <= SHORT_PX) & (high - low > CLEAR_PX)
    clear = (rise > CLEAR_PX).flatten(1).sum(1)
    smoothed = torch.zeros_like(clear).index_add_(0, scene, short.long()) > SMOOTHED_SHARE * clear.double()
    along = torch.where(own - low > high - own, up, -down)
    along = torch.where(ramp & smoothed[scene], along, 0)
    return disparity_px.index_put((scene, y, x), disparity_px[scene, y + along * dy, x + along * dx])
