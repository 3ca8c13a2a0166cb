"""Middlebury stereo 2014: a folder a scene with ``im0.png``, ``disp0.pfm`` and ``calib.txt``.

z = baseline f / (d + doffs), d the disparity in pixels, infinite where it is not known; f in pixels and the baseline in
millimetres stand in ``calib.txt`` (vision.middlebury.edu/stereo/data/scenes2014).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focalsim.errors import FrameError
from focalsim.scene import Intrinsics
from focalsim.sources.frames import Frame, FramesSource, below
from focalsim.sources.image_files import read_stored

_LINE = re.compile(r"^\s*(\w+)\s*=\s*(.+?)\s*$", re.MULTILINE)


class MiddleburySource(FramesSource):
    """Reader of the 2014 and 2021 scenes; every scene is a frame."""

    format = "middlebury"
    unit_from = "calib.txt: the baseline in millimetres, f and doffs in pixels"
    description = "Middlebury stereo scenes: folders with im0.png, disp0.pfm and calib.txt"
    license = "not stated by its authors"
    attribution = (
        "Middlebury stereo data: D. Scharstein, H. Hirschmüller, Y. Kitajima, G. Krathwohl, N. Nesic, X. Wang, "
        "P. Westling, High-Resolution Stereo Datasets with Subpixel-Accurate Ground Truth, GCPR 2014"
    )

    @staticmethod
    def find(path: Path) -> Iterator[Frame]:
        for disparity in below(path, "disp0.pfm", 2):
            image, calibration = disparity.with_name("im0.png"), disparity.with_name("calib.txt")
            if image.is_file() and calibration.is_file():
                yield Frame(image, disparity, (calibration,))

    def read_depth_m(self, frame: Frame, shape: tuple[int, int]) -> NDArray[np.floating[Any]]:  # noqa: ARG002
        f_px, _, _, offset_px, baseline_mm = _calibration(frame.others[0])
        disparity = read_stored(frame.depth)
        return np.where(np.isfinite(disparity), 1e-3 * baseline_mm * f_px / (disparity + offset_px), np.nan)

    def intrinsics(self, frame: Frame, shape: tuple[int, int]) -> Intrinsics:  # noqa: ARG002
        f_px, cx_px, cy_px, _, _ = _calibration(frame.others[0])
        return Intrinsics(f_px, f_px, cx_px, cy_px)


def _calibration(path: Path) -> tuple[float, float, float, float, float]:
    """f, cx, cy, doffs in pixels, baseline in millimetres."""
    try:
        entries = dict(_LINE.findall(path.read_text("utf-8")))
        matrix = [float(number) for number in re.split(r"[;,\s]+", entries["cam0"].strip("[] "))]
        return matrix[0], matrix[2], matrix[5], float(entries["doffs"]), float(entries["baseline"])
    except (OSError, ValueError, KeyError, IndexError) as error:
        message = f"{path}: expected the lines cam0=[f 0 cx; 0 f cy; 0 0 1], doffs and baseline: {error}"
        raise FrameError(message, "bad calibration") from None
