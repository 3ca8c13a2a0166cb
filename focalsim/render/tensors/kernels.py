"""The tables of blur kernels as tensors: of the disc (render/kernels.py) and of polygons (render/aperture.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from focalsim.camera.effects import Aperture
from focalsim.render.aperture import aperture_table
from focalsim.render.kernels import (
    BASIS_SIZE,
    COARSE_FROM_PX,
    COARSE_LEVELS_PER_PX,
    LARGEST_PX,
    LEVELS_PER_PX,
    WIDE_PX,
    diameter_of,
    kernel_table,
)


@dataclass(frozen=True, slots=True)
class Disc:
    """Kernels of the disc, taps (6, R + 1, R + 1, levels) with dy >= 0 and dx >= 0, and the radius (levels,) of each.

    The other taps are the same, but for the sign of those that are odd. One tap of all levels stands together:
    neighbours of like blur read from one place.
    """

    quadrant: torch.Tensor
    radii: torch.Tensor

    def tap(self, dy: int, dx: int) -> torch.Tensor:
        """One tap of every kernel (6, levels), of blur behind the focus."""
        x, y = (-1 if dx < 0 else 1), (-1 if dy < 0 else 1)
        signs = self.quadrant.new_tensor([1, x, y, x * y, 1, 1])
        return self.quadrant[:, abs(dy), abs(dx)] * signs[:, None]


@dataclass(frozen=True, slots=True)
class Polygon:
    """Kernels of a polygon as aperture.ApertureTable has them: squares, one after another."""

    weights: torch.Tensor
    starts: torch.Tensor
    radii: torch.Tensor

    def tap(self, dy: int, dx: int) -> torch.Tensor:
        """One tap of every kernel (6, levels), of blur behind the focus."""
        side = 2 * self.radii + 1
        basis = torch.arange(BASIS_SIZE, device=side.device)[:, None] * side**2
        place = self.starts + basis + (self.radii + dy) * side + self.radii + dx
        inside = self.radii >= max(abs(dy), abs(dx))
        return torch.where(inside, self.weights[torch.where(inside, place, 0)], 0.0)


Kernels = Disc | Polygon


@lru_cache(maxsize=8)
def disc_kernels(device: torch.device) -> Disc:
    """Kernels of every blur up to LARGEST_PX."""
    table = kernel_table(LARGEST_PX)
    reach = int(table.radius.max())
    taps = table.wide[1:, :, : reach + 1, WIDE_PX : WIDE_PX + reach + 1].transpose(1, 2, 3, 0)
    return Disc(
        torch.from_numpy(np.ascontiguousarray(taps)).to(device), torch.from_numpy(table.radius).int().to(device)
    )


def polygon_kernels(aperture: Aperture, largest_px: float, device: torch.device) -> Polygon:
    """Kernels of every blur up to ``largest_px``."""
    table = aperture_table(aperture, largest_px)
    return Polygon(*(torch.from_numpy(a).to(device) for a in (table.weights, table.start, table.radius)))


def level_of(diameter_px: torch.Tensor) -> torch.Tensor:
    """kernels.level_of, rounded, for tensors."""
    level, first_coarse = diameter_px * LEVELS_PER_PX, COARSE_FROM_PX * LEVELS_PER_PX
    beyond = (level - first_coarse).clamp(min=0)
    return (level.clamp(max=first_coarse) + beyond * (COARSE_LEVELS_PER_PX / LEVELS_PER_PX) + 0.5).long()


# Before the focus the lens is seen mirrored, K(-c)[dy, dx] = K(c)[-dy, -dx]. So the table of one tap has the levels
# twice, behind the focus and before it, and after them zeros: for samples that no kernel spreads here.


def place_in_taps(kernels: Kernels, blur_px: torch.Tensor) -> torch.Tensor:
    """Where in :func:`taps` a blur of this sign and size is; a size beyond all levels as the largest of them."""
    levels = len(kernels.radii)
    return level_of(blur_px.abs()).clamp(max=levels - 1) + torch.where(blur_px > 0, 0, levels)


def taps(kernels: Kernels, dy: int, dx: int) -> torch.Tensor:
    """One tap of every kernel (6, 2 levels + 2)."""
    behind, before = kernels.tap(dy, dx), kernels.tap(-dy, -dx)
    return torch.cat([behind, before, torch.zeros_like(behind[:, :2])], dim=1)


def slopes(kernels: Kernels, dy: int, dx: int) -> torch.Tensor:
    """How :func:`taps` changes with the blur, a pixel; in the focus the mean of the slopes behind and before it."""
    diameters = _diameters(len(kernels.radii), kernels.radii.device)
    behind, before = (
        torch.gradient(kernels.tap(y, x), spacing=(diameters,), dim=1)[0] for y, x in ((dy, dx), (-dy, -dx))
    )
    in_focus = (behind[:, 0] - before[:, 0]) / 2
    behind[:, 0], before[:, 0] = in_focus, -in_focus
    return torch.cat([behind, -before, torch.zeros_like(behind[:, :2])], dim=1)


@lru_cache(maxsize=8)
def _diameters(levels: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([diameter_of(level) for level in range(levels)], device=device)
