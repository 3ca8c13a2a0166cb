"""Depth that lies beside the image, moved onto it (render/registration.py), all scenes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import max_pool2d

from focalsim.render.registration import BESIDE, FARTHEST_PX, LARGEST, LEAST_PX, STAY, Move, find_move, rows_between


def registered(disparity_px: torch.Tensor, rgb_linear: torch.Tensor) -> torch.Tensor:
    """Disparity (B, H, W) moved onto the images (B, H, W, 3) where it lies beside them, as by the compiled code.

    The gradient of a pixel goes to the one whose disparity it takes.
    """
    seen = (rgb_linear.detach().clamp(max=1.0).sqrt() * 255.0 + 0.5).to(torch.uint8).to(torch.int16)
    steps = [seen.diff(dim=axis).abs().sum(-1).clamp(max=LARGEST) for axis in (2, 1)]
    q = disparity_px.detach()

    def find(scene: int, sums: NDArray[np.int64], counts: NDArray[np.int64]) -> Move:
        def contrast(shrink: int, places: NDArray[np.int64]) -> Any:
            one = slice(scene, scene + 1)
            changed = _contrast([step[one] for step in steps], _shrunk(q[one], shrink), places)
            return tuple(a[0] for a in changed)

        return find_move(sums, counts, contrast)

    moves = [find(scene, *found) for scene, found in enumerate(zip(*_contrast(steps, q, BESIDE), strict=True))]
    if all(move == STAY for move in moves):
        return disparity_px
    return torch.stack([_moved(one, move) for one, move in zip(disparity_px, moves, strict=True)])


def _contrast(
    steps: list[torch.Tensor], q: torch.Tensor, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sums (B, 4, n) and counts (B, 4) of registration.Contrast, of images' ``steps`` to the right and down."""
    height, width = q.shape[1:]

    def inner(a: torch.Tensor, x: int, y: int) -> torch.Tensor:
        """All places that are far enough from the border, or what stands so far from them."""
        rows = slice(FARTHEST_PX + y, max(height - 1 - FARTHEST_PX, FARTHEST_PX) + y, rows_between(height))
        return a[:, rows, FARTHEST_PX + x : max(width - 1 - FARTHEST_PX, FARTHEST_PX) + x]

    sums, counts = [], []
    for kind in range(4):
        axis, sign = kind // 2, 1 - 2 * (kind % 2)
        edge = sign * (inner(q, 1 - axis, axis) - inner(q, 0, 0)) > LEAST_PX
        counts.append(edge.sum((1, 2)))
        sums += [(inner(steps[axis], int(x), int(y)) * edge).sum((1, 2)) for x, y in places[kind]]
    return torch.stack(sums, 1).cpu().numpy().reshape(len(q), 4, -1), torch.stack(counts, 1).cpu().numpy()


def _shrunk(q: torch.Tensor, pixels: int) -> torch.Tensor:
    """Disparity (B, H, W) with what is near so much smaller, or larger."""
    side = 2 * abs(pixels) + 1
    return -max_pool2d(-q, side, 1, abs(pixels)) if pixels > 0 else max_pool2d(q, side, 1, abs(pixels))


def _moved(q: torch.Tensor, move: Move) -> torch.Tensor:
    rows, columns = (
        (torch.arange(size, device=q.device) - by).clamp(0, size - 1)
        for size, by in zip(q.shape, (move.y, move.x), strict=True)
    )
    return _shrunk(q[None], move.shrink)[0][rows][:, columns]
