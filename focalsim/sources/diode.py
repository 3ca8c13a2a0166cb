"""DIODE: ``NAME.png``, ``NAME_depth.npy`` (H, W, 1) metres and ``NAME_depth_mask.npy`` (H, W), 1 where depth is valid.

Neither the report nor the devkit says what depth is. It is z along the axis: walls come out flat that way, and bent
where the numbers are taken for the length of the ray. The camera is that of the devkit's ``intrinsics.txt``, 60 x 45
degrees over 1024 x 768 pixels, which are therefore not quite square. The set's own folders are train or val / indoors
or outdoor / scene / scan (diode-dataset.org).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource, below
from focalsim.sources.image_files import read_stored

_SUFFIX = "_depth.npy"
_SIZE, _CAMERA = (768, 1024), Intrinsics(886.81, 927.06, 512, 384)


class DiodeSource(FramesSource):
    """Reader of any folder of the set, from one scan up to all of it."""

    format = "diode"
    takes_depth_scale = True
    usual_median_m = (0.1, 150.0)  # half of it is outdoors
    description = "DIODE: NAME.png with NAME_depth.npy and NAME_depth_mask.npy"
    license = "MIT"
    attribution = (
        "DIODE: I. Vasiljevic, N. Kolkin, S. Zhang, R. Luo, H. Wang, F. Z. Dai, A. F. Daniele, M. Mostajabi, "
        "S. Basart, M. R. Walter, G. Shakhnarovich, DIODE: A Dense Indoor and Outdoor DEpth Dataset, 2019"
    )

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for depth in below(path, f"*{_SUFFIX}", 4):
            stem = depth.name.removesuffix(_SUFFIX)
            image, mask = depth.with_name(f"{stem}.png"), depth.with_name(f"{stem}_depth_mask.npy")
            if image.is_file() and mask.is_file():
                yield Frame(image, depth, (mask,))

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        depth, mask = (np.squeeze(read_stored(path)) for path in (frame.depth, frame.others[0]))
        if depth.shape != mask.shape:
            raise FrameError(f"{frame.depth}: depth of shape {depth.shape}, but its mask has {mask.shape}")
        return np.where(mask > 0, depth / self.units_per_metre, np.nan)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics | None:  # noqa: ARG002
        return _CAMERA if shape == _SIZE else None
