"""What every source is: numbered frames, each read on its own, lazily."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from focalsim.scene import Scene


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """What the caller will make of a frame, for sources that make theirs to measure; readers of files ignore it.

    width, height        size of the output images in pixels
    near_m, far_m        range of the focus distances in metres
    focal_over_width     lens-to-sensor distance over sensor width: the horizontal field of view
    """

    width: int
    height: int
    near_m: float
    far_m: float
    focal_over_width: float


class Source(Protocol):
    """A numbered collection of RGB-D frames."""

    name: str  # "synthetic", or the last part of the path
    format: str  # registry name of the reader
    license: str
    attribution: str

    def __len__(self) -> int:
        """Number of frames; ``sys.maxsize`` where the source makes its own without end."""

    def frame_id(self, index: int) -> str:
        """Name of one frame, stable across runs and machines."""

    def load(self, index: int, request: FrameRequest, rng: np.random.Generator) -> Scene:
        """Read (or make) one frame at its own resolution. Raises FrameError where it cannot be used."""
