"""TartanAir: ``image_left/NNNNNN_left.png`` and ``depth_left/NNNNNN_left_depth.npy``, z in metres, 640 x 480.

The set's own folders are environment / Easy or Hard / PNNN. The sky has a depth of thousands of metres; it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource, below
from focalsim.sources.image_files import read_depth

_DEPTH = "_left_depth.npy"
_INTRINSICS = Intrinsics(320.0, 320.0, 320.0, 240.0)


class TartanAirSource(FramesSource):
    """Reader of the left views of a trajectory, or of any folder above."""

    format = "tartanair"
    takes_depth_scale = True
    usual_median_m = (0.1, 150.0)  # much of it is outdoors
    description = "TartanAir trajectories: image_left beside depth_left"
    license = "CC BY 4.0"
    attribution = (
        "TartanAir: W. Wang, D. Zhu, X. Wang, Y. Hu, Y. Qiu, C. Wang, Y. Hu, A. Kapoor, S. Scherer, "
        "TartanAir: A Dataset to Push the Limits of Visual SLAM, IROS 2020"
    )

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for folder in below(path, "depth_left", 4):
            for depth in sorted(folder.glob(f"*{_DEPTH}")):
                image = folder.with_name("image_left") / depth.name.replace(_DEPTH, "_left.png")
                if image.is_file():
                    yield Frame(image, depth)

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        return read_depth(frame.depth, self.units_per_metre)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics | None:  # noqa: ARG002
        return _INTRINSICS if shape == (480, 640) else None
