"""What a source gives: one pinhole RGB-D frame, and what is known to lie behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.color import linear_light


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole intrinsics in pixels of the frame they belong to; pixel centres at integers."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One RGB-D frame in linear light and metres.

    rgb          (H, W, 3) float32, linear light, >= 0, may exceed 1; or uint8, sRGB codes, as photos are stored. They
                 are decoded where the frame is reduced: light takes four times the memory.
    depth_m      (H, W) float32, z along the optical axis in metres; defined where ``valid``.
    valid        (H, W) bool, False where the source does not know the depth.
    source_id    which frame of which source, stable across runs.
    hidden_*     the nearest surface BEHIND the visible one, where the source knows it: colour and depth,
                 depth NaN where nothing is known. ``None`` = the source knows no hidden surface.
    intrinsics   the source camera, where known.
    depth_enlarged  by how much the source's depth map was enlarged to the image's size, along its edges; 1 = as stored.
    """

    rgb: NDArray[Any]
    depth_m: NDArray[np.float32]
    valid: NDArray[np.bool_]
    source_id: str
    hidden_rgb_linear: NDArray[np.float32] | None = None
    hidden_depth_m: NDArray[np.float32] | None = None
    intrinsics: Intrinsics | None = None
    depth_enlarged: float = 1.0

    @property
    def rgb_linear(self) -> NDArray[np.float32]:
        """The colour in linear light."""
        return linear_light(self.rgb)
